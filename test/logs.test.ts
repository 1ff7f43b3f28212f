/** What the console of a handler prints in Lambda, in text and in JSON format. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, event } from "./runtime-api.ts";
import { logEvents, Sandbox } from "./sandbox.ts";

/** What a handler of test/handlers/console.ts prints for one event, to standard error. */
async function logged(
  what: string,
  env: Record<string, string> = {},
  headers: Record<string, string> = {},
): Promise<string> {
  await using sandbox = await Sandbox.start("console", { ...env, FORCE_COLOR: "1" });
  await sandbox.invoke({ id: "1", body: JSON.stringify(what), headers });
  const { stdout, stderr } = await sandbox.stop();
  assert.equal(stdout, "", "all lines go to one descriptor");
  return stderr.replace(/^.*while loading.*\n/, "");
}

const json = { AWS_LAMBDA_LOG_FORMAT: "JSON" };

/** The log events of JSON format: one a line, each with a time, here without it. */
function jsonEvents(log: string): Record<string, unknown>[] {
  return log
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const { timestamp, ...event } = JSON.parse(line);
      assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      return event;
    });
}

test("a line of text has its time, request id and level, and lines of all levels keep their order", async () => {
  const [trace, ...others] = logEvents(await logged("levels"));
  assert.match(trace?.message ?? "", /^trace\n {4}at levels \(.*test\/handlers\/console\.ts:\d+:\d+\)\n/);
  assert.deepEqual(others, [
    { requestId: "1", level: "DEBUG", message: "debug" },
    { requestId: "1", level: "INFO", message: "info" },
    { requestId: "1", level: "INFO", message: "log" },
    { requestId: "1", level: "WARN", message: "warn" },
    { requestId: "1", level: "ERROR", message: "error" },
    { requestId: "1", level: "FATAL", message: "fatal" },
  ]);
});

test("a line that is printed outside invocations has no request id", async () => {
  for (const env of [{}, json]) {
    await using sandbox = await Sandbox.start("console", env);
    const { stderr } = await sandbox.stop();
    if (env === json) assert.deepEqual(jsonEvents(stderr), [{ level: "INFO", message: "while loading" }]);
    else assert.deepEqual(logEvents(stderr), [{ requestId: "", level: "INFO", message: "while loading" }]);
  }
});

const object = '{\n  user: {\n    name: "Ada",\n    roles: [ "admin" ],\n  },\n  at: 1970-01-01T00:00:00.000Z,\n}';
const report = (events: Record<string, unknown>[]) =>
  events.map(({ stackTrace, ...event }) => {
    assert.match(String(stackTrace), /^at .*test\/handlers\/console\.ts:\d+:\d+/);
    return event;
  });
const info = (message: unknown) => [{ level: "INFO", requestId: "1", message }];
const unreadable = "(it cannot be read: it throws when it is looked at)";

for (const [what, text, message = text] of [
  ["two lines", "one\ntwo"],
  ["nothing", ""],
  [
    "values",
    'a 1 true null undefined {\n  deep: {\n    deeper: {\n      deepest: [Object ...],\n    },\n  },\n} [ 1, "b" ] 10n Symbol(s)',
  ],
  ["template", 'Ada is 36, 36, 1.5, {"a":1}, [ 2 ], % and %x the rest 3'],
  ["a template of what cannot be formatted", `10 ${unreadable} NaN`],
  ["percent", "100%s"],
  ["object", object, { user: { name: "Ada", roles: ["admin"] }, at: "1970-01-01T00:00:00.000Z" }],
  ["array", "[ 1, {\n    two: 2,\n  } ]", [1, { two: 2 }]],
  [
    "order",
    'Order {\n  id: 7,\n  items: Map(1) {\n    "apple": {\n      count: 2,\n    },\n  },\n  tags: Set(1) {\n    "new",\n  },\n}',
    { id: 7, items: { apple: { count: 2 } }, tags: ["new"] },
  ],
  ["circular", '{\n  name: "loop",\n  self: [Circular],\n}'],
  ["bigint", "{\n  count: 10n,\n}", { count: "10" }],
  ["function", "[class Order]"],
  ["an object whose JSON is nothing", "{\n  toJSON: [Function: toJSON],\n}"],
  ["a getter that throws", "{\n  broken: [Getter],\n}"],
  ["a value that throws however it is looked at", `{} ${unreadable}`],
] as const) {
  test(`what is logged (${what}) is printed as Bun prints it, and as JSON where JSON is the format`, async () => {
    assert.deepEqual(logEvents(await logged(what)), [{ requestId: "1", level: "INFO", message: text }]);
    assert.deepEqual(jsonEvents(await logged(what, json)), info(message));
  });
}

