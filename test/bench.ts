/**
 * Measures bunstrap beside other bootstraps, in turn (A B A B …), and prints tables of medians and quartiles.
 *
 *     npm run bench [-- --help]
 *
 * - the floor: a few lines that open a socket and send back what they are sent, built by the same Bun with the same flags
 * - bunstrap: the echo handlers
 * - a fetch loop: what one would write without a runtime, with the same handlers, the same Bun and the same flags
 * - peers: any other bootstrap that echoes what it is sent, and for the start alone, any other
 *
 * A target is a comparison within one run, or a size: other machines, and other hours of this one, have other times.
 */
import { measureFirstInvocations, measureLarge, measureResident, measureSize, measureSmallInvocations, measureStart, measureStartAnywhere } from "./bench/groups.ts";
import { measureKnobs } from "./bench/knobs.ts";
import { groups, parseOptions } from "./bench/options.ts";
import { pinToOneCpu } from "./bench/process.ts";
import { machine, progress } from "./bench/report.ts";
import { render, type Row } from "./bench/section.ts";

const { runs, wanted, guests } = parseOptions();

/** The groups that share a table. */
const ofOneTable = {
  anywhere: measureStartAnywhere,
  start: measureStart,
  first: measureFirstInvocations,
  small: measureSmallInvocations,
  large: measureLarge,
  memory: measureResident,
  size: measureSize,
};

let cpu: number | undefined;
const rows: Row[] = [];
const sections = [];
for (const group of wanted) {
  if (group !== "anywhere") cpu ??= pin();
  progress(groups[group]);
  if (group === "knobs") sections.push({ title: "Variables of the environment", rows: await measureKnobs(runs), subjectsDown: true });
  else rows.push(...(await ofOneTable[group](guests, runs)));
}
if (rows.length > 0) sections.unshift({ title: "Events of 5 MB come in one chunk; their JSON is an array of objects with strings and numbers, in ASCII.", rows });

console.log(`${machine(cpu)} Bun ${Bun.version}; ${runs} runs in turn: medians (and quartiles). Nothing was measured on AWS.

${sections.map(render).join("\n\n")}`);

function pin(): number | undefined {
  const cpu = pinToOneCpu();
  progress(cpu === undefined ? "there is no taskset, so nothing is pinned" : `from here on on CPU ${cpu} alone`);
  return cpu;
}
