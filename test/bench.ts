/**
 * Measures bunstrap beside other bootstraps, in turn (A B A B …), and prints a table of medians and quartiles.
 *
 *     npm run bench [-- --runs N] [-- --peer NAME='COMMAND' …] [-- --start NAME='COMMAND' …]
 *
 * - the floor: three lines that open a socket and write, built by the same Bun with the same flags (start only)
 * - bunstrap: the example where it is about start and size, the echo handlers elsewhere
 * - a fetch loop: what one would write without a runtime, with the same handlers, the same Bun and the same flags
 * - peers: any other bootstrap that echoes what it is sent, and for the start alone, any other
 *
 * A target is a ratio within one run, or a size: other machines, and other hours of this one, have other times.
 */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./bench/build.ts";
import { measureInvocations, measureLargeInvocations, measureMemory, measureStarts, type Subjects } from "./bench/measure.ts";
import { pinToOneCpu } from "./bench/process.ts";
import { barChart, machine, markdownTable, mapValues, median, pick, progress, ratios, spread, type Figures } from "./bench/report.ts";
import { PreparedEvent } from "./bench/service.ts";
import { architecture } from "./sandbox.ts";

const usage = `Usage: npm run bench [-- --runs N] [-- --peer NAME='COMMAND' …] [-- --start NAME='COMMAND' …]

  --runs N               how many times each subject is measured; 40 unless given
  --peer NAME='COMMAND'  another bootstrap to measure: a client of the Lambda Runtime API that echoes the JSON that it is
                         sent. The command is split at white space, and started without a shell; if its first word is
                         a path, a copy of that file is started. Can be given several times.
  --start NAME='COMMAND' the same for a bootstrap that does something else: only its start is measured, up to its request
  --help                 this text`;

const { runs, peers, others } = parseOptions();

// ── Subjects ──────────────────────────────────────────────────────────────────────────────────────────────────────────

progress("building");
const example = build("handler.example.ts", { zip: true });
const fetchJsonEcho = build("test/bench/fetch-json-echo.ts");
const starting: Subjects = { floor: [build("test/bench/floor.ts")], bunstrap: [example], "fetch loop": [fetchJsonEcho], ...peers, ...others };
/** What is sent no event. */
const silent = ["floor", ...Object.keys(others)];
const echoingBytes: Subjects = { bunstrap: [build("test/handlers/echo.ts")], "fetch loop": [build("test/bench/fetch-echo.ts")], ...peers };
const echoingJson: Subjects = { bunstrap: [build("test/handlers/json-echo.ts")], "fetch loop": [fetchJsonEcho], ...peers };
const echoingOrTiming: Subjects = { ...echoingJson, bunstrap: [build("test/bench/yardstick.ts")] };

const greeting = new PreparedEvent('{"name":"Ada"}');
const small = new PreparedEvent(JSON.stringify({ text: "a".repeat(189) }));
const large = new PreparedEvent(makeOrders(5_000_000));
const yardstick = new PreparedEvent(large.body, { "Bench-Yardstick": "1" });
assert.equal(small.body.length, 200);

// ── Measurements ──────────────────────────────────────────────────────────────────────────────────────────────────────

progress("start, on any CPU");
const startsAnywhere = await measureStarts(starting, runs, greeting, silent);
const cpu = pinToOneCpu();
progress(cpu === undefined ? "there is no taskset, so nothing is pinned" : `start, from here on on CPU ${cpu} alone`);
const starts = await measureStarts(starting, runs, greeting, silent);
progress("200 B");
const atSmall = await measureInvocations(echoingJson, runs, { event: small, warmUp: 10_000, block: 1_000 });
progress("5 MB");
const atLarge = await measureLargeInvocations(echoingBytes, echoingOrTiming, runs, { event: large, yardstick, warmUp: 10, block: 5 });
progress("memory");
const memoryRuns = Math.ceil(runs / 8);
const afterStart = await measureMemory(starting, memoryRuns);
const afterMany = await measureMemory(echoingJson, memoryRuns, { event: small, count: 20_000 });
const afterLarge = await measureMemory(echoingBytes, memoryRuns, { event: large, count: 30 });

