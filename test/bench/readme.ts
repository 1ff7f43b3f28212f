/** test/bench/README.md, of one or more runs of the benchmark. */
import { readFileSync } from "node:fs";
import { render, type Row, type Table } from "./table.ts";

/** What one run of the benchmark has measured. */
export interface Report {
  /** The machine, and what is pinned to which of its CPUs. */
  machine: string;
  versions: string;
  date: string;
  runs: number;
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

/** Where and how the figures were measured, a line for each way. */
export function origins(reports: Report[]): string[] {
  const lines = reports.map(
    ({ machine, versions, date, runs }) =>
      `${machine} ${versions}; ${date}; ${runs} ${runs === 1 ? "run" : "runs"} in turn: medians and quartiles.`,
  );
  return [...new Set(lines)];
}

export function readme(reports: Report[]): string {
  const tables = allTables(reports);
  const inShort = tables.flatMap(({ rows }) => rows).filter(({ isHeadline }) => isHeadline);
  return `# Figures

<!-- Made by \`npm run bench -- --readme\`. Change test/bench/readme.ts instead. -->

![In short, as bars](figures.svg)

${render({ title: "", rows: inShort.map(withoutTarget) }).trim()}

Nothing was measured on AWS. What a machine does within an hour changes times by more than what is measured here, so a target
is a comparison within one run, or a size.

${origins(reports)
  .map((line) => `- ${line}`)
  .join("\n")}

## What is measured

- **bunstrap**: an echo, built by \`build.sh\`. "Without prefetch" is the same with \`--no-prefetch\`.
- **floor**: [a few lines](floor.ts) that open a socket and send back what they are sent. They check nothing.
- **fetch loop**: what one would write [without a runtime](fetch-loop.ts), with the same handlers.
- **Node.js**: the official client, with Node.js itself in its zip, as \`provided.al2023\` needs it. With Lambda's own runtime
  only the handler is uploaded.

Floor and \`fetch\` loop are built by the same Bun with the same flags as bunstrap, and without the prefetch. All of them talk to
[a server](service.ts) that does as little as it can.

## How

- All are measured in turn, in the opposite order every other round. A comparison is made round by round.
- **A cold start** is that of a new sandbox. The page cache is emptied before each start, but for libc, libm and ld.so. The disk
  reads 128 kB ahead, as Linux does unless told otherwise. The process has the whole machine until it asks for its first event.
  From there on it is in a CPU cgroup of its own, with what Lambda gives to 128 MB: 1,447 µs of every 20,000. The
  first event is sent at once.
- **From squashfs**: the same from a file system that is compressed in blocks of 128 kB (zstd, level 3), on a loop device. To read
  a page there means to decompress a block. Of Node.js only the executable is there, and its scripts are on the disk.
- **Pages** are those of the executable that are in the page cache after 20 events, in one more run without read-ahead.
- **Other starts** are those of executables that are in the page cache, as a copy that no other subject has used.
- An event has 200 B of JSON unless a row says otherwise. Events of 5 MB come in one chunk; their JSON is an array of objects with
  strings and numbers, in ASCII.
- What is measured shares one CPU with the server, but for cold starts, and where a row says "on any CPU".
- Of a target that is missed, **bold** says that it is missed by enough to be a defect.

Options: \`npm run bench -- --help\`. This file is made of several runs:

\`\`\`sh
npm run bench -- --node --only cold --json cold.json
npm run bench -- --node --only anywhere --only start --only first --only small --only large --only memory --only size --json warm.json
npm run bench -- --runs 8 --only growth --only loops --only knobs --json more.json
npm run bench -- --from cold.json --from warm.json --from more.json --svg test/bench/figures.svg --readme test/bench/README.md
\`\`\`

${tables.map((table) => `## ${render(table)}`).join("\n\n")}
`;
}

function withoutTarget({ against: _against, target: _target, tolerated: _tolerated, ...row }: Row): Row {
  return row;
}
