/** Streamed replies: chunk by chunk, no faster than they are taken, and with trailers where they fail. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, answer, event, type ReceivedRequest } from "./runtime-api.ts";
import { executable, logEvents, Output, residentMemory, runLocally, Sandbox, version } from "./sandbox.ts";

/** Starts a function and sends it the event that asks for a stream. */
async function ask(...stream: [name: string, argument?: number]): Promise<Sandbox> {
  const sandbox = await Sandbox.start("stream");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: JSON.stringify(stream) }));
  return sandbox;
}

/** The one after it is served as if nothing had been. */
async function servesTheNext(sandbox: Sandbox): Promise<string> {
  assert.equal((await sandbox.invoke({ id: "2", body: '["numbers",3]' })).body.toString(), "1\n2\n3\n");
  return withoutLines((await sandbox.stop()).stderr);
}

/** A log without the lines of the handler. */
const withoutLines = (log: string) => log.replaceAll(/^\S+\t\d?\tINFO\t(?:finally|cancelled)\n/gm, "");

const trailerOf = (request: ReceivedRequest, name: string) =>
  new RegExp(`^${name}: (.*)\r\n`, "m").exec(request.trailers)?.[1];

test("a stream is a chunked POST with the streaming response mode, and the trailers announced", async () => {
  await using sandbox = await ask("numbers", 2);
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(
    reply.raw.toString(),
    `POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\nHost: ${sandbox.api.address}\r\nUser-Agent: bunstrap/${version}\r\n` +
      "Content-Type: application/octet-stream\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n" +
      "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "2\r\n1\n\r\n2\r\n2\n\r\n0\r\n\r\n",
  );
  await reply.send(accepted);
  assert.equal(await servesTheNext(sandbox), "");
  assert.equal(sandbox.api.connections.length, 1);
});

for (const [name, argument, contentType, body] of [
  ["readable", 3, "application/octet-stream", "1\n2\n3\n"],
  ["typed", 3, "text/plain; charset=utf-8", "1\n2\n3\n"],
  ["empty", 0, "application/octet-stream", ""],
  ["empty chunks", 0, "application/octet-stream", "a\0\xff"],
] as const) {
  test(`a stream (${name}) is a reply`, async () => {
    await using sandbox = await ask(name, argument);
    const reply = await sandbox.api.request("POST", "/invocation/1/response");
    assert.equal(reply.headers.get("content-type"), contentType);
    assert.equal(reply.body.toString("latin1"), body);
    assert.equal(reply.trailers, "");
    await reply.send(accepted);
    assert.equal(await servesTheNext(sandbox), "");
  });
}

test("each chunk is on the wire as soon as it is made", async () => {
  await using sandbox = await ask("slow", 30);
  const [connection] = sandbox.api.connections;
  await connection?.receives("\r\n2\r\n1\n\r\n");
  assert.doesNotMatch(connection?.received.toString() ?? "", /30\n/);
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.toString(), Array.from({ length: 30 }, (_, index) => `${index + 1}\n`).join(""));
});

for (const [name, argument, type] of [
  ["failing", 0, "Function.StreamFailure"],
  ["bad chunk", 0, "Runtime.MarshalError"],
  ["bad type", 0, "Runtime.MarshalError"],
  ["stuck", 0, "Runtime.NeverSettled"],
] as const) {
  test(`a stream that fails before its first byte (${name}) is an ordinary error`, async () => {
    await using sandbox = await ask(name, argument);
    const report = await sandbox.api.request("POST", "/invocation/1/error");
    assert.equal(report.headers.get("lambda-runtime-function-error-type"), type);
    assert.equal(report.headers.get("x-injected"), undefined);
    await report.send(accepted);
    await servesTheNext(sandbox);
  });
}

for (const [name, type, errorType] of [
  ["failing", "Function.StreamFailure", "StreamFailure"],
  ["bad chunk", "Runtime.MarshalError", "Runtime.MarshalError"],
  ["stuck", "Runtime.NeverSettled", "Runtime.NeverSettled"],
] as const) {
  test(`a stream that fails after its first byte (${name}) ends with the error trailers, and the log says that it was cut`, async () => {
    await using sandbox = await ask(name, 2);
    const reply = await sandbox.api.request("POST", "/invocation/1/response");
    assert.equal(reply.body.toString(), "1\n2\n");
    const body = trailerOf(reply, "Lambda-Runtime-Function-Error-Body") ?? "";
    assert.ok(
      reply.raw
        .toString()
        .endsWith(
          `2\r\n2\n\r\n0\r\nLambda-Runtime-Function-Error-Type: ${type}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n\r\n`,
        ),
    );
    const report = JSON.parse(Buffer.from(body, "base64").toString());
    assert.equal(report.errorType, errorType);
    if (name === "failing") assert.equal(report.errorMessage, "in the stream: é\r\n");
    await reply.send(accepted);
    const stderr = await servesTheNext(sandbox);
    assert.match(stderr, new RegExp(`^\\S+\\t1\\tERROR\\t${errorType}: `));
    assert.match(
      stderr,
      /\n\S+\t1\tERROR\tthe streamed reply was cut, since the handler failed after its first byte was sent\n$/,
    );
  });
}

