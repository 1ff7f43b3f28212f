/** What a handler can do wrong, and what comes of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { accepted, event, gone } from "./runtime-api.ts";
import { logEvents, runLocally, Sandbox } from "./sandbox.ts";

for (const status of [0, 3]) {
  test(`process.exit(${status}) in the middle of an invocation ends with status ${status || 1}, and a message that names it`, async () => {
    await using sandbox = await Sandbox.start("exit");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ id: "1", body: String(status) }));
    const exit = await sandbox.exited;
    assert.equal(exit.status, status || 1);
    assert.match(
      exit.stderr,
      new RegExp(
        `^\\S+\\t1\\tERROR\\tRuntime.ExitError: process.exit was called in the middle of an invocation, with status ${status}\r[^\n]*exit\\.ts:6:[^\n]*\n$`,
      ),
    );
    assert.equal(sandbox.api.unexpected, 0);
  });

  test(`process.exit(${status}) in local mode ends with status ${status || 1}, and an error in JSON`, async () => {
    const exit = await runLocally("exit", [String(status)]);
    assert.equal(exit.status, status || 1);
    assert.equal(exit.stdout, "");
    assert.equal(JSON.parse(exit.stderr).errorType, "Runtime.ExitError");
  });
}

test("process.exit(0) between two invocations ends with status 1 and a message", async () => {
  await using sandbox = await Sandbox.start("exit-later");
  await sandbox.invoke();
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^\S+\t\tERROR\tRuntime\.ExitError: process\.exit was called between two invocations, with status 0\r/,
  );
});

test("process.exit(0) while modules load ends with status 1 and a message", async () => {
  await using sandbox = await Sandbox.start("init-exit");
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^\S+\t\tERROR\tRuntime\.ExitError: process\.exit was called while modules loaded, with status 0\r/,
  );
});

test("a program that never calls run is an initialization error", async () => {
  await using sandbox = await Sandbox.start("init-no-run");
  const report = await sandbox.api.request("POST", "/init/error");
  await report.send(accepted);
  assert.match(report.body.toString(), /"errorMessage":"the program has come to its end without calling run"/);
  assert.equal((await sandbox.exited).status, 1);
});

test("a handler that blocks the event loop for 3 s is served, though its connection closes in between", async () => {
  await using sandbox = await Sandbox.start("block");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: "3000" }));
  await Bun.sleep(50);
  next.connection.reset();
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  await reply.send(accepted);
  await sandbox.invoke({ id: "2", body: "0" });
  await sandbox.stop();
});

test("a reply that comes after the deadline (410) is logged, and the next invocation is served", async () => {
  await using sandbox = await Sandbox.start("wait");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: "100", headers: { "Lambda-Runtime-Deadline-Ms": String(Date.now() + 50) } }));
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  await reply.send(gone);
  await sandbox.invoke({ id: "2", body: "0" });
  const { stderr } = await sandbox.stop();
  assert.match(stderr, /^\S+\t1\tERROR\tthe reply came after the invocation had timed out: 410 ""\n$/);
});

test("a handler that destroys the buffers it was given does not disturb its own invocation or the next", async () => {
  await using sandbox = await Sandbox.start("mutate");
  for (let id = 1; id <= 20; id++) {
    const reply = await sandbox.invoke({
      id: String(id),
      body: `body ${id}`,
      headers: { "Lambda-Runtime-Invocation-Id": `invocation ${id}` },
    });
    assert.equal(reply.body.toString(), `body ${id}`);
    assert.equal(reply.headers.get("lambda-runtime-invocation-id"), `invocation ${id}`);
  }
});

const unsettled = [
  "a promise that nobody resolves",
  "a promise of an async function",
  "a thenable that does nothing",
  "a web stream that is never filled",
  "Atomics.waitAsync on what nobody shares",
];

for (const name of unsettled) {
  test(`a handler that waits for ${name} is reported as Runtime.NeverSettled at once, and the next invocation is served`, async () => {
    await using sandbox = await Sandbox.start("never");
    for (const id of ["1", "2"]) {
      const report = await sandbox.invoke({ id, body: JSON.stringify(name), expect: "error" });
      assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Runtime.NeverSettled");
      assert.match(report.body.toString(), /"errorMessage":"the handler can never settle: .*nothing is left/);
    }
    await sandbox.invoke({ id: "3", body: '"resolve"' });
    const { stderr } = await sandbox.stop();
    assert.equal(stderr.match(/\tERROR\tRuntime\.NeverSettled: /g)?.length, 2);
  });

  test(`a handler that waits for ${name} fails in local mode with Runtime.NeverSettled and status 1`, async () => {
    const { status, stdout, stderr } = await runLocally("never", [JSON.stringify(name)]);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.equal(JSON.parse(stderr).errorType, "Runtime.NeverSettled");
  });
}

test("a handler that something may still wake fails right before its deadline, there is one warning, and the next is served", async () => {
  await using sandbox = await Sandbox.start("never");
  for (const id of ["1", "2"]) {
    const deadline = Date.now() + 700;
    const headers = { "Lambda-Runtime-Deadline-Ms": String(deadline) };
    const body = '"a promise that the next invocation resolves"';
    const report = await sandbox.invoke({ id, body, headers, expect: "error" });
    assert.ok(Date.now() > deadline - 200, "not before");
    assert.match(
      report.body.toString(),
      /does not hold the event loop, and its deadline has come.*Runtime\.NeverSettled/,
    );
  }
  assert.equal(
    (await sandbox.invoke({ id: "3", body: '"resolve"' })).body.toString(),
    '"resolved"',
    "which is ignored",
  );
  const levels = logEvents((await sandbox.stop()).stderr).map(({ requestId, level }) => [requestId, level]);
  const expected = [["1", "WARN"], ["1", "ERROR"], ["2", "ERROR"]]; // prettier-ignore
  assert.deepEqual(levels, expected);
});

test("a handler that waits for what does not hold the event loop is served, and so is the next", async () => {
  await using sandbox = await Sandbox.start("never");
  for (const name of [
    "an unreferenced timer",
    "AbortSignal.timeout",
    "an unreferenced child process",
    "an unreferenced worker",
    "an unreferenced socket",
    "an unreferenced watcher",
    "Atomics.waitAsync with a time-out",
  ]) {
    const reply = await sandbox.invoke({ id: name.replaceAll(" ", "-"), body: JSON.stringify(name) });
    assert.equal(reply.body.toString(), '"woken"');
  }
  const levels = logEvents((await sandbox.stop()).stderr).map(({ level }) => level);
  assert.deepEqual(levels, ["WARN"]);
});

describe("a handler that waits for something is not taken for one that can never settle", async () => {
  const { stdout } = await runLocally("waits", [""]);
  for (const name of JSON.parse(stdout) as string[]) {
    test(`when it waits for ${name}`, async () => {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        setTimeout(() => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 100);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const SERVER_PORT = String((server.address() as AddressInfo).port);
      try {
        await using sandbox = await Sandbox.start("waits", { SERVER_PORT });
        for (let time = 0; time < 2; time++) {
          const headers = { "Lambda-Runtime-Deadline-Ms": String(Date.now() + 400) };
          assert.equal(
            (await sandbox.invoke({ body: JSON.stringify(name), headers })).body.toString(),
            JSON.stringify(name),
          );
        }
        await sandbox.stop();
        const local = await runLocally("waits", [JSON.stringify(name === "context.signal" ? "a timer" : name)], {
          env: { SERVER_PORT },
        });
        assert.equal(local.status, 0, local.stderr);
      } finally {
        server.close();
      }
    });
  }
});

test("a handler that waits does not use the processor", async () => {
  await using sandbox = await Sandbox.start("wait");
  await sandbox.invoke({ body: "0" });
  const before = processorTime(sandbox.process.pid);
  await sandbox.invoke({ body: "1000" });
  const used = processorTime(sandbox.process.pid) - before;
  assert.ok(used < 500, `${used} ms of processor time in 1,000 ms`);
});

/** The processor time that a process has used so far, in ms. */
function processorTime(pid: number): number {
  const { readFileSync } = process.getBuiltinModule("node:fs");
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10; // in ticks of 10 ms, as Linux has them everywhere
}

