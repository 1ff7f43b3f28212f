/** What is moved over from Node.js: callbacks, the context's methods, the global awslambda, and listeners for node:http. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { accepted, event, gone, type ReceivedRequest } from "./runtime-api.ts";
import { logEvents, runLocally, Sandbox } from "./sandbox.ts";
import { functionUrl, type WebRequest } from "./web-events.ts";

const start = (handler: string, env = {}) => Sandbox.start("ported", { _HANDLER: handler, ...env });
const json = JSON.stringify;

test("a handler that waits for a callback fails with an error that says what to do", async () => {
  await using sandbox = await start("callback");
  const report = await sandbox.invoke({ body: '"later"', expect: "error" });
  assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Runtime.CallbackHandlerDeprecated");
  assert.match(report.body.toString(), /it waits for a callback.* or wrap the handler: json\(promisify\(handler\)\)/);
  const local = await runLocally("ported", ['"later"'], { env: { _HANDLER: "callback" } });
  assert.equal(local.status, 1);
  assert.match(local.stderr, /it waits for a callback/);
});

test("a handler that calls a callback at once fails with its own error: there is no third argument", async () => {
  await using sandbox = await start("callback");
  const report = await sandbox.invoke({ body: '"at once"', expect: "error" });
  assert.match(report.body.toString(), /"errorMessage":"callback is not a function\./);
});

test("a handler with a callback is served by promisify, and one with three parameters by its promise", async () => {
  for (const how of ["at once", "later"]) {
    const { stdout } = await runLocally("ported", [json(how)], { env: { _HANDLER: "promisified" } });
    assert.equal(stdout, '"result"');
  }
  assert.equal((await runLocally("ported", ["[1]"], { env: { _HANDLER: "promise" } })).stdout, "[1]");
});

test("done, fail and succeed of the context throw while the handler runs", async () => {
  await using sandbox = await start("methods");
  for (const method of ["done", "fail", "succeed"]) {
    const report = await sandbox.invoke({ body: json(method), expect: "error" });
    assert.match(report.body.toString(), /"errorMessage":"this runtime has no callbacks: return the result/);
  }
});

test("a method of the context that is called after the answer is logged with its own request id", async () => {
  await using sandbox = await start("methods");
  await sandbox.invoke({ id: "1", body: '"later"' });
  assert.equal((await sandbox.invoke({ id: "2", body: '"now later"' })).body.toString(), "null");
  const [line, ...others] = logEvents((await sandbox.stop()).stderr);
  assert.deepEqual([line?.requestId, line?.level, others], ["1", "ERROR", []]);
  assert.match(line?.message ?? "", /^Error: this runtime has no callbacks/);
});

const httpType = "application/vnd.awslambda.http-integration-response";
const nul = "\0".repeat(8);
for (const [name, type, body] of [
  ["text", "text/plain", 'one, {"id":"1"}\ufffd'],
  ["metadata", httpType, `{"statusCode":201,"headers":{"Content-Type":"text/html"},"cookies":["a=1"]}${nul}<p>`],
  ["metadata alone", httpType, `{"statusCode":204}${nul}`],
  ["gzip", "application/octet-stream", undefined],
  ["large", "application/octet-stream", "x".repeat(10_000_000)],
  ["ends later", "application/octet-stream", "early, late"],
  ["not async", "application/octet-stream", "text"],
] as const) {
  test(`a handler made by streamifyResponse streams what it writes: ${name}`, async () => {
    await using sandbox = await start("streamed");
    const reply = await sandbox.invoke({ id: "1", body: json(name) });
    assert.equal(reply.headers.get("lambda-runtime-function-response-mode"), "streaming");
    assert.equal(reply.headers.get("content-type"), type);
    if (body !== undefined) assert.ok(reply.body.toString() === body, reply.body.toString().slice(0, 200));
    else assert.equal(gunzipSync(reply.body).toString(), "text");
    const { stderr } = await sandbox.stop();
    assert.equal(stderr, "");
  });
}

for (const [name, errorType, message, isReport] of [
  ["throws before", "RangeError", "before", true],
  ["throws at once", "RangeError", "at once", true],
  ["throws after", "RangeError", "after", false],
  ["throws after its end", "RangeError", "after its end", false],
  ["type too late", "Error", "setContentType was called after the reply had begun", false],
  ["never ends", "Runtime.NeverSettled", /^the handler can never settle/, false],
] as const) {
  test(`a handler made by streamifyResponse that ${name} fails, and the next event is served`, async () => {
    await using sandbox = await start("streamed");
    const answer = await sandbox.invoke({ id: "1", body: json(name), expect: isReport ? "error" : "response" });
    const [, base64 = ""] = /^Lambda-Runtime-Function-Error-Body: (.*)\r$/m.exec(answer.trailers) ?? [];
    const report = JSON.parse(isReport ? answer.body.toString() : Buffer.from(base64, "base64").toString());
    assert.equal(report.errorType, errorType);
    assert.match(report.errorMessage, typeof message === "string" ? new RegExp(`^${message}$`) : message);
    await sandbox.invoke({ id: "2", body: '"text"' });
    const { stderr } = await sandbox.stop();
    assert.equal(logEvents(stderr).filter(({ message }) => message.startsWith(errorType)).length, 1, stderr);
  });
}

test("a handler made by streamifyResponse sees that its reply is cut, and what it throws then is logged", async () => {
  await using sandbox = await start("streamed");
  const next = await sandbox.api.request("GET", "/invocation/next");
  next.connection.resetAfter = 5_000;
  await next.send(event({ id: "1", body: '"throws when it is cut"' }));
  const { stderr } = await sandbox.stop();
  const messages = logEvents(stderr).map(({ requestId, message }) => `${requestId} ${message.split("\n")[0]}`);
  assert.ok(messages.includes("1 RangeError: it was cut"), stderr);
});

test("a handler made by streamifyResponse prints its stream locally", async () => {
  const { stdout, stderr } = await runLocally("ported", ['"ends later"'], { env: { _HANDLER: "streamed" } });
  assert.deepEqual([stdout, stderr], ["early, late", ""]);
});

test("the InvokeStore has what belongs to each invocation, one at a time and several", async () => {
  for (const count of [1, 8]) {
    await using sandbox = await start("stored", count > 1 ? { AWS_LAMBDA_MAX_CONCURRENCY: String(count) } : {});
    const nexts: ReceivedRequest[] = [];
    for (let round = 0; round < 2; round++) {
      while (nexts.length < count) nexts.push(await sandbox.api.anyRequest());
      for (const [index, next] of nexts.splice(0).entries()) {
        const headers = {
          "Lambda-Runtime-Trace-Id": `Root=${index}`,
          "Lambda-Runtime-Aws-Tenant-Id": `tenant ${index}`,
        };
        await next.send(event({ id: `${round} ${index}`, body: String(50 - 5 * index), headers }));
      }
      for (let replies = 0; replies < count; replies++) {
        let reply = await sandbox.api.anyRequest();
        for (; reply.method === "GET"; reply = await sandbox.api.anyRequest()) nexts.push(reply);
        const { ids, ...stored } = JSON.parse(reply.body.toString());
        const index = Number(ids[0].split(" ")[1]);
        assert.ok(reply.target.endsWith(`/invocation/${round}%20${index}/response`), reply.target);
        assert.deepEqual(ids, [`${round} ${index}`, `Root=${index}`, `tenant ${index}`, null]);
        assert.deepEqual(stored, {
          wait: 50 - 5 * index,
          inner: ["inner", "-"],
          refused: ["InvokeStore.set: Symbol(_AWS_LAMBDA_REQUEST_ID) cannot be set"],
        });
        await reply.send(accepted);
      }
    }
  }
});

test("the InvokeStore has no invocation while modules load, and keeps what is set then to itself", async () => {
  const { stdout } = await runLocally("ported", ["1"], { env: { _HANDLER: "outside" } });
  assert.equal(stdout, '[false,"-","module",null]');
});

test("a context is printed with its values, in the log and locally, and a copy of it has them all", async () => {
  await using sandbox = await start("prints");
  const headers = { "Lambda-Runtime-Aws-Tenant-Id": "tenant" };
  const copy = JSON.parse((await sandbox.invoke({ id: "request", body: "1", headers })).body.toString());
  assert.deepEqual([copy.awsRequestId, copy.tenantId], ["request", "tenant"]);
  const inLambda = await sandbox.stop();
  const locally = await runLocally("ported", ["1"], { env: { _HANDLER: "prints" } });
  for (const text of [inLambda.stdout + inLambda.stderr, copy.printed, locally.stderr]) {
    assert.match(text, /awsRequestId: "[\w-]+"/);
    assert.doesNotMatch(text, /\[Getter\]/);
  }
});

test("AWS_EXECUTION_ENV is set in Lambda alone, unless it is set", async () => {
  for (const [env, expected] of [
    [{}, "AWS_Lambda_provided.al2023"],
    [{ AWS_EXECUTION_ENV: "mine" }, "mine"],
  ] as const) {
    await using sandbox = await start("environment", env);
    assert.equal((await sandbox.invoke()).body.toString(), json(expected));
  }
  assert.equal((await runLocally("ported", ["1"], { env: { _HANDLER: "environment" } })).stdout, '"not set"');
});

/** What a listener replies to a request. */
async function replyOf(request: WebRequest) {
  await using sandbox = await start("listener");
  const reply = await sandbox.invoke({ id: "1", body: json(functionUrl(request)) });
  await sandbox.stop();
  return JSON.parse(reply.body.toString());
}