test("an error that escapes in the middle of a stream ends it with the error trailers, and then the process", async () => {
  await using sandbox = await ask("escapes in the middle");
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.toString(), "1\n");
  assert.equal(trailerOf(reply, "Lambda-Runtime-Function-Error-Type"), "Function.RangeError");
  await reply.send(accepted);
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(withoutLines(stderr), /^\S+\t1\tERROR\tRangeError: from a timer\r/);
  assert.equal(stderr.split("RangeError: from a timer").length - 1, 1, "logged once");
  assert.equal(sandbox.api.unexpected, 0);
});

test("what a stream fails with is logged even if the answer to it is no HTTP", async () => {
  await using sandbox = await ask("failing", 1);
  await (await sandbox.api.request("POST", "/invocation/1/response")).send("garbage\r\n\r\n");
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.deepEqual(
    logEvents(withoutLines(stderr)).map(({ level, message }) => [level, message.split("\n")[0]]),
    [
      ["ERROR", "StreamFailure: in the stream: é"],
      ["FATAL", 'malformed response: status line "garbage"'],
    ],
  );
});

for (const method of ["end", "reset"] as const) {
  test(`a server that breaks the connection (${method}) in the middle of a stream cancels it, and the next invocation is served`, async () => {
    await using sandbox = await ask("slow", 1_000);
    await sandbox.api.connections[0]?.receives("\r\n3\n");
    sandbox.api.connections[0]?.[method]();
    assert.equal((await sandbox.invoke({ id: "2", body: '["slow",2]' })).body.toString(), "1\n2\n");
    const { stderr } = await sandbox.stop();
    assert.equal(stderr.match(/\tfinally\n/g)?.length, 2);
    assert.match(
      withoutLines(stderr),
      /^\S+\t1\tERROR\tthe streamed reply was cut, since the connection broke after its first chunk was sent\n$/,
    );
  });
}

test("a server that refuses a stream in the middle of it cancels it, and the next invocation is served", async () => {
  await using sandbox = await ask("slow", 1_000);
  await sandbox.api.connections[0]?.receives("\r\n3\n");
  await sandbox.api.connections[0]?.send(answer(413, "too large"));
  assert.equal((await sandbox.invoke({ id: "2", body: '["slow",2]' })).body.toString(), "1\n2\n");
  const { stderr } = await sandbox.stop();
  assert.equal(stderr.match(/\tfinally\n/g)?.length, 2);
  assert.match(withoutLines(stderr), /^\S+\t1\tERROR\tthe streamed reply was refused: 413 "too large"\n$/);
});

test("a stream that is answered before its end is logged as cut", async () => {
  await using sandbox = await ask("slow", 1_000);
  await sandbox.api.connections[0]?.receives("\r\n3\n");
  await sandbox.api.connections[0]?.send(accepted);
  const stderr = await servesTheNext(sandbox);
  assert.match(stderr, /^\S+\t1\tERROR\tthe streamed reply was cut, since it was answered before its end\n$/);
});

test("what a stream throws after it was refused is logged", async () => {
  await using sandbox = await ask("throws later", 1);
  await sandbox.api.connections[0]?.receives("\r\n1\n");
  await sandbox.api.connections[0]?.send(answer(410));
  const next = await sandbox.api.request("GET", "/invocation/next");
  await sandbox.stderr.until("RangeError: after it was refused");
  await next.send(answer(410));
  const { stderr } = await sandbox.exited;
  assert.match(
    withoutLines(stderr),
    /^\S+\t1\tERROR\tthe streamed reply came after [^\n]*\n\S+\t1\tERROR\tRangeError: after it was refused\r[^\n]*\n$/,
  );
});

test("a stream that was refused while it waited does not hide that the next handler can never settle", async () => {
  await using sandbox = await ask("throws later", 1);
  await sandbox.api.connections[0]?.receives("\r\n1\n");
  await sandbox.api.connections[0]?.send(answer(410));
  const report = await sandbox.invoke({ id: "2", body: '["stuck",0]', expect: "error" });
  assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Runtime.NeverSettled");
});

test("a stream that is refused for its contentType lets go of its context", async () => {
  await using sandbox = await Sandbox.start("stream");
  const headers = { "Lambda-Runtime-Deadline-Ms": String(Date.now() + 900_000) };
  await sandbox.invoke({ id: "1", body: '["bad type",0]', headers, expect: "error" });
  const report = await sandbox.invoke({ id: "2", body: '["stuck",0]', expect: "error" });
  assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Runtime.NeverSettled");
});

