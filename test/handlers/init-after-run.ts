import { json, run } from "../../runtime.ts";

run(json(() => "never"));
throw new RangeError("after run");
