import { run } from "./fetch-loop.ts";

await run((event) => event.arrayBuffer());
