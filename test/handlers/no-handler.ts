import { run, type RawHandler } from "../../runtime.ts";

run("index.handler" as unknown as RawHandler);
