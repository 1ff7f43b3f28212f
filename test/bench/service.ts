/** The Runtime API for a benchmark: as little work as can be between a reply and the next event. */
import { accepted, basePath, chunkedEvent, event } from "../runtime-api.ts";

/** An event whose bytes were made once; only the digits of its request id change. */
export class PreparedEvent {
  readonly body: string;
  private readonly bytes: Buffer;
  private readonly digits: number;
  private count = 0;
  private static readonly id = "8476a536-e9f4-11e8-9739-000000000000";
  private static readonly countedDigits = 12;

  /** @param headers More field lines than those that come with every event. */
  constructor(body: string, headers: Record<string, string> = {}) {
    this.body = body;
    const deadline = String(Date.now() + 3_600_000);
    const usual = { "Content-Type": "application/json", "Lambda-Runtime-Deadline-Ms": deadline };
    const parts = { id: PreparedEvent.id, body, headers: { ...headers, ...usual } };
    this.bytes = body.length < 100_000 ? event(parts) : chunkedEvent(parts); // a large one in one chunk, as on Lambda
    this.digits = this.bytes.indexOf(PreparedEvent.id) + PreparedEvent.id.length - PreparedEvent.countedDigits;
  }

  /** The bytes to send next, with an id of their own. */
  next(): { id: string; bytes: Buffer } {
    const digits = String(++this.count).padStart(PreparedEvent.countedDigits, "0");
    this.bytes.write(digits, this.digits, "latin1");
    return { id: PreparedEvent.id.slice(0, -PreparedEvent.countedDigits) + digits, bytes: this.bytes };
  }
}

/** Invocations that are under way: one after the other, or as many at a time as the process asks for. */
interface Block {
  event: PreparedEvent;
  /** How many events are still to be sent. */
  unsent: number;
  /** How many events may be under way at a time, however many the process asks for. */
  concurrency: number;
  /** The request ids of the events that were sent, and not yet replied to. */
  inFlight: Set<string>;
  /** How many replies have come. */
  replies: number;
  /** Is told the number of each reply, from 1 on, before it is answered. */
  onReplied: ((count: number) => void) | undefined;
  /** Takes the body of each reply; where there is none, bodies are counted and dropped. */
  onReply: ((body: Buffer) => void) | undefined;
  /** How long each reply has to be, in bytes, if that is known. */
  replyLength: number | undefined;
  /** Whether an error is as good an answer as a reply. */
  mayFail: boolean;
  done: PromiseWithResolvers<void>;
}

/** @see Block */
export interface BlockOptions {
  concurrency?: number;
  onReplied?: (count: number) => void;
  onReply?: (body: Buffer) => void;
  replyLength?: number | undefined;
  mayFail?: boolean;
}

type Socket = Bun.Socket<Connection>;

const answerPath = new RegExp(`^POST ${basePath}/invocation/([^/]+)/(response|error) `);

/** A server for one process, on a port of its own. The process may use as many connections as it likes. */
export class Service {
  /** When the process has last asked for an event, by `performance.now()`. */
  askedAt = NaN;
  /** When an event was last sent, by `performance.now()`. */
  sentAt = NaN;
  /** When a reply was last received whole, by `performance.now()`. */
  repliedAt = NaN;
  private readonly listener: Bun.TCPSocketListener<Connection>;
  private readonly sockets = new Set<Socket>();
  private firstRequest = Promise.withResolvers<void>();
  /** Where `GET /next` waits for an event: the one that has waited longest comes first. */
  private readonly asking: Socket[] = [];
  private block: Block | undefined;

