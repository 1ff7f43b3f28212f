/** A server that breaks off, falls silent, or sends what nobody asked for, at each stage of an exchange. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, event } from "./runtime-api.ts";
import { logEvents, Sandbox } from "./sandbox.ts";

const event1 = event({ id: "1", body: "abc" });

/** How a test breaks a connection: with a FIN, or with a RST. */
const breaks = { closed: "end", reset: "reset" } as const;

for (const [how, method] of Object.entries(breaks) as ["closed" | "reset", "end" | "reset"][]) {
  test(`a connection that is ${how} while an event is awaited is replaced, and the event asked for again`, async () => {
    await using sandbox = await Sandbox.start("echo");
    (await sandbox.api.request("GET", "/invocation/next")).connection[method]();
    await sandbox.invoke({ id: "1" });
    await sandbox.stop();
    assert.equal(sandbox.api.connections.length, 2);
  });

  test(`a connection that is ${how} with the event is replaced, and the reply delivered once`, async () => {
    await using sandbox = await Sandbox.start("wait");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ id: "1", body: "500" }));
    await Bun.sleep(30);
    next.connection[method]();
    const reply = await sandbox.api.request("POST", "/invocation/1/response");
    await reply.send(accepted);
    const { stderr } = await sandbox.stop();
    assert.equal(stderr, "");
    assert.equal(sandbox.api.connections.length, 2);
  });

  test(`a connection that is ${how} after the reply was received is replaced, and the reply sent again`, async () => {
    await using sandbox = await Sandbox.start("echo");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event1);
    const first = await sandbox.api.request("POST", "/invocation/1/response");
    first.connection[method]();
    const second = await sandbox.api.request("POST", "/invocation/1/response");
    assert.ok(second.raw.equals(first.raw));
    await second.send(accepted);
    const { stderr } = await sandbox.stop();
    assert.equal(stderr, "");
  });

  test(`a connection that is ${how} within the answer to a reply ends the process with a message`, async () => {
    await using sandbox = await Sandbox.start("echo");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event1);
    const reply = await sandbox.api.request("POST", "/invocation/1/response");
    await reply.send("HTTP/1.1 202 Acc");
    await Bun.sleep(30);
    reply.connection[method]();
    const { status, stderr } = await sandbox.exited;
    assert.equal(status, 1);
    assert.match(stderr, /^\S+\t\tFATAL\tthe connection (was closed|broke) in the middle of a response[^\n]*\n$/);
    assert.equal(sandbox.api.unexpected, 0);
  });
}

test("a connection that closes twice before the response ends the process", async () => {
  await using sandbox = await Sandbox.start("echo");
  for (let attempt = 0; attempt < 2; attempt++) (await sandbox.api.request("GET", "/invocation/next")).connection.end();
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(
    stderr,
    /\tFATAL\t127\.0\.0\.1:\d+ twice closed the connection instead of answering GET \S+\/invocation\/next\n$/,
  );
  assert.equal(sandbox.api.unexpected, 0);
});

test("a connection that is reset in the middle of a large reply is replaced, and the whole reply sent again", async () => {
  await using sandbox = await Sandbox.start("size");
  const next = await sandbox.api.request("GET", "/invocation/next");
  next.connection.resetAfter = 1_000_000;
  await next.send(event({ id: "1", body: String(5_000_000) }));
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.notEqual(reply.connection, next.connection);
  assert.equal(reply.body.length, 5_000_000);
  await reply.send(accepted);
  await sandbox.stop();
});

test("a connection that is reset as soon as it opens is replaced", async () => {
  await using sandbox = await Sandbox.start("wait");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: "500" }));
  await Bun.sleep(10);
  next.connection.reset();
  sandbox.api.resetNextConnections(1);
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  await reply.send(accepted);
  await sandbox.stop();
  assert.equal(sandbox.api.connections.length, 3);
});

test("bytes that nobody asked for end their connection, and the next request goes over a new one", async () => {
  await using sandbox = await Sandbox.start("wait");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: "500" }), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  await next.connection.closed;
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.notEqual(reply.connection, next.connection);
  await reply.send(accepted);
  const { stderr } = await sandbox.stop();
  assert.equal(stderr, "");
});

test("a server that never answers a reply ends the process after 30 s, also if the reply was sent twice", async () => {
  async function acceptAndBeSilent(times: number): Promise<void> {
    await using sandbox = await Sandbox.start("echo");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event1);
    for (let time = 1; time < times; time++)
      (await sandbox.api.request("POST", "/invocation/1/response")).connection.reset();
    await sandbox.api.request("POST", "/invocation/1/response");
    const { status, stderr } = await sandbox.exited;
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^\S+\t\tFATAL\t127\.0\.0\.1:\d+ has not answered POST \S+\/invocation\/1\/response within 30000 ms\n$/,
    );
    assert.equal(sandbox.api.unexpected, 0);
  }

  await Promise.all([acceptAndBeSilent(1), acceptAndBeSilent(2)]);
});

test("an answer that ends its connection before a reply is all sent cuts the reply, and the next event is asked for", async () => {
  await using sandbox = await Sandbox.start("size");
  const next = await sandbox.api.request("GET", "/invocation/next");
  next.connection.pauseAfter = 1;
  await next.send(event({ id: "1", body: "20000000" }));
  await next.connection.receives(1);
  await next.send("HTTP/1.0 202 Accepted\r\n\r\n");
  next.connection.end();
  const { stderr } = await sandbox.stop();
  assert.deepEqual(
    logEvents(stderr).map(({ requestId, level, message }) => [requestId, level, message]),
    [
      [
        "1",
        "ERROR",
        "the reply was cut, since the connection broke before all of it was sent, though it was answered 202",
      ],
    ],
  );
});

test("a server that is gone after a connection broke ends the process with its host and port", async () => {
  await using sandbox = await Sandbox.start("wait");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: "500" }));
  sandbox.api.stopListening();
  next.connection.reset();
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, /^\S+\t\tFATAL\tcannot connect to 127\.0\.0\.1:\d+: [^\n]*\(ECONNREFUSED\)\n$/);
});
