/** The deadline of an invocation: context.signal and context.getRemainingTimeInMillis. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { accepted, event } from "./runtime-api.ts";
import { Sandbox } from "./sandbox.ts";

interface Reply {
  aborted: boolean;
  remaining: string;
  passed: number;
}

/** Serves one event that waits for so many ms. @param deadline as it is sent, or in how many ms it is */
async function wait(ms: number, deadline: string | number | undefined): Promise<Reply> {
  await using sandbox = await Sandbox.start("deadline");
  const value = typeof deadline === "number" ? String(Date.now() + deadline) : deadline;
  const reply = await sandbox.invoke({ body: String(ms), headers: { "Lambda-Runtime-Deadline-Ms": value } });
  const { stderr } = await sandbox.stop();
  assert.equal(stderr, "");
  return JSON.parse(reply.body.toString());
}

test("the signal has fired 50 ms before the deadline, and has not 200 ms before", async () => {
  assert.equal((await wait(250, 300)).aborted, true);
  assert.equal((await wait(50, 1_000)).aborted, false);
});

test("a deadline within 100 ms fires the signal at once", async () => {
  assert.equal((await wait(0, 90)).aborted, true);
});

for (const [what, deadline, remaining] of [
  ["no deadline", undefined, /^Infinity$/],
  ["an empty deadline", "", /^Infinity$/],
  ["a deadline that is no number", "soon", /^Infinity$/],
  ["a deadline that was over before the event came, as where the clocks differ", -60_000, /^-\d+$/],
  ["a deadline of 0", "0", /^-\d+$/],
  ["a negative deadline", "-1", /^-\d+$/],
  ["a deadline in 1,000 years", 1_000 * 365 * 86_400_000, /^3153\d{10}$/],
  ["a deadline beyond every clock", "9".repeat(400), /^Infinity$/],
  ["a deadline with a fraction", `${Date.now() + 10_000}.5`, /^\d{4,5}\.5$/],
] as const) {
  test(`with ${what} the signal does not fire, and the remaining time is a number`, async () => {
    const reply = await wait(20, deadline);
    assert.equal(reply.aborted, false);
    assert.match(reply.remaining, remaining);
  });
}

test("the remaining time is that until the deadline, in ms, and passes", async () => {
  const { remaining, passed } = await wait(100, 10_000);
  assert.ok(Number(remaining) > 8_000 && Number(remaining) <= 10_000, remaining);
  assert.ok(passed >= 99 && passed < 2_000, String(passed));
});

test("a signal that is waited for holds the event loop until it fires", async () => {
  await using sandbox = await Sandbox.start("signal");
  const reply = await sandbox.invoke({ headers: { "Lambda-Runtime-Deadline-Ms": String(Date.now() + 400) } });
  assert.equal(JSON.parse(reply.body.toString()).name, "TimeoutError");
});

test("the signal of an invocation that has ended neither fires nor holds the event loop", async () => {
  await using sandbox = await Sandbox.start("deadline");
  await sandbox.invoke({ id: "1", body: "0" });
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(
    event({ id: "2", body: "-1", headers: { "Lambda-Runtime-Deadline-Ms": String(Date.now() + 900_000) } }),
  );
  const report = await sandbox.api.request("POST", "/invocation/2/error");
  assert.equal(JSON.parse(report.body.toString()).errorType, "Runtime.NeverSettled");
  await report.send(accepted);
  await sandbox.stop();
});
