/** Makes the tables of build.sh: which pages of Bun a start and the first events of usual functions touch. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
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

Makes the tables in build.sh anew, for both architectures. It needs root and openssl. To run the executables of the
other architecture it needs qemu-user-static and a libc for it (libc6-arm64-cross).`;

/** An architecture, and how to run its executables here. */
const architectures: Record<string, string[]> = {
  x86_64: process.arch === "x64" ? [] : ["qemu-x86_64-static", "-L", "/usr/x86_64-linux-gnu"],
  arm64: process.arch === "arm64" ? [] : ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"],
};

const event = jsonEvent(200);
const [get, post] = [{}, { method: "POST", body: '{"order":1}' }].map((request) => {
  const common = { path: "/orders/1", query: [["name", "Ada"]] as [string, string][], cookies: ["a=b"] };
  return new PreparedEvent(JSON.stringify(functionUrl({ ...common, ...request })));
});

interface Training {
  source?: string;
  handler?: string;
  event?: PreparedEvent;
}

/** What each table is made of. Pages that are in a table are not in those that follow it. */
const tables: Record<string, Training[]> = {
  always: [{ source: "test/handlers/echo.ts" }, { source: "test/handlers/json-echo.ts" }],
  usual: [
    { handler: "wait" },
    { handler: "web", event: get! },
    { handler: "web", event: post! },
    { handler: "stream" },
    { handler: "log" },
  ],
  network: [{ handler: "fetch" }, { handler: "hash" }, { handler: "s3" }],
  node: [{ source: "test/handlers/aws-sdk.ts", event: new PreparedEvent('"1"') }],
};

/** Pages differ from run to run, since garbage is collected and functions are compiled at other times. Two have to agree. */
const repetitions = 3;
const events = 20;

async function main(): Promise<void> {
  if (process.argv.length > 2) return console.log(usage);
  using services = startServices();
  for (const [architecture, emulator] of Object.entries(architectures)) {
    const known = new Set<number>();
    const encoded: string[] = [];
    let id = "";
    let starts: number[] = [];
    for (const [name, trainings] of Object.entries(tables)) {
      const touched = new Set<number>();
      for (const training of trainings) {
        const executable = build(training.source ?? "test/bench/usual.ts", architecture);
        const bytes = readFileSync(executable);
        id = buildId(bytes);
        starts = loaded(bytes).map(({ address }) => Math.floor(address / pageSize));
        const subject = {
          command: [...emulator, executable] as unknown as Subject["command"],
          environment: { ...services.environment, _HANDLER: training.handler ?? "" },
        };
        const runs = new Map<number, number>(); // how many have touched a page
        for (let count = 0; count < repetitions; count++) {
          const pages = await pagesOf(executable, { events, event: training.event ?? event, ...subject });
          for (const page of inMemory(bytes, pages)) runs.set(page, (runs.get(page) ?? 0) + 1);
        }
        for (const [page, count] of runs) if (count > 1 && !known.has(page)) touched.add(page);
      }
      const pages = [...touched].sort((a, b) => a - b);
      for (const page of pages) known.add(page);
      const table = encode(pages, starts);
      progress(`${architecture}, ${name}: ${pages.length} pages, ${table.length} characters`);
      encoded.push(`      ${name}: \`
${table.replaceAll(/.{1,110}/g, "        $&\n")}      \`,\n`);
    }
    replaceTables(architecture, `    "${id}",\n    {\n${encoded.join("")}    },\n`);
  }
}

/** Replaces what is between the comment with the name of the architecture and the end of its entry. */
function replaceTables(architecture: string, entry: string): void {
  const script = join(root, "build.sh");
  const source = readFileSync(script, "utf8");
  const place = new RegExp(`(?<=\\n    // ${architecture}\\n)[^]*?(?=  \\],\\n)`);
  assert.match(source, place);
  writeFileSync(script, source.replace(place, entry));
}

