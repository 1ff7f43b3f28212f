import { json, run } from "../../runtime.ts";

run(
  json(async (event) => {
    await Bun.sleep(10);
    return event;
  }),
);
