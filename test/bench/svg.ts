/** The chart: bars of the medians, with lines from one quartile to the other, as an SVG for light and dark pages. */
import { median, quantile } from "./report.ts";
import type { Row } from "./table.ts";

const width = 760;
const margin = 24;
const nameWidth = 110;
const valueWidth = 80;
const barHeight = 16;
const barDistance = 24;
/** In characters, which are narrow ones. */
const noteLength = 118;

/** It has a background of its own, since a page may be dark where the system is not. */
const style = `
  .page { fill: #ffffff; stroke: #d0d7de }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .panel { font-weight: 600 }
  .note { font-size: 11px; fill: #59636e }
  .bar { fill: #9aa4af }
  .own { fill: #1f78d1 }
  .quartiles { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d }
    text { fill: #f0f6fc }
    .note { fill: #9198a1 }
    .bar { fill: #656c76 }
    .own { fill: #4493f8 }
    .quartiles { stroke: #f0f6fc }
  }
`;

/**
 * @param rows Those with bars are drawn.
 * @param notes Lines below the bars: where, when and with what it was measured.
 */
export function chart(title: string, rows: Row[], notes: string[]): string {
  let y = margin;
  const below = (distance: number) => (y += distance);
  const lines = [text("title", margin, below(16), title)];
  for (const row of rows) {
    if (row.bars === undefined) continue;
    lines.push(text("panel", margin, below(34), row.bars.title));
    below(10);
    const drawn = Object.entries(row.figures).filter(([, values]) => values.length > 0 && !values.some(Number.isNaN));
    const longest = Math.max(...drawn.map(([, values]) => quantile(values, 0.75)));
    const scale = (value: number) => (value / longest) * (width - 2 * margin - nameWidth - valueWidth);
    for (const [name, values] of drawn) {
      lines.push(...bar(name, values, y, scale, (value) => `${value.toFixed(row.digits ?? 1)} ${row.bars!.unit}`));
      below(barDistance);
    }
  }
  below(4);
  for (const line of notes.flatMap(wrap)) lines.push(text("note", margin, below(16), line));
  const height = y + margin;
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">
<title>${escape(title)}</title>
<style>${style}</style>
<rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>
${lines.join("\n")}
</svg>
`;
}

function bar(
  name: string,
  values: number[],
  y: number,
  scale: (value: number) => number,
  show: (value: number) => string,
): string[] {
  const x = margin + nameWidth;
  const [low, high] = [x + scale(quantile(values, 0.25)), x + scale(quantile(values, 0.75))].map((at) => at.toFixed(1));
  const length = scale(median(values));
  const middle = y + barHeight / 2;
  const kind = name === "bunstrap" ? "bar own" : "bar";
  return [
    text("", margin, y + 12.5, name),
    `<rect class="${kind}" x="${x}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2"/>`,
    `<line class="quartiles" x1="${low}" y1="${middle}" x2="${high}" y2="${middle}"/>`,
    text("", Math.max(x + length, Number(high)) + 8, y + 12.5, show(median(values))),
  ];
}

function text(kind: string, x: number, y: number, content: string): string {
  return `<text${kind && ` class="${kind}"`} x="${Number(x.toFixed(1))}" y="${y}">${escape(content)}</text>`;
}

function wrap(note: string): string[] {
  const lines = [""];
  for (const word of note.split(/\s/)) {
    if (lines.at(-1)!.length + word.length < noteLength) lines.push(`${lines.pop()} ${word}`.trimStart());
    else lines.push(word);
  }
  return lines;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