/** Services for the handlers to call: Bun's S3 client and the AWS SDK by HTTP, `fetch` by TLS. */
function startServices(): Disposable & { environment: Record<string, string> } {
  const [key, cert] = [join(workspace, "key.pem"), join(workspace, "cert.pem")];
  const args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"];
  const { status, stderr } = spawnSync("openssl", [...args, "-keyout", key, "-out", cert], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const options = {
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => Response.json({ Item: { greeting: { S: "hello" } } }),
  };
  const plain = Bun.serve(options);
  const secure = Bun.serve({ ...options, tls: { key: Bun.file(key), cert: Bun.file(cert) } });
  const credentials = { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret", S3_BUCKET: "bucket" };
  const address = `http://127.0.0.1:${plain.port}`;
  return {
    environment: {
      ...credentials,
      AWS_ENDPOINT_URL: address,
      S3_ENDPOINT: address,
      SERVICE: `https://127.0.0.1:${secure.port}`,
    },
    [Symbol.dispose]: () => void [plain.stop(true), secure.stop(true)],
  };
}

function build(source: string, architecture: string): string {
  const out = join(workspace, source.replaceAll("/", "-"));
  const executable = join(out, architecture, "bootstrap");
  if (existsSync(executable)) return executable;
  const { status, stderr } = buildWithoutZip(["--no-prefetch", "--out", out, join(root, source)]);
  assert.equal(status, 0, stderr);
  return executable;
}

interface Segment {
  type: number;
  offset: number;
  address: number;
  size: number;
}

/** @see https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html */
function segments(executable: Buffer): Segment[] {
  return Array.from({ length: executable.readUInt16LE(56) }, (_, index) => {
    const at = Number(executable.readBigUInt64LE(32)) + 56 * index;
    const field = (place: number) => Number(executable.readBigUInt64LE(at + place));
    return { type: executable.readUInt32LE(at), offset: field(8), address: field(16), size: field(32) };
  });
}

function loaded(executable: Buffer): Segment[] {
  return segments(executable).filter(({ type }) => type === 1); // PT_LOAD
}

function buildId(executable: Buffer): string {
  const { offset, size } = segments(executable).find(({ type }) => type === 4)!; // PT_NOTE
  const notes = executable.toString("hex", offset, offset + size);
  return /040000001400000003000000474e5500(.{40})/.exec(notes)![1]!;
}

/** The numbers that pages of the file have in memory, without those of the bundle, which build.sh knows. */
function inMemory(executable: Buffer, touched: number[]): number[] {
  const trailer = executable.lastIndexOf("\n---- Bun! ----\n") - 32;
  const bundle = trailer - Number(executable.readBigUInt64LE(trailer));
  return loaded(executable).flatMap(({ offset, address, size }) => {
    const [first, end] = [Math.floor(offset / pageSize), Math.min(offset + size, bundle) / pageSize];
    const pages = touched.filter((page) => page >= first && page < end);
    return pages.map((page) => page - first + Math.floor(address / pageSize));
  });
}

/** Pages that lie at most so many apart are asked for as one run: a call takes longer than to read a few pages more. */
const gap = 3;

/** @param starts the first page of each segment: no run goes over from one to the next. @see rangesOf in build.sh */
function encode(pages: number[], starts: number[]): string {
  const ofSegments = Map.groupBy(pages, (page) => starts.findLast((start) => start <= page)).values();
  const bytes: number[] = [];
  let page = 0;
  for (const { first, last } of ofSegments.flatMap((pages) => runsOf(pages, gap))) {
    let skipped = first - page;
    for (; skipped > 255; skipped -= 255) bytes.push(255, 0);
    for (let start = first; start <= last; start += 32, skipped = 0)
      bytes.push(skipped, Math.min(32, last + 1 - start));
    page = last + 1;
  }
  return Buffer.from(bytes).toString("base64");
}

if (import.meta.main) await main();
