/** onShutdown: the internal extension that makes Lambda send SIGTERM, and what happens then. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, event, accepted, response } from "./runtime-api.ts";
import { runLocally, Sandbox } from "./sandbox.ts";

/** Starts the fixture and answers its registration. */
async function register(way: string): Promise<Sandbox> {
  const sandbox = await Sandbox.start("shutdown", { WAY: way });
  const registration = await sandbox.api.extensionRequest("POST", "/register");
  assert.equal(registration.headers.get("lambda-extension-name"), "bunstrap");
  assert.equal(registration.body.toString(), '{"events":[]}');
  await registration.send(
    response(200, { "Lambda-Extension-Identifier": "the-identifier", "Content-Length": "2" }, "{}"),
  );
  const next = await sandbox.api.extensionRequest("GET", "/event/next");
  assert.equal(next.headers.get("lambda-extension-identifier"), "the-identifier");
  return sandbox;
}

for (const way of ["sync", "async"]) {
  test(`onShutdown (${way}) is called once on SIGTERM, and the process ends with 0`, async () => {
    await using sandbox = await register(way);
    await sandbox.invoke({ body: "1" });
    await sandbox.api.request("GET", "/invocation/next");
    sandbox.process.kill("SIGTERM");
    sandbox.process.kill("SIGTERM");
    assert.deepEqual(await sandbox.exited, { status: 0, stdout: "onShutdown\n", stderr: "" });
  });
}

test("onShutdown goes on to its end if the Runtime API refuses to be asked meanwhile, which is logged", async () => {
  await using sandbox = await register("async");
  const next = await sandbox.api.request("GET", "/invocation/next");
  sandbox.process.kill("SIGTERM");
  await Bun.sleep(15);
  await next.send(answer(403, "over"));
  const { status, stdout, stderr } = await sandbox.exited;
  assert.deepEqual([status, stdout], [0, "onShutdown\n"]);
  assert.match(stderr, /^\S+\t\tFATAL\tGET \/invocation\/next was answered 403 "over"\n$/);
});

test("an invocation that is in flight on SIGTERM is answered, then onShutdown is called, and no other event is begun", async () => {
  await using sandbox = await register("sync");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: '{"wait":40}' }));
  await Bun.sleep(10);
  sandbox.process.kill("SIGTERM");
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(sandbox.process.exitCode, null);
  await reply.send(accepted);
  assert.deepEqual(await sandbox.exited, { status: 0, stdout: "onShutdown\n", stderr: "" });
  assert.equal(sandbox.api.unexpected, 0);
});

test("an invocation that is not done soon after SIGTERM is logged with its id, and onShutdown is called all the same", async () => {
  await using sandbox = await register("sync");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: '{"wait":10000}' }));
  await Bun.sleep(10);
  sandbox.process.kill("SIGTERM");
  const { status, stdout, stderr } = await sandbox.exited;
  assert.deepEqual([status, stdout], [0, "onShutdown\n"]);
  assert.match(stderr, /^\S+\t1\tERROR\tthe sandbox ends before this invocation was answered\n$/);
});

test("onShutdown that throws is logged, and the process ends with 1", async () => {
  await using sandbox = await register("throws");
  await sandbox.api.request("GET", "/invocation/next");
  sandbox.process.kill("SIGTERM");
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, /^\S+\t\tERROR\tRangeError: on shutdown\r/);
});

test("onShutdown that takes too long is cut off at 250 ms, logged, and the process ends with 1", async () => {
  await using sandbox = await register("takes too long");
  await sandbox.api.request("GET", "/invocation/next");
  sandbox.process.kill("SIGTERM");
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, /\tonShutdown has not finished within 250 ms\n$/);
});

test("the extension is registered before the first event is asked for", async () => {
  await using sandbox = await Sandbox.start("shutdown");
  const registration = await sandbox.api.extensionRequest("POST", "/register");
  await Bun.sleep(100);
  assert.equal(sandbox.api.unexpected, 0);
  await registration.send(response(200, { "Lambda-Extension-Identifier": "x", "Content-Length": "0" }));
  await sandbox.invoke();
});

for (const [kind, fails] of [
  [
    "is refused",
    (sandbox: Sandbox) =>
      sandbox.api.extensionRequest("POST", "/register").then((request) => request.send(answer(403, "too many"))),
  ],
  [
    "has no identifier",
    (sandbox: Sandbox) =>
      sandbox.api.extensionRequest("POST", "/register").then((request) => request.send(answer(200))),
  ],
  ["is not answered for 1 s", (sandbox: Sandbox) => sandbox.api.extensionRequest("POST", "/register")],
  [
    "is cut off twice",
    async (sandbox: Sandbox) => {
      for (let time = 0; time < 2; time++) (await sandbox.api.extensionRequest("POST", "/register")).connection.reset();
    },
  ],
] as const) {
  test(`a registration that ${kind} is logged, and the function is served`, async () => {
    await using sandbox = await Sandbox.start("shutdown");
    await fails(sandbox);
    assert.equal((await sandbox.invoke({ body: "1" })).body.toString(), "1");
    const { stderr } = await sandbox.stop();
    assert.match(
      stderr,
      /^\S+\t\tERROR\tonShutdown will not be called, since the extension was not registered: [^\n]+\n$/,
    );
  });
}

test("the extension's connection does not hide that a handler can never settle", async () => {
  await using sandbox = await Sandbox.start("shutdown-never");
  const registration = await sandbox.api.extensionRequest("POST", "/register");
  await registration.send(response(200, { "Lambda-Extension-Identifier": "x", "Content-Length": "0" }));
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1" }));
  const report = await sandbox.api.request("POST", "/invocation/1/error");
  assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Runtime.NeverSettled");
  await report.send(accepted);
});

test("without onShutdown nothing is registered", async () => {
  await using sandbox = await Sandbox.start("echo");
  await sandbox.invoke();
  await sandbox.stop();
  assert.equal(sandbox.api.unexpected, 0);
});

test("in local mode nothing is registered either", async () => {
  assert.deepEqual(await runLocally("shutdown", ["1"]), { status: 0, stdout: "1", stderr: "" });
});
