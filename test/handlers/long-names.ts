import { json, run } from "../../runtime.ts";

// The event is the name of the error that is thrown, with a message as long.
run(
  json((name: string) => {
    throw Object.assign(new Error(name), { name });
  }),
);
