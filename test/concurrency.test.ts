/** AWS_LAMBDA_MAX_CONCURRENCY: several invocations at a time in one process, as on Lambda Managed Instances. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, answer, event, gone, type ReceivedRequest } from "./runtime-api.ts";
import { randomFrom } from "./random.ts";
import { Sandbox } from "./sandbox.ts";

/** Starts so many loops, and waits until each has asked for an event. */
async function startLoops(count: number, env: Record<string, string> = {}): Promise<[Sandbox, ...ReceivedRequest[]]> {
  const sandbox = await Sandbox.start("interleaved", { AWS_LAMBDA_MAX_CONCURRENCY: String(count), ...env });
  const nexts: ReceivedRequest[] = [];
  while (nexts.length < count) nexts.push(await sandbox.api.request("GET", "/invocation/next"));
  return [sandbox, ...nexts];
}

const send = (next: ReceivedRequest | undefined, id: string, body: object) =>
  next?.send(event({ id, body: JSON.stringify(body) }));

const logged = (log: string) =>
  log
    .split("\n")
    .slice(0, -1)
    .map((line): Record<string, string> => JSON.parse(line));

/** What the runtime logs, which is worse than what handlers do. */
const complaints = (log: string) => logged(log).filter(({ level }) => level !== "INFO");

test("loops that are refused again and again leave nothing behind, though no event comes", async () => {
  await using sandbox = await Sandbox.start("leftover-functions", { AWS_LAMBDA_MAX_CONCURRENCY: "2" });
  await sandbox.api.request("GET", "/invocation/next"); // of the other loop, which waits
  for (let refusals = 0; refusals < 2_000; refusals++) {
    const next = await sandbox.api.request("GET", "/invocation/next");
    if (refusals % 1_000 === 500) {
      sandbox.process.kill("SIGUSR2");
      await Bun.sleep(200);
    }
    await next.send(answer(500, "too many"));
  }
  sandbox.process.kill("SIGKILL");
  const [before = NaN, after = NaN] = (await sandbox.exited).stderr.match(/^\d+$/gm)?.map(Number) ?? [];
  assert.ok(after - before < 500, `${before} functions, and then ${after}`);
});

test("64 loops serve 100,000 interleaved invocations: every reply goes to its own request, every line has its own request id", async () => {
  await using sandbox = await Sandbox.start("interleaved", { AWS_LAMBDA_MAX_CONCURRENCY: "64" });
  const total = 100_000;
  const random = randomFrom(5);
  const integer = (below: number) => Math.floor(random() * below);
  const waiting = new Map<string, string>();
  let sent = 0;
  let stopped = 0;
  let mostAtATime = 0;
  while (stopped < 64) {
    const request = await sandbox.api.anyRequest();
    if (request.method === "POST") {
      const { id, text } = JSON.parse(request.body.toString());
      assert.equal(request.target, `/2018-06-01/runtime/invocation/${id}/response`);
      assert.equal(waiting.get(id), text);
      waiting.delete(id);
      void request.send(accepted);
    } else if (sent < total) {
      const id = String(sent++);
      const text = `text ${id} ${integer(1_000_000)}`;
      waiting.set(id, text);
      mostAtATime = Math.max(mostAtATime, waiting.size);
      void send(request, id, { wait: integer(3), text });
    } else {
      void request.send(gone);
      stopped++;
    }
  }
  assert.equal(waiting.size, 0);
  assert.equal(sandbox.api.connections.length, 64);
  assert.equal(mostAtATime, 64);
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 0);
  const lines = logged(stderr);
  assert.equal(lines.length, total);
  for (const { requestId, message } of lines)
    assert.ok(message?.startsWith(`text ${requestId} `), `${requestId}: ${message}`);
});

test("a loop whose connection breaks in the middle of an event begins again, and the other does not notice", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await first?.send("HTTP/1.1 200 OK\r\nContent-Le");
  first?.connection.reset();
  await send(second, "2", { wait: 0, text: "undisturbed" });
  const reply = await sandbox.api.request("POST", "/invocation/2/response");
  assert.equal(JSON.parse(reply.body.toString()).text, "undisturbed");
  await reply.send(accepted);
  const again = [
    await sandbox.api.request("GET", "/invocation/next"),
    await sandbox.api.request("GET", "/invocation/next"),
  ];
  assert.equal(sandbox.api.connections.length, 3);
  for (const next of again) await next.send(gone);
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 0);
  const [line, ...others] = complaints(stderr);
  assert.deepEqual(others, []);
  assert.match(line?.message ?? "", /^one of 2 loops has failed: the connection broke in the middle of a response/);
});

