import { json, run } from "../../runtime.ts";

run(
  json((event) => {
    if (event === "throw") throw new RangeError("as the event says");
    return event;
  }),
);
