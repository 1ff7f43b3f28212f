/** The tables of the report: what was measured, what it is held against, and what is aimed at. */
import { markdownTable, median, ratios, spread, type Figures } from "./report.ts";

export interface Table {
  title: string;
  rows: Row[];
  /** Whether each subject has a line, and each row a column, rather than the other way round. */
  subjectsDown?: boolean;
}

/** One thing that was measured, and every single measurement of it. */
export interface Row {
  what: string;
  figures: Figures;
  /** After the point; as many as make three digits in all unless given. */
  digits?: number;
  /** What bunstrap's figures are held against, round by round. */
  reference?: Reference;
  /** The comparison with the reference, or where there is none the figure, that is not to be exceeded. */
  target?: number;
  /** A comparison above the target that is still no defect. */
  tolerated?: number;
  /** Why there are no figures. */
  missing?: string;
  /** Of the bars of these figures, if they are a part of the chart. */
  bars?: { title: string; unit: string };
}

export interface Reference {
  name: string;
  figures: number[] | undefined;
  /** How one is held against the other; "÷" unless given. */
  by?: "÷" | "−";
}

export function against(name: string, figures: Figures, by: Reference["by"] = "÷"): Reference {
  return { name, figures: figures[name], by };
}

/** The table in Markdown. */
export function render({ title, rows, subjectsDown }: Table): string {
  const subjects = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const figures = rows.map(({ figures, digits }) => subjects.map((subject) => spread(figures[subject], digits)));
  if (subjectsDown) {
    const lines = subjects.map((subject, column) => [subject, ...figures.map((line) => line[column] ?? "")]);
    return `${title}\n\n${markdownTable(["", ...rows.map(({ what }) => what)], lines)}`;
  }
  const compared = rows.some(({ reference, target, missing }) => reference || target !== undefined || missing);
  const lines = rows.map((row, line) => [row.what, ...figures[line]!, ...(compared ? comparison(row) : [])]);
  return `${title}\n\n${markdownTable(["", ...subjects, ...(compared ? ["bunstrap against reference", "target"] : [])], lines)}`;
}

/** What bunstrap's figures are to the reference, and whether that is good enough. */
function comparison({ figures, digits, reference, target, tolerated, missing }: Row): [compared: string, verdict: string] {
  if (missing !== undefined) return [`not measured: ${missing}`, ""];
  if (!reference) return ["", verdict(median(figures.bunstrap), target, tolerated)];
  const { name, by = "÷" } = reference;
  const values = by === "÷" ? ratios(figures.bunstrap, reference.figures) : differences(figures.bunstrap, reference.figures);
  return [`${spread(values, by === "÷" ? 2 : digits)} ${by === "÷" ? "×" : "more than"} ${name}`, verdict(median(values), target, tolerated)];
}

function differences(figures: number[] = [], references: number[] = []): number[] {
  return figures.map((figure, round) => figure - (references[round] ?? NaN));
}

function verdict(value: number, target: number | undefined, tolerated: number | undefined): string {
  if (target === undefined) return "";
  if (value <= target) return `≤ ${target}: met`;
  if (tolerated === undefined) return `≤ ${target}: **missed**`;
  return value <= tolerated ? `≤ ${target}: missed, but ≤ ${tolerated}` : `≤ ${target}: **missed, and above ${tolerated}**`;
}
