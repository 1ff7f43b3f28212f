/** The promise of the whole: each event is answered exactly once, or the process has ended with a message. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "./random.ts";
import { accepted, answer, chunkedEvent, event, gone, type ReceivedRequest, type RuntimeApi } from "./runtime-api.ts";
import { isLong, Sandbox } from "./sandbox.ts";

const invocations = isLong ? 100_000 : 10_000;
const faultRate = 0.01;

/** How invocations go, with their shares; what is left is `small`. See test/handlers/answers.ts. */
const shares = {
  promised: 0.2,
  slow: 0.02,
  throws: 0.05,
  rejects: 0.05,
  stream: 0.04,
  "fails in its stream": 0.01,
  large: 0.02,
  huge: 0.001,
  "escapes from a timer": 0.0002,
  "escapes as a rejection": 0.0002,
};

type Way = keyof typeof shares | "small";

interface Invocation {
  id: number;
  way: Way;
  /** Its faults, by name. */
  faults: string[];
  /** Whether the fault may have destroyed the event before the runtime had it. */
  mayBeDestroyed: boolean;
  /** How often the service has taken an answer to it. */
  answers: number;
  /** Whether the runtime has been told for certain that its answer was taken. */
  isAcknowledged: boolean;
  /** Whether the service has answered before it had the answer whole. */
  isAnsweredEarly: boolean;
}

/** The request that goes wrong, what would be sent back, and a place in that. */
interface Moment extends Pick<ReceivedRequest, "connection" | "send"> {
  bytes: Buffer;
  at: number;
  api: RuntimeApi;
}

type Fault<More = object> = (moment: Moment & More) => void | Promise<void>;

const pause = () => Bun.sleep(1);

/** What goes wrong when an event was asked for. */
const eventFaults: Record<string, Fault<{ invocation: Invocation }>> = {
  "it comes in two pieces": ({ send, bytes, at }) => send(bytes.subarray(0, at), bytes.subarray(at)),
  "more comes behind it": ({ send, bytes }) => send(Buffer.concat([bytes, Buffer.from("more than was asked for")])),
  "the connection closes behind it": ({ send, connection, bytes }) => send(bytes).then(() => connection.end()),
  "the connection is reset behind it": ({ send, connection, bytes, invocation }) => {
    invocation.mayBeDestroyed = true;
    return send(bytes).then(() => connection.reset());
  },
  "the connection is reset behind it, and the next as it opens": ({ send, connection, bytes, invocation, api }) => {
    invocation.mayBeDestroyed = true;
    api.resetNextConnections(1);
    return send(bytes).then(() => connection.reset());
  },
  "the connection is reset a little later": ({ send, connection, bytes }) =>
    send(bytes)
      .then(pause)
      .then(() => connection.reset()),
  "the connection is reset as the answer begins": ({ send, connection, bytes }) => {
    connection.resetAfter = 1;
    return send(bytes);
  },
  "the connection is reset in the middle of a large answer": ({ send, connection, bytes }) => {
    connection.resetAfter = 10_000;
    return send(bytes);
  },
  "the connection is reset in the middle of a large answer, and the next as it opens": ({
    send,
    connection,
    bytes,
    api,
  }) => {
    connection.resetAfter = 10_000;
    api.resetNextConnections(1);
    return send(bytes);
  },
  "the answer is read slowly": async ({ send, connection, bytes }) => {
    connection.pause();
    await send(bytes);
    await Bun.sleep(10);
    connection.resume();
  },
  "the answer is answered before it is all there": async ({ send, connection, bytes, invocation }) => {
    connection.pause();
    await send(bytes);
    await Bun.sleep(5);
    if (/^large|^huge|stream$/.test(invocation.way)) {
      invocation.isAnsweredEarly = true;
      connection.resetAfter = Infinity; // an earlier fault may wait for a large answer; this one is acknowledged
      await send(accepted);
    }
    connection.resume();
  },
  "the connection closes in the middle of it": ({ send, connection, bytes, at, invocation }) => {
    invocation.mayBeDestroyed = true;
    return send(bytes.subarray(0, at)).then(() => connection.end());
  },
  "the connection is reset in the middle of it": ({ send, connection, bytes, at, invocation }) => {
    invocation.mayBeDestroyed = true;
    return send(bytes.subarray(0, at)).then(() => connection.reset());
  },
};

/** What goes wrong instead of an event. */
const nextFaults: Record<string, Fault> = {
  "no event: the connection closes": ({ connection }) => connection.end(),
  "no event: the connection is reset": ({ connection }) => connection.reset(),
  "no event: the connection is reset, and the next as it opens": ({ connection, api }) => {
    api.resetNextConnections(1);
    connection.reset();
  },
  "no event: not HTTP at all": ({ send }) => send("not HTTP at all\r\n\r\n"),
  "no event: a 500": ({ send }) => send(answer(500)),
};