test("a loop whose reply is answered by a server error begins again, and names the invocation in the log", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await send(first, "1", { wait: 0, text: "refused" });
  await (await sandbox.api.request("POST", "/invocation/1/response")).send(answer(502, "bad"));
  for (const next of [await sandbox.api.request("GET", "/invocation/next"), second]) await next?.send(gone);
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 0);
  assert.match(stderr, /the reply of invocation 1 was answered 502/);
});

test("what becomes of an answer is in the log of its invocation even if the loop failed before it, or the other was told 410", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await first?.send(answer(500, "too many"));
  await send(await sandbox.api.request("GET", "/invocation/next"), "1", { wait: 0, text: "" });
  await (await sandbox.api.request("POST", "/invocation/1/response")).send(answer(500, "bad"));
  await send(await sandbox.api.request("GET", "/invocation/next"), "2", { wait: 100, text: "" });
  await second?.send(gone);
  await (await sandbox.api.request("POST", "/invocation/2/response")).send(answer(500, "bad"));
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 0);
  const lines = complaints(stderr).map(({ requestId, message }) => [
    requestId,
    message?.replace("one of 2 loops has failed: ", ""),
  ]);
  assert.deepEqual(lines, [
    [undefined, 'GET /invocation/next was answered 500 "too many"'],
    ["1", 'the reply of invocation 1 was answered 500 "bad"'],
    ["2", 'the reply of invocation 2 was answered 500 "bad"'],
  ]);
});

test("an event that comes while an escaped error is reported is not begun, and is logged and reported", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await send(first, "1", { wait: 0, text: "escapes", after: "throw from a timer" });
  const report = await sandbox.api.request("POST", "/invocation/1/error");
  await send(second, "2", { wait: 0, text: "never printed" });
  const late = await sandbox.api.request("POST", "/invocation/2/error");
  assert.equal(JSON.parse(late.body.toString()).errorType, "Runtime.ExitError");
  await late.send(accepted);
  await report.send(accepted);
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.doesNotMatch(stderr, /never printed/);
  assert.deepEqual(
    complaints(stderr).map(({ requestId, errorType }) => [requestId, errorType]),
    [
      ["1", "RangeError"],
      ["2", "Runtime.ExitError"],
    ],
  );
});

test("a loop that is one too many (500) pauses and asks again, is logged once, and the other is served meanwhile", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await first?.send(answer(500, '{"errorType":"TooManyPollers"}'));
  for (let refusals = 0; refusals < 3; refusals++) {
    await (await sandbox.api.request("GET", "/invocation/next")).send(answer(500, '{"errorType":"TooManyPollers"}'));
  }
  await send(second, "2", { wait: 0, text: "meanwhile" });
  const reply = await sandbox.api.request("POST", "/invocation/2/response");
  await reply.send(accepted);
  for (const next of [
    await sandbox.api.request("GET", "/invocation/next"),
    await sandbox.api.request("GET", "/invocation/next"),
  ])
    await next.send(gone);
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 0);
  assert.equal(complaints(stderr).length, 1, stderr);
  assert.match(stderr, /GET \/invocation\/next was answered 500/);
});

test("when every loop fails again and again, the process ends with status 1 and says why", async () => {
  const [sandbox] = await startLoops(3);
  await using _ = sandbox;
  sandbox.api.stopListening();
  for (const connection of sandbox.api.connections) connection.reset();
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  const lines = logged(stderr);
  assert.deepEqual(
    lines.map(({ level }) => level),
    ["ERROR", "ERROR", "ERROR", "FATAL"],
  );
  assert.match(lines.at(-1)?.message ?? "", /^cannot connect to 127\.0\.0\.1:\d+: /);
});

test("a loop that is told 410 stops, and the others finish what they are at before the process ends with status 0", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await send(second, "2", { wait: 200, text: "finished" });
  await first?.send(gone);
  const reply = await sandbox.api.request("POST", "/invocation/2/response");
  assert.equal(JSON.parse(reply.body.toString()).text, "finished");
  await reply.send(accepted);
  const { stderr } = await sandbox.stop();
  assert.deepEqual(complaints(stderr), []);
});

