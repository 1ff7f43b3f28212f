/** The promise of the whole: each event is answered exactly once, or the process has ended with a message. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "./random.ts";
import { accepted, answer, chunkedEvent, event, RuntimeApi, type Connection, type ReceivedRequest } from "./runtime-api.ts";
import { Sandbox, type Exit } from "./sandbox.ts";

const invocations = 100_000;
const faultRate = 0.02;

const breaks: ((connection: Connection) => void)[] = [(connection) => connection.end(), (connection) => connection.reset()];

test(`over ${invocations} invocations with random faults, each is answered exactly once, or the process has ended with a message`, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  console.log(`SEED=${seed}`);
  const random = randomFrom(seed);
  const oneOf = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)] as Item;

  await using api = await RuntimeApi.start();
  const tally = { answered: 0, ended: 0, faults: 0, resent: 0 };
  let sandbox = await Sandbox.start("answers", {}, api);
  let request: Promise<ReceivedRequest> | undefined;

  for (let id = 1; id <= invocations; ) {
    // The invocation that goes on until it is answered, or until the process has ended.
    let deliveries = 0;
    /** Whether the runtime has been told for certain that its answer was taken. */
    let isAcknowledged = false;
    let ended: Exit | undefined;
    const body = random() < 0.02 ? "large" : random() < 0.1 ? "throw" : "small";
    const path = `/2018-06-01/runtime/invocation/${id}/${body === "throw" ? "error" : "response"}`;
    while (!ended) {
      request ??= api.anyRequest();
      const received = await Promise.race([request, sandbox.exited]);
      if ("status" in received) {
        ended = received;
        break;
      }
      request = undefined;
      const { connection } = received;
      const fault = random() < faultRate;
      if (fault) tally.faults++;

      if (received.method === "GET") {
        if (deliveries > 0) {
          request = Promise.resolve(received); // the next event: this invocation is over
          break;
        }
        const bytes = random() < 0.5 ? event({ id: String(id), body }) : chunkedEvent({ id: String(id), body }, oneOf([1, 3, Infinity]));
        const cut = Math.floor(random() * bytes.length);
        if (!fault) await received.send(bytes);
        else
          await oneOf([
            () => oneOf(breaks)(connection), // before the event
            () => (api.resetNextConnections(1), oneOf(breaks)(connection)), // and so is the connection that replaces it
            () => received.send(bytes.subarray(0, cut), bytes.subarray(cut)),
            () => received.send(bytes).then(() => oneOf(breaks)(connection)), // behind the event
            () => received.send(bytes.subarray(0, cut)).then(() => oneOf(breaks)(connection)), // in the middle of it
            () => received.send(Buffer.concat([bytes, Buffer.from("more than was asked for")])),
            () => received.send("not HTTP at all\r\n\r\n"),
            () => void (connection.resetAfter = 10_000), // in the middle of a large reply
            () => received.send(answer(500)),
          ])();
        if (fault && connection.resetAfter < Infinity) await received.send(bytes);
        continue;
      }

      assert.equal(received.target, path);
      assert.ok(!isAcknowledged, `invocation ${id} was answered again after its answer was taken`);
      const isRepeated = deliveries > 0;
      if (isRepeated) tally.resent++;
      const reply = isRepeated ? answer(oneOf([400, 403])) : accepted; // the service takes one answer, and no more
      const takes = () => void (isRepeated || deliveries++);
      const cut = Math.floor(random() * reply.length);
      if (!fault) {
        takes();
        isAcknowledged = true;
        await received.send(reply);
      } else {
        await oneOf([
          () => oneOf(breaks)(connection), // lost on the way
          () => (api.resetNextConnections(1), oneOf(breaks)(connection)), // and so is the connection that replaces it
          () => (takes(), oneOf(breaks)(connection)), // taken, but the answer is lost
          () => (takes(), received.send(reply.subarray(0, cut), reply.subarray(cut))),
          () => (takes(), received.send(reply).then(() => oneOf(breaks)(connection))),
          () => (takes(), received.send(reply.subarray(0, cut)).then(() => oneOf(breaks)(connection))),
          () => (takes(), received.send(Buffer.concat([reply, Buffer.from("HTTP/1.1 200 OK\r\n\r\n")]))),
          () => received.send(answer(500)),
        ])();
      }
    }

    assert.ok(deliveries <= 1, `invocation ${id} was answered ${deliveries} times`);
    if (ended) {
      assert.notEqual(ended.status, 0, ended.stderr);
      assert.match(ended.stderr, /\tFATAL\t/, `invocation ${id}`);
      tally.ended++;
      sandbox = await Sandbox.start("answers", {}, api);
    } else {
      assert.equal(deliveries, 1, `invocation ${id} was not answered`);
      tally.answered++;
    }
    id++;
  }
  sandbox.process.kill("SIGKILL");
  console.log(tally);
  assert.ok(tally.answered > invocations * 0.9 && tally.ended > 100 && tally.resent > 100, JSON.stringify(tally));
});
