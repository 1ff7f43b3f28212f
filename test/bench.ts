/**
 * Measures bunstrap beside other bootstraps, in turn (A B A B …), and prints tables of medians and quartiles.
 *
 *     npm run bench [-- --help]
 *
 * - the floor: a few lines that open a socket and send back what they are sent, built by the same Bun in the same way
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
import { groups, parseOptions, unpinned, type Options } from "./bench/options.ts";
import { pinToOneCpu } from "./bench/process.ts";
import { allTables, mainTitle, origin, readme, readReport, type Report } from "./bench/readme.ts";
import { progress, system } from "./bench/report.ts";
import type { Guests } from "./bench/subjects.ts";
import { chart } from "./bench/svg.ts";
import { render, type Row, type Table } from "./bench/table.ts";

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

/** The groups that are tables of their own. */
const ofOwnTables = {
  growth: measureGrowth,
  loops: measureLoops,
  knobs: (_: Guests, runs: number) => measureKnobs(runs),
};

const options = parseOptions();
const reports = options.from.length > 0 ? options.from.map(readReport) : [await measure(options)];
const tables = allTables(reports);

console.log(`${origin(reports)}

${tables.map(render).join("\n\n")}`);

if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(reports[0], null, 1));
if (options.readme !== undefined) writeFileSync(options.readme, readme(reports));
if (options.svg !== undefined) {
  const rows = tables.find(({ title }) => title === mainTitle)?.rows ?? [];
  const notes = [
    "floor: a socket and a few lines that check nothing; fetch loop: fetch and no runtime; both by the same Bun.",
    `JSON echo of 200 B. ${origin(reports)}`,
  ];
  writeFileSync(options.svg, chart("Bootstraps of an AWS Lambda function: less is better", rows, notes));
}

async function measure({ runs, wanted, node, peers, silent }: Options): Promise<Report> {
  const guests = { peers, silent, node: node ? installNode() : undefined };
  const rows: Row[] = [];
  const tables: Table[] = [];
  let cpu: number | undefined;
  for (const group of wanted) {
    if (!unpinned.includes(group)) cpu ??= pin();
    progress(groups[group]);
    if (group in ofMainTable) rows.push(...(await ofMainTable[group as keyof typeof ofMainTable](guests, runs)));
    else tables.push(...(await ofOwnTables[group as keyof typeof ofOwnTables](guests, runs)));
  }
  if (rows.length > 0) tables.unshift({ title: mainTitle, rows });
  return {
    machine: system(),
    versions: [`Bun ${Bun.version}`, ...(guests.node ? [guests.node.versions] : [])],
    date: new Date().toISOString().slice(0, 10),
    runs,
    isPinned: cpu !== undefined,
    tables,
  };
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
