/** What one invocation, one thread or one process leaves to another: nothing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { accepted, event, gone, response, RuntimeApi, type ReceivedRequest } from "./runtime-api.ts";
import { executable, root, Sandbox, workspace } from "./sandbox.ts";

const bun = process.execPath;

/** The bytes of a response, after which the server closes the connection. */
const closing = (status: number, bytes: Buffer) =>
  Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status} Status\r\nConnection: close\r\n`),
    bytes.subarray(bytes.indexOf("\n") + 1),
  ]);

/** How the connection is replaced, while an invocation that has entered a store is answered. */
const replaced: Record<string, (next: ReceivedRequest, bytes: Buffer) => Promise<void>> = {
  "an event with Connection: close": async (next, bytes) => {
    await next.send(closing(200, bytes));
    next.connection.end();
  },
  "a close while the handler runs": async (next, bytes) => {
    await next.send(bytes);
    next.connection.end();
  },
  "a reset while the handler runs": async (next, bytes) => {
    await next.send(bytes);
    await Bun.sleep(10);
    next.connection.reset();
  },
};

for (const [how, replace] of Object.entries(replaced)) {
  for (const loops of ["1", "2"]) {
    for (const RAW of how === "a reset while the handler runs" ? [""] : ["", "1"]) {
      test(`a store that an invocation enters is not seen by later ones, with ${how}, ${loops} loops, ${RAW ? "raw" : "json"}`, async () => {
        await using sandbox = await Sandbox.start("isolation", { AWS_LAMBDA_MAX_CONCURRENCY: loops, RAW });
        const seen: string[] = [];
        const nexts = [await sandbox.api.request("GET", "/invocation/next")];
        if (loops === "2") nexts.push(await sandbox.api.request("GET", "/invocation/next"));
        await replace(nexts[0]!, event({ id: "1", body: '{"enter":"of invocation 1","wait":50}' }));
        for (let id = 1; id <= 3; id++) {
          const reply = await sandbox.api.request("POST", `/invocation/${id}/response`);
          seen.push(reply.body.toString());
          await reply.send(accepted);
          const next = await sandbox.api.request("GET", "/invocation/next");
          await next.send(event({ id: String(id + 1), body: "{}" }));
        }
        assert.deepEqual(seen, Array(3).fill(RAW ? "nothing" : "null"));
      });
    }
  }
}

test("an error is reported as one, whatever members the prototype of all objects has", async () => {
  await using sandbox = await Sandbox.start("isolation");
  const report = await sandbox.invoke({ id: "1", body: '{"then":"throw with a reply"}', expect: "error" });
  assert.equal(JSON.parse(report.body.toString()).errorType, "RangeError");
  await sandbox.invoke({ id: "2", body: "{}" });
});

test("with several loops, a stack ends where the runtime calls the handler", async () => {
  await using sandbox = await Sandbox.start("isolation", { AWS_LAMBDA_MAX_CONCURRENCY: "2" });
  await sandbox.api.request("GET", "/invocation/next"); // of the other loop, which waits
  const report = await sandbox.invoke({ body: '{"then":"throw"}', expect: "error" });
  const { stackTrace } = JSON.parse(report.body.toString());
  assert.equal(stackTrace.length, 1);
  assert.match(stackTrace[0], /^at handler \(.*isolation\.ts:/);
  sandbox.process.kill();
  assert.doesNotMatch((await sandbox.exited).stderr, /runtime\.ts|async_hooks/);
});

test("of field lines of one name in two spellings, the first counts", async () => {
  await using sandbox = await Sandbox.start("echo");
  for (const [id, headers] of [
    ["first", { "lambda-runtime-aws-request-id": "first", "Lambda-Runtime-Aws-Request-Id": "second" }],
    ["second", { "Lambda-Runtime-Aws-Request-Id": "second", "lambda-runtime-aws-request-id": "first" }],
  ] as const) {
    const raw = response(200, { ...headers, "Content-Length": "2" }, "{}");
    await sandbox.invoke({ id, raw }); // the short way
    await sandbox.invoke({ id, raw: Buffer.concat([Buffer.from("HTTP/1.1 103 Early\r\n\r\n"), raw]) }); // the general one
  }
});

test("that no file descriptor is left for a connection is said, and how many are open", async () => {
  const script = join(workspace, "few descriptors");
  writeFileSync(script, `#!/bin/sh\nulimit -n 100\nexec ${executable("isolation")}\n`, { mode: 0o755 });
  await using sandbox = await Sandbox.start(script);
  const next = await sandbox.api.request("GET", "/invocation/next");
  await replaced["an event with Connection: close"]!(next, event({ body: '{"then":"open all files","wait":20}' }));
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  const reason =
    /cannot connect to [\d.:]+: .*\(ECONNREFUSED\), since (?:99|100) file descriptors are open .*\(EMFILE\)\n$/;
  assert.match(stderr, reason);
});