/** What goes wrong when an answer was received. `bytes` is what is sent back; taking it is up to the fault. */
const answerFaults: Record<string, Fault<{ take: () => void }>> = {
  "the answer is lost: closed": ({ connection }) => connection.end(),
  "the answer is lost: reset": ({ connection }) => connection.reset(),
  "the answer is lost, and the next connection is reset as it opens": ({ connection, api }) => {
    api.resetNextConnections(1);
    connection.reset();
  },
  "the answer is taken, and the connection closes": ({ connection, take }) => (take(), connection.end()),
  "the answer is taken, and the connection is reset": ({ connection, take }) => (take(), connection.reset()),
  "the acknowledgement comes in two pieces": ({ send, bytes, at, take }) => (
    take(),
    send(bytes.subarray(0, at), bytes.subarray(at))
  ),
  "the connection closes behind the acknowledgement": ({ send, connection, bytes, take }) => (
    take(),
    send(bytes).then(() => connection.end())
  ),
  "the connection is reset behind the acknowledgement": ({ send, connection, bytes, take }) => (
    take(),
    send(bytes).then(() => connection.reset())
  ),
  "the connection closes in the middle of the acknowledgement": ({ send, connection, bytes, at, take }) => (
    take(),
    send(bytes.subarray(0, at)).then(() => connection.end())
  ),
  "the connection is reset in the middle of the acknowledgement": ({ send, connection, bytes, at, take }) => (
    take(),
    send(bytes.subarray(0, at)).then(() => connection.reset())
  ),
  "more comes behind the acknowledgement": ({ send, bytes, take }) => (
    take(),
    send(Buffer.concat([bytes, Buffer.from("HTTP/1.1 200 OK\r\n\r\n")]))
  ),
  "a 500 instead of the acknowledgement": ({ send }) => send(answer(500)),
};

/** How many of what there were. */
class Tally {
  readonly counts: Record<string, number> = {};

  add(what: string, count = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + count;
  }
}

/** The service, for as long as one process lives. */
class Service {
  readonly invocations = new Map<number, Invocation>();
  /** Whether an event was sent that makes an error escape. */
  private escapes = false;

  constructor(
    private readonly sandbox: Sandbox,
    private readonly random: () => number,
    private readonly firstId: number,
    private readonly lastId: number,
    private readonly tally: Tally,
  ) {}

  /** Answers requests until the process has ended. */
  async serve(): Promise<void> {
    const failed = Promise.withResolvers<never>();
    for (;;) {
      const request = await Promise.race([this.sandbox.api.anyRequest().catch(() => undefined), failed.promise]);
      if (!request) return;
      const served = request.method === "GET" ? this.sendEvent(request) : this.takeAnswer(request);
      served.catch(failed.reject);
    }
  }

  private async sendEvent(request: ReceivedRequest): Promise<void> {
    const id = this.firstId + this.invocations.size;
    if (id > this.lastId) return request.send(gone);
    const isFaulty = this.random() < faultRate;
    if (isFaulty && this.random() < 0.25) {
      const name = this.pick(nextFaults);
      return nextFaults[name]!(this.moment(request, gone));
    }
    const way = wayOf(this.random());
    const invocation: Invocation = {
      id,
      way,
      faults: [],
      mayBeDestroyed: false,
      answers: 0,
      isAcknowledged: false,
      isAnsweredEarly: false,
    };
    this.invocations.set(id, invocation);
    this.tally.add(way);
    if (way.startsWith("escapes")) this.escapes = true;
    const parts = { id: String(id), body: `${way}:${id}` };
    const bytes =
      this.random() < 0.5 ? event(parts) : chunkedEvent(parts, [1, 3, Infinity][Math.floor(this.random() * 3)]);
    if (!isFaulty) return request.send(bytes);
    const name = this.pick(eventFaults);
    invocation.faults.push(name);
    return eventFaults[name]!({ ...this.moment(request, bytes), invocation });
  }

  private async takeAnswer(request: ReceivedRequest): Promise<void> {
    const [, id, path] = /^\/2018-06-01\/runtime\/invocation\/(\d+)\/(response|error)$/.exec(request.target) ?? [];
    const invocation = this.invocations.get(Number(id));
    assert.ok(invocation, request.target);
    this.check(invocation, path as "response" | "error", request);

    const isRepeated = invocation.answers > 0;
    if (isRepeated) this.tally.add("sent again after it was taken");
    const reply = isRepeated ? answer(this.random() < 0.5 ? 400 : 403) : accepted; // the service takes one answer, and no more
    const take = () => void (invocation.answers ||= 1);
    if (invocation.isAnsweredEarly) return take();
    if (this.random() >= faultRate) {
      take();
      invocation.isAcknowledged = true;
      return request.send(reply);
    }
    const name = this.pick(answerFaults);
    invocation.faults.push(name);
    return answerFaults[name]!({ ...this.moment(request, reply), take });
  }

  private moment({ connection, send }: ReceivedRequest, bytes: Buffer): Moment {
    return { connection, send, bytes, at: Math.floor(this.random() * bytes.length), api: this.sandbox.api };
  }

