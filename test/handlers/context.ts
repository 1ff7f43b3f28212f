import { json, run } from "../../runtime.ts";

run(
  json((_event, context) => {
    const remaining = context.getRemainingTimeInMillis();
    return { ...context, signal: context.signal.aborted, remaining };
  }),
);
