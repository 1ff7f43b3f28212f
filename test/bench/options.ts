/** What `npm run bench` is told. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Subjects } from "./measure.ts";
import { ownNames } from "./subjects.ts";

/** The groups of rows, in the order in which they are measured. */
export const groups = {
  cold: "a start with nothing in the page cache, and two events with the CPU share of 128 MB; takes root",
  anywhere: "exec to the first request, on any CPU",
  start: "exec to the first request, and to the first response",
  first: "CPU time of the first 100, 1,000 and 10,000 invocations; the first 200 with the CPU share of 128 MB",
  small: "round trip and CPU time of 200 B, after 10,000 invocations",
  large: "round trip, CPU time and peak memory of 5 MB, raw and as JSON",
  memory: "resident memory after the start, and after 20,000 invocations",
  size: "what is uploaded, and what it is unpacked to",
  growth: "round trips of 200 B to 6 MB",
  loops: "1 to 64 invocations at a time",
  knobs: "variables of the environment that tune Bun",
} as const;

export type Group = keyof typeof groups;

const groupNames = Object.keys(groups) as Group[];
/** The ones that are measured only when they are asked for. */
const extra: Group[] = ["growth", "loops", "knobs"];
/** The ones that are measured on whichever CPU the system chooses; they come first. */
export const unpinned: Group[] = ["cold", "anywhere"];
/** The ones that the chart is drawn of. */
const drawn: Group[] = ["cold", "start", "first", "memory"];

const usage = `Usage: npm run bench [-- OPTION …]

  --runs N               how many times each subject is measured; 40 unless given
  --only GROUP           one group of rows alone; can be given several times. All but ${extra.join(", ")}
                         are measured unless given:
${groupNames.map((group) => `                         ${group.padEnd(8)}  ${groups[group]}`).join("\n")}
  --node                 measures the official client for Node.js, too, which is installed from npm, into
                         node_modules/.cache, and compiled
  --peer NAME='COMMAND'  another bootstrap to measure: a client of the Lambda Runtime API that echoes the JSON that
                         it is sent. The command is split at white space, and started without a shell; if its first
                         word is a path, a copy of that file is started. Can be given several times.
  --start NAME='COMMAND' the same for a bootstrap that does something else: only its start is measured
  --json FILE            writes every single measurement
  --from FILE            takes what --json has written instead of measuring; can be given several times
  --svg FILE             draws the cold start, the start, the first 1,000 invocations and memory
  --readme FILE          writes all tables, and how they were measured
  --help                 this text`;

export interface Options {
  runs: number;
  /** In the order in which they are measured. */
  wanted: Group[];
  node: boolean;
  peers: Subjects;
  silent: Subjects;
  /** The files to read instead of measuring. */
  from: string[];
  /** The files to write, if any. */
  json: string | undefined;
  svg: string | undefined;
  readme: string | undefined;
}

/** Reads the command line; explains what is wrong with it, and ends the process. */
export function parseOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        runs: { type: "string", default: "40" },
        only: { type: "string", multiple: true, default: groupNames.filter((group) => !extra.includes(group)) },
        node: { type: "boolean", default: false },
        peer: { type: "string", multiple: true, default: [] },
        start: { type: "string", multiple: true, default: [] },
        from: { type: "string", multiple: true, default: [] },
        json: { type: "string" },
        readme: { type: "string" },
        svg: { type: "string" },
        help: { type: "boolean" },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit();
    }
    const { node, from, json, svg, readme } = values;
    if (!/^[1-9]\d*$/.test(values.runs))
      throw new Error(`--runs takes a number from 1 on, and got ${JSON.stringify(values.runs)}`);
    const unknown = values.only.find((name) => !groupNames.includes(name as Group));
    if (unknown !== undefined)
      throw new Error(`--only takes one of ${groupNames.join(", ")}, and got ${JSON.stringify(unknown)}`);
    const wanted = groupNames.filter((group) => values.only.includes(group));
    const undrawn = drawn.filter((group) => !wanted.includes(group));
    if (svg !== undefined && from.length === 0 && undrawn.length > 0)
      throw new Error(`--svg draws what --only leaves out: --only ${undrawn.join(" --only ")}`);
    const absent = from.find((file) => !existsSync(file));
    if (absent !== undefined) throw new Error(`--from takes what --json has written, and there is no ${absent}`);
    if (from.length > 0 && json !== undefined)
      throw new Error("--json writes what is measured, and with --from nothing is");
    for (const [option, file] of Object.entries({ json, svg, readme }))
      if (file !== undefined) checkWritable(`--${option}`, file);
    const peers = parseCommands("--peer", values.peer, ownNames);
    const silent = parseCommands("--start", values.start, [...ownNames, ...Object.keys(peers)]);
    return { runs: Number(values.runs), wanted, node, peers, silent, from, json, svg, readme };
  } catch (error) {
    console.error(`bench: ${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}

function parseCommands(option: string, values: string[], taken: string[]): Subjects {
  const commands: Subjects = {};
  for (const value of values) {
    const [, name, executable, rest = ""] = /^\s*([^=]*[^=\s])\s*=\s*(\S+)\s*([^]*)$/.exec(value) ?? [];
    if (name === undefined || executable === undefined)
      throw new Error(`${option} takes NAME='COMMAND', and got ${JSON.stringify(value)}`);
    if ([...taken, ...Object.keys(commands)].includes(name))
      throw new Error(`there is already a subject named ${name}`);
    if (!Bun.which(executable)) throw new Error(`there is no executable ${executable} for ${name}`);
    commands[name] = { command: [executable, ...rest.split(/\s+/).filter(Boolean)] };
  }
  return commands;
}

/** That a file cannot be written is to be known before everything has been measured. */
function checkWritable(option: string, file: string): void {
  const existing = statSync(file, { throwIfNoEntry: false });
  if (file === "" || existing?.isDirectory())
    throw new Error(`${option} takes the name of a file, and got ${JSON.stringify(file)}`);
  try {
    accessSync(existing ? file : dirname(resolve(file)), constants.W_OK);
  } catch (error) {
    throw new Error(`${option} cannot write ${file}: ${(error as Error).message}`);
  }
}