test("in text, an error is its stack, alone, among others and inside of an object, without lines of its source", async () => {
  for (const [what, before, after] of [
    ["error", "", ""],
    ["an error among others", "it failed: ", " {\n  code: 7,\n}"],
    ["an error inside", "{\n  error: ", ",\n}"],
  ] as const) {
    const [{ message } = { message: "" }, ...others] = logEvents(await logged(what));
    assert.deepEqual(others, []);
    assert.ok(message.startsWith(before) && message.trimEnd().endsWith(after), message);
    assert.match(message, /RangeError: out of range\n {4}at .*test\/handlers\/console\.ts:\d+:\d+/);
    assert.doesNotMatch(message, /^ *\d* \||\^/m);
  }
});

test("in JSON, the first error that a line is given has its type, message and stack trace in members of their own", async () => {
  const members = { errorType: "RangeError", errorMessage: "out of range" };
  const alone = jsonEvents(await logged("error", json));
  assert.deepEqual(report(alone), [
    { level: "ERROR", requestId: "1", message: "RangeError: out of range", ...members },
  ]);
  const [{ message, ...among } = {}] = report(jsonEvents(await logged("an error among others", json)));
  assert.deepEqual(among, { level: "ERROR", requestId: "1", ...members });
  assert.match(String(message), /^it failed: [^]*RangeError: out of range[^]* \{\n {2}code: 7,\n\}$/);
});

test("in JSON, an error inside of an object is an object with its type, message and stack trace", async () => {
  const [{ message } = { message: {} }] = jsonEvents(await logged("an error inside", json));
  const { error } = message as { error: Record<string, unknown> };
  assert.deepEqual(report([error]), [{ errorType: "RangeError", errorMessage: "out of range" }]);
});

test("in JSON, a line that comes with a tenant has its id", async () => {
  const log = await logged("two lines", json, { "Lambda-Runtime-Aws-Tenant-Id": "tenant-1" });
  assert.deepEqual(jsonEvents(log), [{ level: "INFO", requestId: "1", tenantId: "tenant-1", message: "one\ntwo" }]);
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
    const log = await logged("levels", { ...json, AWS_LAMBDA_LOG_LEVEL: level });
    const passed = jsonEvents(log).map((event) => String(event.level));
    assert.deepEqual(passed.sort(byLevel), lines);
    const text = await logged("levels", { AWS_LAMBDA_LOG_LEVEL: level });
    assert.equal(logEvents(text).length, 7);
  });
}

for (const env of [{}, json]) {
  const format = env === json ? "JSON" : "text";
  test(`every other method of the console that prints makes a log event, in ${format}`, async () => {
    const log = await logged("others", env);
    const all: Record<string, unknown>[] =
      env === json ? jsonEvents(log) : logEvents(log).map((event) => ({ ...event }));
    const [assertion, ...others] = all.filter(({ level }) => level === "WARN");
    assert.deepEqual(assertion, { requestId: "1", level: "WARN", message: "Assertion failed: assertion of this" });
    assert.deepEqual(others, []);
    const messages = all
      .filter((event) => event !== assertion)
      .map(({ message }) => String(message).replace(/\d+(?:\.\d+)? ?ms/, "… ms"));
    assert.deepEqual(messages, [
      "{ a: [Object] }",
      "dirxml",
      "┌─────────┬────────┐\n│ (index) │ column │\n├─────────┼────────┤\n│    0    │ 'cell' │\n└─────────┴────────┘",
      "no table",
      "default: 1",
      "named: 1",
      "named: 2",
      "named: 1",
      "group",
      "in the group",
      "timer: … ms so far",
      "timer: … ms",
    ]);
  });
}

