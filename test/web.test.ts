/** http(fetch): web requests out of the events of each kind, and web responses back in the shape that each expects. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { accepted, event } from "./runtime-api.ts";
import { executable, runLocally, Sandbox } from "./sandbox.ts";
import { alb, albMultiValue, functionUrl, httpApi, restApi, type WebEvent } from "./web-events.ts";

const kinds = { functionUrl, httpApi, restApi, alb, albMultiValue };

interface Seen {
  method: string;
  url: string;
  headers: [string, string][];
  body: string;
}

/** Sends an event and returns the result, parsed. */
async function result(sandbox: Sandbox, webEvent: WebEvent) {
  const reply = await sandbox.invoke({ body: JSON.stringify(webEvent) });
  return JSON.parse(reply.body.toString());
}

/** What the handler saw of the request. */
async function seen(sandbox: Sandbox, webEvent: WebEvent): Promise<Seen & { header(name: string): string | undefined }> {
  const { statusCode, body } = await result(sandbox, webEvent);
  assert.equal(statusCode, 200, body);
  const request: Seen = JSON.parse(body);
  return { ...request, header: (name) => request.headers.find(([other]) => other === name)?.[1] };
}

test("method, path and query string are those that the client sent, whatever the event", async () => {
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    const request = await seen(sandbox, make({ method: "DELETE", path: "/a%2Fb/c", query: [["q", "x y"], ["q", "z&=%"], ["empty", ""]] }));
    assert.equal(request.method, "DELETE", kind);
    const { host, pathname, searchParams, protocol } = new URL(request.url);
    assert.equal(protocol, "https:", kind);
    assert.equal(host, "example.com", kind);
    assert.equal(pathname, "/a%2Fb/c", kind);
    if (kind === "alb") assert.deepEqual([...searchParams], [["q", "z&=%"], ["empty", ""]], "it keeps the last value of each name");
    else assert.deepEqual([...searchParams], [["q", "x y"], ["q", "z&=%"], ["empty", ""]], kind);
  }
});

test("scheme and host are those of the event", async () => {
  await using sandbox = await Sandbox.start("web");
  const withHeaders = async (make: typeof alb, headers: Record<string, string>) => (await seen(sandbox, { ...make({ path: "/p" }), headers })).url;
  assert.equal(await withHeaders(alb, { host: "internal.example:8080", "x-forwarded-proto": "http" }), "http://internal.example:8080/p");
  assert.equal(await withHeaders(functionUrl, {}), "https://id.lambda-url.us-west-2.on.aws/p");
});

for (const host of ["a.com/admin?", "a.com#", "user@evil.com", ""]) {
  test(`a Host of ${JSON.stringify(host)} does not become a part of the path`, async () => {
    await using sandbox = await Sandbox.start("web");
    const { url } = await seen(sandbox, { ...functionUrl({ path: "/public" }), headers: { host, "x-forwarded-proto": "https,http" } });
    assert.equal(url, "https://id.lambda-url.us-west-2.on.aws/public");
  });
}

test("empty multi-value members and null values are as if they were not there", async () => {
  await using sandbox = await Sandbox.start("web");
  const { url, header } = await seen(sandbox, {
    ...restApi({ path: "/p", query: [["a", "1"]], headers: [["x-one", "1"]] }),
    multiValueHeaders: {},
    multiValueQueryStringParameters: { a: [null] },
  });
  assert.equal(header("x-one"), "1");
  assert.equal(url, "https://example.com/p?a=");
});

test("a raw query string is kept to the letter", async () => {
  await using sandbox = await Sandbox.start("web");
  const request = await seen(sandbox, { ...functionUrl({}), rawQueryString: "a=%20&b=+&c&&d=%C3%A9" });
  assert.ok(request.url.endsWith("/?a=%20&b=+&c&&d=%C3%A9"), request.url);
});

test("header fields and cookies come in, repeated ones too", async () => {
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    const request = await seen(sandbox, make({ headers: [["x-one", "1"], ["x-list", "a"], ["x-list", "b, c"]], cookies: ["a=1", "b=2"] }));
    assert.equal(request.header("x-one"), "1", kind);
    assert.equal(request.header("x-list"), kind === "alb" ? "b, c" : kind === "functionUrl" || kind === "httpApi" ? "a,b, c" : "a, b, c", kind);
    assert.equal(request.header("cookie"), "a=1; b=2", kind);
  }
});

test("a header value beyond Latin-1 comes in as the bytes of its UTF-8", async () => {
  await using sandbox = await Sandbox.start("web");
  const request = await seen(sandbox, functionUrl({ headers: [["x-name", "☃"]] }));
  assert.equal(Buffer.from(request.header("x-name") ?? "", "latin1").toString("utf8"), "☃");
});

