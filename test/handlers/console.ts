import { json, run } from "../../runtime.ts";

console.log("while loading");

const circular: Record<string, unknown> = { name: "loop" };
circular.self = circular;
class Order {
  id = 7;
  items = new Map([["apple", { count: 2 }]]);
  tags = new Set(["new"]);
}
const error = new RangeError("out of range");

const lines: Record<string, () => void> = {
  levels() {
    console.trace("trace");
    console.debug("debug");
    console.info("info");
    console.log("log");
    console.warn("warn");
    console.error("error");
    (console as unknown as { fatal(message: string): void }).fatal("fatal");
  },
  "two lines": () => console.log("one\ntwo"),
  nothing: () => console.log(),
  values: () =>
    console.log(
      "a",
      1,
      true,
      null,
      undefined,
      { deep: { deeper: { deepest: { end: 1 } } } },
      [1, "b"],
      10n,
      Symbol("s"),
    ),
  template: () =>
    console.log(
      "%s is %d, %i, %f, %j, %o,%c %% and %x",
      "Ada",
      "36.9",
      36.9,
      "1.5",
      { a: 1 },
      [2],
      "color: red",
      "the rest",
      3,
    ),
  "a template of what cannot be formatted": () => console.log("%d %s %i", 10n, Object.create(null), Symbol("s")),
  percent: () => console.log("100%s"),
  object: () => console.log({ user: { name: "Ada", roles: ["admin"] }, at: new Date(0) }),
  array: () => console.log([1, { two: 2 }]),
  order: () => console.log(new Order()),
  error: () => console.error(error),
  "an error among others": () => console.error("it failed:", error, { code: 7 }),
  "an error inside": () => console.warn({ error }),
  circular: () => console.log(circular),
  bigint: () => console.log({ count: 10n }),
  function: () => console.log(Order),
  "an object whose JSON is nothing": () => console.log({ toJSON() {} }),
  "a getter that throws": () =>
    console.log({
      get broken() {
        throw new Error("do not look");
      },
    }),
  "a value that throws however it is looked at": () =>
    console.log(
      new Proxy(
        {},
        {
          getPrototypeOf: () => circular.nothing as never,
          ownKeys() {
            throw new Error("do not look");
          },
          get() {
            throw new Error("do not look");
          },
        },
      ),
      {
        [Symbol.for("nodejs.util.inspect.custom")]() {
          throw new Error("do not look");
        },
      },
    ),
  "values that throw"() {
    const hostile = {
      [Symbol.for("nodejs.util.inspect.custom")]() {
        throw new Error("do not look");
      },
    };
    console.table([{ cell: hostile }]);
    console.log("%j", undefined);
    console.time("%s");
    console.timeLog("%s", "x");
  },
  others() {
    console.dir({ a: { b: 1 } }, { depth: 0 });
    console.dirxml("dirxml");
    console.table([{ column: "cell" }]);
    console.table("no table");
    console.assert(true, "never");
    console.assert(false, "assertion of %s", "this");
    console.count();
    console.count("named");
    console.count("named");
    console.countReset("named");
    console.count("named");
    console.group("group");
    console.group();
    console.log("in the group");
    console.groupEnd();
    console.time("timer");
    console.timeLog("timer", "so far");
    console.timeEnd("timer");
  },
  replaced() {
    const { log } = console;
    log("before");
    globalThis.console = { ...console, log: (text: string) => log(`mine: ${text}`) };
    console.log("after");
  },
  crash() {
    console.log("x".repeat(300_000));
    process.kill(process.pid, "SIGKILL");
  },
  exit() {
    console.log("x".repeat(300_000));
    process.exit();
  },
  escape() {
    console.log("x".repeat(300_000));
    setTimeout(() => {
      throw error;
    });
  },
};

// The event is what to log.
run(
  json(async (what: string) => {
    lines[what]?.();
    if (what === "escape") await Bun.sleep(5_000);
  }),
);
