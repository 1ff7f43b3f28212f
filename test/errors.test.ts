/** What a handler throws: how it is reported to the service, and how it is logged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "./sandbox.ts";

const unreadable = "(it cannot be read: it throws when it is looked at)";

for (const [name, errorType, errorMessage, headerType, hasStack] of [
  ["Error", "Error", "plain", "Function.Error", true],
  ["TypeError", "TypeError", "built in", "Function.TypeError", true],
  ["OrderError", "OrderError", "of a class without a name", "Function.OrderError", true],
  ["NamedError", "Custom.Name", "with a name", "Function.Error", true],
  ["CleverTypeError", "TypeError", "of a class below one with a name", "Function.TypeError", true],
  ["injected", "Evil\r\nX-Injected: 1", "a\r\nb\0c", "Function.Error", true],
  ["non-ASCII", "Größenfehler", "grün", "Function.Error", true],
  ["string", "string", "a string", "Function.Error", false],
  ["number", "number", "42", "Function.Error", false],
  ["null", "null", "null", "Function.Error", false],
  ["undefined", "undefined", "undefined", "Function.Error", false],
  ["symbol", "symbol", "Symbol(a symbol)", "Function.Error", false],
  ["object", "object", '{"code":7}', "Function.Error", false],
  ["error-like", "LooksLikeOne", "but is none", "Function.LooksLikeOne", false],
  ["circular", "object", unreadable, "Function.Error", false],
  ["getter", "Error", unreadable, "Function.Error", true],
  ["proxy", "object", unreadable, "Function.Error", false],
  ["no stack", "Error", "without a stack", "Function.Error", false],
] as const) {
  test(`what is thrown (${name}) is reported with type, message and stack, and the next invocation is served`, async () => {
    await using sandbox = await Sandbox.start("errors");
    const report = await sandbox.invoke({ id: "1", body: JSON.stringify(name), expect: "error" });
    const { stackTrace, ...rest } = JSON.parse(report.body.toString());
    assert.deepEqual(rest, { errorMessage, errorType });
    assert.equal(report.headers.get("lambda-runtime-function-error-type"), headerType);
    assert.equal(report.headers.get("content-type"), "application/vnd.aws.lambda.error+json");
    assert.equal(report.headers.get("x-injected"), undefined);
    if (hasStack)
      assert.ok(
        stackTrace.some((frame: string) => /^at .*test\/handlers\/errors\.ts:\d+:\d+\)?$/.test(frame)),
        report.body.toString(),
      );
    else assert.deepEqual(stackTrace, []);

    await sandbox.invoke({ id: "2", body: '"Error"', expect: "error" });
    const { stderr } = await sandbox.stop();
    const [logged = "", ...others] = stderr.trimEnd().split("\n");
    assert.equal(others.length, 1, "each error is one log event");
    const [time = "", requestId, level, message] = logged.split("\t");
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(requestId, "1");
    assert.equal(level, "ERROR");
    assert.equal(
      message?.replaceAll("\r", "\n"),
      [
        `${errorType}: ${errorMessage}`.replaceAll("\r", "\n"),
        ...stackTrace.map((frame: string) => `    ${frame}`),
      ].join("\n"),
    );
  });
}

const causeField = "lambda-runtime-function-xray-error-cause";

test("X-Ray is told the cause of an error: type, message, and the stack by path, line and label", async () => {
  await using sandbox = await Sandbox.start("errors");
  const report = await sandbox.invoke({ body: '"TypeError"', expect: "error" });
  const { working_directory, exceptions, paths } = JSON.parse(report.headers.get(causeField) ?? "");
  assert.equal(working_directory, process.cwd());
  assert.equal(exceptions.length, 1);
  const [{ type, message, stack }] = exceptions;
  assert.deepEqual([type, message], ["TypeError", "built in"]);
  const [frame] = stack;
  assert.deepEqual(Object.keys(frame), ["path", "line", "label"]);
  assert.match(frame.path, /test\/handlers\/errors\.ts$/);
  assert.equal(typeof frame.line, "number");
  assert.equal(frame.label, "TypeError", "the name of the function");
  assert.deepEqual(paths, [...new Set(stack.map(({ path }: { path: string }) => path))]);
});

test("X-Ray is told the cause of an error that has no stack", async () => {
  await using sandbox = await Sandbox.start("errors");
  const report = await sandbox.invoke({ body: '"string"', expect: "error" });
  const { exceptions, paths } = JSON.parse(report.headers.get(causeField) ?? "");
  assert.deepEqual([exceptions, paths], [[{ type: "string", message: "a string", stack: [] }], []]);
});

test("X-Ray is told the cause of an initialization error", async () => {
  await using sandbox = await Sandbox.start("init-throw");
  const report = await sandbox.api.request("POST", "/init/error");
  const { errorType, errorMessage } = JSON.parse(report.body.toString());
  const [{ type, message }] = JSON.parse(report.headers.get(causeField) ?? "").exceptions;
  assert.deepEqual([type, message], [errorType, errorMessage]);
});

test("of a stack that does not fit into 64 KiB, X-Ray is told the innermost frames", async () => {
  await using sandbox = await Sandbox.start("errors");
  const report = await sandbox.invoke({ body: '"a long stack"', expect: "error" });
  const cause = report.headers.get(causeField) ?? "";
  assert.ok(cause.length > 20_000 && cause.length <= 65_536, String(cause.length));
  assert.deepEqual(JSON.parse(cause).exceptions[0].stack[0], { path: "/a/file.ts", line: 1, label: "deep" });
});

test("a message that looks like a stack frame is reported, with a cause", async () => {
  await using sandbox = await Sandbox.start("errors");
  const report = await sandbox.invoke({ body: '"a message that looks like a stack"', expect: "error" });
  assert.match(JSON.parse(report.headers.get(causeField) ?? "").exceptions[0].message, /^bad input: \n at {2}\( \(/);
});
