/** Native handlers: bytes that go through a shared library or a WebAssembly module, and out again. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, mkdtempSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { accepted, chunkedEvent, event } from "./runtime-api.ts";
import { architecture, buildWithoutZip, root, Sandbox, workspace } from "./sandbox.ts";

const compiler = Bun.which("cc");
const skip = compiler ? false : "cc (of gcc, with libc6-dev) is not installed";

/** The executable of test/handlers/ffi.ts, with its library beside it, built when it is first asked for. */
function ffi(): string {
  const project = join(workspace, "ffi");
  const bootstrap = join(project, "dist", architecture, "bootstrap");
  if (!existsSync(bootstrap)) {
    mkdirSync(project);
    const options = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", join(project, "libbytes.so")];
    const compiled = spawnSync(compiler ?? "", [...options, join(root, "test/native/bytes.c")], { encoding: "utf8" });
    assert.equal(compiled.status, 0, compiled.stderr);
    const built = buildWithoutZip(
      ["--arch", architecture, "--include", "libbytes.so", join(root, "test/handlers/ffi.ts")],
      project,
    );
    assert.equal(built.status, 0, built.stderr);
  }
  return bootstrap;
}

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const large = Buffer.alloc(5_000_000, Buffer.concat([everyByte, Buffer.from("a prime number of bytes")]));

const upperCase = (bytes: Buffer) => bytes.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte));
const reversed = (bytes: Buffer) => bytes.toReversed();

for (const { kind, start, expected, skip: reason } of [
  {
    kind: "a C function that changes the body where it is",
    start: () => Sandbox.start(ffi(), { _HANDLER: "inPlace" }),
    expected: upperCase,
    skip,
  },
  {
    kind: "a C function that answers from its own memory",
    start: () => Sandbox.start(ffi(), { _HANDLER: "memoryOfTheLibrary" }),
    expected: reversed,
    skip,
  },
  { kind: "a WebAssembly module", start: () => Sandbox.start("wasm"), expected: upperCase, skip: false },
]) {
  test(`${kind} is given each body, and its bytes are the reply`, { skip: reason }, async () => {
    await using sandbox = await start();
    const bodies = [
      Buffer.from("Ada"),
      Buffer.alloc(0),
      everyByte,
      large,
      Buffer.from("z"),
      large.subarray(1),
      Buffer.alloc(0),
      everyByte,
    ];
    for (const [index, body] of bodies.entries()) {
      const id = String(index);
      const raw = body === large ? chunkedEvent({ id, body }) : event({ id, body });
      const reply = await sandbox.invoke({ id, raw });
      assert.equal(reply.body.length, body.length);
      assert.ok(reply.body.equals(expected(body)), `reply ${index} of ${body.length} bytes`);
    }
    const { stdout, stderr } = await sandbox.stop();
    assert.equal(stdout + stderr, "");
  });

  test(`the reply of ${kind} is whole even if it is sent again over a new connection`, { skip: reason }, async () => {
    await using sandbox = await start();
    const next = await sandbox.api.request("GET", "/invocation/next");
    next.connection.resetAfter = 3_000_000; // of a reply of 5 MB
    await next.send(event({ id: "1", body: large }));
    const again = await sandbox.api.request("POST", "/invocation/1/response");
    assert.notEqual(again.connection, next.connection);
    assert.ok(again.body.equals(expected(large)));
    await again.send(accepted);
  });
}

test(
  "a library is given the memory that the body is in, and what it returns is viewed where it is",
  { skip },
  async () => {
    await using sandbox = await Sandbox.start(ffi(), { _HANDLER: "addresses" });
    for (const body of [everyByte, large]) {
      const reply = await sandbox.invoke({ raw: chunkedEvent({ body }) });
      assert.equal(reply.body.toString(), '{"given":true,"returned":true}');
    }
  },
);

test("a library that is not beside the executable is an initialization error that names it", { skip }, async () => {
  const directory = mkdtempSync(join(workspace, "no-library-"));
  linkSync(ffi(), join(directory, "bootstrap"));
  await using sandbox = await Sandbox.start(join(directory, "bootstrap"), { _HANDLER: "inPlace" });
  const report = await sandbox.api.request("POST", "/init/error");
  await report.send(accepted);
  const { errorMessage } = JSON.parse(report.body.toString());
  assert.ok(errorMessage.startsWith(`Failed to open library "${directory}/libbytes.so": `), errorMessage);
  assert.equal((await sandbox.exited).status, 1);
});

test("a library is found wherever the executable is started from", { skip }, () => {
  const { stdout, stderr } = spawnSync(ffi(), ["Ada"], {
    cwd: dirname(root),
    encoding: "utf8",
    env: { _HANDLER: "inPlace" },
  });
  assert.deepEqual({ stdout, stderr }, { stdout: "ADA", stderr: "" });
});
