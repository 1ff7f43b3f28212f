import { json, run } from "../../runtime.ts";

// The event is the status that the handler ends the process with.
run(
  json((status: number) => {
    process.exit(status);
  }),
);
