import { http, json, run } from "../../runtime.ts";

let calls = 0;
const globals = Object.keys(globalThis).join();

/** What the handler can see of what ran before its first event. */
const seen = () => ({
  calls: ++calls,
  traceId,
  newGlobals: Object.keys(globalThis).join().replace(globals, ""),
  listeners: process.listenerCount("SIGTERM"),
});

run({ json: json(seen), web: http(() => Response.json(seen())) });

const traceId = process.env._X_AMZN_TRACE_ID;
