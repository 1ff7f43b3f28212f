import { AsyncLocalStorage } from "node:async_hooks";
import { openSync } from "node:fs";
import { json, run } from "../../runtime.ts";

const store = new AsyncLocalStorage<string>();

interface Event {
  /** What the handler makes its store, which the next invocation must not see. */
  enter?: string;
  /** How long it takes, in ms. */
  wait?: number;
  then?: "throw" | "throw with a reply" | "open all files" | "return promised";
}

async function handler({ enter, wait, then }: Event): Promise<unknown> {
  const seen = store.getStore() ?? null;
  if (enter !== undefined) store.enterWith(enter);
  if (wait !== undefined) await Bun.sleep(wait);
  if (then === "throw with a reply") Object.assign(Object.prototype, { reply: "a reply", stream: "a stream" });
  if (then?.startsWith("throw")) throw new RangeError("thrown");
  if (then === "open all files") openAll();
  return seen;
}

function openAll(): void {
  try {
    for (;;) openSync("/dev/null", "r");
  } catch {}
}

// The raw handler runs in the context that the runtime calls it in, up to the end of the callback.
run(
  process.env.RAW
    ? (_headers, body) => {
        const { enter } = JSON.parse(new TextDecoder().decode(body)) as Event;
        const seen = store.getStore() ?? "nothing";
        if (enter !== undefined) store.enterWith(enter);
        return seen;
      }
    : json(handler),
);
