/** The measurements, each of several subjects in turn. */
import { setTimeout as sleep } from "node:timers/promises";
import { Bootstrap, freshCopy, type Command, type Invocation } from "./process.ts";
import { inTurn, mapValues } from "./report.ts";
import type { PreparedEvent } from "./service.ts";

/** What is measured, by name: the command of each. */
export type Subjects = Record<string, Command>;

/** Times since exec, in ms. */
export interface Start {
  firstRequest: number;
  /** NaN for what was not sent an event. */
  firstReply: number;
}

/** Every so many rounds the executables are copied anew, so that no figure hangs on the luck of one copy. */
const roundsOfOneCopy = 10;

/** @param event What to send to all but those that are `silent`, which take no events. */
export function measureStarts(subjects: Subjects, rounds: number, event: PreparedEvent | undefined, silent: string[]): Promise<Record<string, Start[]>> {
  const copies: Subjects = {};
  return inTurn(
    rounds,
    mapValues(subjects, (command, name) => async (round) => {
      if (round % roundsOfOneCopy === 0) {
        copies[name] = freshCopy(name, command);
        await measureStart(copies[name]); // so that the copy has been read once
      }
      return measureStart(copies[name] ?? command, silent.includes(name) ? undefined : event);
    }),
  );
}

async function measureStart(command: Command, event?: PreparedEvent): Promise<Start> {
  await using bootstrap = await Bootstrap.start(command);
  const firstRequest = bootstrap.startTime;
  return { firstRequest, firstReply: event ? (await bootstrap.invoke(event)).sinceExec : NaN };
}

/** Starts processes that end with the stack, and has each reply to so many events. */
async function startWarm(stack: AsyncDisposableStack, subjects: Subjects, event: PreparedEvent, invocations: number): Promise<Record<string, Bootstrap>> {
  const bootstraps: Record<string, Bootstrap> = {};
  for (const [name, command] of Object.entries(subjects)) {
    const bootstrap = stack.use(await Bootstrap.start(freshCopy(name, command)));
    await bootstrap.warmUp(event, invocations);
    bootstraps[name] = bootstrap;
  }
  return bootstraps;
}

/** Blocks of invocations, of processes that all run from first to last. */
export async function measureInvocations(
  subjects: Subjects,
  rounds: number,
  { event, warmUp, block }: { event: PreparedEvent; warmUp: number; block: number },
): Promise<Record<string, Invocation[]>> {
  await using stack = new AsyncDisposableStack();
  const bootstraps = await startWarm(stack, subjects, event, warmUp);
  return await inTurn(rounds, mapValues(bootstraps, (bootstrap) => () => bootstrap.invokeBlock(event, block)));
}

/** What a large event takes, as bytes and as JSON. */
export interface LargeInvocation {
  raw: Invocation;
  json: Invocation;
  /** What `JSON.parse` and `JSON.stringify` alone take in the process that echoes JSON, in ms; NaN where none tells. */
  jsonWork: number;
}

/** @param yardstick The event that asks the process named bunstrap for `jsonWork`. */
export async function measureLargeInvocations(
  echoingBytes: Subjects,
  echoingJson: Subjects,
  rounds: number,
  { event, yardstick, warmUp, block }: { event: PreparedEvent; yardstick: PreparedEvent; warmUp: number; block: number },
): Promise<Record<string, LargeInvocation[]>> {
  await using stack = new AsyncDisposableStack();
  const raw = await startWarm(stack, echoingBytes, event, warmUp);
  const json = await startWarm(stack, echoingJson, event, warmUp);
  return await inTurn(
    rounds,
    mapValues(json, (echo, name) => async () => ({
      raw: await raw[name]!.invokeBlock(event, block),
      json: await echo.invokeBlock(event, block),
      jsonWork: name === "bunstrap" ? await measureJsonWork(echo, yardstick, block) : NaN,
    })),
  );
}

async function measureJsonWork(bootstrap: Bootstrap, yardstick: PreparedEvent, count: number): Promise<number> {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Number((await bootstrap.invoke(yardstick)).reply);
  return sum / count;
}

/** Resident memory, in MB. */
export interface Memory {
  resident: number;
  anonymous: number;
  peak: number;
}

/** The memory of fresh processes that wait for an event, after so many invocations. */
export function measureMemory(subjects: Subjects, rounds: number, invocations?: { event: PreparedEvent; count: number }): Promise<Record<string, Memory[]>> {
  return inTurn(
    rounds,
    mapValues(subjects, (command, name) => async () => {
      await using bootstrap = await Bootstrap.start(freshCopy(name, command));
      if (invocations) await bootstrap.warmUp(invocations.event, invocations.count - 1);
      await sleep(200);
      return { resident: bootstrap.memory("VmRSS"), anonymous: bootstrap.memory("RssAnon"), peak: bootstrap.memory("VmHWM") };
    }),
  );
}
