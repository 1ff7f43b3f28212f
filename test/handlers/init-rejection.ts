import { json, run } from "../../runtime.ts";

void Promise.reject(new RangeError("nobody waits for this"));
run(json(() => "never"));
