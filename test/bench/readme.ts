/** test/bench/README.md, of one or more runs of the benchmark. */
import { readFileSync } from "node:fs";
import { render, type Row, type Table } from "./table.ts";

/** What one run of the benchmark has measured. */
export interface Report {
  machine: string;
  versions: string[];
  date: string;
  runs: number;
  /** Whether the harness and what it measures shared one CPU, where they are to. */
  isPinned: boolean;
  tables: Table[];
}

export const mainTitle = "Start, invocations, memory and size";

/** What `--json` has written. */
export function readReport(file: string): Report {
  const nullAsNaN = (_key: string, value: unknown) => value ?? NaN;
  return JSON.parse(readFileSync(file, "utf8"), nullAsNaN) as Report;
}

/** The tables of all runs, those of one title as one. */
export function allTables(reports: Report[]): Table[] {
  const byTitle = Map.groupBy(
    reports.flatMap(({ tables }) => tables),
    ({ title }) => title,
  );
  return [...byTitle.values()].map((tables) => ({ ...tables[0]!, rows: tables.flatMap(({ rows }) => rows) }));
}

/** Where and how the figures were measured. */
export function origin(reports: Report[]): string {
  const all = (fact: (report: Report) => string | string[]) => [...new Set(reports.flatMap(fact))].join(", ");
  const runs = all(({ runs }) => String(runs));
  const share = reports.some(({ isPinned }) => isPinned)
    ? `The harness and what it measures share one CPU, but for cold starts and where a row says "on any CPU".`
    : "Nothing is pinned to a CPU.";
  return `${all(({ machine }) => machine)}. ${all(({ versions }) => versions)}. ${all(({ date }) => date)}.
Medians and quartiles of ${runs} ${runs === "1" ? "run" : "runs"} in turn. ${share} Nothing was measured on AWS.`;
}

export function readme(reports: Report[]): string {
  const tables = allTables(reports);
  const inShort = tables.flatMap(({ rows }) => rows).filter(({ isHeadline }) => isHeadline);
  return `# Figures

<!-- Made by \`npm run bench -- --readme\`. Change test/bench/readme.ts instead. -->
<!-- prettier-ignore-start -->

![In short, as bars](figures.svg)

${render({ title: "", rows: inShort.map(withoutTarget) }).trim()}

${origin(reports)}

Times differ by more from one hour to the next than from one bootstrap to another. So a target is a comparison
within one run, or a size.

## What is measured

- **bunstrap**: an echo, built by \`build.sh\`. "Without prefetch" is the same with \`--no-prefetch\`.
- **floor**: [a few lines](floor.ts) that open a socket and send back what they are sent. They check nothing.
- **fetch loop**: what one would write [without a runtime](fetch-loop.ts), with the same handlers.
- **Node.js**: the official client, with Node.js itself in its zip, as \`provided.al2023\` needs it. With Lambda's
  own runtime only the handler is uploaded.

Floor and \`fetch\` loop are built by the same Bun with the same flags as bunstrap, and without the prefetch. All of
them talk to [a server](service.ts) that does as little as it can.

## How

- All are measured in turn, in the opposite order every other round. A comparison is made round by round.
- **A cold start** is that of a new sandbox. The page cache is emptied before each start, but for libc, libm and
  ld.so. The disk reads 128 kB ahead, as Linux does unless told otherwise. The process has the whole machine until
  it asks for its first event. From there on it is in a CPU cgroup of its own, with what Lambda gives to 128 MB:
  1,447 µs of every 20,000. The first event is sent at once.
- **From squashfs**: the same from a file system that is compressed in blocks of 128 kB (zstd, level 3), on a loop
  device. To read a page there means to decompress a block. Of Node.js only the executable is there, and its scripts
  are on the disk.
- **Pages** are those of the executable that are in the page cache after 20 events, in one more run without
  read-ahead.
- **Other starts** are those of executables that are in the page cache, as a copy that no other subject has used.
- An event has 200 B of JSON unless a row says otherwise. Events of 5 MB come in one chunk; their JSON is an array
  of objects with strings and numbers, in ASCII.
- Of a target that is missed, **bold** says that it is missed by enough to be a defect.

What can be measured: \`npm run bench -- --help\`. This file is made of several runs:

\`\`\`sh
npm run bench -- --node --only cold --json cold.json
npm run bench -- --node --only anywhere --only start --only first --only small --only large --only memory \\
  --only size --json warm.json
npm run bench -- --runs 8 --only growth --only loops --only knobs --json more.json
npm run bench -- --from cold.json --from warm.json --from more.json \\
  --svg test/bench/figures.svg --readme test/bench/README.md
\`\`\`

## What takes the time

- **A cold start**: reading. A start needs some 1,400 pages of the executable, which lie all over its 81 MB.
- **The first response**: bunstrap is a larger module than the loop, and each function costs 10 to 20 µs when it is
  first called.
- **The first thousand invocations**: the JIT compilers. The functions on an event's way are few and large on
  purpose, since the compilers come later to a function that is large and in part never run. The last of the
  compilers is kept away from them (\`noFTL\` of \`bun:jsc\`), which saves memory and CPU time. Handlers are
  compiled as ever.
- **A small invocation**, once compiled: two reads, two writes and two waits, which the floor has too.
- **Events of 256 kB to 1 MB** take up to a tenth longer than in the loop: what comes in pieces is gathered in a
  buffer of its own.
- **The zip**: Bun is pinned to 1.4.2. Versions 1.4.4 and 1.4.5 make zips of more than 51 MB, and Lambda takes 50
  MiB (52.4 MB) without a detour through S3. \`bun test/bun-versions.ts\` compares all versions.

${tables.map((table) => `## ${render(table)}`).join("\n\n")}

<!-- prettier-ignore-end -->
`;
}

function withoutTarget({ against: _against, target: _target, tolerated: _tolerated, ...row }: Row): Row {
  return row;
}