const awkward = [
  "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
  "\0",
  "\x7f",
  "\"'`\\",
  "naïve ☃ 🌍 \ud800",
  "a\tb",
  "A".repeat(1_000_000),
  "é".repeat(500_000),
];

for (const name of awkward) {
  test(`an error of the type and message ${JSON.stringify(name.slice(0, 20))} (${name.length} characters) leaves the wire well-formed`, async () => {
    await using sandbox = await Sandbox.start("long-names");
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ id: "1", body: JSON.stringify(name) }));
    const report = await sandbox.api.request("POST", "/invocation/1/error");
    const head = report.raw.subarray(0, report.raw.length - report.body.length).toString("latin1");
    const cause = /^Lambda-Runtime-Function-XRay-Error-Cause: ([\x20-\x7e]{2,65536})\r\n/m.exec(head);
    assert.match(
      head.replace(cause?.[0] ?? "", ""),
      /^(?:[\x20-\x7e]{1,300}\r\n){6}\r\n$/,
      "printable ASCII only, and no more field lines than there should be",
    );
    const [exception] = JSON.parse(cause?.[1] ?? "").exceptions;
    assert.ok(
      name.toWellFormed().startsWith(exception.message.toWellFormed()) &&
        exception.message.length >= Math.min(name.length, 4_000),
    );
    assert.match(
      report.headers.get("lambda-runtime-function-error-type") ?? "",
      /^(Runtime|Function)\.[A-Z][a-zA-Z]+$/,
    );
    const { errorType, errorMessage } = JSON.parse(report.body.toString());
    assert.deepEqual([errorType, errorMessage], [name, name]);
    await report.send(accepted);
    const { stderr } = await sandbox.stop();
    assert.equal(stderr.trimEnd().split("\n").length, 1, "one log event");
  });
}

for (const id of ["a\"b'c", "\x7f", "ü☃🌍", "a\tb", "../../init/error", "%0d%0aX: y", "x".repeat(8_000)]) {
  test(`a request id of ${JSON.stringify(id.slice(0, 20))} goes into the path as data`, async () => {
    await using sandbox = await Sandbox.start("errors");
    await sandbox.invoke({ id, body: '"Error"', expect: "error" });
    await sandbox.invoke({ id: "2", body: '"Error"', expect: "error" });
    await sandbox.stop();
  });
}
