import { json, run } from "../../runtime.ts";

run(json(() => process.env._X_AMZN_TRACE_ID));
