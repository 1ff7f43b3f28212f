/**
 * Measures bunstrap beside other bootstraps, in turn (A B A B …), and prints tables of medians and quartiles.
 *
 *     npm run bench [-- --help]
 *
 * - the floor: a few lines that open a socket and send back what they are sent, built by the same Bun with the same flags
 * - bunstrap: the echo handlers
 * - a fetch loop: what one would write without a runtime, with the same handlers, the same Bun and the same flags
 * - the official client for Node.js, with Node.js
 * - peers: any other bootstrap that echoes what it is sent, and for the start alone, any other
 *
 * A target is a comparison within one run, or a size: other machines, and other hours of this one, have other times.
 */
import { writeFileSync } from "node:fs";
import {
  measureFirstInvocations,
  measureLarge,
  measureResident,
  measureSize,
  measureSmallInvocations,
  measureStart,
  measureStartAnywhere,
} from "./bench/groups.ts";
import { measureCold } from "./bench/cold.ts";
import { measureGrowth } from "./bench/growth.ts";
import { measureKnobs } from "./bench/knobs.ts";
import { measureLoops } from "./bench/loops.ts";
import { NodeClient } from "./bench/node-client.ts";
import { groups, parseOptions, unpinned } from "./bench/options.ts";
import { pinToOneCpu } from "./bench/process.ts";
import { machine, progress, system } from "./bench/report.ts";
import { chart } from "./bench/svg.ts";
import { render, type Row, type Table } from "./bench/table.ts";

const { runs, wanted, node: wantsNode, peers, silent, json, svg } = parseOptions();
const guests = { peers, silent, node: wantsNode ? installNode() : undefined };

/** The groups that are rows of the main table. */
const ofMainTable = {
  cold: measureCold,
  anywhere: measureStartAnywhere,
  start: measureStart,
  first: measureFirstInvocations,
  small: measureSmallInvocations,
  large: measureLarge,
  memory: measureResident,
  size: measureSize,
};
const rows: Row[] = [];

/** The groups that are tables of their own. */
const ofOwnTables = {
  growth: measureGrowth,
  loops: measureLoops,
  knobs: (_: typeof guests, runs: number) => measureKnobs(runs),
};
const tables: Table[] = [];

let cpu: number | undefined;
for (const group of wanted) {
  if (!unpinned.includes(group)) cpu ??= pin();
  progress(groups[group]);
  if (group in ofMainTable) rows.push(...(await ofMainTable[group as keyof typeof ofMainTable](guests, runs)));
  else tables.push(...(await ofOwnTables[group as keyof typeof ofOwnTables](guests, runs)));
}
if (rows.length > 0) tables.unshift({ title: "Start, invocations, memory and size", rows });

// ── Report ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const date = new Date().toISOString().slice(0, 10);
const versions = [`Bun ${Bun.version}`, ...(guests.node ? [guests.node.versions] : [])].join(", ");
const method = `${runs} ${runs === 1 ? "run" : "runs"} in turn: medians and quartiles.`;

console.log(`${machine(cpu)} ${versions}; ${date}; ${method}
Events of 5 MB come in one chunk; their JSON is an array of objects with strings and numbers, in ASCII. Nothing was measured on AWS.

${tables.map(render).join("\n\n")}`);

if (json !== undefined)
  writeFileSync(json, JSON.stringify({ machine: machine(cpu), versions, date, runs, tables }, null, 1));
if (svg !== undefined) {
  const notes = [
    `JSON echo of 200 B${cpu === undefined ? "" : ", on one CPU"}; ${method} Nothing was measured on AWS.`,
    "floor: a socket and a few lines that check nothing; fetch loop: fetch and no runtime; both are built as bunstrap is.",
    `${date}, ${versions}. ${system()}.`,
  ];
  writeFileSync(svg, chart("Bootstraps of an AWS Lambda function: less is better", rows, notes));
}

function installNode(): NodeClient {
  try {
    return NodeClient.installed();
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    process.exit(1);
  }
}

function pin(): number | undefined {
  const cpu = pinToOneCpu();
  progress(cpu === undefined ? "there is no taskset, so nothing is pinned" : `from here on on CPU ${cpu} alone`);
  return cpu;
}
