import { run } from "./fetch-loop.ts";

await run(async (event) => JSON.stringify(await event.json()));
