/**
 * Fuzzes the response parser of runtime.ts: `bun test/fuzz.ts [--seed N] [--cases N] [--seconds N]`.
 *
 * - A valid response, in whatever fragments, is what it was made of.
 * - A mutated one comes to one end, whatever its fragments: a response, an error that says what is wrong, or a wait for
 *   more. It is a response if and only if a second, slower and simpler decoder finds the same one in it.
 *
 * The first case that does not hold is printed with its seed, and the process ends with 1.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { randomFrom } from "./random.ts";

interface HttpResponse {
  status: number;
  bytes: Buffer;
  start: number;
  end: number;
  body: Uint8Array | undefined;
  persistent: boolean;
}
interface ParsedResponse extends HttpResponse {
  headers: Uint8Array;
  body: Uint8Array;
}
type Incoming = object;

const { parseResponse } = await importParser();

/** The parser is not exported, so a copy of the file is imported that exports it. */
async function importParser(): Promise<{
  parseResponse(piece: Buffer | null, begun?: Incoming): HttpResponse | Incoming;
}> {
  const directory = mkdtempSync(join(tmpdir(), "bunstrap-fuzz-"));
  try {
    const source = readFileSync(join(import.meta.dir, "../runtime.ts"), "utf8");
    writeFileSync(join(directory, "runtime.ts"), `${source}\nexport { parseResponse };\n`);
    return await import(join(directory, "runtime.ts"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

// ── Chance, from a seed ──

let random = randomFrom(0);

const below = (limit: number) => Math.floor(random() * limit);
const chance = (probability: number) => random() < probability;
const oneOf = <Item>(items: readonly Item[]): Item => items[below(items.length)] as Item;
const textOf = (alphabet: string, length: number) =>
  Array.from({ length }, () => alphabet[below(alphabet.length)]).join("");

const tokenCharacters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const valueCharacters = " \t!\"#$%&'()*+,-./0123456789:;<=>?@ABCXYZ[\\]^_`abcxyz{|}~\x01\x7f\xe9\xff";

// ── Valid responses ──

interface Case {
  bytes: Buffer;
  /** Whether the response is at its end only when the connection is. */
  endsWithConnection: boolean;
  expected: { status: number; headers: Buffer; body: Buffer; persistent: boolean };
}

function fieldLine(name: string, value: string): string {
  const spelled = [...name].map((letter) => (chance(0.3) ? letter.toUpperCase() : letter)).join("");
  return `${spelled}:${oneOf(["", " ", "\t", "  \t "])}${value}${oneOf(["", "", " ", "\t "])}\r\n`;
}

function otherFieldLines(): string[] {
  return Array.from({ length: below(6) }, () =>
    fieldLine(`x${textOf(tokenCharacters, below(20))}`, textOf(valueCharacters, below(40))),
  );
}

function chunked(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, chance(0.5) ? 1 + below(8) : 1 + below(body.length));
    const digits = oneOf(["", "0", "000"]) + (chance(0.5) ? size.toString(16) : size.toString(16).toUpperCase());
    const extension = chance(0.2)
      ? `${oneOf(["", " ", "\t"])};${textOf(valueCharacters.replaceAll("\t", ""), below(20))}`
      : "";
    parts.push(Buffer.from(`${digits}${extension}\r\n`, "latin1"), body.subarray(at, at + size), Buffer.from("\r\n"));
    at += size;
  }
  const trailers = chance(0.3) ? otherFieldLines().join("") : "";
  return Buffer.concat([
    ...parts,
    Buffer.from(`${oneOf(["0", "000"])}${chance(0.1) ? ";last" : ""}\r\n${trailers}\r\n`, "latin1"),
  ]);
}

function validResponse(): Case {
  const interim = Array.from(
    { length: chance(0.2) ? 1 + below(3) : 0 },
    () => `HTTP/1.1 ${oneOf([100, 102, 103])} x\r\n${otherFieldLines().join("")}\r\n`,
  );
  const status = chance(0.1) ? oneOf([204, 304]) : 200 + below(400);
  const minorVersion = chance(0.8) ? 1 : 0;
  const framing = oneOf(["length", "length", "chunked", "chunked", "both", "close"] as const);
  const hasBody = status !== 204 && status !== 304;
  const size = chance(0.9) ? below(64) : below(10_000);
  const content = Buffer.from(Uint8Array.from({ length: size }, () => below(256)));
  const body = hasBody ? content : Buffer.alloc(0);

  const connection = chance(0.3) ? oneOf(["close", "keep-alive", "Close , x", "x,Keep-Alive"]) : undefined;
  const lines = otherFieldLines();
  if (framing !== "chunked" && framing !== "close")
    lines.push(...Array.from({ length: chance(0.1) ? 2 : 1 }, () => fieldLine("content-length", String(size))));
  if (framing === "chunked" || framing === "both")
    lines.push(fieldLine("transfer-encoding", oneOf(["chunked", "Chunked", "chunked,", " , chunked"])));
  if (connection) lines.push(fieldLine("connection", connection));
  const headers = Buffer.from(shuffled(lines).join(""), "latin1");

  const isChunked = framing === "chunked" || framing === "both";
  const reason = oneOf(["", " ", " OK", ` ${textOf("abc xyz\t", below(20))}`]);
  const statusLine = `HTTP/1.${minorVersion} ${status}${reason}\r\n`;
  const payload = !hasBody ? Buffer.alloc(0) : isChunked ? chunked(content) : content;
  const says = (option: string) => connection?.toLowerCase().includes(option) ?? false;
  const endsWithConnection = hasBody && framing === "close";
  const isKept = minorVersion === 1 ? !says("close") && framing !== "both" : says("keep-alive") && !isChunked;
  return {
    bytes: Buffer.concat([Buffer.from(interim.join("") + statusLine, "latin1"), headers, Buffer.from("\r\n"), payload]),
    endsWithConnection,
    expected: { status, headers, body, persistent: isKept },
  };
}

function shuffled<Item>(items: Item[]): Item[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = below(last + 1);
    [items[last], items[other]] = [items[other] as Item, items[last] as Item];
  }
  return items;
}

// ── Mutations ──

const tricky = [
  "\n",
  "\r",
  "\r\n",
  "\r\n\r\n",
  "\0",
  " ",
  ":",
  "0",
  "-",
  "ffffffff",
  "99999999999999999999",
  ";",
  ",",
  "HTTP/1.1 200 OK\r\n",
  "Content-Length: 5\r\n",
  "content-length: 6\r\n",
  "Transfer-Encoding: chunked\r\n",
  "0\r\n\r\n",
];

function mutated(bytes: Buffer): Buffer {
  let result = Buffer.from(bytes);
  for (let count = 1 + below(3); count > 0; count--) {
    // Mostly in the head, where the grammar is.
    const at = below(chance(0.7) ? Math.min(result.length, 300) : result.length + 1);
    const before = result.subarray(0, at);
    const after = result.subarray(at);
    result = oneOf([
      () => Buffer.concat([before, Buffer.of(below(256)), after.subarray(1)]),
      () => Buffer.concat([before, after.subarray(1 + below(8))]),
      () => Buffer.concat([before, Buffer.from(oneOf(tricky)), after]),
      () => Buffer.concat([before, Buffer.from(oneOf(tricky)), after.subarray(1 + below(4))]),
      () => Buffer.concat([before, before.subarray(-below(40)), after]),
      () => Buffer.from(before),
    ])();
  }
  return result;
}

// ── What they are, said in another way: by regular expressions over the whole of it ──

const fieldLines = "((?:[!#$%&'*+.^_`|~\\w-]+:[^\\0\\r\\n]*\\r\\n)*)\\r\\n";
const interimHead = new RegExp(`^HTTP/1\\.\\d 1(?!01)\\d\\d(?: [^\\0\\r\\n]*)?\\r\\n${fieldLines}`);
const finalHead = new RegExp(`^HTTP/1\\.\\d ([2-5]\\d\\d)(?: [^\\0\\r\\n]*)?\\r\\n${fieldLines}`);
const chunkSizeLine = /^([\da-f]+)[ \t]*(?:;[^\0\r\n]*)?\r\n/i;
const trailerSection = new RegExp(`^${fieldLines}`);

/** The response that bytes begin with; `undefined` if they are none, or not the whole of one. */
function decode(bytes: Buffer, closes: boolean): { status: number; headers: string; body: string } | undefined {
  let text = bytes.toString("latin1");
  for (let interim = interimHead.exec(text); interim; interim = interimHead.exec(text)) {
    if (!framingOf(interim[1] ?? "")) return undefined;
    text = text.slice(interim[0].length);
  }
  const [head = "", status, headers = ""] = finalHead.exec(text) ?? [];
  const framing = framingOf(headers);
  if (head === "" || !framing) return undefined;
  const rest = text.slice(head.length);
  const response = (body: string) => ({ status: Number(status), headers, body });
  if (status === "204" || status === "304") return response("");
  if (framing.chunked) return decodeChunks(rest, response);
  if (framing.length === undefined) return closes ? response(rest) : undefined;
  return rest.length >= framing.length ? response(rest.slice(0, framing.length)) : undefined;
}

/** How a body is delimited; `undefined` if that is said in a way that is to be refused. */
function framingOf(headers: string): { chunked: boolean; length: number | undefined } | undefined {
  const members = (name: string) =>
    [...headers.matchAll(new RegExp(`^${name}:(.*)\r\n`, "gim"))].flatMap(([, value = ""]) =>
      value.split(",").map((member) => member.replace(/^[ \t]+|[ \t]+$/g, "")),
    );
  const codings = members("transfer-encoding");
  const [length, ...others] = members("content-length");
  if (
    codings.length > 0 &&
    codings
      .filter((coding) => coding !== "")
      .join()
      .toLowerCase() !== "chunked"
  )
    return undefined;
  if (length !== undefined && !(/^\d+$/.test(length) && Number(length) <= 1 << 26)) return undefined;
  if (others.some((other) => other !== length)) return undefined;
  return { chunked: codings.length > 0, length: length === undefined ? undefined : Number(length) };
}

function decodeChunks<Result>(text: string, response: (body: string) => Result): Result | undefined {
  let body = "";
  for (let rest = text; ;) {
    const [line, digits = ""] = chunkSizeLine.exec(rest) ?? [];
    if (line === undefined) return undefined;
    const size = parseInt(digits, 16);
    rest = rest.slice(line.length);
    if (size === 0) return trailerSection.test(rest) ? response(body) : undefined;
    if (rest.slice(size, size + 2) !== "\r\n") return undefined;
    body += rest.slice(0, size);
    rest = rest.slice(size + 2);
  }
}

// ── What becomes of them ──

function fragments(bytes: Buffer): Buffer[] {
  const size = oneOf([1, 2, 3, 7, 100, 4_096, Infinity]);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = chance(0.3) ? 1 + below(50) : size;
    // A copy of its own, as a socket gives it: what is written into one piece must not show in another.
    pieces.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return pieces;
}

type Outcome = { response: ParsedResponse } | { error: string } | { waits: true };

function parse(pieces: Buffer[], closes: boolean): Outcome {
  let incoming: Incoming | undefined;
  try {
    for (const piece of closes ? [...pieces, null] : pieces) {
      const result = parseResponse(piece, incoming);
      if ("status" in result) {
        const { bytes, start, end, body = bytes.subarray(end + 2) } = result;
        return { response: { ...result, headers: bytes.subarray(start, end), body } };
      }
      incoming = result;
    }
    return { waits: true };
  } catch (error) {
    assert.ok(error instanceof Error && error.name === "Error", `an error of the parser's own: ${error}`);
    assert.match(error.message, /^(malformed response: .+|the connection was closed in the middle of a response)$/s);
    return { error: error.message };
  }
}

/** What may differ between two ways to cut the same bytes: whether anything was left over when the response was done. */
function withoutPersistence(outcome: Outcome): unknown {
  if (!("response" in outcome)) return outcome;
  const { status, headers, body } = outcome.response;
  return { status, headers: Buffer.from(headers).toString("latin1"), body: Buffer.from(body).toString("latin1") };
}

function check(): void {
  const { bytes, endsWithConnection, expected } = validResponse();
  const outcome = parse(fragments(bytes), endsWithConnection);
  assert.ok("response" in outcome, JSON.stringify(outcome));
  const { status, headers, body, persistent } = outcome.response;
  assert.deepEqual({ status, persistent }, { status: expected.status, persistent: expected.persistent });
  assert.ok(expected.headers.equals(headers), "headers");
  assert.ok(expected.body.equals(body), "body");

  const broken = mutated(bytes);
  const closes = chance(0.5);
  const whole = parse([broken], closes);
  for (let cuts = 0; cuts < 3; cuts++)
    assert.deepEqual(withoutPersistence(parse(fragments(broken), closes)), withoutPersistence(whole));
  assert.deepEqual("response" in whole ? withoutPersistence(whole) : undefined, decode(broken, closes));
  counts["error" in whole ? "error" : "response" in whole ? "response" : "waits"]++;
}

const counts = { response: 0, error: 0, waits: 0 };
const { values } = parseArgs({
  options: { seed: { type: "string" }, cases: { type: "string" }, seconds: { type: "string" } },
});
const firstSeed = Number(values.seed ?? Date.now() % 2 ** 31);
const cases = Number(values.cases ?? (values.seconds ? Infinity : 5_000));
const deadline = performance.now() + Number(values.seconds ?? Infinity) * 1_000;

let seed = firstSeed;
for (; seed - firstSeed < cases && performance.now() < deadline; seed++) {
  random = randomFrom(seed);
  try {
    check();
  } catch (error) {
    console.error(`--seed ${seed} --cases 1 fails: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}
console.error(
  `${seed - firstSeed} cases from seed ${firstSeed}: each valid response was parsed; of those mutated,` +
    ` ${counts.response} were responses, ${counts.error} errors, and ${counts.waits} waited for more`,
);
