/** What breaks, freezes, comes too early, or vanishes while an answer is on its way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, event, gone, type Connection, type ReceivedRequest } from "./runtime-api.ts";
import { logEvents, Sandbox } from "./sandbox.ts";

/** Starts a handler, and sends it its first event. */
async function ask(handler: string, body: string, env: Record<string, string> = {}): Promise<[Sandbox, Connection]> {
  const sandbox = await Sandbox.start(handler, env);
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body }));
  return [sandbox, next.connection];
}

/** A log without the lines of the handler. */
const withoutLines = (log: string) => log.replaceAll(/^.*finally.*\n/gm, "");

/** The same, and reads no more than the beginning of the answer. */
async function begin(handler: string, body: string): Promise<[Sandbox, Connection]> {
  const sandbox = await Sandbox.start(handler);
  const next = await sandbox.api.request("GET", "/invocation/next");
  next.connection.pauseAfter = 1;
  await next.send(event({ id: "1", body }));
  await next.connection.receives(1);
  return [sandbox, next.connection];
}

for (const [kind, handler, body, expected] of [
  ["a reply", "wait", "500", "null"],
  ["a streamed reply", "stream", '["slow",2]', "1\n2\n"],
] as const) {
  for (const loops of [1, 2]) {
    test(`${kind} is delivered after two resets: while it is made, and as the next connection opens (${loops} loops)`, async () => {
      await using sandbox = await Sandbox.start(handler, { AWS_LAMBDA_MAX_CONCURRENCY: String(loops) });
      const [next, other] = await asked(sandbox, loops);
      await next.send(event({ id: "1", body }));
      await Bun.sleep(10);
      sandbox.api.resetNextConnections(1);
      next.connection.reset();
      const reply = await sandbox.api.request("POST", "/invocation/1/response");
      assert.equal(reply.body.toString(), expected);
      await reply.send(accepted);
      const { stderr } = await stop(sandbox, other);
      assert.equal(withoutLines(stderr), "");
    });
  }
}

for (const [kind, handler, body] of [
  ["a small reply", "echo", "small"],
  ["a large reply", "size", "1000000"],
  ["a streamed reply", "stream", '["slower",2]'],
  ["an empty streamed reply", "stream", '["numbers",0]'],
  ["an error", "errors", '"Error"'],
] as const) {
  for (const loops of [1, 2]) {
    test(`${kind} ends its loop with a message if its connection and the next are reset (${loops} loops)`, async () => {
      await using sandbox = await Sandbox.start(handler, { AWS_LAMBDA_MAX_CONCURRENCY: String(loops) });
      const [next, other] = await asked(sandbox, loops);
      next.connection.resetAfter = 1;
      sandbox.api.resetNextConnections(1);
      await next.send(event({ id: "1", body }));
      const { status, stderr } = await (loops > 1 ? stop(sandbox, other) : sandbox.exited);
      assert.equal(status, loops > 1 ? 0 : 1);
      const log = withoutLines(stderr);
      assert.match(log, /127\.0\.0\.1:\d+ twice closed the connection instead of answering POST [^\n]*\n$/);
      assert.equal(log.trimEnd().split("\n").length, kind === "an error" ? 2 : 1, "one line says it");
    });
  }
}

/** Waits until each loop has asked for an event. */
async function asked(sandbox: Sandbox, loops: number): Promise<[ReceivedRequest, ReceivedRequest | undefined]> {
  const next = await sandbox.api.request("GET", "/invocation/next");
  return [next, loops > 1 ? await sandbox.api.request("GET", "/invocation/next") : undefined];
}

async function stop(sandbox: Sandbox, other?: ReceivedRequest) {
  const next = await sandbox.api.request("GET", "/invocation/next");
  await other?.send(gone);
  await next.send(gone);
  return sandbox.exited;
}

test("a stream that waits for its second chunk is cancelled when its connection and the next are reset", async () => {
  const [sandbox, connection] = await ask("stream", '["slow",1000]', { AWS_LAMBDA_MAX_CONCURRENCY: "2" });
  await using _ = sandbox;
  await connection.receives(1);
  sandbox.api.resetNextConnections(1);
  connection.reset();
  const { stderr } = await sandbox.api.request("GET", "/invocation/next").then((other) => stop(sandbox, other));
  assert.match(stderr, /one of 2 loops has failed: 127\.0\.0\.1:\d+ twice closed the connection/);
  assert.match(stderr, /finally/);
});

