import { json, run, type RawHandler } from "../../runtime.ts";

run({ create: json(() => "created"), list: "list" as unknown as RawHandler });
