/**
 * How a function starts in a new sandbox: nothing of its executable is in the page cache. Until its first request it
 * has all of the CPU, and from there on the share that comes with its memory.
 */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { workspace } from "../sandbox.ts";
import { CpuShare } from "./cpu-share.ts";
import { jsonEvent } from "./events.ts";
import type { Subjects } from "./measure.ts";
import { dropPageCache, fileSystemOf, pageSize, setReadAhead } from "./page-cache.ts";
import { pagesOf } from "./pages.ts";
import { Bootstrap, freshCopy } from "./process.ts";
import { inTurn, mapValues, pick, type Samples } from "./report.ts";
import { mountCompressed } from "./squashfs.ts";
import { built, starting, withoutPrefetch, type Guests } from "./subjects.ts";
import type { Row } from "./table.ts";

/** What Linux reads ahead unless told otherwise, in kB. */
const readAhead = 128;

/** Of the function, in MB: what comes with a fourteenth of a CPU. */
const memory = 128;

const event = jsonEvent(200);

export async function measureCold(guests: Guests, runs: number): Promise<Row[]> {
  try {
    if (process.getuid!() !== 0) throw new Error("it takes root");
    CpuShare.ofMemory(memory)[Symbol.dispose]();
    setReadAhead(workspace, readAhead)[Symbol.dispose]();
  } catch (error) {
    return [notMeasured("cold start", error)];
  }
  const directory = mkdtempSync(join(workspace, "cold-"));
  const echoing = copied(starting(guests), directory);
  return [
    ...(await measureOnDisk(echoing, runs)),
    ...(await measureCompressed(echoing, directory, runs)),
    await measureSdk(runs),
  ];
}

async function measureOnDisk(subjects: Subjects, runs: number): Promise<Row[]> {
  const disk = fileSystemOf(workspace);
  const starts = await measureColdStarts(subjects, runs);
  const rows = timesOn(disk, starts, { target: 0.33, tolerated: 0.45 });
  const { floor: floors, bunstrap } = rows.at(-1)!.figures;
  const pages = await touchedPages(subjects);
  return [
    ...rows,
    {
      what: "the same",
      figures: { bunstrap: bunstrap! },
      digits: 1,
      against: "floor",
      references: floors!,
      target: 0.5,
      tolerated: 0.7,
    },
    {
      what: "resident after the first reply, MB",
      figures: pick(starts, ({ resident }) => resident),
      digits: 1,
      target: 15,
      tolerated: 18,
    },
    {
      what: "pages that a start and 20 events touch",
      figures: mapValues(pages, (touched) => [touched.length]),
      digits: 0,
    },
    {
      what: "blocks of 128 kB that these are in",
      figures: mapValues(pages, (touched) => [blocksOf(touched)]),
      digits: 0,
    },
  ];
}

/** @param directory Where the subjects are. Those that are elsewhere are left out. */
async function measureCompressed(subjects: Subjects, directory: string, runs: number): Promise<Row[]> {
  using machine = new DisposableStack();
  let mounted: string;
  try {
    mounted = machine.use(mountCompressed(directory)).directory;
    machine.use(setReadAhead(mounted, readAhead));
  } catch (error) {
    return [notMeasured("cold start from squashfs", error)];
  }
  const compressed: Subjects = {};
  for (const [name, { command, ...subject }] of Object.entries(subjects)) {
    const [executable, ...args] = command;
    if (!executable.startsWith(directory)) continue;
    compressed[name] = { ...subject, command: [executable.replace(directory, mounted), ...args] };
  }
  const starts = await measureColdStarts(compressed, runs);
  return timesOn("squashfs", starts, { target: 0.33, tolerated: 0.5 });
}

/** What an SDK adds to the start. It is sent no event, as it would ask AWS. */
async function measureSdk(runs: number): Promise<Row> {
  const handler = "test/handlers/aws-sdk.ts";
  const directory = mkdtempSync(join(workspace, "cold-"));
  const subjects = copied({ bunstrap: built(handler), ...withoutPrefetch(handler) }, directory);
  using _ = setReadAhead(workspace, readAhead);
  const figures = await inTurn(
    runs,
    mapValues(subjects, (subject) => async () => {
      dropPageCache();
      await using bootstrap = await Bootstrap.start(subject);
      return bootstrap.startTime;
    }),
  );
  const row: Row = { what: "AWS SDK handler, cold: exec to first `GET /next`, ms", figures, digits: 1 };
  if (!("without prefetch" in figures)) return row;
  return { ...row, against: "without prefetch", target: 0.55, tolerated: 0.7 };
}

/** Times in ms, memory in MB. */
interface ColdStart {
  start: number;
  firstEvent: number;
  secondEvent: number;
  /** After the first reply. */
  resident: number;
}

async function measureColdStarts(subjects: Subjects, runs: number): Promise<Samples<ColdStart>> {
  using _ = setReadAhead(workspace, readAhead);
  for (const subject of Object.values(subjects)) {
    await using bootstrap = await Bootstrap.start(subject);
    await bootstrap.checkEcho(event);
  }
  return await inTurn(
    runs,
    mapValues(subjects, (subject) => async () => {
      using share = CpuShare.ofMemory(memory); // its own, since what one process leaves of it would go to the next
      dropPageCache();
      await using bootstrap = await Bootstrap.start(subject);
      const start = bootstrap.startTime;
      share.limitRunning(bootstrap.pid);
      const { took: firstEvent } = await bootstrap.invoke(event);
      const resident = bootstrap.memory("VmRSS");
      const { took: secondEvent } = await bootstrap.invoke(event);
      return { start, firstEvent, secondEvent, resident };
    }),
  );
}

/** The last row is the sum that counts. */
function timesOn(fileSystem: string, starts: Samples<ColdStart>, limits: { target: number; tolerated: number }): Row[] {
  const cold = `cold start from ${fileSystem}`;
  const title = `Cold start from ${fileSystem}, and the first event with the CPU share of 128 MB`;
  return [
    { what: `${cold}: exec to first \`GET /next\`, ms`, figures: pick(starts, ({ start }) => start), digits: 1 },
    {
      what: "first event, with the CPU share of 128 MB, ms",
      figures: pick(starts, ({ firstEvent }) => firstEvent),
      digits: 1,
    },
    {
      what: "second event, ms",
      figures: pick(starts, ({ secondEvent }) => secondEvent),
      digits: 1,
      target: 1,
      tolerated: 2,
    },
    {
      what: `${cold} + first event with the CPU share of 128 MB, ms`,
      figures: pick(starts, ({ start, firstEvent }) => start + firstEvent),
      digits: 1,
      against: "fetch loop",
      ...limits,
      isHeadline: true,
      bars: { title, unit: "ms" },
    },
  ];
}

async function touchedPages(subjects: Subjects): Promise<Record<string, number[]>> {
  const pages: Record<string, number[]> = {};
  for (const [name, { command, environment }] of Object.entries(subjects)) {
    const [executable] = command;
    if (executable.includes("/")) pages[name] = await pagesOf(executable, { events: 20, event, command, environment });
  }
  return pages;
}

function blocksOf(pages: number[]): number {
  return new Set(pages.map((page) => Math.floor((page * pageSize) / (128 * 1024)))).size;
}

function copied(subjects: Subjects, directory: string): Subjects {
  return mapValues(subjects, (subject, name) => freshCopy(name, subject, directory));
}

function notMeasured(what: string, error: unknown): Row {
  return { what, figures: {}, missing: (error as Error).message };
}
