import { json, run } from "../../runtime.ts";

await Promise.reject(new RangeError("no database"));
run(json(() => "never"));
