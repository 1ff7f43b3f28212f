/** Initialization: what goes wrong while modules load is reported to /init/error, printed, and ends the process. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, answer } from "./runtime-api.ts";
import { Sandbox } from "./sandbox.ts";

for (const [name, env, errorType, errorMessage] of [
  ["init-throw", {}, "RangeError", /^no configuration$/],
  ["init-await", {}, "RangeError", /^no database$/],
  ["init-rejection", {}, "RangeError", /^nobody waits for this$/],
  ["init-after-run", {}, "RangeError", /^after run$/],
  ["init-import", {}, "RangeError", /^in a module that is imported$/],
  ["run-twice", {}, "TypeError", /^run was called a second time; /],
  ["no-handler", {}, "TypeError", /^run takes a handler, or an object of handlers, and got string$/],
  ["not-a-handler", { _HANDLER: "list" }, "TypeError", /^handler list is string, not a function$/],
  ["not-a-function", {}, "TypeError", /^json takes a function, and got undefined$/],
  ["several", { _HANDLER: "remove" }, "TypeError", /^_HANDLER is "remove", and the handlers are: create, list$/],
  ["several", { _HANDLER: "toString" }, "TypeError", /^_HANDLER is "toString", and the handlers are: create, list$/],
  ["several", {}, "TypeError", /^_HANDLER is not set, and has to name one of the handlers: create, list$/],
] as const) {
  test(`an initialization error (${name} ${JSON.stringify(env)}) is posted once, printed, and ends the process`, async () => {
    await using sandbox = await Sandbox.start(name, env);
    const report = await sandbox.api.request("POST", "/init/error");
    await report.send(accepted);
    const body = JSON.parse(report.body.toString());
    assert.equal(body.errorType, errorType);
    assert.match(body.errorMessage, errorMessage);
    assert.ok(
      body.stackTrace.some((frame: string) => frame.includes("test/handlers/")),
      report.body.toString(),
    );
    assert.equal(report.headers.get("lambda-runtime-function-error-type"), `Function.${errorType}`);
    const { status, stdout, stderr } = await sandbox.exited;
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, new RegExp(`^\\S+\\t\\tERROR\\t${errorType}: [^\n]+\n$`));
    assert.equal(sandbox.api.unexpected, 0, "no event was asked for");
  });
}

test("an initialization error ends the process even if the report is refused, which is logged", async () => {
  await using sandbox = await Sandbox.start("init-throw");
  const report = await sandbox.api.request("POST", "/init/error");
  await report.send(answer(403, "the reason"));
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, /POST \/init\/error was answered 403 "the reason"/);
});

test("an initialization error ends the process even if there is nobody to report it to", async () => {
  await using sandbox = await Sandbox.start("init-throw", { AWS_LAMBDA_RUNTIME_API: "127.0.0.1:1" });
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, /RangeError: no configuration/);
  assert.match(stderr, /cannot connect to 127\.0\.0\.1:1/);
});
