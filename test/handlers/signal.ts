import { json, run } from "../../runtime.ts";

// Waits for the signal, and returns its reason and the time that is left then.
run(
  json(async (_event, { signal, getRemainingTimeInMillis }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return { name: signal.reason.name, remaining: getRemainingTimeInMillis() };
  }),
);
