import { json, run } from "../../runtime.ts";

run(json(() => void setTimeout(() => process.exit(0), 50)));
