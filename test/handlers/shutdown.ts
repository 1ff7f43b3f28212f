import { writeSync } from "node:fs";
import { json, run } from "../../runtime.ts";

const ways: Record<string, () => void | Promise<void>> = {
  sync: () => {},
  async: () => Bun.sleep(50),
  throws: () => {
    throw new RangeError("on shutdown");
  },
  "takes too long": () => Bun.sleep(10_000),
};

run(
  json(async (event: { wait?: number }) => {
    if (event?.wait) await Bun.sleep(event.wait);
    return event;
  }),
  {
    onShutdown() {
      writeSync(1, "onShutdown\n");
      return ways[process.env.WAY ?? "sync"]?.();
    },
  },
);
