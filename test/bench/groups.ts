/** The groups of the table's rows: what each measures, and what it is held against. */
import { statSync } from "node:fs";
import { asBunMakesIt, buildZip } from "./build.ts";
import { CpuShare } from "./cpu-share.ts";
import { jsonEvent } from "./events.ts";
import {
  measureFirst,
  measureFirstRoundTrips,
  measureInvocations,
  measureLargeInvocations,
  measureMemory,
  measureStarts,
} from "./measure.ts";
import { mapValues, pick, progress, type Figures } from "./report.ts";
import type { Row } from "./table.ts";
import { built, echoingBytes, echoingJson, echoingSmallJson, starting, type Guests } from "./subjects.ts";

/** Measures one group. */
type Measure = (guests: Guests, runs: number) => Promise<Row[]>;

const small = jsonEvent(200);

/** Start, on whichever CPU the system chooses. */
export const measureStartAnywhere: Measure = async (guests, runs) => {
  const starts = await measureStarts({ ...echoingSmallJson(guests), ...guests.silent }, runs, undefined, []);
  const figures = pick(starts, ({ firstRequest }) => firstRequest);
  return [
    {
      what: "exec to first `GET /next`, on any CPU, ms",
      figures,
      digits: 2,
      against: "floor",
      target: 1.05,
      tolerated: 1.15,
    },
  ];
};

export const measureStart: Measure = async (guests, runs) => {
  const starts = await measureStarts(
    { ...starting(guests), ...guests.silent },
    runs,
    small,
    Object.keys(guests.silent),
  );
  const requests = pick(starts, ({ firstRequest }) => firstRequest);
  const replies = pick(starts, ({ firstReply }) => firstReply);
  const bars = { title: "From exec to the first response", unit: "ms" };
  return [
    {
      what: "exec to first `GET /next`, ms",
      figures: requests,
      digits: 2,
      against: "floor",
      target: 1.05,
      tolerated: 1.15,
    },
    {
      what: "exec to first response, ms",
      figures: replies,
      digits: 2,
      against: "fetch loop",
      target: 1,
      tolerated: 1.1,
      isHeadline: true,
      bars,
    },
    ...againstWithoutPrefetch(replies, { digits: 2, target: 1, tolerated: 1.03 }),
  ];
};

/** What the prefetch costs, where there is one. */
function againstWithoutPrefetch({ bunstrap, "without prefetch": references }: Figures, row: Partial<Row>): Row[] {
  if (!bunstrap || !references) return [];
  return [{ what: "the same", figures: { bunstrap }, against: "without prefetch", references, ...row }];
}

/** The first invocations of a process: what most sandboxes never get beyond. */
export const measureFirstInvocations: Measure = async (guests, runs) => {
  const subjects = echoingSmallJson(guests);
  const targets = [
    { replies: 100, target: 1, tolerated: 1.4 },
    { replies: 1_000, target: 0.7, tolerated: 0.85 },
    { replies: 10_000, target: 0.55, tolerated: 0.65 },
  ];
  const first = await measureFirst(subjects, runs, { event: small, replies: targets.map(({ replies }) => replies) });
  const rows = targets.map(({ replies, ...limits }, at): Row => {
    const figures = pick(first, ({ cpu }) => cpu[at]!);
    const what = `CPU time from exec to reply ${replies.toLocaleString("en")}, ms`;
    return { what, figures, digits: 1, against: "fetch loop", ...limits };
  });
  rows[1]!.isHeadline = true;
  rows[1]!.bars = { title: "CPU time of the start and the first 1,000 invocations", unit: "ms" };
  return [...rows, await measureSharedCpu(guests, runs)];
};

/** With the share of a CPU that a function of the least memory has. */
async function measureSharedCpu(guests: Guests, runs: number): Promise<Row> {
  const count = 200;
  const row = { what: `round trip of the first ${count}, with the CPU share of 128 MB, ms`, digits: 2 };
  let share;
  try {
    share = CpuShare.ofMemory(128);
  } catch (error) {
    return { ...row, figures: {}, missing: `this machine allows no CPU share (${(error as Error).message})` };
  }
  using _ = share;
  const figures = await measureFirstRoundTrips(echoingSmallJson(guests), runs, { event: small, count, share });
  return { ...row, figures, against: "fetch loop", target: 0.45, tolerated: 0.6 };
}

/** Small invocations, when all that happens at first is over. */
export const measureSmallInvocations: Measure = async (guests, runs) => {
  const invocations = await measureInvocations(echoingSmallJson(guests), runs, {
    event: small,
    warmUp: 10_000,
    block: 1_000,
  });
  const roundTrips = microseconds(pick(invocations, ({ roundTrip }) => roundTrip));
  const cpu = microseconds(pick(invocations, (invocation) => invocation.cpu));
  const harness = microseconds(pick(invocations, ({ harnessCpu }) => harnessCpu));
  return [
    {
      what: "200 B JSON echo, round trip, µs",
      figures: roundTrips,
      digits: 1,
      against: "fetch loop",
      isHeadline: true,
    },
    { what: "of that CPU time of the harness, µs", figures: onlyBunstrap(harness), digits: 0 },
    { what: "200 B JSON echo, CPU time, µs", figures: cpu, digits: 1, against: "fetch loop", target: 0.5 },
  ];
};

