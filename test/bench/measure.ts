/** The measurements, each of several subjects in turn. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CpuShare } from "./cpu-share.ts";
import { Bootstrap, freshCopy, type Invocation, type Subject } from "./process.ts";
import { inTurn, mapValues, type Samples } from "./report.ts";
import type { PreparedEvent } from "./service.ts";

/** What is measured, by name. */
export type Subjects = Record<string, Subject>;

/** Times since exec, in ms. */
export interface Start {
  firstRequest: number;
  /** NaN for what was not sent an event. */
  firstReply: number;
}

/** @param event What to send to all but those that are `silent`, which take no events. */
export function measureStarts(
  subjects: Subjects,
  rounds: number,
  event: PreparedEvent | undefined,
  silent: string[],
): Promise<Samples<Start>> {
  return ofFreshCopies(subjects, rounds, async (subject, name) => {
    await using bootstrap = await Bootstrap.start(subject);
    const firstRequest = bootstrap.startTime;
    return {
      firstRequest,
      firstReply: event && !silent.includes(name) ? (await bootstrap.invoke(event)).sinceExec : NaN,
    };
  });
}

/** What a fresh process has taken for its first invocations. */
export interface First {
  /** CPU time from exec to each of the replies that were asked for, in ms. */
  cpu: number[];
  /** Memory after the last one, in MB. */
  resident: number;
}

/** @param replies The numbers of the replies up to which CPU time counts, in rising order; the last is sent last. */
export function measureFirst(
  subjects: Subjects,
  rounds: number,
  { event, replies }: { event: PreparedEvent; replies: number[] },
): Promise<Samples<First>> {
  return ofFreshCopies(subjects, rounds, async (subject) => {
    await using bootstrap = await Bootstrap.start(subject);
    const cpu = await bootstrap.cpuToReplies(event, replies.at(-1)!, replies);
    await sleep(restTime);
    return { cpu, resident: bootstrap.memory("VmRSS") };
  });
}

/** The mean round trip of the first invocations of fresh processes that have only a share of a CPU, in ms. */
export function measureFirstRoundTrips(
  subjects: Subjects,
  rounds: number,
  { event, count, share }: { event: PreparedEvent; count: number; share: CpuShare },
): Promise<Samples<number>> {
  return ofFreshCopies(subjects, rounds, async (subject) => {
    await using bootstrap = await Bootstrap.start(share.limit(subject));
    return (await bootstrap.invokeBlock(event, count)).roundTrip;
  });
}

/** Every so many rounds the executables are copied anew, so that no figure hangs on the luck of one copy. */
const roundsOfOneCopy = 10;

/** Measures fresh processes of executables that have been copied, and the copies started once, before. */
function ofFreshCopies<Sample>(
  subjects: Subjects,
  rounds: number,
  measure: (subject: Subject, name: string) => Promise<Sample>,
): Promise<Samples<Sample>> {
  const copies: Subjects = {};
  return inTurn(
    rounds,
    mapValues(subjects, (subject, name) => async (round) => {
      if (round % roundsOfOneCopy === 0) {
        copies[name] = freshCopy(name, subject);
        await (await Bootstrap.start(copies[name]))[Symbol.asyncDispose](); // so that the copy has been read once
      }
      return measure(copies[name] ?? subject, name);
    }),
  );
}

/** Starts processes that end with the stack, and has each reply to so many events. */
async function startWarm(
  stack: AsyncDisposableStack,
  subjects: Subjects,
  event: PreparedEvent,
  invocations: number,
): Promise<Record<string, Bootstrap>> {
  const bootstraps: Record<string, Bootstrap> = {};
  for (const [name, subject] of Object.entries(subjects)) {
    const bootstrap = stack.use(await Bootstrap.start(freshCopy(name, subject)));
    await bootstrap.checkEcho(event);
    await bootstrap.invokeBlock(event, invocations);
    bootstraps[name] = bootstrap;
  }
  return bootstraps;
}