test("a listener gets the request as the client sent it, with the event and the context", async () => {
  const request = {
    method: "POST",
    path: "/echo",
    query: [["q", "x y"]] as [string, string][],
    headers: [["x-name", "value"]] as [string, string][],
    cookies: ["c=1"],
    body: Buffer.from("é"),
  };
  const { statusCode, headers, cookies, body } = await replyOf(request);
  assert.equal(statusCode, 201);
  assert.deepEqual(cookies, ["a=1", "b=2"]);
  const dropped = ["connection", "keep-alive", "transfer-encoding"].filter((name) => name in headers);
  assert.deepEqual(dropped, []);
  const seen = JSON.parse(body);
  assert.deepEqual([seen.method, seen.url, seen.body, seen.id], ["POST", "/echo?q=x%20y", "é", "1"]);
  assert.deepEqual([seen.headers.host, seen.headers["x-name"], seen.headers.cookie], ["example.com", "value", "c=1"]);
  assert.deepEqual(seen.event, functionUrl(request));
});

test("a listener's redirect and its compressed content reach the client as they are", async () => {
  const redirect = await replyOf({ path: "/redirect" });
  assert.deepEqual([redirect.statusCode, redirect.headers.location], [302, "/echo"]);
  const gzip = await replyOf({ path: "/gzip", headers: [["accept-encoding", "gzip"]] });
  assert.equal(gunzipSync(Buffer.from(gzip.body, "base64")).toString(), "text");
  assert.equal(gzip.headers["content-encoding"], "gzip");
});