// ── Report ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A line of the table. */
interface Row {
  what: string;
  figures: Figures;
  digits: number;
  /** What bunstrap's figures are held against, round by round. */
  reference?: { name: string; figures: number[] | undefined };
  /** The ratio to the reference, or where there is none the figure, that is not to be exceeded. */
  target?: number;
  /** A ratio above the target that is still no defect. */
  tolerated?: number;
}

const against = (name: string, figures: Figures) => ({ name, figures: figures[name] });
const microseconds = (figures: Figures) => mapValues(figures, (values) => values.map((value) => value * 1000));

const firstRequests = pick(starts, (start) => start.firstRequest);
const firstRequestsAnywhere = pick(startsAnywhere, (start) => start.firstRequest);
const firstReplies = pick(starts, (start) => start.firstReply);
const smallRoundTrips = microseconds(pick(atSmall, (invocation) => invocation.roundTrip));
const smallCpu = microseconds(pick(atSmall, (invocation) => invocation.cpu));
const rawRoundTrips = pick(atLarge, ({ raw }) => raw.roundTrip);
const rawCpu = pick(atLarge, ({ raw }) => raw.cpu);
const jsonRoundTrips = pick(atLarge, ({ json }) => json.roundTrip);
const jsonCpu = pick(atLarge, ({ json }) => json.cpu);
const jsonWorkAndRaw = atLarge.bunstrap!.map(({ raw, jsonWork }) => raw.roundTrip + jsonWork);
const peaks = pick(afterLarge, ({ peak }) => peak);
const megabytes = (file: string) => ({ bunstrap: [statSync(file).size / 1e6] });

const rows: Row[] = [
  { what: "exec to first `GET /next`, ms", figures: firstRequests, digits: 2, reference: against("floor", firstRequests), target: 1.05, tolerated: 1.15 },
  { what: "the same on any CPU, ms", figures: firstRequestsAnywhere, digits: 2, reference: against("floor", firstRequestsAnywhere), target: 1.05, tolerated: 1.15 },
  { what: "exec to first response, ms", figures: firstReplies, digits: 2, reference: against("fetch loop", firstReplies) },
  { what: "200 B JSON echo, round trip, µs", figures: smallRoundTrips, digits: 1, reference: against("fetch loop", smallRoundTrips) },
  { what: "200 B JSON echo, CPU time, µs", figures: smallCpu, digits: 1, reference: against("fetch loop", smallCpu), target: 0.5 },
  { what: "5 MB raw echo, round trip, ms", figures: rawRoundTrips, digits: 2, reference: against("fetch loop", rawRoundTrips), target: 1 },
  { what: "5 MB raw echo, CPU time, ms", figures: rawCpu, digits: 2, reference: against("fetch loop", rawCpu) },
  { what: "5 MB JSON echo, round trip, ms", figures: jsonRoundTrips, digits: 1, reference: { name: "raw + parse + stringify", figures: jsonWorkAndRaw }, target: 1.15 },
  { what: "5 MB JSON echo, CPU time, ms", figures: jsonCpu, digits: 1, reference: against("fetch loop", jsonCpu) },
  { what: "resident after start, MB", figures: pick(afterStart, ({ resident }) => resident), digits: 1, target: 24 },
  { what: "resident after 20,000 invocations, MB", figures: pick(afterMany, ({ resident }) => resident), digits: 1, target: 40 },
  { what: "of that anonymous, MB", figures: pick(afterMany, ({ anonymous }) => anonymous), digits: 1, target: 14 },
  { what: "peak at 5 MB raw, MB", figures: peaks, digits: 1, reference: against("fetch loop", peaks), target: 1 },
  { what: "executable, MB", figures: megabytes(example), digits: 1 },
  { what: "zip, MB", figures: megabytes(join(example, `../../bootstrap-${architecture}.zip`)), digits: 1 },
];

const names = Object.keys(starting);
const head = ["", ...names, "bunstrap ÷ reference", "target"];
const harness = [median(pick(atSmall, ({ harnessCpu }) => harnessCpu).bunstrap) * 1000, median(pick(atLarge, ({ raw }) => raw.harnessCpu).bunstrap)];

