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
  /** The subject that bunstrap's figures are held against, round by round. */
  against?: string;
  /** Its figures, if it is none of the subjects that have a column. */
  references?: number[];
  /** How one is held against the other; "÷" unless given. */
  by?: "÷" | "−";
  /** The comparison, or where there is none the figure, that is not to be exceeded. */
  target?: number;
  /** Up to where a comparison above the target is no defect. */
  tolerated?: number;
  /** Why there are no figures. */
  missing?: string;
  /** Whether it is one of the few that stand for all. */
  isHeadline?: boolean;
  /** Of the bars of these figures, if they are a part of the chart. */
  bars?: { title: string; unit: string };
}

/** The table in Markdown. */
export function render({ title, rows, subjectsDown }: Table): string {
  const subjects = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const figures = rows.map(({ figures, digits }) => subjects.map((subject) => spread(figures[subject], digits)));
  if (subjectsDown) {
    const lines = subjects.map((subject, column) => [subject, ...figures.map((line) => line[column] ?? "")]);
    return `${title}\n\n${markdownTable(["", ...rows.map(({ what }) => what)], lines)}`;
  }
  const compared = rows.some(({ against, target, missing }) => against || target !== undefined || missing);
  const lines = rows.map((row, line) => [row.what, ...figures[line]!, ...(compared ? comparison(row) : [])]);
  const head = ["", ...subjects, ...(compared ? ["bunstrap against reference", "target"] : [])];
  return `${title}\n\n${markdownTable(head, lines)}`;
}

/** What bunstrap's figures are to those that they are held against, and whether that is good enough. */
function comparison(row: Row): [compared: string, verdict: string] {
  const { figures, digits, against, by = "÷", target, tolerated, missing } = row;
  if (missing !== undefined) return [`not measured: ${missing}`, ""];
  if (against === undefined) return ["", verdict(median(figures.bunstrap), target, tolerated)];
  const references = row.references ?? figures[against];
  const values = by === "÷" ? ratios(figures.bunstrap, references) : differences(figures.bunstrap, references);
  const text = by === "÷" ? `${spread(values, 2)} × ${against}` : `${spread(values, digits)} more than ${against}`;
  return [text, verdict(median(values), target, tolerated)];
}

function differences(figures: number[] = [], references: number[] = []): number[] {
  return figures.map((figure, round) => figure - (references[round] ?? NaN));
}

/** A miss is bold where it is large enough to be a defect. */
function verdict(value: number, target: number | undefined, tolerated = target): string {
  if (target === undefined || tolerated === undefined) return "";
  if (value <= target) return `≤ ${target}: met`;
  return value <= tolerated ? `≤ ${target}: missed` : `≤ ${target}: **missed**`;
}
