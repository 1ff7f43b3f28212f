/** Local mode: without a Runtime API the executable serves one event and exits. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { executable, Output, root, runLocally, Sandbox, workspace } from "./sandbox.ts";

const bun = join(root, "node_modules/.bin/bun");

/** A directory with these files, in which RUNTIME stands for the path of runtime.ts. */
function project(files: Record<string, string>): string {
  const directory = mkdtempSync(join(workspace, "project-"));
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(directory, name), text.replaceAll("RUNTIME", join(root, "runtime.ts")));
  return directory;
}

/** Runs a command on a terminal, which script(1) gives it; what it prints has CRLF at the end of lines. */
function onTerminal(command: string, input = ""): { status: number | null; stdout: string } {
  return spawnSync("script", ["-qec", command, "/dev/null"], {
    encoding: "utf8",
    input,
    env: { PATH: process.env.PATH },
  });
}

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

test("an empty standard input is said to be null", async () => {
  assert.equal(
    (await runLocally("json-echo", [], { stdin: "" })).stderr,
    "standard input is empty, and so is the event: to json it is null\n",
  );
});

for (const line of [
  "POST /path body",
  "get /path",
  "Get /path",
  "/path",
  "GET path",
  "GET  /path",
  "GET /path HTTP/1.1",
  "GET https://example.com/path",
  "true",
  '"GET /path"',
]) {
  test(`${line} is not taken for an event by http, which names the form that is`, async () => {
    const { status, stderr } = await runLocally("web", [line]);
    const expected = "'GET /path?query', with the method in capitals and no body, or the whole event as a JSON object";
    assert.equal(JSON.parse(stderr).errorMessage, `http expects ${expected}, and got ${JSON.stringify(line)}`);
    assert.equal(status, 1);
  });
}

