/**
 * An emulator of the Lambda Runtime API for tests, over raw sockets: a test sees each request byte by byte, and decides
 * each byte of the response and each pause in it. A test of a new fault looks like this:
 *
 * ```ts
 * test("an event that comes in two pieces is one event", async () => {
 *   await using sandbox = await Sandbox.start("echo"); // test/handlers/echo.ts, compiled
 *   const next = await sandbox.api.request("GET", "/invocation/next");
 *   const bytes = event({ id: "1", body: "hello" });
 *   await next.send(bytes.subarray(0, 50), bytes.subarray(50)); // 2 ms between them
 *   const reply = await sandbox.api.request("POST", "/invocation/1/response");
 *   assert.equal(reply.body.toString(), "hello");
 *   await reply.send(accepted);
 *   await sandbox.stop();
 * });
 * ```
 *
 * One file of tests: `npx bun test test/peer.test.ts`, one test of it with `-t 'two pieces'`; `npx tsc`
 * checks the types, which `bun test` does not.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export const basePath = "/2018-06-01/runtime";
export const extensionPath = "/2020-01-01/extension";

/** A request that was received whole, and the connection to answer it on. */
export interface ReceivedRequest {
  method: string;
  target: string;
  /** Field values by lower-case name. */
  headers: Map<string, string>;
  /** The body, de-chunked. */
  body: Buffer;
  /** The field lines behind a chunked body, with their CRLF. */
  trailers: string;
  /** The request as it was on the wire. */
  raw: Buffer;
  connection: Connection;
  send: Connection["send"];
}

/** One connection that the runtime opened. */
export class Connection {
  /** Every byte that was received and that is not part of a request that was received whole. */
  received: Buffer = Buffer.alloc(0);
  /** Resets the connection once so many bytes of a request were received. */
  resetAfter = Infinity;
  /** Stops reading once so many bytes of a request were received. */
  pauseAfter = Infinity;
  readonly closed: Promise<unknown>;
  /** Memory that begins with what was received, and how much of a request is needed until it can be whole. */
  private room = this.received;
  private needed = 0;

  constructor(
    private readonly socket: Socket,
    onRequest: (request: ReceivedRequest) => void,
  ) {
    socket.setNoDelay(true);
    socket.on("error", () => {}); // the runtime may be gone, as tests have it
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("data", (piece: Buffer) => {
      this.append(piece);
      if (this.received.length >= this.resetAfter || this.socket.writableEnded) return this.reset();
      if (this.received.length >= this.pauseAfter) this.pause();
      if (this.received.length < this.needed) return;
      for (let request = this.takeRequest(); request; request = this.takeRequest()) onRequest(request);
    });
  }