/** How many events are sent before the first measurement, and in each. */
export interface Blocks {
  event: PreparedEvent;
  warmUp: number;
  block: number;
}

/** Blocks of invocations, of processes that all run from first to last. */
export async function measureInvocations(
  subjects: Subjects,
  rounds: number,
  blocks: Blocks,
): Promise<Samples<Invocation>> {
  const { event, warmUp, block } = blocks;
  await using stack = new AsyncDisposableStack();
  const bootstraps = await startWarm(stack, subjects, event, warmUp);
  return await inTurn(
    rounds,
    mapValues(bootstraps, (bootstrap) => () => bootstrap.invokeBlock(event, block)),
  );
}

/** What a large event takes, as bytes and as JSON; what echoes only one of them has no figures for the other. */
export interface LargeInvocation {
  raw?: Invocation | undefined;
  json?: Invocation | undefined;
  /** What `JSON.parse` and `JSON.stringify` alone take in the process that echoes JSON, in ms; NaN where none tells. */
  jsonWork: number;
}

/** @param yardstick The event that asks the process named bunstrap for `jsonWork`. */
export async function measureLargeInvocations(
  echoingBytes: Subjects,
  echoingJson: Subjects,
  rounds: number,
  { event, yardstick, warmUp, block }: Blocks & { yardstick: PreparedEvent },
): Promise<Samples<LargeInvocation>> {
  await using stack = new AsyncDisposableStack();
  const raw = await startWarm(stack, echoingBytes, event, warmUp);
  const json = await startWarm(stack, echoingJson, event, warmUp);
  return await inTurn(
    rounds,
    mapValues({ ...raw, ...json }, (_, name) => async () => ({
      raw: await raw[name]?.invokeBlock(event, block),
      json: await json[name]?.invokeBlock(event, block),
      jsonWork: name === "bunstrap" ? await measureJsonWork(json[name]!, yardstick, block) : NaN,
    })),
  );
}

async function measureJsonWork(bootstrap: Bootstrap, yardstick: PreparedEvent, count: number): Promise<number> {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Number((await bootstrap.invoke(yardstick)).reply);
  return sum / count;
}

/** How long a process is left alone before its memory is looked at, in ms. */
const restTime = 200;

/** Resident memory, in MB. */
export interface Memory {
  resident: number;
  anonymous: number;
  peak: number;
}

/** The memory of fresh processes that wait for an event, after so many invocations. */
export function measureMemory(
  subjects: Subjects,
  rounds: number,
  invocations?: { event: PreparedEvent; count: number },
): Promise<Samples<Memory>> {
  return inTurn(
    rounds,
    mapValues(subjects, (subject, name) => async () => {
      await using bootstrap = await Bootstrap.start(freshCopy(name, subject));
      if (invocations) {
        await bootstrap.checkEcho(invocations.event);
        await bootstrap.invokeBlock(invocations.event, invocations.count - 1);
      }
      await sleep(restTime);
      return {
        resident: bootstrap.memory("VmRSS"),
        anonymous: bootstrap.memory("RssAnon"),
        peak: bootstrap.memory("VmHWM"),
      };
    }),
  );
}

/** How fast a fresh process serves events, as many at a time as it asks for. */
export interface Rate {
  perSecond: number;
  /** Memory afterwards, in MB. */
  resident: number;
}

export function measureRates(
  subjects: Subjects,
  rounds: number,
  { event, warmUp, block, concurrency }: Blocks & { concurrency: number },
): Promise<Samples<Rate>> {
  return ofFreshCopies(subjects, rounds, async (subject) => {
    await using bootstrap = await Bootstrap.start(subject);
    await bootstrap.checkEcho(event);
    await bootstrap.invokeBlock(event, warmUp, { concurrency });
    const { roundTrip } = await bootstrap.invokeBlock(event, block, { concurrency });
    return { perSecond: 1000 / roundTrip, resident: bootstrap.memory("VmRSS") };
  });
}
