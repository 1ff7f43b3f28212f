import { json, run, type Context } from "../../runtime.ts";

let previous: Context | undefined;

// Reads the signal, waits for so many ms, and returns what it is then. A negative number waits without end, for the
// signal of the invocation before.
run(
  json(async (ms: number, context) => {
    const { signal } = ms < 0 && previous ? previous : context;
    previous = context;
    if (ms < 0) return new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    const before = context.getRemainingTimeInMillis();
    await Bun.sleep(ms);
    return { aborted: signal.aborted, remaining: String(before), passed: before - context.getRemainingTimeInMillis() };
  }),
);
