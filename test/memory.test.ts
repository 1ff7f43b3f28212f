/** Resident memory levels off, however many invocations there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chunkedEvent, event } from "./runtime-api.ts";
import { residentMemory, Sandbox } from "./sandbox.ts";

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

for (const { name, handler, invocations, bytes, limit } of [
  {
    name: "200,000 small invocations",
    handler: "json-echo",
    invocations: 200_000,
    bytes: event({ body: '{"text":"small"}' }),
    limit: 5,
  },
  {
    name: "2,000 invocations of 1 MB, raw",
    handler: "echo",
    invocations: 2_000,
    bytes: chunkedEvent({ body: "x".repeat(1e6) }),
    limit: 20,
  },
  {
    name: "2,000 invocations of 1 MB, as JSON",
    handler: "json-echo",
    invocations: 2_000,
    bytes: event({ body: `"${"x".repeat(1e6)}"` }),
    limit: 20,
  },
  {
    name: "20,000 invocations that fail",
    handler: "errors",
    invocations: 20_000,
    bytes: event({ body: '"OrderError"' }),
    limit: 5,
  },
]) {
  test(`over ${name} resident memory grows by less than ${limit} MB from the second quarter to the fourth`, async () => {
    await using sandbox = await Sandbox.start(handler);
    const samples: number[] = [];
    for (let count = 1; count <= invocations; count++) {
      await sandbox.invoke({ raw: bytes, expect: handler === "errors" ? "error" : "response" });
      if (count % (invocations / 80) === 0) samples.push(residentMemory(sandbox.process.pid));
    }
    const growth = mean(samples.slice(60)) - mean(samples.slice(20, 40));
    console.log(
      `${name}: ${mean(samples.slice(20, 40)).toFixed(1)} MB, then ${growth >= 0 ? "+" : ""}${growth.toFixed(1)} MB`,
    );
    assert.ok(growth < limit, samples.map((sample) => sample.toFixed(1)).join(" "));
  });
}
