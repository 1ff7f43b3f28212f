/** Local mode: without a Runtime API the executable serves one event and exits. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { executable, root, runLocally } from "./sandbox.ts";

test("the event is the first argument, and standard output is the reply and nothing else", async () => {
  const { status, stdout, stderr } = await runLocally("json-echo", ['{"a": 1}']);
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '{"a":1}', stderr: "" });
});

test("the event is standard input if there is no argument", async () => {
  const { status, stdout, stderr } = await runLocally("json-echo", [], { stdin: '{"a": 1}' });
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '{"a":1}', stderr: "" });
});

test("an empty event, as argument or on standard input, is null", async () => {
  assert.equal((await runLocally("json-echo", [""], { stdin: "1" })).stdout, "null");
  assert.equal((await runLocally("json-echo", [], { stdin: "" })).stdout, "null");
});

test("an empty AWS_LAMBDA_RUNTIME_API counts as none", async () => {
  assert.equal((await runLocally("json-echo", ["1"], { env: { AWS_LAMBDA_RUNTIME_API: "" } })).stdout, "1");
});

test("bytes come in and go out as they are, 6 MiB of them too", async () => {
  const bytes = new Uint8Array(6 << 20).map((_, index) => (index * 31) >> 3);
  const { status, stdout } = spawnSync(executable("echo"), { input: bytes, env: {}, maxBuffer: Infinity });
  assert.equal(status, 0);
  assert.ok(stdout.equals(bytes));
});

test("what the handler logs, by whatever means, goes to standard error", async () => {
  const { stdout, stderr } = await runLocally("logs", ["{}"]);
  assert.equal(stdout, '"reply"');
  for (const line of ["loading", "log", "info", "debug", "write", "descriptor"]) assert.match(stderr, new RegExp(`^${line}$`, "m"));
  assert.match(stderr, /column/);
});

test("in Lambda, what the handler logs goes where it is written to", async () => {
  const { Sandbox } = await import("./sandbox.ts");
  await using sandbox = await Sandbox.start("logs");
  await sandbox.invoke();
  const { stdout, stderr } = await sandbox.stop();
  for (const line of ["loading", "log", "info", "debug", "write", "descriptor"]) assert.match(stdout, new RegExp(`(?:^|\\t)${line}$`, "m"));
  assert.equal(stderr, "");
});

test("an error is JSON on standard error, with status 1 and nothing on standard output", async () => {
  const { status, stdout, stderr } = await runLocally("errors", ['"OrderError"']);
  assert.equal(status, 1);
  assert.equal(stdout, "");
  const { errorType, errorMessage, stackTrace } = JSON.parse(stderr);
  assert.equal(errorType, "OrderError");
  assert.equal(errorMessage, "of a class without a name");
  assert.match(stackTrace[0], /^at .*test\/handlers\/errors\.ts:\d+:\d+/);
});

for (const [name, args, errorType] of [
  ["init-throw", ["1"], "RangeError"],
  ["init-await", ["1"], "RangeError"],
  ["init-after-run", ["1"], "RangeError"],
  ["run-twice", ["1"], "TypeError"],
  ["init-no-run", ["1"], "Error"],
  ["several", ["1"], "TypeError"],
  ["escaped", ['"timer"'], "RangeError"],
  ["escaped", ['"rejection"'], "RangeError"],
  ["json-echo", ["{"], "Runtime.UnmarshalError"],
  ["not-bytes", ["1"], "Runtime.MarshalError"],
] as const) {
  test(`an error of ${name} ${args[0]} is JSON on standard error, with status 1`, async () => {
    const { status, stdout, stderr } = await runLocally(name, [...args]);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.equal(JSON.parse(stderr).errorType, errorType);
  });
}

test("the module is evaluated to its end before the handler is called, however the event comes", async () => {
  assert.equal((await runLocally("declared-later", ["1"])).stdout, '"declared below"');
  assert.equal((await runLocally("declared-later", [], { stdin: "1" })).stdout, '"declared below"');
  const source = spawnSync(join(root, "node_modules/.bin/bun"), [join(root, "test/handlers/declared-later.ts"), "1"], { encoding: "utf8", env: {} });
  assert.equal(source.stdout, '"declared below"', source.stderr);
});

test("a program that imports runtime.ts from source and does not call run, as a test of a handler, is left alone", () => {
  const program = `import { json } from ${JSON.stringify(join(root, "runtime.ts"))}; console.log(typeof json); process.exitCode = 3;`;
  const { status, stdout, stderr } = spawnSync(join(root, "node_modules/.bin/bun"), ["-e", program], { encoding: "utf8", env: {} });
  assert.deepEqual([status, stdout + stderr], [3, "function\n"]);
});

test("a handler of several is picked by _HANDLER", async () => {
  assert.equal((await runLocally("several", ["1"], { env: { _HANDLER: "list" } })).stdout, '"listed"');
});

test("the context has a request id and a deadline", async () => {
  const { stdout, stderr } = await runLocally("context", ["1"]);
  const { awsRequestId, remaining } = JSON.parse(stdout || stderr);
  assert.match(awsRequestId, /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/);
  assert.ok(remaining > 14 * 60_000 && remaining <= 15 * 60_000, String(remaining));
});

test("a handler that leaves a timer behind does not keep the process", async () => {
  assert.equal((await runLocally("leftover", ["1"])).stdout, "1");
});

test("nothing given on a terminal is answered by a usage line and status 2", () => {
  // script(1) of util-linux gives the executable a terminal.
  const { status, stdout } = spawnSync("script", ["-qec", executable("echo"), "/dev/null"], { encoding: "utf8", env: { PATH: process.env.PATH } });
  assert.match(stdout, /^usage: the event is the first argument, or standard input;/);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  assert.equal(status, 2);
});

test("a handler runs from source as it does compiled", () => {
  const bun = join(root, "node_modules/.bin/bun");
  const run = (event: string) => spawnSync(bun, [join(root, "test/handlers/logs.ts"), event], { encoding: "utf8", env: {} });
  const { status, stdout, stderr } = run("{}");
  assert.equal(status, 0, stderr);
  assert.equal(stdout, '"reply"');
  assert.match(stderr, /^descriptor$/m);
});
