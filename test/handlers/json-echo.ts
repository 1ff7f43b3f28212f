import { json, run } from "../../runtime.ts";

run(json((event) => event));
