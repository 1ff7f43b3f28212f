import { run } from "../../runtime.ts";

run((headers) => headers);
