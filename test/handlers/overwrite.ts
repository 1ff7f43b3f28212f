import { json, run } from "../../runtime.ts";

const overwrite: Record<string, () => void> = {
  JSON: () => void (globalThis.JSON = undefined as unknown as JSON),
  "Promise.prototype.then": () => {
    Promise.prototype.then = () => {
      throw new Error("overwritten");
    };
  },
  console: () => void (globalThis.console = undefined as unknown as Console),
  "process.env": () => void (process.env = undefined as unknown as NodeJS.ProcessEnv),
  "process.exit": () => void (process.exit = (() => {}) as typeof process.exit),
  setTimeout: () => void (globalThis.setTimeout = undefined as unknown as typeof setTimeout),
};

// The event names what is overwritten, or an error to throw.
run(
  json((name: string) => {
    if (name === "throw") throw new RangeError("after it was overwritten");
    overwrite[name]?.();
    return name;
  }),
);
