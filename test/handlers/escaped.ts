import { json, run } from "../../runtime.ts";

// The event is how the error escapes.
run(
  json(async (how: string) => {
    if (how === "timer") setTimeout(() => { throw new RangeError("from a timer"); }, 1);
    if (how === "rejection") void Promise.reject(new RangeError("from a promise"));
    if (how === "later") setTimeout(() => { throw new RangeError("between invocations"); }, 50);
    if (how !== "later") await new Promise((resolve) => setTimeout(resolve, 5_000));
  }),
);
