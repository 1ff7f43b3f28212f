/** What can only be set in the environment: what it saves a function that waits, and costs one that computes. */
import { jsonEvent } from "./events.ts";
import { measureFirst } from "./measure.ts";
import { mapValues, pick, progress } from "./report.ts";
import { built } from "./subjects.ts";
import type { Row, Table } from "./table.ts";

const noScavenger = { MIMALLOC_SCAVENGER: "0" };
const lateDfg = { BUN_JSC_thresholdForOptimizeAfterWarmUp: "10000" };
const noDfg = { BUN_JSC_useDFGJIT: "0" };
const environments: Record<string, string>[] = [
  {},
  noScavenger,
  lateDfg,
  { ...lateDfg, ...noScavenger },
  noDfg,
  { ...noDfg, ...noScavenger },
];
const named = Object.fromEntries(environments.map((environment) => [nameOf(environment), environment]));

function nameOf(environment: Record<string, string>): string {
  const variables = Object.entries(environment).map(([name, value]) => `\`${name}=${value}\``);
  return variables.join(" ") || "nothing set";
}

/** Handlers, with the numbers of the replies up to which CPU time counts. */
const handlers = [
  {
    what: "200 B JSON echo",
    source: "test/handlers/json-echo.ts",
    event: jsonEvent(200),
    replies: [100, 1_000, 10_000],
  },
  { what: "5 MB JSON echo", source: "test/handlers/json-echo.ts", event: jsonEvent(5_000_000), replies: [3, 30] },
  {
    what: "FNV-1a of 1 MB, in JavaScript",
    source: "test/bench/fnv1a.ts",
    event: jsonEvent(1_000_000),
    replies: [10, 100],
  },
];

export async function measureKnobs(runs: number): Promise<Table[]> {
  const tables: Table[] = [];
  for (const { what, source, event, replies } of handlers) {
    progress(`${what}, in ${environments.length} environments`);
    const first = await measureFirst(
      mapValues(named, (environment) => ({ ...built(source), environment })),
      runs,
      { event, replies },
    );
    const times = replies.map((reply, at): Row => {
      return {
        what: `CPU to reply ${reply.toLocaleString("en")}, ms`,
        figures: pick(first, ({ cpu }) => cpu[at]!),
        digits: 0,
      };
    });
    const resident: Row = { what: "resident then, MB", figures: pick(first, (sample) => sample.resident), digits: 0 };
    tables.push({
      title: `${what}, by what is set in the environment`,
      rows: [...times, resident],
      subjectsDown: true,
    });
  }
  return tables;
}
