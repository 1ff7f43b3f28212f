/** What the console of a handler prints in Lambda, in text and in JSON format. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, event } from "./runtime-api.ts";
import { logEvents, Sandbox } from "./sandbox.ts";

/** What a handler of test/handlers/console.ts prints for one event, to standard output and to standard error. */
async function logged(what: string, env: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<{ stdout: string; stderr: string }> {
  await using sandbox = await Sandbox.start("console", { ...env, FORCE_COLOR: "1" });
  await sandbox.invoke({ id: "1", body: JSON.stringify(what), headers });
  const { stdout, stderr } = await sandbox.stop();
  return { stdout: stdout.slice(stdout.indexOf("\n") + 1), stderr }; // without the line that is printed while loading
}

const json = { AWS_LAMBDA_LOG_FORMAT: "JSON" };

/** The log events of JSON format: one a line, each with a time, here without it. */
function jsonEvents(log: string): Record<string, unknown>[] {
  return log.split("\n").slice(0, -1).map((line) => {
    const { timestamp, ...event } = JSON.parse(line);
    assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    return event;
  });
}

test("a line of text has its time, request id and level, and goes to the stream that the method prints to", async () => {
  const { stdout, stderr } = await logged("levels");
  assert.deepEqual(logEvents(stdout), [
    { requestId: "1", level: "DEBUG", message: "debug" },
    { requestId: "1", level: "INFO", message: "info" },
    { requestId: "1", level: "INFO", message: "log" },
  ]);
  const [trace, ...others] = logEvents(stderr);
  assert.match(trace?.message ?? "", /^trace\n {4}at levels \(.*test\/handlers\/console\.ts:\d+:\d+\)\n/);
  assert.deepEqual(others, [
    { requestId: "1", level: "WARN", message: "warn" },
    { requestId: "1", level: "ERROR", message: "error" },
    { requestId: "1", level: "FATAL", message: "fatal" },
  ]);
});

test("a line that is printed outside invocations has no request id", async () => {
  for (const env of [{}, json]) {
    await using sandbox = await Sandbox.start("console", env);
    const { stdout } = await sandbox.stop();
    if (env === json) assert.deepEqual(jsonEvents(stdout), [{ level: "INFO", message: "while loading" }]);
    else assert.deepEqual(logEvents(stdout), [{ requestId: "", level: "INFO", message: "while loading" }]);
  }
});

const object = '{\n  user: {\n    name: "Ada",\n    roles: [ "admin" ],\n  },\n  at: 1970-01-01T00:00:00.000Z,\n}';
const report = (events: Record<string, unknown>[]) => events.map(({ stackTrace, ...event }) => {
  assert.match(String(stackTrace), /^at .*test\/handlers\/console\.ts:\d+:\d+/);
  return event;
});
const info = (message: unknown) => [{ level: "INFO", requestId: "1", message }];
const unreadable = "(it cannot be read: it throws when it is looked at)";

for (const [what, text, message = text] of [
  ["two lines", "one\ntwo"],
  ["nothing", ""],
  ["values", 'a 1 true null undefined {\n  deep: {\n    deeper: {\n      deepest: [Object ...],\n    },\n  },\n} [ 1, "b" ] 10n Symbol(s)'],
  ["template", 'Ada is 36, 36, 1.5, {"a":1}, [ 2 ], % and %x the rest 3'],
  ["a template of what cannot be formatted", `10 ${unreadable} NaN`],
  ["percent", "100%s"],
  ["object", object, { user: { name: "Ada", roles: ["admin"] }, at: "1970-01-01T00:00:00.000Z" }],
  ["array", "[ 1, {\n    two: 2,\n  } ]", [1, { two: 2 }]],
  ["order", 'Order {\n  id: 7,\n  items: Map(1) {\n    "apple": {\n      count: 2,\n    },\n  },\n  tags: Set(1) {\n    "new",\n  },\n}', { id: 7, items: { apple: { count: 2 } }, tags: ["new"] }],
  ["circular", '{\n  name: "loop",\n  self: [Circular],\n}'],
  ["bigint", "{\n  count: 10n,\n}", { count: "10" }],
  ["function", "[class Order]"],
  ["an object whose JSON is nothing", "{\n  toJSON: [Function: toJSON],\n}"],
  ["a getter that throws", "{\n  broken: [Getter],\n}"],
  ["a value that throws however it is looked at", `{} ${unreadable}`],
] as const) {
  test(`what is logged (${what}) is printed as Bun prints it, and as JSON where JSON is the format`, async () => {
    assert.deepEqual(logEvents((await logged(what)).stdout), [{ requestId: "1", level: "INFO", message: text }]);
    assert.deepEqual(jsonEvents((await logged(what, json)).stdout), info(message));
  });
}

test("in text, an error is printed as Bun prints it, with its place in the source", async () => {
  for (const [what, before, after] of [["error", "", ""], ["an error among others", "it failed: ", " {\n  code: 7,\n}"], ["an error inside", "{\n  error: ", ",\n}"]] as const) {
    const [{ message } = { message: "" }, ...others] = logEvents((await logged(what)).stderr);
    assert.deepEqual(others, []);
    assert.ok(message.startsWith(before) && message.trimEnd().endsWith(after), message);
    assert.match(message, /RangeError: out of range\n +at .*test\/handlers\/console\.ts:\d+:\d+/);
  }
});

test("in JSON, the first error that a line is given has its type, message and stack trace in members of their own", async () => {
  const members = { errorType: "RangeError", errorMessage: "out of range" };
  const alone = jsonEvents((await logged("error", json)).stderr);
  assert.deepEqual(report(alone), [{ level: "ERROR", requestId: "1", message: "RangeError: out of range", ...members }]);
  const [{ message, ...among } = {}] = report(jsonEvents((await logged("an error among others", json)).stderr));
  assert.deepEqual(among, { level: "ERROR", requestId: "1", ...members });
  assert.match(String(message), /^it failed: [^]*RangeError: out of range[^]* \{\n {2}code: 7,\n\}$/);
});

test("in JSON, an error inside of an object is an object with its type, message and stack trace", async () => {
  const [{ message } = { message: {} }] = jsonEvents((await logged("an error inside", json)).stderr);
  const { error } = message as { error: Record<string, unknown> };
  assert.deepEqual(report([error]), [{ errorType: "RangeError", errorMessage: "out of range" }]);
});

test("in JSON, a line that comes with a tenant has its id", async () => {
  const { stdout } = await logged("two lines", json, { "Lambda-Runtime-Aws-Tenant-Id": "tenant-1" });
  assert.deepEqual(jsonEvents(stdout), [{ level: "INFO", requestId: "1", tenantId: "tenant-1", message: "one\ntwo" }]);
});

const levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const byLevel = (a: string, b: string) => levels.indexOf(a) - levels.indexOf(b);

for (const [level, lines] of [
  ["", ["TRACE", "DEBUG", "INFO", "INFO", "WARN", "ERROR", "FATAL"]],
  ["TRACE", ["TRACE", "DEBUG", "INFO", "INFO", "WARN", "ERROR", "FATAL"]],
  ["DEBUG", ["DEBUG", "INFO", "INFO", "WARN", "ERROR", "FATAL"]],
  ["info", ["INFO", "INFO", "WARN", "ERROR", "FATAL"]],
  ["WARN", ["WARN", "ERROR", "FATAL"]],
  ["ERROR", ["ERROR", "FATAL"]],
  ["FATAL", ["FATAL"]],
  ["nonsense", ["TRACE", "DEBUG", "INFO", "INFO", "WARN", "ERROR", "FATAL"]],
] as const) {
  test(`in JSON, the log level "${level}" lets ${lines[0]} and above pass; in text, all levels pass`, async () => {
    const { stdout, stderr } = await logged("levels", { ...json, AWS_LAMBDA_LOG_LEVEL: level });
    const passed = jsonEvents(stdout + stderr).map((event) => String(event.level));
    assert.deepEqual(passed.sort(byLevel), lines);
    const text = await logged("levels", { AWS_LAMBDA_LOG_LEVEL: level });
    assert.equal(logEvents(text.stdout + text.stderr).length, 7);
  });
}

test("every other method of the console that prints makes a log event", async () => {
  const { stdout, stderr } = await logged("others");
  const messages = logEvents(stdout).map(({ message }) => message.replace(/\d+\.\d\d ms/, "… ms"));
  assert.deepEqual(messages, [
    "{\n  a: [Object ...],\n}",
    "dirxml",
    "┌───┬────────┐\n│   │ column │\n├───┼────────┤\n│ 0 │ cell   │\n└───┴────────┘",
    "no table",
    "default: 1",
    "named: 1",
    "named: 2",
    "named: 1",
    "group",
    "timer: … ms so far",
    "timer: … ms",
  ]);
  assert.deepEqual(logEvents(stderr), [{ requestId: "1", level: "ERROR", message: "Assertion failed: assertion of this" }]);
});

test("no method of the console throws into the handler, and a label is no template", async () => {
  const messages = logEvents((await logged("values that throw")).stdout).map(({ message }) => message.replace(/\d+\.\d\d ms/, "… ms"));
  assert.deepEqual(messages, [unreadable, unreadable, "undefined", "%s: … ms x"]);
});

test("a handler may replace the console", async () => {
  const { stdout } = await logged("replaced");
  assert.deepEqual(logEvents(stdout).map(({ message }) => message), ["before", "mine: after"]);
});

for (const [how, signal] of [["crash", "SIGKILL"], ["exit", null], ["escape", null]] as const) {
  test(`a long line that is written just before the process ends (${how}) is not lost`, async () => {
    await using sandbox = await Sandbox.start("console");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ body: JSON.stringify(how) }));
    if (how === "escape") await (await sandbox.api.anyRequest()).send(accepted);
    const { stdout } = await sandbox.exited;
    assert.equal(sandbox.process.signalCode, signal);
    assert.equal(logEvents(stdout).at(-1)?.message, "x".repeat(300_000));
  });
}

test("the runtime's own lines have the format, too", async () => {
  await using sandbox = await Sandbox.start("errors", json);
  await sandbox.invoke({ id: "1", body: '"TypeError"', expect: "error", headers: { "Lambda-Runtime-Aws-Tenant-Id": "tenant-1" } });
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.connection.send("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
  const { stderr } = await sandbox.exited;
  const [{ stackTrace, ...error } = {}, fatal] = jsonEvents(stderr);
  const members = { errorType: "TypeError", errorMessage: "built in" };
  assert.deepEqual(error, { level: "ERROR", requestId: "1", tenantId: "tenant-1", message: "TypeError: built in", ...members });
  assert.match(String(stackTrace), /^at .*test\/handlers\/errors\.ts:\d+:\d+/);
  assert.deepEqual(fatal, { level: "FATAL", message: 'GET /invocation/next was answered 500 "no"' });
});