test("no method of the console throws into the handler, and a label is no template", async () => {
  const messages = logEvents(await logged("values that throw")).map(({ message }) =>
    message.replace(/\d+(?:\.\d+)? ?ms/, "… ms"),
  );
  assert.deepEqual(messages, ["undefined", "%s: … ms x"]);
});

/** What a handler of test/handlers/details.ts does with an error, as it is logged, and as it is reported if it is thrown. */
async function detailed(
  how: string,
  name: string,
  env: Record<string, string> = {},
): Promise<{ log: string; report?: unknown }> {
  await using sandbox = await Sandbox.start("details", env);
  const { body } = await sandbox.invoke({
    id: "1",
    body: JSON.stringify([how, name]),
    expect: how === "throw" ? "error" : "response",
  });
  const { stderr } = await sandbox.stop();
  return { log: stderr, report: how === "throw" ? JSON.parse(body.toString()) : undefined };
}

const tooDeep = (levels: number): object =>
  levels > 0
    ? { errorType: "Error", errorMessage: `link ${992 + levels - 1}`, cause: levels > 1 ? tooDeep(levels - 1) : "[…]" }
    : {};

for (const [name, errorType, errorMessage, details] of [
  [
    "a cause",
    "TypeError",
    "failed",
    { cause: { errorType: "RangeError", errorMessage: "out of range", cause: "the root" } },
  ],
  [
    "an enumerable cause",
    "QueryError",
    "the query failed",
    {
      query: "select 1",
      cause: { errorType: "Error", errorMessage: "connect ECONNREFUSED", code: "ECONNREFUSED", port: 5432 },
    },
  ],
  [
    "several errors",
    "AggregateError",
    "all failed",
    {
      errors: [
        { errorType: "Error", errorMessage: "connect ECONNREFUSED", code: "ECONNREFUSED", port: 5432 },
        { errorType: "RangeError", errorMessage: "out of range" },
      ],
    },
  ],
  [
    "own properties",
    "AccessDenied",
    "denied",
    {
      $fault: "client",
      $metadata: { httpStatusCode: 403, attempts: 1 },
      count: "3n",
      at: "1970-01-01T00:00:00.000Z",
      tags: ["a"],
      nothing: null,
    },
  ],
  ["names of the log's own", "Error", "mine", {}],
  [
    "a circle",
    "Error",
    "outer",
    { self: { outer: "[Circular]" }, cause: { errorType: "Error", errorMessage: "inner", cause: "[Circular]" } },
  ],
  ["a long chain", "Error", "link 1000", { cause: tooDeep(8) }],
  [
    "what throws when it is looked at",
    "Error",
    "hostile",
    { getter: unreadable, nested: { inner: unreadable, kept: 1 }, cause: unreadable },
  ],
  ["keys that throw", "Error", "proxied", {}],
  [
    "a hostile list of errors",
    "AggregateError",
    "hostile",
    { errors: [unreadable, { errorType: "Error", errorMessage: "kept" }] },
  ],
] as const) {
  test(`an error with ${name} is logged with it, in JSON, thrown or printed, and reported without`, async () => {
    for (const how of ["throw", "log"]) {
      const { log, report: reported } = await detailed(how, name, json);
      const [event] = jsonEvents(log);
      const withoutStacks = JSON.parse(
        JSON.stringify(event, (key, value) => (key === "stackTrace" ? undefined : value)),
      );
      assert.deepEqual(withoutStacks, {
        level: "ERROR",
        requestId: "1",
        errorType,
        errorMessage,
        ...details,
        message: `${errorType}: ${errorMessage}`,
      });
      if (reported) assert.deepEqual(Object.keys(reported).sort(), ["errorMessage", "errorType", "stackTrace"]);
    }
  });

  test(`an error with ${name} is logged with it, in text, thrown or printed, alone or not`, async () => {
    const thrown = logEvents((await detailed("throw", name)).log);
    assert.equal(thrown.length, 1);
    const { message = "" } = thrown[0] ?? {};
    assert.ok(message.startsWith(`${errorType}: ${errorMessage}\n    at `), message);
    const leaves = (value: unknown): string[] =>
      typeof value === "object" && value
        ? Object.entries(value).flatMap(([key, inner]) => (key === "errorType" ? [] : leaves(inner)))
        : [String(value)];
    for (const leaf of leaves(details)) assert.ok(message.includes(leaf), leaf);
    assert.doesNotMatch(message, /^ *\d+ \|/m);
    assert.equal(logEvents((await detailed("log", name)).log)[0]?.message, message);
    assert.equal(logEvents((await detailed("among", name)).log)[0]?.message, `it failed: ${message} {\n  code: 7,\n}`);
    assert.equal(logEvents((await detailed("inside", name)).log)[0]?.message, `{\n  error: ${message},\n}`);
  });
}