for (const [where, redirection, why] of [
  ["a full device", ">/dev/full", "ENOSPC: no space left on device, write"],
  ["a closed pipe", "| true", "EPIPE: broken pipe, write"],
  ["a closed descriptor", ">&-", "EBADF: bad file descriptor, write"],
] as const) {
  for (const [handler, event] of [
    ["echo", "x".repeat(100_000)],
    ["stream", '["large",1]'],
  ] as const) {
    test(`a reply that cannot be written (of ${handler}) to ${where} ends with status 1 and a line that says so`, () => {
      const command = `('${executable(handler)}' '${event}'; echo "status $?" >&2) ${redirection}`;
      const { stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8", env: {} });
      assert.equal(stderr, `the reply cannot be written to standard output: ${why}\nstatus 1\n`);
    });
  }
}

for (const [how, type] of [
  ["stuck", "Runtime.NeverSettled"],
  ["escapes in the middle", "RangeError"],
] as const) {
  test(`a stream that is given up on after its first chunk (${how}) ends there, with ${type} and status 1`, async () => {
    const { status, stdout, stderr } = await runLocally("stream", [JSON.stringify([how, 1])]);
    assert.equal(stdout, "1\n");
    assert.equal(JSON.parse(stderr.replace("finally\n", "")).errorType, type);
    assert.equal(status, 1);
  });
}

test("a reply that nobody wants (>/dev/null) ends with status 0", () => {
  assert.equal(spawnSync(executable("echo"), ["1"], { stdio: "ignore", env: {} }).status, 0);
});

test("on a terminal the reply ends with a line feed, which is added where it has none", () => {
  assert.equal(onTerminal(`'${executable("echo")}' reply`).stdout, "reply\r\n");
  assert.equal(onTerminal(`'${executable("echo")}' 'reply\n'`.replace("\\n", "\n")).stdout, "reply\r\n");
});

test("on a terminal an error is printed to be read, with its stack and its causes", () => {
  const { status, stdout } = onTerminal(`'${executable("details")}' '["throw","an enumerable cause"]'`);
  const lines = stdout.replaceAll(/\(?[^\s(]*(details\.ts:)\d+:\d+\)?/g, "$1").split("\r\n");
  assert.deepEqual(lines, [
    "QueryError: the query failed",
    "    at an enumerable cause details.ts:",
    "    at <anonymous> details.ts: {",
    '  query: "select 1",',
    "  cause: Error: connect ECONNREFUSED",
    "      at details.ts: {",
    '    code: "ECONNREFUSED",',
    "    port: 5432,",
    "  },",
    "}",
    "",
  ]);
  assert.equal(status, 1);
});

const greeting = `
import { json, run } from "RUNTIME";
export const greet = (name: string) => { console.log("greeting"); return \`Hello, \${name}!\`; };
run(json(greet));
`;

for (const nodeEnv of [undefined, "test", "production"]) {
  test(`under bun test a file that calls run is only imported (NODE_ENV is ${nodeEnv}): every test runs, and one that fails is seen`, () => {
    const testOf = (expected: string) => `
      import { expect, test } from "bun:test";
      import { greet } from "./handler.ts";
      test("greets", () => expect(greet("Ada")).toBe(${JSON.stringify(expected)}));
      process.stdout.write("this is standard output\\n");
    `;
    const directory = project({
      "handler.ts": greeting,
      "a.test.ts": testOf("Hello, Ada!"),
      "b.test.ts": testOf("Hello, Ada!"),
    });
    const environment = { PATH: process.env.PATH, ...(nodeEnv === undefined ? {} : { NODE_ENV: nodeEnv }) };
    const run = () => spawnSync(bun, ["test"], { cwd: directory, encoding: "utf8", env: environment, input: "1" });
    const green = run();
    assert.match(green.stderr, /\b2 pass\n\s*0 fail\n/);
    assert.equal(green.stdout.match(/^this is standard output$/gm)?.length, 2);
    assert.equal(green.status, 0);
    writeFileSync(join(directory, "a.test.ts"), testOf("Hello!"));
    const red = run();
    assert.match(red.stderr, /\b1 pass\n\s*1 fail\n/);
    assert.equal(red.status, 1);
    writeFileSync(join(directory, "a.test.ts"), `${testOf("Hello, Ada!")}\nvoid Promise.reject(new Error("escaped"));`);
    const escaped = run();
    assert.match(escaped.stderr, /# Unhandled error between tests\n[^]*error: escaped\n[^]*\b1 error\n/);
    assert.equal(escaped.status, 1);
  });
}

test("outside bun test run serves, also where NODE_ENV is test", async () => {
  await using sandbox = await Sandbox.start("echo", { NODE_ENV: "test" });
  assert.equal((await sandbox.invoke({ body: "in Lambda" })).body.toString(), "in Lambda");
  const directory = project({ "handler.ts": greeting });
  const { stdout } = spawnSync(bun, ["handler.ts", '"Ada"'], {
    cwd: directory,
    encoding: "utf8",
    env: { NODE_ENV: "test" },
  });
  assert.equal(stdout, '"Hello, Ada!"');
});

/** Has Bun run handler.ts anew at every change. */
function watch(flag: string, directory: string): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const command = [bun, flag, "--no-clear-screen", "handler.ts", '"Ada"'];
  return Bun.spawn(command, { cwd: directory, env: {}, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
}

for (const flag of ["--watch", "--hot"]) {
  test(`bun ${flag} serves the event again at every change, each reply in a line, also after an error`, async () => {
    const directory = project({ "handler.ts": greeting });
    await using watcher = watch(flag, directory);
    const stdout = new Output(watcher.stdout);
    const stderr = new Output(watcher.stderr);
    const change = (from: string, to: string) =>
      writeFileSync(
        join(directory, "handler.ts"),
        greeting.replaceAll("RUNTIME", join(root, "runtime.ts")).replace(from, to),
      );
    await stdout.until('"Hello, Ada!"\n');
    change("Hello", "Goodbye");
    await stdout.until('"Goodbye, Ada!"\n');
    change("return", "throw new RangeError(name); return");
    await stderr.until('"errorType":"RangeError"');
    change("Hello", "Welcome");
    await stdout.until('"Welcome, Ada!"\n');
    assert.equal(watcher.exitCode, null);
  });
}

test("under bun --watch a handler is not called if its module fails behind run, and is once that is mended", async () => {
  const directory = project({ "handler.ts": `${greeting}\nthrow new RangeError("while it loads");` });
  await using watcher = watch("--watch", directory);
  const stdout = new Output(watcher.stdout);
  await new Output(watcher.stderr).until('"errorMessage":"while it loads"');
  await Bun.sleep(200);
  writeFileSync(
    join(directory, "handler.ts"),
    greeting.replaceAll("RUNTIME", join(root, "runtime.ts")).replace("Hello", "Goodbye"),
  );
  assert.equal(await stdout.until("Goodbye, Ada!"), '"');
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
  for (const line of ["loading", "log", "info", "debug", "write", "descriptor"])
    assert.match(stderr, new RegExp(`^${line}$`, "m"));
  assert.match(stderr, /column/);
});

test("in Lambda, what the handler logs goes to standard error, and what it writes goes where it is written to", async () => {
  await using sandbox = await Sandbox.start("logs");
  await sandbox.invoke();
  const { stdout, stderr } = await sandbox.stop();
  for (const line of ["loading", "log", "info", "debug"]) assert.match(stderr, new RegExp(`\\t${line}$`, "m"));
  assert.equal(stdout, "write\ndescriptor\n");
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
  const source = spawnSync(bun, [join(root, "test/handlers/declared-later.ts"), "1"], { encoding: "utf8", env: {} });
  assert.equal(source.stdout, '"declared below"', source.stderr);
});

test("a program that imports runtime.ts from source and does not call run, as a test of a handler, is left alone", () => {
  const program = `import { json } from ${JSON.stringify(join(root, "runtime.ts"))}; console.log(typeof json); process.exitCode = 3;`;
  const { status, stdout, stderr } = spawnSync(bun, ["-e", program], { encoding: "utf8", env: {} });
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
  const { status, stdout } = onTerminal(executable("echo"));
  assert.match(stdout, /^usage: the event is the first argument, or standard input;/);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  assert.equal(status, 2);
});

test("a handler runs from source as it does compiled, but for what is logged before run is called", () => {
  const run = (event: string) =>
    spawnSync(bun, [join(root, "test/handlers/logs.ts"), event], { encoding: "utf8", env: {} });
  const { status, stdout, stderr } = run("{}");
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'loading\n"reply"');
  assert.match(stderr, /^descriptor$/m);
});