/** Runs a program from source, made of files in a folder of its own. */
function runSource(name: string, files: Record<string, string>, env: Record<string, string> = {}, args: string[] = []) {
  const folder = join(workspace, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  const runtime = join(root, "runtime.ts");
  writeFileSync(join(folder, "runtime.ts"), `export * from ${JSON.stringify(runtime)};\n`);
  return spawnSync(bun, ["main.ts", ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { PATH: process.env.PATH, ...env },
  });
}

const worker = `
import { header, run } from "./runtime.ts";
try { run(() => ""); } catch (error) { postMessage(error.message); }
postMessage(header(new TextEncoder().encode("A: 1\\r\\n"), "a"));
setTimeout(() => { throw new Error("of the worker"); });`;
const main = `
const worker = new Worker("./worker.ts");
worker.onmessage = ({ data }) => console.log(data);
worker.onerror = ({ message }) => (console.log(message), worker.terminate());`;

for (const env of [{}, { AWS_LAMBDA_RUNTIME_API: "127.0.0.1:1" }]) {
  test(`in a worker ${"AWS_LAMBDA_RUNTIME_API" in env ? "in Lambda" : "outside Lambda"} nothing is done but what is called, and run says why it cannot serve`, () => {
    const { status, stdout, stderr } = runSource("worker", { "main.ts": main, "worker.ts": worker }, env);
    assert.deepEqual([status, stderr], [0, ""]);
    const [refusal, value, ...error] = stdout.split("\n");
    assert.match(refusal ?? "", /^run was called in a worker, and only the main thread serves events$/);
    assert.equal(value, "1");
    assert.match(error.join("\n"), /of the worker/);
  });
}

test("a script outside Lambda that imports the file has its standard output, its console and its errors to itself", () => {
  const program = `
import { header } from "./runtime.ts";
console.log(header(new TextEncoder().encode("A: 1\\r\\n"), "a"));
process.stdout.write("written\\n");
throw new RangeError("of the script");`;
  const { status, stdout, stderr } = runSource("script", { "main.ts": program });
  assert.equal(status, 1);
  assert.equal(stdout, "1\nwritten\n");
  assert.match(stderr, /^\d+ \| [^]*RangeError: of the script\n/, "as Bun prints it");
});

test("a child process that runs the same function is told that its parent serves the events", async () => {
  await using api = await RuntimeApi.start();
  const program = `
import { spawnSync } from "node:child_process";
import { run } from "./runtime.ts";
run(() => spawnSync(process.execPath, [import.meta.path], { encoding: "utf8" }).stderr);`;
  const folder = join(workspace, "child");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "main.ts"), program.replace("./runtime.ts", join(root, "runtime.ts")));
  const child = Bun.spawn([bun, "main.ts"], {
    cwd: folder,
    env: { PATH: process.env.PATH, AWS_LAMBDA_RUNTIME_API: api.address },
    stderr: "pipe",
  });
  await (await api.request("GET", "/invocation/next")).send(event({ id: "1" }));
  const reply = await api.request("POST", "/invocation/1/response");
  assert.match(reply.body.toString(), /error: run was called in a child process of the function, which already serves/);
  await reply.send(accepted);
  await (await api.request("GET", "/invocation/next")).send(gone);
  assert.equal(await child.exited, 0);
});

test("outside Bun, importing the file says that it needs Bun, and how to run Vitest with it", async () => {
  const file = join(workspace, "runtime.mjs");
  const source = await Bun.file(join(root, "runtime.ts")).text();
  writeFileSync(file, new Bun.Transpiler({ loader: "ts" }).transformSync(source));
  const { stderr } = spawnSync("node", [file], { encoding: "utf8" });
  assert.match(stderr, /Error: bunstrap needs Bun: .*bun --bun vitest/);
});

test("an argument that is the name of a file gets a hint, and one that is JSON does not", () => {
  const program = 'import { json, run } from "./runtime.ts";\nrun(json((event) => event));';
  const files = { "main.ts": program, "event.json": "{}", "1": "" };
  const named = runSource("hint", files, {}, ["event.json"]);
  assert.equal(named.status, 1);
  assert.match(named.stderr, /^the event is the text event\.json, .*<event\.json\n/);
  assert.deepEqual(runSource("hint", files, {}, ["1"]).stderr, "");
});