test("a listener is not asked for compressed content unless the client asked for it", async () => {
  const { headers, body } = await replyOf({ path: "/gzip" });
  assert.deepEqual([headers["x-accepts"], body], ["identity", "plain"]);
});

test("a listener's reply is streamed with { streaming: true }", async () => {
  await using sandbox = await start("streaming listener");
  const reply = await sandbox.invoke({ body: json(functionUrl({ path: "/stream" })) });
  assert.equal(reply.headers.get("content-type"), httpType);
  assert.equal(reply.body.toString().split(nul)[1], "one, two, three");
});

test("a listener that breaks its connection fails the invocation, and the next is served", async () => {
  await using sandbox = await start("listener");
  await sandbox.invoke({ body: json(functionUrl({ path: "/break" })), expect: "error" });
  await sandbox.invoke({ body: json(functionUrl({ path: "/echo" })) });
  await sandbox.stop();
});

test("what a listener logs has the request id of its own invocation, where several are served at a time", async () => {
  await using sandbox = await start("listener", { AWS_LAMBDA_MAX_CONCURRENCY: "4" });
  const nexts: ReceivedRequest[] = [];
  while (nexts.length < 4) nexts.push(await sandbox.api.request("GET", "/invocation/next"));
  for (const [id, next] of nexts.entries()) {
    const body = json(functionUrl({ path: "/log", headers: [["x-text", `text ${id}`]] }));
    await next.send(event({ id: String(id), body }));
  }
  for (let requests = 0; requests < 8; requests++) {
    const request = await sandbox.api.anyRequest();
    await request.send(request.method === "GET" ? gone : accepted);
  }
  const { stdout, stderr } = await sandbox.exited;
  const lines = (stdout + stderr)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ message }) => message).sort(), ["text 0", "text 1", "text 2", "text 3"]);
  for (const { message, requestId } of lines) assert.equal(message, `text ${requestId}`);
});

test("what is no listener is refused with an error that says what it is", async () => {
  const { stdout } = await runLocally("ported", ["{}"], { env: { _HANDLER: "no listener" } });
  assert.equal(stdout, '"TypeError: listen takes a function, and got object"');
});