  /** Sends the pieces one by one, with 2 ms between them, in which the runtime reads each alone; longer pauses are the test's. */
  async send(...pieces: (string | Uint8Array)[]): Promise<void> {
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) await sleep(2);
      if (this.socket.writable && !this.socket.write(piece))
        await Promise.race([once(this.socket, "drain"), this.closed]);
    }
  }

  /** Waits until the connection has brought so many bytes, or this text, of a request that is not all there. */
  async receives(what: number | string): Promise<void> {
    const isThere = () => (typeof what === "number" ? this.received.length >= what : this.received.includes(what));
    for (; !isThere(); await sleep(1)) assert.ok(!this.socket.destroyed, `the connection has ended without ${what}`);
  }

  /** Closes in order: what was sent arrives, and then the end. What is received after that is answered by a RST. */
  end(): void {
    this.socket.end();
  }

  /** Breaks the connection off with a RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Stops reading, so that what the runtime sends fills the buffers between. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.pauseAfter = Infinity;
    this.socket.resume();
  }

  /** Counts what is received from here on, and keeps nothing of it. */
  discard(): { bytes: number } {
    const discarded = { bytes: this.received.length };
    this.socket.removeAllListeners("data");
    this.socket.on("data", (piece: Buffer) => void (discarded.bytes += piece.length));
    return discarded;
  }

  private append(piece: Buffer): void {
    const { length } = this.received;
    if (length === 0) this.room = piece;
    if (this.room.length < length + piece.length) {
      this.room = Buffer.allocUnsafe(2 * (length + piece.length));
      this.received.copy(this.room);
    }
    if (length > 0) piece.copy(this.room, length);
    this.received = this.room.subarray(0, length + piece.length);
  }

  private takeRequest(): ReceivedRequest | undefined {
    const headEnd = this.received.indexOf("\r\n\r\n") + 4;
    if (headEnd < 4) return undefined;
    const [requestLine = "", ...fieldLines] = this.received
      .subarray(0, headEnd - 4)
      .toString("utf8")
      .split("\r\n");
    const [method = "", target = "", httpVersion] = requestLine.split(" ");
    assert.equal(httpVersion, "HTTP/1.1", `request line: ${requestLine}`);
    const headers = new Map<string, string>();
    for (const line of fieldLines) {
      const [, name = "", value = ""] = /^([!#$%&'*+.^_`|~\w-]+): ?(.*)$/.exec(line) ?? [];
      assert.ok(name, `field line of the request: ${JSON.stringify(line)}`);
      assert.ok(!headers.has(name.toLowerCase()), `sent twice: ${name}`);
      headers.set(name.toLowerCase(), value);
    }
    const payload =
      headers.get("transfer-encoding") === "chunked"
        ? dechunked(this.received.subarray(headEnd))
        : withLength(this.received.subarray(headEnd), Number(headers.get("content-length") ?? 0));
    this.needed = typeof payload === "number" ? headEnd + payload : 0;
    if (typeof payload === "number") return undefined;
    const { body, trailers, length } = payload;
    const raw = this.received.subarray(0, headEnd + length);
    this.received = this.received.subarray(headEnd + length);
    this.room = this.room.subarray(headEnd + length);
    return { method, target, headers, body, trailers, raw, connection: this, send: this.send.bind(this) };
  }
}

interface Payload {
  body: Buffer;
  trailers: string;
  /** How many bytes it takes on the wire. */
  length: number;
}

/** Reads a body. If it is not all there, it returns how many bytes it needs at least. */
function withLength(bytes: Buffer, length: number): Payload | number {
  return bytes.length < length ? length : { body: bytes.subarray(0, length), trailers: "", length };
}

/** Reads a chunked body in the same way. */
function dechunked(bytes: Buffer): Payload | number {
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return bytes.length + 1;
    const sizeLine = bytes.subarray(at, lineEnd).toString("latin1");
    assert.match(sizeLine, /^[1-9a-f][\da-f]*$|^0$/, "chunk-size line");
    const size = parseInt(sizeLine, 16);
    at = lineEnd + 2;
    if (size === 0) {
      const end = bytes.subarray(at, at + 2).equals(Buffer.from("\r\n")) ? at : bytes.indexOf("\r\n\r\n", at) + 2;
      if (end < at || bytes.length < end + 2) return bytes.length + 1;
      return { body: Buffer.concat(chunks), trailers: bytes.subarray(at, end).toString("latin1"), length: end + 2 };
    }
    if (bytes.length < at + size + 2) return at + size + 2;
    chunks.push(bytes.subarray(at, at + size));
    assert.equal(bytes.subarray(at + size, at + size + 2).toString("latin1"), "\r\n", "the end of a chunk");
    at += size + 2;
  }
}

/** A server on a port of its own, of which each test starts one. */
export class RuntimeApi implements AsyncDisposable {
  readonly connections: Connection[] = [];
  private readonly runtimeRequests = new Queue<ReceivedRequest>();
  private readonly extensionRequests = new Queue<ReceivedRequest>();

  private resets = 0;

  private constructor(private readonly server: Server) {
    server.on("connection", (socket) => {
      const connection = new Connection(socket, (request) => {
        const isExtension = request.target.startsWith(extensionPath);
        (isExtension ? this.extensionRequests : this.runtimeRequests).push(request);
      });
      this.connections.push(connection);
      if (this.resets-- > 0) connection.reset();
    });
  }

  /** Resets connections as soon as they open. */
  resetNextConnections(count: number): void {
    this.resets = count;
  }

  /** Refuses every further connection, and keeps those there are. */
  stopListening(): void {
    this.server.close();
  }

