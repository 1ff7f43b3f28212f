/** The invocation loop: what is asked, what is answered, and what follows from each status of the Runtime API. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, answer, event, response } from "./runtime-api.ts";
import { Sandbox } from "./sandbox.ts";

test("invocations are served one after the other", async () => {
  await using sandbox = await Sandbox.start("echo");
  for (let id = 1; id <= 100; id++) {
    const reply = await sandbox.invoke({ id: String(id), body: `body ${id}` });
    assert.equal(reply.body.toString(), `body ${id}`);
  }
  const { stdout, stderr } = await sandbox.stop();
  assert.equal(stdout + stderr, "");
});

for (const handler of ["json", "web"]) {
  test(`what ${handler} rehearses before its first event is not seen by the service, the handler or the log`, async () => {
    await using sandbox = await Sandbox.start("rehearsed", { _HANDLER: handler, _X_AMZN_TRACE_ID: "set before" });
    const next = await sandbox.api.request("GET", "/invocation/next");
    assert.equal(sandbox.api.connections.length, 1);
    assert.equal(next.connection.received.length, 0);
    await next.send(event({ id: "1", body: '{"rawPath":"/","requestContext":{"http":{"method":"GET"}}}' }));
    const post = await sandbox.api.request("POST", "/invocation/1/response");
    await post.send(accepted);
    const reply = JSON.parse(post.body.toString());
    assert.deepEqual(handler === "web" ? JSON.parse(reply.body) : reply, {
      calls: 1,
      traceId: "set before",
      newGlobals: "",
      listeners: 0,
    });
    const { stdout, stderr } = await sandbox.stop();
    assert.equal(stdout + stderr, "");
  });
}

test("a string is sent as UTF-8", async () => {
  await using sandbox = await Sandbox.start("text");
  const reply = await sandbox.invoke();
  assert.equal(reply.body.toString("utf8"), "Grüße 🌍");
});

test("an empty body comes in as no bytes, and no bytes go out as an empty body", async () => {
  await using sandbox = await Sandbox.start("echo");
  const reply = await sandbox.invoke({ body: "" });
  assert.equal(reply.body.length, 0);
  assert.equal(reply.headers.get("content-length"), "0");
});

test("the request id goes percent-encoded into the path", async () => {
  await using sandbox = await Sandbox.start("echo");
  await sandbox.invoke({ id: "a b/c?d#e%20é" });
  await sandbox.stop();
});

test("the invocation id is sent back with a reply and with an error, as it came, and only if it came", async () => {
  await using sandbox = await Sandbox.start("errors");
  const failed = await sandbox.invoke({
    body: '"Error"',
    headers: { "lambda-runtime-INVOCATION-id": " =opaque; value " },
    expect: "error",
  });
  assert.equal(failed.headers.get("lambda-runtime-invocation-id"), "=opaque; value");
  const without = await sandbox.invoke({ body: '"Error"', expect: "error" });
  assert.equal(without.headers.get("lambda-runtime-invocation-id"), undefined);

  await using echo = await Sandbox.start("echo");
  const replied = await echo.invoke({ headers: { "Lambda-Runtime-Invocation-Id": "42" } });
  assert.equal(replied.headers.get("lambda-runtime-invocation-id"), "42");
  const empty = await echo.invoke({ headers: { "Lambda-Runtime-Invocation-Id": "" } });
  assert.equal(empty.headers.get("lambda-runtime-invocation-id"), undefined);
});

test("_X_AMZN_TRACE_ID is that of the invocation, and is not set if it has none", async () => {
  await using sandbox = await Sandbox.start("trace-id", { _X_AMZN_TRACE_ID: "of the environment" });
  const traceId = async (value: string | undefined) =>
    (await sandbox.invoke({ headers: { "Lambda-Runtime-Trace-Id": value } })).body.toString();
  assert.equal(await traceId("Root=1"), '"Root=1"');
  assert.equal(await traceId("Root=2"), '"Root=2"');
  assert.equal(await traceId(undefined), "null");
  assert.equal(await traceId("Root=3"), '"Root=3"');
});

test("a handler of several is picked by _HANDLER", async () => {
  for (const [name, reply] of [
    ["create", '"created"'],
    ["list", '"listed"'],
  ] as const) {
    await using sandbox = await Sandbox.start("several", { _HANDLER: name });
    assert.equal((await sandbox.invoke()).body.toString(), reply);
  }
});

test("_HANDLER does not matter to a single handler", async () => {
  await using sandbox = await Sandbox.start("echo", { _HANDLER: "anything" });
  await sandbox.invoke();
});

test("GET /invocation/next answered 410 ends the process with 0, and without a word", async () => {
  await using sandbox = await Sandbox.start("echo");
  const { stdout, stderr } = await sandbox.stop();
  assert.equal(stdout + stderr, "");
});

for (const status of [403, 404, 429, 500, 503, 202, 302]) {
  test(`GET /invocation/next answered ${status} ends the process with 1 and a message`, async () => {
    await using sandbox = await Sandbox.start("echo");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(answer(status, '{"errorMessage":"reason"}'));
    const exit = await sandbox.exited;
    assert.equal(exit.status, 1);
    assert.match(
      exit.stderr,
      new RegExp(`^\\S+\\t\\tFATAL\\tGET /invocation/next was answered ${status} .*reason.*\n$`),
    );
    assert.equal(sandbox.api.unexpected, 0);
  });
}

for (const [name, body, path] of [
  ["echo", "{}", "response"],
  ["errors", '"Error"', "error"],
] as const) {
  async function post(status: number): Promise<Sandbox> {
    const sandbox = await Sandbox.start(name);
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ id: "1", body }));
    const request = await sandbox.api.request("POST", `/invocation/1/${path}`);
    await request.send(answer(status, "the reason"));
    return sandbox;
  }

  for (const status of [200, 202]) {
    test(`POST /${path} answered ${status} is a success`, async () => {
      await using sandbox = await post(status);
      await sandbox.invoke({ id: "2", body, expect: path });
      const { stderr } = await sandbox.stop();
      assert.ok(!stderr.includes("the reason"), stderr);
    });
  }

  for (const status of [400, 403, 404, 410, 413]) {
    test(`POST /${path} answered ${status} is logged, and the next invocation is served`, async () => {
      await using sandbox = await post(status);
      await sandbox.invoke({ id: "2", body, expect: path });
      const { stderr } = await sandbox.stop();
      const complaint =
        status === 413 && path === "response"
          ? /the reply of 2 bytes is too large.* 6291556 bytes/
          : new RegExp(`${status} "the reason"`);
      const lines = stderr.split("\n").filter((line) => complaint.test(line));
      assert.equal(lines.length, 1, stderr);
      assert.match(lines[0] ?? "", /^\S+\t1\tERROR\t/);
      if (status === 410) assert.match(lines[0] ?? "", /after the invocation had timed out/);
    });
  }

  for (const status of [302, 500, 503]) {
    test(`POST /${path} answered ${status} ends the process with 1 and a message`, async () => {
      await using sandbox = await post(status);
      const exit = await sandbox.exited;
      assert.equal(exit.status, 1);
      assert.match(exit.stderr, new RegExp(`\\tFATAL\\tthe .* of invocation 1 was answered ${status} "the reason"\n$`));
      assert.equal(sandbox.api.unexpected, 0);
    });
  }

  for (const status of [400, 403]) {
    test(`POST /${path} answered ${status} when it was sent a second time counts as delivered`, async () => {
      await using sandbox = await Sandbox.start(name);
      const next = await sandbox.api.request("GET", "/invocation/next");
      await next.send(event({ id: "1", body }));
      const first = await sandbox.api.request("POST", `/invocation/1/${path}`);
      first.connection.reset();
      const second = await sandbox.api.request("POST", `/invocation/1/${path}`);
      await second.send(answer(status, "the reason"));
      const { stderr } = await sandbox.stop();
      assert.ok(!stderr.includes("the reason"), stderr);
    });
  }
}

test("a reply over the limit is sent all the same; when it is refused, the log names size and limit, and the next invocation is served", async () => {
  await using sandbox = await Sandbox.start("size");
  const size = 6 * 1024 * 1024 + 101;
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: String(size) }));
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.length, size);
  await reply.send(answer(413));
  assert.equal((await sandbox.invoke({ id: "2", body: "3" })).body.toString(), "xxx");
  const { stderr } = await sandbox.stop();
  assert.match(
    stderr,
    /^\S+\t1\tERROR\tthe reply of 6291557 bytes is too large, so the invocation has failed; the limit is 6291556 bytes\n$/,
  );
});

test("what a raw handler returns has to be bytes or a string", async () => {
  await using sandbox = await Sandbox.start("not-bytes");
  const report = await sandbox.invoke({ expect: "error" });
  assert.match(
    report.body.toString(),
    /"errorMessage":"the reply is object: a raw handler returns a Uint8Array, a string or a stream of them; .*"errorType":"Runtime\.MarshalError"/,
  );
});

for (const how of ["timer", "rejection"]) {
  test(`an error that escapes from a ${how} is reported as that of the invocation, and ends the process`, async () => {
    await using sandbox = await Sandbox.start("escaped");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ id: "1", body: JSON.stringify(how) }));
    const report = await sandbox.api.request("POST", "/invocation/1/error");
    assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Function.RangeError");
    await report.send(accepted);
    const { status, stderr } = await sandbox.exited;
    assert.equal(status, 1);
    assert.match(stderr, /^\S+\t1\tERROR\tRangeError: from a (timer|promise)\r[^\n]*\n$/);
    assert.equal(sandbox.api.unexpected, 0, "neither a reply nor the next event was asked for");
  });
}

for (const how of ["a timer", "a promise"]) {
  test(`an error that escapes from ${how} between two invocations is logged and ends the process`, async () => {
    await using sandbox = await Sandbox.start("escaped");
    await sandbox.invoke({ body: JSON.stringify(`${how}, later`) });
    await sandbox.api.request("GET", "/invocation/next");
    const { status, stderr } = await sandbox.exited;
    assert.equal(status, 1);
    assert.match(stderr, /^\S+\t\tERROR\tRangeError: between invocations\r[^\n]*\n$/);
    assert.equal(sandbox.api.unexpected, 0);
  });
}

test("an error that escapes while the reply is on its way ends the process once the reply is delivered", async () => {
  await using sandbox = await Sandbox.start("escaped");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: '"a timer, later"' }));
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  await Bun.sleep(100);
  assert.equal(sandbox.process.exitCode, null);
  await reply.send(accepted);
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, /^\S+\t1\tERROR\tRangeError: between invocations\r[^\n]*\n$/);
  assert.equal(sandbox.api.unexpected, 0, "neither an error report nor another event");
});

test("a report that is refused is only logged, and the process ends all the same", async () => {
  await using sandbox = await Sandbox.start("escaped");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: '"timer"' }));
  const report = await sandbox.api.request("POST", "/invocation/1/error");
  await report.send(response(500, { "Content-Length": "0" }));
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, /the error report of invocation 1 was answered 500/);
});
