/** What a handler overwrites and the runtime has a use for: whatever it is, the error that follows is told, and the process ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, chunkedEvent, event, gone } from "./runtime-api.ts";
import { Sandbox } from "./sandbox.ts";

const globals = [
  "Array",
  "Array.from",
  "Array.isArray",
  "Array.prototype[Symbol.iterator]",
  "Array.prototype.at",
  "Array.prototype.filter",
  "Array.prototype.find",
  "Array.prototype.findLastIndex",
  "Array.prototype.includes",
  "Array.prototype.join",
  "Array.prototype.map",
  "Array.prototype.push",
  "Array.prototype.slice",
  "ArrayBuffer.isView",
  "ArrayBuffer.prototype.transfer",
  "Bun.inspect",
  "Date",
  "Date.prototype.toISOString",
  "Error",
  "Function.prototype.call",
  "Function.prototype.apply",
  "JSON.parse",
  "JSON.stringify",
  "Math.max",
  "Math.trunc",
  "Number",
  "Object.assign",
  "Object.defineProperty",
  "Object.entries",
  "Object.fromEntries",
  "Object.hasOwn",
  "Object.keys",
  "Promise",
  "Promise.all",
  "Promise.withResolvers",
  "Promise.prototype.then",
  "Reflect.defineProperty",
  "RegExp.prototype.exec",
  "RegExp.prototype.test",
  "Set",
  "Set.prototype.add",
  "Set.prototype.delete",
  "Set.prototype.has",
  "Set.prototype[Symbol.iterator]",
  "Set.prototype.values",
  "String",
  "String.prototype.includes",
  "String.prototype.replaceAll",
  "String.prototype.slice",
  "String.prototype.split",
  "String.prototype.toUpperCase",
  "String.prototype.trim",
  "Symbol",
  "TextDecoder",
  "TextEncoder",
  "TextEncoder.prototype.encode",
  "Uint8Array",
  "Uint8Array.prototype.set",
  "Uint8Array.prototype.subarray",
  "console",
  "console.error",
  "encodeURIComponent",
  "node:fs.writeSync",
  "process.cwd",
  "process.exit",
  "process.getBuiltinModule",
  "process.off",
  "setTimeout",
  "clearTimeout",
];

/** Serves the one event, and whatever is asked for then: what is told by POST is accepted, and there is no further event. */
async function outcome(
  how: "return" | "return much" | "throw" | "escape",
  path: string,
  env: Record<string, string>,
): Promise<{ status: number | null; stderr: string; isAnswered: boolean }> {
  await using sandbox = await Sandbox.start("overwritten", env);
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ body: JSON.stringify([how, path]) }));
  let isAnswered = false;
  const answers = async () => {
    for (;;) {
      const request = await sandbox.api.anyRequest();
      isAnswered ||= request.method === "POST";
      await request.send(request.raw.toString("latin1").startsWith("GET") ? gone : accepted);
    }
  };
  answers().catch(() => {}); // the process has ended
  const exit = await sandbox.exited;
  return { ...exit, isAnswered };
}

for (const format of ["text", "JSON"]) {
  for (const path of globals) {
    test(`with ${path} overwritten, an error is logged (${format}), and one that escapes ends the process with status 1`, async () => {
      // Whichever the runtime meets first: the error that is thrown, or what is left of the global.
      const told = new RegExp(
        `RangeError: after it was overwritten|Error: ${RegExp.escape(path)} was overwritten|TypeError: instanceof called on`,
      );
      const thrown = await outcome("throw", path, { AWS_LAMBDA_LOG_FORMAT: format });
      assert.match(thrown.stderr, told);
      assert.ok(thrown.status === 0 || thrown.status === 1, String(thrown.status));
      const escaped = await outcome("escape", path, { AWS_LAMBDA_LOG_FORMAT: format });
      assert.match(escaped.stderr, told);
      assert.equal(escaped.status, 1);
    });
  }
}

for (const path of globals) {
  test(`with ${path} overwritten by a handler that returns, it is answered, or the process ends with status 1 and a message`, async () => {
    for (const how of ["return", "return much"] as const) {
      const { status, stderr, isAnswered } = await outcome(how, path, {});
      if (!isAnswered) assert.equal(status, 1, stderr);
      if (status !== 0) assert.match(stderr, /\t(?:ERROR|FATAL)\t/);
    }
  });
}

test("a chunked event is served after a handler has overwritten Buffer, which it can do without", async () => {
  await using sandbox = await Sandbox.start("overwritten");
  await sandbox.invoke({ id: "1", body: JSON.stringify(["return", "Buffer"]) });
  const reply = await sandbox.invoke({
    id: "2",
    raw: chunkedEvent({ id: "2", body: JSON.stringify(["return", "Date"]) }),
  });
  assert.equal(reply.body.toString(), '"returned"');
});
