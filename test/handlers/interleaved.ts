import { json, run } from "../../runtime.ts";

interface Event {
  /** How long it takes, in ms; less than 0 is for ever. */
  wait: number;
  text: string;
  /** What happens then instead of a reply. */
  after?: "throw" | "throw from a timer" | "reject" | "exit";
  /** What happens after 100 ms, whatever was replied. */
  later?: "throw" | "reject" | "exit" | "log";
}

async function wait(ms: number): Promise<void> {
  if (ms < 0) await new Promise(() => {});
  else if (ms > 0) await Bun.sleep(ms);
}

run(
  json(async (event: Event, context) => {
    if (event.later) setTimeout(() => later[event.later!]?.(event.text), 100);
    await wait(event.wait);
    console.log(event.text);
    if (event.after === "throw") throw new RangeError(event.text);
    if (event.after === "throw from a timer") setTimeout(() => fail(event.text));
    if (event.after === "reject") void Promise.reject(new RangeError(event.text));
    if (event.after === "exit") process.exit(0);
    if (event.after) await wait(5_000);
    return { id: context.awsRequestId, text: event.text, traceId: process.env._X_AMZN_TRACE_ID };
  }),
);

const later: Record<string, (message: string) => void> = {
  throw: fail,
  reject: (message) => void Promise.reject(new RangeError(message)),
  exit: () => process.exit(0),
  log: console.log,
};

function fail(message: string): never {
  throw new RangeError(message);
}
