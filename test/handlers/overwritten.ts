import { json, run } from "../../runtime.ts";

const { Reflect, setTimeout } = globalThis;
const error = new RangeError("after it was overwritten");

/** Puts a function that throws in the place of what a path names: `Date`, `String.prototype.replaceAll`. */
function overwrite(path: string): void {
  const names = path.replace("[Symbol.iterator]", ".@@iterator").split(".");
  const last = names.pop() ?? "";
  const isModule = names[0] === "node:fs";
  const owner = isModule
    ? process.getBuiltinModule("node:fs")
    : names.reduce((value: any, name) => value[name], globalThis);
  const value = () => {
    throw new Error(`${path} was overwritten`);
  };
  Reflect.defineProperty(owner, last === "@@iterator" ? Symbol.iterator : last, {
    value,
    writable: true,
    configurable: true,
  });
}

// The event names what is overwritten, and how an error follows.
run(
  json(async ([how, path]: ["return" | "return much" | "throw" | "escape", string]) => {
    overwrite(path);
    if (how === "return") return "returned";
    if (how === "return much") return "x".repeat(200_000);
    if (how === "throw") throw error;
    setTimeout(() => {
      throw error;
    });
    await Bun.sleep(5_000);
  }),
);
