/** What can only be set in the function's environment: what it saves a function that waits, and costs one that computes. */
import { build } from "./build.ts";
import { jsonEvent } from "./events.ts";
import { measureFirst } from "./measure.ts";
import type { Environment } from "./process.ts";
import { mapValues, pick, progress } from "./report.ts";
import type { Row } from "./section.ts";

const noScavenger = { MIMALLOC_SCAVENGER: "0" };
const environments: Record<string, Environment> = Object.fromEntries(
  [{}, noScavenger, { BUN_JSC_useFTLJIT: "0" }, { BUN_JSC_useFTLJIT: "0", ...noScavenger }, { BUN_JSC_useDFGJIT: "0" }, { BUN_JSC_useDFGJIT: "0", ...noScavenger }].map(
    (environment) => [nameOf(environment), environment],
  ),
);

function nameOf(environment: Environment): string {
  const variables = Object.entries(environment).map(([name, value]) => `\`${name}=${value}\``);
  return variables.join(" and ") || "nothing set";
}

export async function measureKnobs(runs: number): Promise<Row[]> {
  const computing = [
    { what: "5 MB JSON echo", executable: build("test/handlers/json-echo.ts"), event: jsonEvent(5_000_000), replies: [30] },
    { what: "FNV-1a in JavaScript of 1 MB", executable: build("test/bench/fnv1a.ts"), event: jsonEvent(1_000_000), replies: [10, 100] },
  ];
  const waiting = { what: "200 B JSON echo", executable: build("test/handlers/json-echo.ts"), event: jsonEvent(200), replies: [100, 1_000, 10_000] };
  const rows: Row[] = [];
  for (const { what, executable, event, replies } of [waiting, ...computing]) {
    progress(`${what}, in ${Object.keys(environments).length} environments`);
    const first = await measureFirst(mapValues(environments, () => [executable]), runs, { event, replies, environments });
    replies.forEach((reply, at) => rows.push({ what: `${what}: CPU time to reply ${reply.toLocaleString("en")}, ms`, figures: pick(first, ({ cpu }) => cpu[at]!), digits: 1 }));
    rows.push({ what: "resident then, MB", figures: pick(first, ({ resident }) => resident), digits: 1 });
  }
  return rows;
}