test("an error that escapes while the server does not read ends the stream with its next chunk, and is in the trailers", async () => {
  await using sandbox = await ask("escapes while nobody reads");
  const [connection] = sandbox.api.connections;
  connection?.pause();
  await sandbox.stderr.until("RangeError: from a timer");
  connection?.resume();
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(trailerOf(reply, "Lambda-Runtime-Function-Error-Type"), "Function.RangeError");
  assert.ok(reply.body.length < 100 << 20);
  await reply.send(accepted);
  assert.equal((await sandbox.exited).status, 1);
});

test("a large first chunk that is sent again is what it was, though its buffer was used again", async () => {
  await using sandbox = await ask("one buffer");
  await sandbox.api.connections[0]?.receives(1);
  sandbox.api.connections[0]?.reset();
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.ok(reply.body.equals(Buffer.from("A".repeat(100_000) + "B".repeat(100_000))));
});

test("a small chunk that was made while the first is sent again is sent, though its memory was transferred meanwhile", async () => {
  await using sandbox = await ask("second chunk is transferred");
  const [first] = sandbox.api.connections;
  await first?.receives(20_000_000);
  first?.reset();
  while (!sandbox.api.connections[1]) await Bun.sleep(5);
  sandbox.api.connections[1].pause();
  await Bun.sleep(1_000);
  sandbox.api.connections[1].resume();
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.length, 20_001_000);
  assert.ok(reply.body.subarray(20_000_000).every((byte) => byte === 0x42));
  await reply.send(accepted);
  assert.equal(await servesTheNext(sandbox), "");
});

test("a stream of which only the first chunk is made is sent again over a new connection", async () => {
  await using sandbox = await ask("slow", 2);
  await sandbox.api.connections[0]?.receives("\r\n1\n");
  sandbox.api.connections[0]?.reset();
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.toString(), "1\n2\n");
  await reply.send(accepted);
  assert.equal(await servesTheNext(sandbox), "");
});

test("200 MB are streamed to a slow reader without being held in memory: it slows the handler down", async () => {
  await using sandbox = await ask("large", 200);
  const [connection] = sandbox.api.connections;
  assert.ok(connection);
  const discarded = connection.discard();
  connection.pause();
  await Bun.sleep(300);
  const before = discarded.bytes;
  await Bun.sleep(300);
  assert.ok(discarded.bytes === before && before < 20e6, `${before} bytes came though nobody read`);
  let peak = 0;
  for (let time = 0; discarded.bytes < 200e6 && time < 3_000; time++) {
    connection.pause();
    await Bun.sleep(5);
    peak = Math.max(peak, residentMemory(sandbox.process.pid));
    connection.resume();
    await Bun.sleep(1);
  }
  assert.ok(discarded.bytes >= 200e6);
  assert.ok(peak < 80, `${peak.toFixed(1)} MB`);
});

test("a stream that never waits lets timers and sockets have their turn", async () => {
  await using sandbox = await ask("never waits", 100_000);
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  const [, timers] = /\n(\d+) timers$/.exec(reply.body.subarray(-30).toString()) ?? [];
  assert.ok(Number(timers) > 5, `${timers} turns`);
});

test("a stream that never waits is told at once that it is refused", async () => {
  await using sandbox = await ask("never waits", 10_000_000);
  const connection = sandbox.api.connections[0]!;
  while (connection.received.length < 1_000_000) await Bun.sleep(1);
  const discarded = connection.discard();
  await connection.send(answer(413, "too large"));
  assert.equal(await servesTheNext(sandbox).then((log) => /was refused: 413/.test(log)), true);
  assert.ok(discarded.bytes < 50_000_000, `${discarded.bytes} bytes`);
});

test("an object whose body is not async-iterable is JSON", async () => {
  await using sandbox = await ask("not a stream");
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.toString(), '{"body":"text"}');
});

test("in local mode a stream is printed as it comes", async () => {
  const child = Bun.spawn([executable("stream"), '["slow",30]'], { env: {}, stdout: "pipe", stderr: "ignore" });
  const stdout = new Output(child.stdout);
  await stdout.until("1\n");
  assert.equal(child.exitCode, null);
  assert.equal(await stdout.whole, Array.from({ length: 30 }, (_, index) => `${index + 1}\n`).join(""));
});

test("in local mode a stream that fails is an error, behind what was printed of it", async () => {
  const { status, stdout, stderr } = await runLocally("stream", ['["failing",2]']);
  assert.equal(status, 1);
  assert.equal(stdout, "1\n2\n");
  assert.equal(JSON.parse(stderr.replace(/^finally\n/, "")).errorType, "StreamFailure");
});