/** Accepts the error reports of the invocations given, and returns them. */
async function reports(sandbox: Sandbox, ...ids: string[]): Promise<Record<string, string>[]> {
  const requests: ReceivedRequest[] = [];
  while (requests.length < ids.length) requests.push(await sandbox.api.anyRequest());
  requests.sort((a, b) => (a.target < b.target ? -1 : 1));
  assert.deepEqual(
    requests.map(({ target }) => target),
    ids.map((id) => `/2018-06-01/runtime/invocation/${id}/error`),
  );
  for (const request of requests) {
    if (request.headers.get("lambda-runtime-function-error-type") === "Runtime.ExitError")
      assert.doesNotMatch(request.raw.toString(), /secret|fail|interleaved/);
    await request.send(accepted);
  }
  return requests.map(({ body }) => JSON.parse(body.toString()));
}

test("an error that escapes from nobody knows which invocation is logged once, as nobody's, and each is told only that one has", async () => {
  const [sandbox, first, second, third] = await startLoops(3);
  await using _ = sandbox;
  await send(first, "1", { wait: 5_000, text: "" });
  await send(second, "2", { wait: 50, text: "secret", after: "reject" });
  for (const { errorType, errorMessage } of await reports(sandbox, "1", "2")) {
    assert.equal(errorType, "Runtime.ExitError");
    assert.match(errorMessage ?? "", /the log says why/);
  }
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.deepEqual(
    complaints(stderr).map(({ requestId, errorType }) => [requestId, errorType]),
    [
      [undefined, "RangeError"],
      ["1", "Runtime.ExitError"],
      ["2", "Runtime.ExitError"],
    ],
  );
  assert.equal(stderr.split('"errorMessage":"secret"').length - 1, 1, "logged once");
  assert.ok(third);
});

for (const later of ["throw", "reject"] as const) {
  for (const others of [1, 2]) {
    test(`an error (${later}) that an answered invocation leaves is not told to those in flight (${others})`, async () => {
      const [sandbox, first, ...nexts] = await startLoops(3);
      await using _ = sandbox;
      await send(first, "0", { wait: 0, text: "secret", later });
      await (await sandbox.api.request("POST", "/invocation/0/response")).send(accepted);
      await sandbox.api.request("GET", "/invocation/next");
      const ids = ["1", "2"].slice(0, others);
      for (const [index, id] of ids.entries()) await send(nexts[index], id, { wait: 5_000, text: "" });
      for (const { errorType } of await reports(sandbox, ...ids)) assert.equal(errorType, "Runtime.ExitError");
      const { status, stderr } = await sandbox.exited;
      assert.equal(status, 1);
      const owner = later === "throw" ? "0" : undefined; // Bun does not tell whose a rejection is
      assert.deepEqual(
        complaints(stderr).map(({ requestId, errorType }) => [requestId, errorType]),
        [[owner, "RangeError"], ...ids.map((id) => [id, "Runtime.ExitError"])],
      );
    });
  }
}

test("an error that an answered invocation leaves while no other is in flight is logged as its own, and ends the process", async () => {
  const [sandbox, first] = await startLoops(2);
  await using _ = sandbox;
  await send(first, "0", { wait: 0, text: "left", later: "throw" });
  await (await sandbox.api.request("POST", "/invocation/0/response")).send(accepted);
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.deepEqual(
    complaints(stderr).map(({ requestId, errorMessage }) => [requestId, errorMessage]),
    [["0", "left"]],
  );
});

test("what an answered invocation logs, and that it calls process.exit, is logged as its own while another is in flight", async () => {
  const [sandbox, first, second, third] = await startLoops(3);
  await using _ = sandbox;
  for (const [next, id, later] of [
    [first, "0", "log"],
    [second, "1", "exit"],
  ] as const) {
    await send(next, id, { wait: 0, text: "left", later });
    await (await sandbox.api.request("POST", `/invocation/${id}/response`)).send(accepted);
    await sandbox.api.request("GET", "/invocation/next");
  }
  await send(third, "2", { wait: 5_000, text: "in flight" });
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.deepEqual(
    logged(stderr)
      .filter(({ message }) => message === "left")
      .map(({ requestId }) => requestId),
    ["0", "1", "0"],
  );
  assert.deepEqual(
    complaints(stderr).map(({ requestId, errorType }) => [requestId, errorType]),
    [["1", "Runtime.ExitError"]],
  );
});