test("a body comes in as text or out of base64, bit by bit, and not at all with GET and HEAD", async () => {
  const everyByte = Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    assert.equal((await seen(sandbox, make({ method: "POST", body: "grün" }))).body, Buffer.from("grün").toString("latin1"), kind);
    assert.equal((await seen(sandbox, make({ method: "PUT", body: everyByte }))).body, everyByte.toString("latin1"), kind);
    assert.equal((await seen(sandbox, make({ method: "POST" }))).body, "", kind);
    assert.equal((await seen(sandbox, make({ method: "GET", body: "ignored" }))).body, "", kind);
  }
});

test("a response goes out with status, header fields and cookies in the shape of its event", async () => {
  await using sandbox = await Sandbox.start("web");
  const cookies = ["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=2"];
  const headers = { "x-list": "1, 2", "content-type": "text/plain;charset=utf-8" };
  const multiValueHeaders = { "content-type": ["text/plain;charset=utf-8"], "x-list": ["1, 2"], "set-cookie": cookies };
  const rest = { statusCode: 200, body: "two cookies", isBase64Encoded: false };
  const path = "/cookies";
  assert.deepEqual(await result(sandbox, functionUrl({ path })), { ...rest, headers, cookies });
  assert.deepEqual(await result(sandbox, httpApi({ path })), { ...rest, headers, cookies });
  assert.deepEqual(await result(sandbox, restApi({ path })), { ...rest, multiValueHeaders });
  assert.deepEqual(await result(sandbox, albMultiValue({ path })), { ...rest, statusDescription: "200", multiValueHeaders });
  assert.deepEqual(await result(sandbox, alb({ path })), { ...rest, statusDescription: "200", headers: { ...headers, "set-cookie": cookies[0] } });
  const { stderr } = await sandbox.stop();
  assert.match(stderr, /^\S+\t\tWARN\t1 of the set-cookie fields are lost: [^\n]*\n$/);
});

for (const [path, body, isBase64Encoded] of [
  ["/json", '{"text":"é"}', false],
  ["/bom", "\ufefftext", false],
  ["/binary", Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte)).toString("base64"), true],
  ["/untyped", Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte)).toString("base64"), true],
  ["/latin1", "6Q==", true],
  ["/created", "", false],
  ["/204", "", false],
  ["/304", "", false],
] as const) {
  test(`a body goes out as text or in base64, by its type: ${path}`, async () => {
    await using sandbox = await Sandbox.start("web");
    for (const [kind, make] of Object.entries(kinds)) {
      const answer = await result(sandbox, make({ path }));
      assert.deepEqual([answer.body, answer.isBase64Encoded], [body, isBase64Encoded], kind);
      if (/^\/\d/.test(path)) assert.equal(answer.statusCode, Number(path.slice(1)));
    }
  });
}

test("text that is compressed goes out in base64", async () => {
  await using sandbox = await Sandbox.start("web");
  const { body, isBase64Encoded } = await result(sandbox, functionUrl({ path: "/compressed" }));
  assert.equal(isBase64Encoded, true);
  assert.equal(new TextDecoder().decode(Bun.gunzipSync(Buffer.from(body, "base64"))), "text");
});

test("the response to HEAD has the fields of its body, and no body", async () => {
  await using sandbox = await Sandbox.start("web");
  const answer = await result(sandbox, functionUrl({ method: "HEAD", path: "/json" }));
  assert.equal(answer.body, "");
  assert.match(answer.headers["content-type"], /^application\/json/);
});

test("request.signal fires shortly before the deadline", async () => {
  await using sandbox = await Sandbox.start("web");
  const reply = await sandbox.invoke({ body: JSON.stringify(functionUrl({ path: "/signal" })), headers: { "Lambda-Runtime-Deadline-Ms": String(Date.now() + 250) } });
  assert.equal(JSON.parse(reply.body.toString()).body, "TimeoutError");
});

test("what fetch throws is an error of the invocation", async () => {
  await using sandbox = await Sandbox.start("web");
  const report = await sandbox.invoke({ body: JSON.stringify(functionUrl({ path: "/throw" })), expect: "error" });
  assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Function.RangeError");
});

test("what is no Response is an error of the invocation", async () => {
  await using sandbox = await Sandbox.start("web");
  const report = await sandbox.invoke({ body: JSON.stringify(functionUrl({ path: "/nothing" })), expect: "error" });
  assert.match(report.body.toString(), /"errorMessage":"fetch has returned undefined, not a Response","errorType":"Runtime.MarshalError"/);
});