  static async start(host = "127.0.0.1"): Promise<RuntimeApi> {
    const server = createServer();
    server.listen(0, host);
    await once(server, "listening");
    return new RuntimeApi(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get address(): string {
    const { address, family } = this.server.address() as AddressInfo;
    return family === "IPv6" ? `[${address}]:${this.port}` : `${address}:${this.port}`;
  }

  /** The next request, on whatever connection; it has to be this one. */
  async request(method: "GET" | "POST", path: string): Promise<ReceivedRequest> {
    const request = await this.runtimeRequests.shift();
    assert.equal(
      `${request.method} ${request.target}`,
      `${method} ${basePath}${path}`,
      request.body.subarray(0, 2000).toString(),
    );
    return request;
  }

  /** The next request, whatever it is. */
  anyRequest(): Promise<ReceivedRequest> {
    return this.runtimeRequests.shift();
  }

  /** The next request to the Extensions API; it has to be this one. */
  async extensionRequest(method: "GET" | "POST", path: string): Promise<ReceivedRequest> {
    const request = await this.extensionRequests.shift();
    assert.equal(`${request.method} ${request.target}`, `${method} ${extensionPath}${path}`);
    return request;
  }

  /** How many requests were received that no test has asked for. */
  get unexpected(): number {
    return this.runtimeRequests.length + this.extensionRequests.length;
  }

  /** Fails every test that waits for a further request, since there will be none. */
  abandon(reason: Error): void {
    this.runtimeRequests.close(reason);
    this.extensionRequests.close(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.close();
    for (const connection of this.connections) connection.reset();
  }
}

/** What comes in is taken out in its order, by whoever asked first. */
class Queue<Item> {
  private readonly items: Item[] = [];
  private readonly takers: PromiseWithResolvers<Item>[] = [];
  private closedBecause: Error | undefined;

  get length(): number {
    return this.items.length;
  }

  push(item: Item): void {
    const taker = this.takers.shift();
    if (taker) taker.resolve(item);
    else this.items.push(item);
  }

  async shift(): Promise<Item> {
    const item = this.items.shift();
    if (item !== undefined) return item;
    if (this.closedBecause) throw this.closedBecause;
    const taker = Promise.withResolvers<Item>();
    this.takers.push(taker);
    return taker.promise;
  }

  close(reason: Error): void {
    this.closedBecause = reason;
    for (const taker of this.takers.splice(0)) taker.reject(reason);
  }
}

export interface EventParts {
  id?: string;
  body?: string | Uint8Array;
  /** More field lines, or others instead of those that come with every event; `undefined` leaves one out. */
  headers?: Record<string, string | undefined>;
}

/** The header fields of an event as the service sends them. */
export function eventHeaders({
  id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
  headers = {},
}: EventParts): Record<string, string> {
  const fields: Record<string, string | undefined> = {
    "Lambda-Runtime-Aws-Request-Id": id,
    "Lambda-Runtime-Deadline-Ms": String(Date.now() + 30_000),
    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:test",
    "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
    ...headers,
  };
  return Object.fromEntries(
    Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined),
  );
}

/** An event with a Content-Length. */
export function event(parts: EventParts = {}): Buffer {
  const body = Buffer.from(parts.body ?? "{}");
  return response(200, { ...eventHeaders(parts), "Content-Length": String(body.length) }, body);
}

/** An event as the service sends a large one: chunked, here in chunks of a size of one's choice. */
export function chunkedEvent(parts: EventParts = {}, chunkSize = Infinity): Buffer {
  return response(
    200,
    { ...eventHeaders(parts), "Transfer-Encoding": "chunked" },
    chunks(Buffer.from(parts.body ?? "{}"), chunkSize),
  );
}

export function chunks(body: Uint8Array, chunkSize: number): Buffer {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < body.length; at += chunkSize) {
    const chunk = body.subarray(at, at + chunkSize);
    pieces.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
  }
  return Buffer.concat([...pieces, Buffer.from("0\r\n\r\n")]);
}

export function response(status: number, headers: Record<string, string>, body: string | Uint8Array = ""): Buffer {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} Status\r\n${fields.join("")}\r\n`), Buffer.from(body)]);
}

export function answer(status: number, body = ""): Buffer {
  return response(status, { "Content-Length": String(body.length) }, body);
}

export const accepted = answer(202, '{"status":"OK"}\n');
export const gone = answer(410);
