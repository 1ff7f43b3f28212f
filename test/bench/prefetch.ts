/** Makes the tables of build.sh: which pages of Bun a start and the first events of usual functions touch. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildWithoutZip, root, workspace } from "../sandbox.ts";
import { functionUrl } from "../web-events.ts";
import { jsonEvent } from "./events.ts";
import { pageSize } from "./page-cache.ts";
import { pagesOf, runsOf } from "./pages.ts";
import type { Subject } from "./process.ts";
import { progress } from "./report.ts";
import { PreparedEvent } from "./service.ts";

const usage = `Usage: bun test/bench/prefetch.ts

Makes the tables in build.sh anew, for both architectures. Needs root, and to run the executables of the other architecture
qemu-user-static and its libc (libc6-arm64-cross).`;

/** An architecture, and how to run its executables here. */
const architectures: Record<string, string[]> = {
  x86_64: process.arch === "x64" ? [] : ["qemu-x86_64-static", "-L", "/usr/x86_64-linux-gnu"],
  arm64: process.arch === "arm64" ? [] : ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"],
};

/** Some pages are touched in one run and not in the next, as garbage is collected and functions are compiled. */
const runsOfEach = 3;
const events = 20;

const webEvents = [{}, { method: "POST", body: '{"order":1}', headers: [["content-type", "application/json"]] }].map(
  (request) => functionUrl({ path: "/orders/1", query: [["name", "Ada"]], cookies: ["a=b"], ...request } as never),
);
const eventsOf: Record<string, PreparedEvent[]> = {
  raw: [jsonEvent(200)],
  json: [jsonEvent(200)],
  wait: [jsonEvent(200)],
  web: webEvents.map((event) => new PreparedEvent(JSON.stringify(event))),
  stream: [jsonEvent(200)],
  error: [jsonEvent(200)],
  log: [jsonEvent(200)],
};

async function main(): Promise<void> {
  if (process.argv.length > 2) return console.log(usage);
  const { status, stderr } = buildWithoutZip(["--no-prefetch", "--out", workspace, join(root, "test/bench/usual.ts")]);
  assert.equal(status, 0, stderr);
  const script = join(root, "build.sh");
  for (const [architecture, emulator] of Object.entries(architectures)) {
    const executable = join(workspace, architecture, "bootstrap");
    const touched = new Set<number>();
    for (const [handler, each] of Object.entries(eventsOf)) {
      for (const event of each.flatMap((event) => Array.from({ length: runsOfEach }, () => event))) {
        const command = [...emulator, executable] as unknown as Subject["command"];
        const environment = { _HANDLER: handler };
        for (const page of await pagesOf(executable, { events, event, command, environment })) touched.add(page);
      }
      progress(`${architecture}, ${handler}: ${touched.size} pages in all`);
    }
    const { buildId, pages } = inMemory(readFileSync(executable), touched);
    const table = encode(pages);
    const lines = table.match(/.{1,116}/g)!.map((line) => `    ${line}\n`);
    const source = readFileSync(script, "utf8");
    const entry = new RegExp(`\\["[\\da-f]*", \`[^\`]*\`\\], // ${architecture}\n`);
    assert.match(source, entry);
    writeFileSync(script, source.replace(entry, `["${buildId}", \`\n${lines.join("")}  \`], // ${architecture}\n`));
    progress(`${architecture}: ${pages.length} pages, ${runsOf(pages, gap).length} runs, ${table.length} characters`);
  }
}

/** The numbers that pages of the file have in memory, without those of the bundle, which build.sh knows. */
function inMemory(executable: Buffer, touched: Set<number>): { buildId: string; pages: number[] } {
  const trailer = executable.lastIndexOf("\n---- Bun! ----\n") - 32;
  const bundle = Math.floor((trailer - Number(executable.readBigUInt64LE(trailer))) / pageSize);
  const pages = new Set<number>();
  let buildId = "";
  for (let index = 0; index < executable.readUInt16LE(56); index++) {
    const at = Number(executable.readBigUInt64LE(32)) + 56 * index;
    const type = executable.readUInt32LE(at);
    const [offset, address, size] = [8, 16, 32].map((field) => Number(executable.readBigUInt64LE(at + field))) as [
      number,
      number,
      number,
    ];
    if (type === 4)
      buildId = /040000001400000003000000474e5500(.{40})/.exec(executable.toString("hex", offset, offset + size))![1]!;
    if (type !== 1) continue;
    const first = Math.floor(offset / pageSize);
    for (let page = first; page < Math.min((offset + size) / pageSize, bundle); page++)
      if (touched.has(page)) pages.add(page - first + Math.floor(address / pageSize));
  }
  return { buildId, pages: [...pages].sort((a, b) => a - b) };
}

/** Pages that lie at most so many apart are asked for as one run: a call takes longer than to read a few pages more. */
const gap = 5;

/** @see rangesOfTable in build.sh */
function encode(pages: number[]): string {
  const bytes: number[] = [];
  let page = 0;
  for (const { first, last } of runsOf(pages, gap)) {
    let skipped = first - page;
    for (; skipped > 255; skipped -= 255) bytes.push(255, 0);
    for (let start = first; start <= last; start += 32, skipped = 0)
      bytes.push(skipped, Math.min(32, last + 1 - start));
    page = last + 1;
  }
  return Buffer.from(bytes).toString("base64");
}

if (import.meta.main) await main();
