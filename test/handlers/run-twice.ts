import { json, run } from "../../runtime.ts";

run(json(() => 1));
run(json(() => 2));
