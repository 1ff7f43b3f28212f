/** Tells which pages of an executable a start and its first invocations touch. */
import { readFileSync } from "node:fs";
import { jsonEvent } from "./events.ts";
import { cachedPages, evict, pageSize, setReadAhead } from "./page-cache.ts";
import { Bootstrap, type Subject } from "./process.ts";
import { PreparedEvent } from "./service.ts";

const usage = `Usage: bun test/bench/pages.ts [--gap N] [--events N] [--event FILE] EXECUTABLE [COMMAND …]

Prints which pages of an executable a start and its first invocations touch: a line for each run of pages, with its
offset in the file and its length, in bytes. Needs root: the disk's read-ahead is switched off meanwhile.

  --gap N       pages that lie at most N pages apart are one run; 1 unless given
  --events N    how many invocations; 20 unless given
  --event FILE  what is sent; 200 B of JSON unless given
  COMMAND …     runs the executable in another way: qemu-aarch64-static -L /usr/aarch64-linux-gnu EXECUTABLE`;

export interface PagesOptions {
  /** How many events are sent before the pages are counted. */
  events: number;
  /** 200 B of JSON unless given. A reply and an error are equally good answers to it. */
  event?: PreparedEvent;
  /** What to start, if not the executable itself. */
  command?: Subject["command"];
  environment?: Subject["environment"];
}

/**
 * The numbers of the pages, from 0 on: those that are in the page cache after a run that began with none there, on a
 * disk that reads nothing ahead.
 *
 * @throws Error where the machine does not allow that
 */
export async function pagesOf(executable: string, options: PagesOptions): Promise<number[]> {
  const { events, event = jsonEvent(200), command = [executable], environment = {} } = options;
  using _ = setReadAhead(executable, 0);
  evict(executable);
  await using bootstrap = await Bootstrap.start({ command, environment });
  await bootstrap.invokeBlock(event, events, { mayFail: true });
  return cachedPages(executable);
}

/** Pages as runs, from the first to the last page of each; pages that lie at most so many apart are one run. */
export function runsOf(pages: number[], gap: number): { first: number; last: number }[] {
  const runs: { first: number; last: number }[] = [];
  for (const page of pages) {
    const run = runs.at(-1);
    if (run && page - run.last <= gap) run.last = page;
    else runs.push({ first: page, last: page });
  }
  return runs;
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const options: Record<string, string> = { "--gap": "1", "--events": "20", "--event": "" };
  while (args[0]?.startsWith("--")) {
    const [name, value] = args.splice(0, 2) as [string, string | undefined];
    if (!(name in options) || value === undefined) exit(2, usage);
    options[name] = value;
  }
  const [executable, ...command] = args;
  const { "--gap": gap, "--events": events, "--event": file } = options;
  if (executable === undefined || !/^[1-9]\d* [1-9]\d*$/.test(`${gap} ${events}`)) exit(2, usage);
  const pages = await pagesOf(executable, {
    events: Number(events),
    ...(file && { event: new PreparedEvent(readFileSync(file, "utf8")) }),
    ...(command.length > 0 && { command: command as Subject["command"] }),
  });
  for (const { first, last } of runsOf(pages, Number(gap)))
    console.log(first * pageSize, (last - first + 1) * pageSize);
}

function exit(status: number, message: string): never {
  console.error(message);
  process.exit(status);
}

if (import.meta.main) await main().catch((error: Error) => exit(1, `pages: ${error.message}`));