for (const [name, expected] of [
  ["much text", /"xxx/],
  ["many members", /\[\s*0,\s*1,\s*2,[^]*\b49,\s*"\[…\]"/],
  ["a wide tree", /\[\s*\[/],
] as const) {
  test(`of an error with ${name} no more than 40 kB is logged`, async () => {
    for (const env of [{}, json]) {
      const { log } = await detailed("throw", name, env);
      assert.match(log, expected);
      assert.ok(log.length < 40_000, String(log.length));
    }
  });
}

test("a stack ends where the runtime calls the handler", async () => {
  const { report: reported, log } = await detailed("throw", "a cause");
  const { stackTrace } = reported as { stackTrace: string[] };
  assert.deepEqual(new Set(stackTrace.map((frame) => /[^/(]+\.ts/.exec(frame)?.[0])), new Set(["details.ts"]));
  assert.doesNotMatch(log, /runtime\.ts/);
});

test("a handler may replace the console", async () => {
  assert.deepEqual(
    logEvents(await logged("replaced")).map(({ message }) => message),
    ["before", "mine: after"],
  );
});

for (const [how, signal] of [
  ["crash", "SIGKILL"],
  ["exit", null],
  ["escape", null],
] as const) {
  test(`a long line that is written just before the process ends (${how}) is not lost`, async () => {
    await using sandbox = await Sandbox.start("console");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ body: JSON.stringify(how) }));
    if (how === "escape") await (await sandbox.api.anyRequest()).send(accepted);
    const { stderr } = await sandbox.exited;
    assert.equal(sandbox.process.signalCode, signal);
    assert.ok(logEvents(stderr).some(({ message }) => message === "x".repeat(300_000)));
  });
}

test("the runtime's own lines have the format, too", async () => {
  await using sandbox = await Sandbox.start("errors", json);
  await sandbox.invoke({
    id: "1",
    body: '"TypeError"',
    expect: "error",
    headers: { "Lambda-Runtime-Aws-Tenant-Id": "tenant-1" },
  });
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.connection.send("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
  const { stderr } = await sandbox.exited;
  const [{ stackTrace, ...error } = {}, fatal] = jsonEvents(stderr);
  const members = { errorType: "TypeError", errorMessage: "built in" };
  assert.deepEqual(error, {
    level: "ERROR",
    requestId: "1",
    tenantId: "tenant-1",
    message: "TypeError: built in",
    ...members,
  });
  assert.match(String(stackTrace), /^at .*test\/handlers\/errors\.ts:\d+:\d+/);
  assert.deepEqual(fatal, { level: "FATAL", message: 'GET /invocation/next was answered 500 "no"' });
});