for (const [body, received] of [
  ['{"Records":[]}', "an object with Records"],
  ["{}", "an object with no members"],
  ['{"requestContext":{}}', "an object with requestContext"],
  ["null", "null"],
  ["1", "number"],
] as const) {
  test(`an event that is none of them (${body}) is refused with what was expected`, async () => {
    await using sandbox = await Sandbox.start("web");
    const report = await sandbox.invoke({ body, expect: "error" });
    const { errorType, errorMessage } = JSON.parse(report.body.toString());
    assert.equal(errorType, "Runtime.UnmarshalError");
    assert.equal(errorMessage, `http expects the event of a function URL, of API Gateway (version 1.0 or 2.0), or of an Application Load Balancer, and got ${received}`);
  });
}

test("in local mode a request line is an event", async () => {
  const { stdout, stderr } = await runLocally("web", ["GET /path?a=1&b"]);
  assert.equal(JSON.parse(JSON.parse(stdout || stderr).body).url, "https://localhost/path?a=1&b");
});

// ── Streaming ──

/** Splits a streamed reply into its prelude and its body. */
function parts(body: Buffer) {
  const at = body.indexOf("\0".repeat(8));
  return { prelude: JSON.parse(body.subarray(0, at).toString()), body: body.subarray(at + 8).toString() };
}

for (const [method, path, prelude, body] of [
  ["GET", "/cookies", { statusCode: 201, headers: { "content-type": "application/octet-stream" }, cookies: ["a=1", "b=2"] }, "text"],
  ["GET", "/empty", { statusCode: 204, headers: {}, cookies: [] }, ""],
  ["HEAD", "/head", { statusCode: 200, headers: {}, cookies: [] }, ""],
] as const) {
  test(`a streamed response (${method} ${path}) is a prelude, eight NUL bytes and the body`, async () => {
    await using sandbox = await Sandbox.start("web-stream");
    const reply = await sandbox.invoke({ body: JSON.stringify(functionUrl({ method, path })) });
    assert.equal(reply.headers.get("content-type"), "application/vnd.awslambda.http-integration-response");
    assert.equal(reply.headers.get("lambda-runtime-function-response-mode"), "streaming");
    assert.deepEqual(parts(reply.body), { prelude, body });
  });
}

for (const [name, env, path] of [["web-stream", {}, "/events"], ["hono", { _HANDLER: "streaming" }, "/events"]] as const) {
  test(`server-sent events arrive one by one (${name})`, async () => {
    await using sandbox = await Sandbox.start(name, env);
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ id: "1", body: JSON.stringify(functionUrl({ path })) }));
    const seenAfter: number[] = [];
    for (let time = 0; time < 100 && seenAfter.length < 2; time++) {
      await Bun.sleep(5);
      const count = next.connection.received.toString().match(/data: /g)?.length ?? 0;
      if (count > 0 && count < 3 && !seenAfter.includes(count)) seenAfter.push(count);
    }
    assert.deepEqual(seenAfter, [1, 2]);
    const reply = await sandbox.api.request("POST", "/invocation/1/response");
    assert.match(parts(reply.body).body, /^data: 1\n\ndata: 2\n\ndata: 3\n\n$/);
    assert.match(parts(reply.body).prelude.headers["content-type"], /^text\/event-stream/);
    await reply.send(accepted);
    await sandbox.stop();
  });
}

test("what fetch throws is an error of the invocation when it streams, too", async () => {
  await using sandbox = await Sandbox.start("web-stream");
  await sandbox.invoke({ body: JSON.stringify(functionUrl({ path: "/throw" })), expect: "error" });
});

test("a Hono application answers with its routes, parameters, forms and cookies", async () => {
  await using sandbox = await Sandbox.start("hono", { _HANDLER: "buffered" });
  for (const make of Object.values(kinds)) {
    const hello = await result(sandbox, make({ path: "/hello/Ada", query: [["q", "1"]] }));
    assert.deepEqual(JSON.parse(hello.body), { hello: "Ada", query: "1" });
    assert.deepEqual(hello.cookies ?? hello.multiValueHeaders?.["set-cookie"] ?? [hello.headers["set-cookie"]], ["seen=yes; Path=/"]);
    const form = await result(sandbox, make({ method: "POST", path: "/form", headers: [["content-type", "application/x-www-form-urlencoded"]], body: "field=gr%C3%BCn" }));
    assert.equal(form.body, "grün");
    assert.equal((await result(sandbox, make({ path: "/nowhere" }))).statusCode, 404);
  }
});

test("an executable that imports only run contains nothing of http", () => {
  const marks = ["multiValueHeaders", "http-integration-response", "isBase64Encoded"];
  const text = (name: string) => readFileSync(executable(name)).toString("latin1");
  const [without, withHttp] = [text("echo"), text("web")];
  for (const mark of marks) {
    assert.ok(withHttp.includes(mark), mark);
    assert.ok(!without.includes(mark), mark);
  }
});
