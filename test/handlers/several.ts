import { json, run } from "../../runtime.ts";

run({ create: json(() => "created"), list: json(() => "listed") });