/** Large invocations, in time and in memory. */
export const measureLarge: Measure = async (guests, runs) => {
  const event = jsonEvent(5_000_000);
  const yardstick = jsonEvent(5_000_000, { "Bench-Yardstick": "1" });
  const timing = { ...echoingJson(guests), bunstrap: built("test/bench/yardstick.ts") };
  const invocations = await measureLargeInvocations(echoingBytes(guests), timing, runs, {
    event,
    yardstick,
    warmUp: 10,
    block: 5,
  });
  const rawRoundTrips = pick(invocations, ({ raw }) => raw?.roundTrip ?? NaN);
  const rawCpu = pick(invocations, ({ raw }) => raw?.cpu ?? NaN);
  const jsonRoundTrips = pick(invocations, ({ json }) => json?.roundTrip ?? NaN);
  const jsonCpu = pick(invocations, ({ json }) => json?.cpu ?? NaN);
  const harness = pick(invocations, ({ raw }) => raw?.harnessCpu ?? NaN);
  const references = invocations.bunstrap!.map(({ raw, jsonWork }) => raw!.roundTrip + jsonWork);

  progress("memory at 5 MB");
  const thirty = { event, count: 30 };
  const rawPeaks = pick(await measureMemory(echoingBytes(guests), memoryRuns(runs), thirty), ({ peak }) => peak);
  const jsonPeaks = pick(await measureMemory(echoingJson(guests), memoryRuns(runs), thirty), ({ peak }) => peak);
  return [
    { what: "5 MB raw echo, round trip, ms", figures: rawRoundTrips, digits: 2, against: "fetch loop", target: 1 },
    { what: "of that CPU time of the harness, ms", figures: onlyBunstrap(harness), digits: 1 },
    { what: "5 MB raw echo, CPU time, ms", figures: rawCpu, digits: 2, against: "fetch loop" },
    { what: "5 MB raw echo, peak memory, MB", figures: rawPeaks, digits: 1, against: "fetch loop", target: 1 },
    {
      what: "5 MB JSON echo, round trip, ms",
      figures: jsonRoundTrips,
      digits: 1,
      against: "fetch loop",
      isHeadline: true,
      target: 1,
      tolerated: 1.1,
    },
    {
      what: "the same",
      figures: onlyBunstrap(jsonRoundTrips),
      digits: 1,
      against: "raw + parse + stringify",
      references,
      target: 1.15,
    },
    { what: "5 MB JSON echo, CPU time, ms", figures: jsonCpu, digits: 1, against: "fetch loop" },
    {
      what: "5 MB JSON echo, peak memory, MB",
      figures: jsonPeaks,
      digits: 1,
      against: "fetch loop",
      target: 1,
      tolerated: 1.2,
    },
  ];
};

export const measureResident: Measure = async (guests, runs) => {
  const afterStart = await measureMemory({ ...echoingSmallJson(guests), ...guests.silent }, memoryRuns(runs));
  const afterMany = await measureMemory(echoingSmallJson(guests), memoryRuns(runs), { event: small, count: 20_000 });
  const resident = pick(afterMany, (memory) => memory.resident);
  const bars = { title: "Resident memory after 20,000 invocations", unit: "MB" };
  return [
    { what: "resident after start, MB", figures: pick(afterStart, (memory) => memory.resident), digits: 1, target: 24 },
    {
      what: "resident after 20,000 invocations, MB",
      figures: resident,
      digits: 1,
      against: "fetch loop",
      by: "−",
      target: 6,
      isHeadline: true,
      bars,
    },
    { what: "of that anonymous, MB", figures: pick(afterMany, ({ anonymous }) => anonymous), digits: 1, target: 14 },
  ];
};

/** What is uploaded, and what it is unpacked to. */
export const measureSize: Measure = async ({ node }) => {
  const sizeOf = (options: string[]) => {
    const { executable, zip } = buildZip("handler.example.ts", options);
    return { unpacked: statSync(executable).size, zip: statSync(zip).size };
  };
  const sizes = {
    bunstrap: sizeOf([]),
    ...(asBunMakesIt.length > 0 && { "without prefetch": sizeOf(asBunMakesIt) }),
    ...(node && { "Node.js": node.size() }),
  };
  const zips = mapValues(sizes, ({ zip }) => [zip / 1e3]);
  return [
    { what: "unpacked, MB", figures: mapValues(sizes, ({ unpacked }) => [unpacked / 1e6]), digits: 1 },
    { what: "zip, kB", figures: zips, digits: 0, isHeadline: true },
    ...againstWithoutPrefetch(zips, { digits: 0, by: "−", target: 8, tolerated: 20 }),
  ];
};

/** Memory differs little from one process to the next. */
function memoryRuns(runs: number): number {
  return Math.ceil(runs / 8);
}

function microseconds(figures: Figures): Figures {
  return mapValues(figures, (values) => values.map((value) => value * 1000));
}

function onlyBunstrap({ bunstrap = [] }: Figures): Figures {
  return { bunstrap };
}