  constructor() {
    this.listener = Bun.listen<Connection>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          socket.data = new Connection(socket, this);
          this.sockets.add(socket);
        },
        data: (socket, piece) => socket.data.receive(piece),
        drain: (socket) => socket.data.flush(),
        close: (socket) => void this.sockets.delete(socket),
        error: (_socket, error) => this.fail(error),
      },
    });
  }

  get address(): string {
    return `127.0.0.1:${this.listener.port}`;
  }

  /** Waits until the process asks for its first event. */
  ready(): Promise<void> {
    return this.firstRequest.promise;
  }

  /** Sends events as the process asks for them, until it has replied to each and asks for more. */
  invoke(
    event: PreparedEvent,
    count: number,
    { concurrency = 1, onReplied, onReply, replyLength, mayFail = false }: BlockOptions = {},
  ): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.block = {
      event,
      unsent: count,
      concurrency,
      inFlight: new Set(),
      replies: 0,
      onReplied,
      onReply,
      replyLength,
      mayFail,
      done,
    };
    if (this.asking.length > 0) this.proceed(this.block);
    return done.promise;
  }

  /** Takes `GET /next`. */
  asked(socket: Socket): void {
    this.askedAt = performance.now();
    this.asking.push(socket);
    this.firstRequest.resolve();
    if (this.block) this.proceed(this.block);
  }

  /** Takes a reply that was received whole. */
  replied(socket: Socket, head: string, length: number, body: Buffer | undefined): void {
    this.repliedAt = performance.now();
    const block = this.block;
    const [, id = "", kind] = answerPath.exec(head) ?? [];
    const isExpected = length === (block?.replyLength ?? length) && (kind === "response" || block?.mayFail);
    if (!block?.inFlight.delete(id) || !isExpected) {
      return this.fail(new Error(`unexpected request, with a body of ${length} bytes: ${head}`));
    }
    block.onReplied?.(++block.replies);
    if (body) block.onReply?.(body);
    socket.data.send(accepted);
    if (this.asking.length > 0) this.proceed(block);
  }

  get wantsBodies(): boolean {
    return this.block?.onReply !== undefined;
  }

  /** Has whoever waits for the process wait no longer. */
  fail(error: Error): void {
    this.firstRequest.reject(error);
    this.block?.done.reject(error);
  }

  close(): void {
    this.listener.stop(true);
    for (const socket of this.sockets) socket.terminate();
  }

  private proceed(block: Block): void {
    while (block.unsent > 0 && this.asking.length > 0 && block.inFlight.size < block.concurrency) {
      const { id, bytes } = block.event.next();
      block.unsent--;
      block.inFlight.add(id);
      this.sentAt = performance.now();
      this.asking.shift()!.data.send(bytes);
    }
    if (block.unsent === 0 && block.inFlight.size === 0) {
      this.block = undefined;
      block.done.resolve();
    }
  }
}

/** One connection: what is sent waits until it is taken, and what is received is read request by request. */
class Connection {
  private unsent: Uint8Array | undefined;
  /** What was received and not yet read. */
  private input: Buffer = Buffer.alloc(0);
  private readonly reader: Generator<undefined, never, Buffer>;

  constructor(
    private readonly socket: Socket,
    private readonly service: Service,
  ) {
    this.reader = this.readRequests();
    this.reader.next();
  }

  receive(piece: Buffer): void {
    this.reader.next(piece);
  }

  send(bytes: Uint8Array): void {
    const sent = this.socket.write(bytes);
    this.unsent = sent < bytes.length ? bytes.subarray(Math.max(sent, 0)) : undefined;
  }

  flush(): void {
    if (this.unsent) this.send(this.unsent);
  }

  private *readRequests(): Generator<undefined, never, Buffer> {
    for (;;) {
      const head = yield* this.readUntil("\r\n\r\n");
      if (head.startsWith(`GET ${basePath}/invocation/next `)) {
        this.service.asked(this.socket);
        continue;
      }
      const pieces: Buffer[] | undefined = this.service.wantsBodies ? [] : undefined;
      const [, digits] = /\r\ncontent-length: *(\d+)/i.exec(head) ?? [];
      const length = digits === undefined ? yield* this.readChunks(pieces) : yield* this.read(Number(digits), pieces);
      this.service.replied(this.socket, head, length, pieces && Buffer.concat(pieces));
    }
  }

  private *readChunks(pieces: Buffer[] | undefined): Generator<undefined, number, Buffer> {
    let length = 0;
    for (let size = Infinity; size > 0;) {
      size = parseInt(yield* this.readUntil("\r\n"), 16);
      length += yield* this.read(size, pieces);
      if (size > 0) yield* this.readUntil("\r\n");
    }
    while ((yield* this.readUntil("\r\n")) !== ""); // trailers
    return length;
  }

  /** Reads so many bytes, and returns how many. */
  private *read(length: number, pieces: Buffer[] | undefined): Generator<undefined, number, Buffer> {
    for (let missing = length; missing > 0;) {
      if (this.input.length === 0) this.input = yield;
      const part = this.input.subarray(0, missing);
      pieces?.push(part);
      missing -= part.length;
      this.input = this.input.subarray(part.length);
    }
    return length;
  }

  private *readUntil(end: string): Generator<undefined, string, Buffer> {
    for (;;) {
      const at = this.input.indexOf(end);
      if (at >= 0) {
        const text = this.input.toString("latin1", 0, at);
        this.input = this.input.subarray(at + end.length);
        return text;
      }
      const piece = yield;
      this.input = this.input.length === 0 ? piece : Buffer.concat([this.input, piece]);
    }
  }
}
