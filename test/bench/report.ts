/** How figures are gathered, summed up and shown. */
import { cpus, release } from "node:os";
import { architecture } from "../sandbox.ts";
import { cpuName } from "./cpu-name.ts";

/** Figures of several subjects, by name; those of one round stand at the same index. */
export type Figures = Samples<number>;

/** The same, each of several figures. */
export type Samples<Sample> = Record<string, Sample[]>;

/**
 * Measures each subject once a round, in turn, so that a slow moment of the machine slows all, and in the opposite
 * order every other round, so that none always follows the same one.
 */
export async function inTurn<Sample>(
  rounds: number,
  subjects: Record<string, (round: number) => Promise<Sample>>,
): Promise<Samples<Sample>> {
  const samples = mapValues(subjects, (): Sample[] => []);
  for (let round = 0; round < rounds; round++) {
    const order = Object.entries(subjects);
    for (const [name, measure] of round % 2 === 0 ? order : order.toReversed())
      samples[name]?.push(await measure(round));
  }
  return samples;
}

export function mapValues<Value, Mapped>(
  record: Record<string, Value>,
  map: (value: Value, name: string) => Mapped,
): Record<string, Mapped> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value, name)]));
}

/** One figure out of each sample. */
export function pick<Sample>(samples: Samples<Sample>, figure: (sample: Sample) => number): Figures {
  return mapValues(samples, (values) => values.map(figure));
}

/** How often one is the other, round by round. */
export function ratios(figures: number[] = [], references: number[] = []): number[] {
  return figures.map((figure, round) => figure / (references[round] ?? NaN));
}

export function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] ?? NaN;
  return below + ((sorted[Math.ceil(at)] ?? NaN) - below) * (at % 1);
}

export function median(values: number[] = []): number {
  return quantile(values, 0.5);
}

/** The median, and the quartiles if they differ; nothing if there is nothing. Three digits count, unless told. */
export function spread(values: number[] = [], digits?: number): string {
  if (values.length === 0 || values.some(Number.isNaN)) return "";
  const [low, middle, high] = [0.25, 0.5, 0.75].map((q) => quantile(values, q)) as [number, number, number];
  const places = digits ?? (middle >= 100 ? 0 : middle >= 10 ? 1 : 2);
  const [lowText, text, highText] = [low.toFixed(places), middle.toFixed(places), high.toFixed(places)];
  return lowText === highText ? text : `${text} (${lowText}–${highText})`;
}

/** The machine, in a few words. */
export function system(): string {
  return `${cpuName()}, ${cpus().length} CPUs, ${architecture}, Linux ${release()}`;
}

/** Where the figures come from, in two sentences. */
export function machine(pinnedTo: number | undefined): string {
  if (pinnedTo === undefined) return `${system()}. Nothing is pinned.`;
  return `${system()}. The harness and what it measures share CPU ${pinnedTo}, unless a line says otherwise.`;
}

export function markdownTable(head: string[], rows: string[][]): string {
  const alignment = head.map((_, column) => (column === 0 ? "---" : "---:"));
  return [head, alignment, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

export function progress(message: string): void {
  console.error(`bench: ${message}`);
}