  /** Sees that an answer is this invocation's, whole, and not one too many. */
  private check(
    invocation: Invocation,
    path: "response" | "error",
    { headers, body, trailers }: ReceivedRequest,
  ): void {
    const { id, way } = invocation;
    assert.ok(!invocation.isAcknowledged, `answered again after its answer was taken: ${this.tell(invocation)}`);
    const text = `${way}:${id}`;
    const type = headers.get("lambda-runtime-function-error-type") ?? /Error-Type: (.*)\r/.exec(trailers)?.[1];
    const isOthers = this.escapes && type === "Runtime.ExitError";
    const content = body.toString("latin1");
    if (path === "error") {
      assert.ok(
        isOthers || /^throws|^rejects|^escapes/.test(way),
        `an error report: ${this.tell(invocation)}\n${content}`,
      );
      assert.match(
        content,
        isOthers
          ? /the process ends before this invocation was answered/
          : new RegExp(`"errorMessage":"(secret )?${text}"`),
      );
      assert.ok(!isOthers || !content.includes("secret"), content);
      return;
    }
    const streamed = type ? text : text + "x".repeat(100_000) + text;
    const isCut = way === "stream" && isOthers;
    assert.ok(!type || isOthers || way === "fails in its stream", `${type}: ${this.tell(invocation)}`);
    if (way === "stream" && !isCut) assert.ok(content === streamed, `${body.length} bytes: ${this.tell(invocation)}`);
    else if (way.includes("stream")) assert.ok(content.startsWith(text), this.tell(invocation));
    else
      assert.ok(
        content === text.padEnd({ large: 300_000, huge: 5_000_000 }[way as string] ?? 0, "x"),
        this.tell(invocation),
      );
  }

  /** Sees that each event was answered once, or that it was destroyed, or that there is a message. */
  async end(loops: number): Promise<void> {
    const { status, stderr } = await this.sandbox.exited;
    const isOver = this.firstId + this.invocations.size > this.lastId;
    if (!isOver || status !== 0) {
      assert.notEqual(status, 0, stderr);
      assert.match(stderr, this.escapes ? /FATAL|secret/ : /\tFATAL\t|"level":"FATAL"/); // the event itself may be destroyed
    }
    const explained = new Set<number>();
    for (const [, text, json] of stderr.matchAll(
      /^\S+\t(\d+)\tERROR\t.*was cut|"requestId":"(\d+)".*"message":".*(?:was cut|has failed)/gm,
    )) {
      explained.add(Number(text ?? json));
    }
    const lost: Invocation[] = [];
    for (const invocation of this.invocations.values()) {
      if (invocation.answers === 1) this.tally.add("answered");
      else if (explained.has(invocation.id)) this.tally.add("not answered, with a message of its own");
      else if (invocation.mayBeDestroyed) this.tally.add("not answered: the fault destroyed the event");
      else lost.push(invocation);
    }
    const stories = () => lost.map((invocation) => this.tell(invocation)).join("\n");
    assert.ok(lost.length <= (status === 0 ? 0 : loops), `not answered: ${stories()}\n${stderr.slice(-5_000)}`);
    this.tally.add("not answered: the process ended with a message", lost.length);
    this.tally.add(status === 0 ? "processes that ended in peace" : "processes that ended with a message");
  }

  private pick(faults: Record<string, unknown>): string {
    const names = Object.keys(faults);
    const name = names[Math.floor(this.random() * names.length)]!;
    this.tally.add(name);
    return name;
  }

  private tell({ id, way, faults }: Invocation): string {
    const recent = Array.from(this.invocations.values())
      .filter((other) => other.faults.length > 0 && other.id <= id + 20)
      .slice(-20);
    const story = recent.map((other) => `  ${other.id} (${other.way}): ${other.faults.join("; ")}`).join("\n");
    return `invocation ${id} (${way}), after ${faults.join("; ") || "no fault"}; the last faults were\n${story}`;
  }
}

function wayOf(number: number): Way {
  for (const [way, share] of Object.entries(shares)) {
    if (number < share) return way as Way;
    number -= share;
  }
  return "small";
}

for (const loops of [1, 16]) {
  test(`each of ${invocations} invocations with random faults is answered once, or a message says why not (${loops} loops)`, async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    console.log(`SEED=${seed}`);
    const random = randomFrom(seed);
    const tally = new Tally();
    for (let sent = 0; sent < invocations;) {
      await using sandbox = await Sandbox.start(
        "answers",
        loops > 1 ? { AWS_LAMBDA_MAX_CONCURRENCY: String(loops) } : {},
      );
      const service = new Service(sandbox, random, sent + 1, invocations, tally);
      await service.serve();
      await service.end(loops);
      sent += service.invocations.size;
    }
    const counts = Object.entries(tally.counts).toSorted(([, one], [, other]) => other - one);
    console.log(counts.map(([what, count]) => `${count} ${what}`).join(", "));
    const { answered = 0, "sent again after it was taken": resent = 0 } = tally.counts;
    assert.ok(answered > invocations * 0.97 && resent > invocations / 2_000);
  });
}
