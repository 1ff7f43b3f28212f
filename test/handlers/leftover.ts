import { json, run } from "../../runtime.ts";

run(
  json((event) => {
    setInterval(() => {}, 1_000);
    return event;
  }),
);