console.log(`${machine(cpu)} Bun ${Bun.version}; ${runs} runs in turn: medians (and quartiles).
Of each round trip, ${harness[0]!.toFixed(0)} µs at 200 B and ${harness[1]!.toFixed(1)} ms at 5 MB are CPU time of the harness.
Events of 5 MB come in one chunk; their JSON is an array of objects with strings and numbers, in ASCII. Nothing was measured on AWS.

${markdownTable(head, rows.map(cells))}

${barChart("exec to first GET /next, ms", firstRequests, 2)}

${barChart("CPU time per invocation, 200 B JSON echo, µs", smallCpu, 1)}`);

function cells({ what, figures, digits, reference, target, tolerated }: Row): string[] {
  const compared = reference ? ratios(figures.bunstrap, reference.figures) : [];
  const comparison = reference ? `${spread(compared, 2)} × ${reference.name}` : "";
  return [what, ...names.map((name) => spread(figures[name], digits)), comparison, verdict(median(reference ? compared : figures.bunstrap), target, tolerated)];
}

function verdict(value: number, target: number | undefined, tolerated: number | undefined): string {
  if (target === undefined) return "";
  if (value <= target) return `≤ ${target}: met`;
  if (tolerated === undefined) return `≤ ${target}: **missed**`;
  return value <= tolerated ? `≤ ${target}: missed, but ≤ ${tolerated}` : `≤ ${target}: **missed, and above ${tolerated}**`;
}

// ── Options and events ────────────────────────────────────────────────────────────────────────────────────────────────

function parseOptions(): { runs: number; peers: Subjects; others: Subjects } {
  try {
    const { values } = parseArgs({
      options: {
        runs: { type: "string", default: "40" },
        peer: { type: "string", multiple: true },
        start: { type: "string", multiple: true },
        help: { type: "boolean" },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit();
    }
    if (!/^[1-9]\d*$/.test(values.runs)) throw new Error(`--runs takes a number from 1 on, and got ${JSON.stringify(values.runs)}`);
    const peers = parseCommands("--peer", values.peer ?? [], ["floor", "bunstrap", "fetch loop"]);
    const others = parseCommands("--start", values.start ?? [], ["floor", "bunstrap", "fetch loop", ...Object.keys(peers)]);
    return { runs: Number(values.runs), peers, others };
  } catch (error) {
    console.error(`bench: ${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}

function parseCommands(option: string, values: string[], taken: string[]): Subjects {
  const commands: Subjects = {};
  for (const value of values) {
    const [, name, executable, rest = ""] = /^\s*([^=]*[^=\s])\s*=\s*(\S+)\s*([^]*)$/.exec(value) ?? [];
    if (name === undefined || executable === undefined) throw new Error(`${option} takes NAME='COMMAND', and got ${JSON.stringify(value)}`);
    if ([...taken, ...Object.keys(commands)].includes(name)) throw new Error(`there is already a subject named ${name}`);
    if (!Bun.which(executable)) throw new Error(`there is no executable ${executable} for ${name}`);
    commands[name] = [executable, ...rest.split(/\s+/).filter(Boolean)];
  }
  return commands;
}

/** An array of objects as JSON, as `JSON.stringify` writes it, of exactly so many bytes. */
function makeOrders(bytes: number): string {
  const orders = [];
  for (let id = 1, length = 2; length < bytes - 500; id++) {
    const order = {
      id,
      customer: { name: `Customer ${id % 977}`, email: `customer.${id % 977}@example.com` },
      items: [{ sku: `SKU-${(id * 7919) % 100_000}`, quantity: (id % 9) + 1, price: ((id * 37) % 10_000) / 100 }],
      paid: id % 3 === 0,
      note: id % 5 === 0 ? "Leave it with the neighbours, \"number 12\"." : null,
    };
    orders.push(order);
    length += JSON.stringify(order).length + 1;
  }
  const padding = { id: 0, note: "" };
  orders.push(padding as never);
  padding.note = "x".repeat(bytes - JSON.stringify(orders).length);
  return JSON.stringify(orders);
}
