import { json, run } from "../../runtime.ts";

run(json(undefined as never));
