/** How the cost of an invocation grows with its size. */
import { jsonEvent } from "./events.ts";
import { measureInvocations, type Subjects } from "./measure.ts";
import { median, pick, progress, type Figures } from "./report.ts";
import { echoingBytes, echoingJson, type Guests } from "./subjects.ts";
import type { Row, Table } from "./table.ts";

/** In bytes; from 100,000 on an event comes in one chunk, as the service sends it. */
const sizes = [200, 1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000, 2_000_000, 4_000_000, 6_000_000];

export async function measureGrowth(guests: Guests, runs: number): Promise<Table[]> {
  return [
    { title: "Raw echo, round trip", rows: await growth("raw", echoingBytes(guests), runs) },
    { title: "JSON echo, round trip", rows: await growth("JSON", echoingJson(guests), runs) },
  ];
}

async function growth(what: string, subjects: Subjects, runs: number): Promise<Row[]> {
  const rows: Row[] = [];
  let smaller: { bytes: number; time: number } | undefined;
  for (const bytes of sizes) {
    progress(`${sizeName(bytes)} ${what}`);
    const block = Math.max(20, Math.min(500, Math.round(2_000_000 / bytes)));
    const warmUp = Math.max(20, Math.min(5_000, Math.round(100_000_000 / bytes)));
    const invocations = await measureInvocations(subjects, runs, { event: jsonEvent(bytes), warmUp, block });
    const times = pick(invocations, ({ roundTrip }) => roundTrip * 1000);
    const time = median(times.bunstrap);
    const figures: Figures = {};
    for (const [name, values] of Object.entries(times)) {
      figures[`${name}, µs`] = values;
      figures[`${name}, µs per kB`] = [(median(values) / bytes) * 1000];
      if (name === "bunstrap")
        figures["each kB more, µs"] = smaller ? [((time - smaller.time) / (bytes - smaller.bytes)) * 1000] : [];
    }
    rows.push({ what: sizeName(bytes), figures });
    smaller = { bytes, time };
  }
  return rows;
}

function sizeName(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${bytes / 1_000} kB` : `${bytes / 1_000_000} MB`;
}
