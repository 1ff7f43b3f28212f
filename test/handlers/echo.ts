import { run } from "../../runtime.ts";

run((_headers, body) => body);