test("with several in flight, no client is told of an error that escapes, not even that of its own invocation", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await send(first, "1", { wait: 5_000, text: "" });
  await send(second, "2", { wait: 50, text: "secret", after: "throw from a timer" });
  for (const { errorType } of await reports(sandbox, "1", "2")) assert.equal(errorType, "Runtime.ExitError");
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.deepEqual(
    complaints(stderr).map(({ requestId, errorType }) => [requestId, errorType]),
    [
      ["2", "RangeError"],
      ["1", "Runtime.ExitError"],
      ["2", "Runtime.ExitError"],
    ],
  );
});

test("with several loops and one in flight, an error that escapes from it is reported as its own", async () => {
  const [sandbox, first] = await startLoops(2);
  await using _ = sandbox;
  await send(first, "1", { wait: 0, text: "own", after: "throw from a timer" });
  const [report] = await reports(sandbox, "1");
  assert.deepEqual([report?.errorType, report?.errorMessage], ["RangeError", "own"]);
  assert.equal((await sandbox.exited).status, 1);
});

test("process.exit is logged as the doing of its invocation, and never has status 0", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await send(first, "1", { wait: 5_000, text: "" });
  await send(second, "2", { wait: 0, text: "exits", after: "exit" });
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.deepEqual(
    complaints(stderr).map(({ requestId, errorType }) => [requestId, errorType]),
    [["2", "Runtime.ExitError"]],
  );
});

test("process.exit(0) while an escaped error is reported ends with status 1", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await send(first, "1", { wait: 5_000, text: "", later: "exit" });
  await send(second, "2", { wait: 0, text: "escapes", after: "throw from a timer" });
  assert.equal((await sandbox.exited).status, 1);
});

test("a handler that throws fails its own invocation only, and the trace id in the environment is left alone", async () => {
  const [sandbox, first, second] = await startLoops(2, { _X_AMZN_TRACE_ID: "as it was" });
  await using _ = sandbox;
  await send(first, "1", { wait: 0, text: "fails", after: "throw" });
  await (await sandbox.api.request("POST", "/invocation/1/error")).send(accepted);
  await send(second, "2", { wait: 0, text: "goes on" });
  const reply = await sandbox.api
    .request("GET", "/invocation/next")
    .then(() => sandbox.api.request("POST", "/invocation/2/response"));
  assert.deepEqual(JSON.parse(reply.body.toString()), { id: "2", text: "goes on", traceId: "as it was" });
});

test("a handler that can never settle is found when no other loop waits for an event, and not before", async () => {
  const [sandbox, first, second] = await startLoops(2);
  await using _ = sandbox;
  await send(first, "1", { wait: -1, text: "" });
  await send(second, "2", { wait: 0, text: "served meanwhile" });
  await (await sandbox.api.request("POST", "/invocation/2/response")).send(accepted);
  await send(await sandbox.api.request("GET", "/invocation/next"), "3", { wait: -1, text: "" });
  const reports = [await sandbox.api.anyRequest(), await sandbox.api.anyRequest()];
  for (const report of reports) assert.equal(JSON.parse(report.body.toString()).errorType, "Runtime.NeverSettled");
  assert.deepEqual(
    reports.map(({ target }) => target).sort(),
    [1, 3].map((id) => `/2018-06-01/runtime/invocation/${id}/error`),
  );
});

for (const value of ["0", "-1", "1.5", "many", "1000000"]) {
  test(`a concurrency of ${value} is an initialization error`, async () => {
    await using sandbox = await Sandbox.start("interleaved", { AWS_LAMBDA_MAX_CONCURRENCY: value });
    const report = await sandbox.api.request("POST", "/init/error");
    assert.equal(
      JSON.parse(report.body.toString()).errorMessage,
      `AWS_LAMBDA_MAX_CONCURRENCY is "${value}", not a whole number from 1 to 10000`,
    );
    await report.send(accepted);
    assert.equal((await sandbox.exited).status, 1);
  });
}

test("a concurrency of 1 serves one invocation after the other, and logs in JSON", async () => {
  await using sandbox = await Sandbox.start("interleaved", { AWS_LAMBDA_MAX_CONCURRENCY: "1" });
  await sandbox.invoke({ id: "1", body: JSON.stringify({ wait: 0, text: "one" }) });
  const { stderr } = await sandbox.stop();
  assert.deepEqual(
    logged(stderr).map(({ requestId, message }) => [requestId, message]),
    [["1", "one"]],
  );
  assert.equal(sandbox.api.connections.length, 1);
});
