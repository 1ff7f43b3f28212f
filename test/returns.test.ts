/** What a handler returns that cannot be sent, or only just, one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, event, type ReceivedRequest } from "./runtime-api.ts";
import { Sandbox } from "./sandbox.ts";

const ways = ["a reply", "a promised reply", "a first chunk", "a later chunk"] as const;
const errorTrailer = /^Lambda-Runtime-Function-Error-Type: (.*)\r\n/;

/** Sends one event, and accepts the answer to it, whichever it is. */
async function returned(sandbox: Sandbox, ...what: unknown[]): Promise<ReceivedRequest> {
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: JSON.stringify(what) }));
  const answer = await sandbox.api.anyRequest();
  await answer.send(accepted);
  return answer;
}

/** The type of the error that was posted, or that is in the trailers of a stream. */
function errorTypeOf({ headers, trailers }: ReceivedRequest): string | undefined {
  return headers.get("lambda-runtime-function-error-type") ?? errorTrailer.exec(trailers)?.[1];
}

for (const [what, name] of [
  ["a view of a WebAssembly memory that has grown", "grown"],
  ["an array whose buffer was transferred", "transferred"],
  ["an array whose buffer was shrunk", "shrunk"],
  ["a number", "number"],
  ["an array of another type", "typed array"],
  ["an ArrayBuffer", "array buffer"],
] as const) {
  for (const way of ways) {
    test(`${what} as ${way} is a Runtime.MarshalError of its invocation, and the next one is served`, async () => {
      await using sandbox = await Sandbox.start("returns");
      const answer = await returned(sandbox, name, way);
      assert.equal(errorTypeOf(answer), "Runtime.MarshalError");
      assert.equal(answer.target.split("/").at(-1), way === "a later chunk" ? "response" : "error");
      assert.equal(answer.body.toString().startsWith("first"), way === "a later chunk");
      assert.equal((await returned(sandbox, "next", "a reply")).body.toString(), "next");
      const { stderr } = await sandbox.stop();
      assert.match(stderr, /^\S+\t1\tERROR\tRuntime\.MarshalError: /);
    });
  }
}

for (const [what, name, text] of [
  ["a subclass whose constructor takes no length", "packet", "PACKET"],
  ["a large one", "large packet", "PACKET".repeat(20_000)],
  ["a Buffer", "buffer", "a Buffer"],
  ["shared memory", "shared", "xxx"],
  ["resizable memory", "resizable", "xxx"],
  ["a part of a larger array", "part", "x".repeat(100_000)],
] as const) {
  for (const way of ways) {
    test(`${what} as ${way} is sent`, async () => {
      await using sandbox = await Sandbox.start("returns");
      const answer = await returned(sandbox, name, way);
      assert.equal(answer.body.toString(), way === "a later chunk" ? `first${text}` : text);
      const { stderr } = await sandbox.stop();
      assert.equal(stderr, "");
    });
  }
}

for (const way of ways.slice(1)) {
  test(`an array whose buffer is transferred soon after it was returned as ${way} is sent, or fails its invocation, and the next one is served`, async () => {
    await using sandbox = await Sandbox.start("returns");
    for (let turns = 0; turns < 30; turns++) {
      const next = await sandbox.api.request("GET", "/invocation/next");
      await next.send(event({ id: "1", body: JSON.stringify(["gone after", way, turns]) }));
      const answer = await sandbox.api.anyRequest();
      if (answer.method === "GET") {
        await answer.send(event({ id: "2", body: '["next","a reply"]' })); // the connection was closed, which is logged
        await (await sandbox.api.request("POST", "/invocation/2/response")).send(accepted);
        continue;
      }
      const text = answer.body.toString().replace(/^first/, "");
      assert.ok(
        text === "x".repeat(100) || errorTypeOf(answer) === "Runtime.MarshalError",
        `after ${turns}: ${answer.raw}`,
      );
      await answer.send(accepted);
    }
    await sandbox.stop();
  });
}
