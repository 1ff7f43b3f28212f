import { run } from "./fetch-loop.ts";

await run(async (response) => {
  const event = await response.json();
  await Bun.sleep(10);
  return JSON.stringify(event);
});
