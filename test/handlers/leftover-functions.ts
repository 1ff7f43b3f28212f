import { json, run } from "../../runtime.ts";

const { sleep } = Bun;
Bun.sleep = () => sleep(0); // so that a loop that has failed begins again at once

process.on("SIGUSR2", () => {
  const { heapStats } = process.getBuiltinModule("bun:jsc") as unknown as {
    heapStats(): { objectTypeCounts: { Function: number } };
  };
  Bun.gc(true);
  process.stderr.write(`${heapStats().objectTypeCounts.Function}\n`);
});

run(json(() => null));
