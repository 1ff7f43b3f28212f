import { json, run } from "../../runtime.ts";

let resolve: (value: string) => void = () => {};

const handlers: Record<string, () => unknown> = {
  "a promise that nobody resolves": () => new Promise(() => {}),
  "an unreferenced timer": () => new Promise((resolve) => setTimeout(resolve, 60_000).unref()),
  "a thenable that does nothing": () => ({ then() {} }),
  "a promise that the next invocation resolves": () => new Promise((later) => (resolve = later)),
  resolve: () => {
    resolve("too late");
    return "resolved";
  },
};

// The event names what the handler waits for.
run(json((name: string) => handlers[name]?.()));