/** Has a reply of 20 MB answered while nobody reads it. */
async function answeredEarly(): Promise<[Sandbox, Connection]> {
  const [sandbox, connection] = await begin("size", "20000000");
  await connection.send(accepted);
  await Bun.sleep(50);
  return [sandbox, connection];
}

test("a large reply that is answered 2xx before it is all sent is sent to its end", async () => {
  const [sandbox, connection] = await answeredEarly();
  await using _ = sandbox;
  connection.resume();
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.length, 20_000_000);
  const { stderr } = await sandbox.stop();
  assert.equal(stderr, "");
  assert.equal(sandbox.api.connections.length, 1);
});

for (const how of ["end", "reset"] as const) {
  test(`a large reply that is answered 2xx too early is logged as cut if the connection then breaks (${how})`, async () => {
    const [sandbox, connection] = await answeredEarly();
    await using _ = sandbox;
    connection[how]();
    const { stderr } = await sandbox.stop();
    assert.match(
      stderr,
      /^\S+\t1\tERROR\tthe reply was cut, since the connection broke before all of it was sent, though it was answered 202\n$/,
    );
    assert.equal(sandbox.api.connections.length, 2);
  });
}

test("a large reply that is answered 2xx with Connection: close is sent to its end, and the connection replaced", async () => {
  const [sandbox, connection] = await begin("size", "20000000");
  await using _ = sandbox;
  await connection.send("HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  await Bun.sleep(50);
  connection.resume();
  assert.equal((await sandbox.api.request("POST", "/invocation/1/response")).body.length, 20_000_000);
  const { stderr } = await sandbox.stop();
  assert.equal(stderr, "");
  assert.equal(sandbox.api.connections.length, 2);
});

const vanished =
  /^\S+\t1\tERROR\tthe (streamed )?reply was cut, since the memory of its body was taken away while it was sent\n$/;

for (const how of ["transferred", "shrunk"]) {
  for (const way of ["a reply", "a promised reply", "a first chunk", "a later chunk"]) {
    test(`memory that is ${how} while it is sent as ${way} cuts the reply and its connection, and is logged`, async () => {
      const [sandbox, connection] = await begin("vanishes", `${how}, ${way}`);
      await using _ = sandbox;
      if (way === "a first chunk") return assert.ok(await isCopied(sandbox, connection));
      await Bun.sleep(300);
      const received = connection.discard();
      connection.resume();
      await connection.closed;
      assert.ok(received.bytes < 20_000_000, `${received.bytes}`);
      assert.equal((await sandbox.invoke({ id: "2", body: "" })).body.toString(), "served");
      const { stderr } = await sandbox.stop();
      assert.match(stderr, vanished);
      assert.equal(sandbox.api.connections.length, 2);
    });

    test(`memory that is ${how} while it is sent as ${way} cuts the reply though its connection is reset`, async () => {
      const [sandbox, connection] = await begin("vanishes", `${how}, ${way}`);
      await using _ = sandbox;
      await Bun.sleep(300);
      connection.reset();
      if (way === "a first chunk") return assert.ok(await isCopied(sandbox, connection));
      assert.equal((await sandbox.invoke({ id: "2", body: "" })).body.toString(), "served");
      const { stderr } = await sandbox.stop();
      assert.match(stderr, way === "a later chunk" ? /the connection broke after its first chunk was sent/ : vanished);
      assert.equal(logEvents(stderr).length, 1);
    });
  }
}

/** A first chunk may have to be sent again, so it is the runtime's own. */
async function isCopied(sandbox: Sandbox, connection: Connection): Promise<boolean> {
  await Bun.sleep(300);
  connection.resume();
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  await reply.send(accepted);
  const { stderr } = await sandbox.stop();
  return stderr === "" && reply.body.length === 20_000_005 && reply.body.subarray(0, -5).every((byte) => byte === 0x78);
}

test("an answer counts that came while the process stood still; a reply that is not taken in time does not", async () => {
  const pause = 31_000;

  async function frozen(handler: string, body: string): Promise<void> {
    const [sandbox, connection] = await ask(handler, body);
    await using _ = sandbox;
    await sandbox.api.request("POST", "/invocation/1/response");
    await Bun.sleep(100);
    sandbox.process.kill("SIGSTOP");
    await connection.send(accepted);
    await Bun.sleep(pause);
    sandbox.process.kill("SIGCONT");
    assert.equal(withoutLines((await sandbox.stop()).stderr), "", handler);
  }

  /** The time-out itself, so that it is not waited for twice. */
  async function notTaken(): Promise<void> {
    const [sandbox, connection] = await begin("size", "20000000");
    await using _ = sandbox;
    await connection.send(accepted);
    const { stderr } = await sandbox.stop();
    assert.match(
      stderr,
      /^\S+\t1\tERROR\tthe reply was cut, since the server did not take all of it within 30000 ms, though it had answered 202\n$/,
    );
  }

  async function blocked(): Promise<void> {
    const [sandbox] = await ask("block", "0", { AWS_LAMBDA_MAX_CONCURRENCY: "2" });
    await using _ = sandbox;
    const other = await sandbox.api.request("GET", "/invocation/next");
    const reply = await sandbox.api.request("POST", "/invocation/1/response");
    await other.send(event({ id: "2", body: String(pause) }));
    await Bun.sleep(100);
    await reply.send(accepted);
    const requests = [await sandbox.api.anyRequest(), await sandbox.api.anyRequest()];
    assert.deepEqual(requests.map(({ target }) => target.split("/").at(-1)).sort(), ["next", "response"]);
    for (const request of requests) await request.send(request.method === "GET" ? gone : accepted);
    const { status, stderr } = await sandbox.stop();
    assert.deepEqual([status, stderr], [0, ""]);
  }

  await Promise.all([
    notTaken(),
    frozen("echo", "small"),
    frozen("size", "1000000"),
    frozen("stream", '["numbers",3]'),
    blocked(),
  ]);
});

const opaque = Buffer.from(Array.from({ length: 128 }, (_, index) => 0x80 + index));

for (const [kind, handler, body, path = "response"] of [
  ["a small reply", "echo", "small"],
  ["a small reply that is not ASCII", "text", ""],
  ["a large reply", "size", "1000000"],
  ["a large reply that is not ASCII", "repeat", '["é",100000]'],
  ["an error", "errors", '"Error"', "error"],
  ["a streamed reply", "stream", '["numbers",2]'],
  ["a large streamed reply", "stream", '["large",2]'],
] as const) {
  test(`an invocation id of the bytes 80 to ff goes back byte for byte with ${kind}`, async () => {
    await using sandbox = await Sandbox.start(handler);
    const next = await sandbox.api.request("GET", "/invocation/next");
    const [head = "", rest] = event({ id: "1", body }).toString().split("\r\n\r\n");
    const field = Buffer.concat([
      Buffer.from(`${head}\r\nLambda-Runtime-Invocation-Id: =\t`),
      opaque,
      Buffer.from(`; \r\n\r\n${rest}`),
    ]);
    await next.send(field);
    const { raw, send } = await sandbox.api.request("POST", `/invocation/1/${path}`);
    const sent = /\r\nLambda-Runtime-Invocation-Id: ([^\r]*)\r\n/.exec(raw.toString("latin1"))?.[1] ?? "";
    assert.equal(sent, `=\t${opaque.toString("latin1")};`);
    await send(accepted);
    await sandbox.stop();
  });
}

for (const [kind, text] of [
  ["ASCII", "x"],
  ["two bytes a character", "é"],
  ["three bytes a character", "€"],
  ["four bytes a character", "🌍"],
  ["lone surrogates", "\ud83c"],
  ["surrogates the wrong way round", "\udf0d\ud83c"],
  ["characters of all kinds", "aé€🌍\udf0d"],
] as const) {
  test(`a string of ${kind} is sent as UTF-8 with its length, however long, and however slowly read`, async () => {
    await using sandbox = await Sandbox.start("repeat");
    for (const count of [1, 1_000, 16_383, 16_384, 21_845, 32_768, 65_536, 65_537, 1_000_000]) {
      const next = await sandbox.api.request("GET", "/invocation/next");
      next.connection.pause();
      await next.send(event({ id: "1", body: JSON.stringify([text, count]) }));
      for (let pauses = 0; pauses < 5; pauses++) {
        await Bun.sleep(5);
        next.connection.resume();
        await Bun.sleep(0);
        next.connection.pause();
      }
      next.connection.resume();
      const { body, headers, send } = await sandbox.api.request("POST", "/invocation/1/response");
      const expected = new TextEncoder().encode(text.repeat(count));
      assert.equal(headers.get("content-length"), String(expected.length));
      assert.ok(body.equals(expected), `${count} of ${kind}`);
      await send(accepted);
    }
    await sandbox.stop();
  });
}
