import { json, run } from "../../runtime.ts";

class OrderError extends Error {}

class NamedError extends Error {
  override name = "Custom.Name";
}

class CleverTypeError extends TypeError {}

const getterError = new Error("unread");
Object.defineProperty(getterError, "message", {
  get() {
    throw new Error("from the getter");
  },
});

const hostileProxy = new Proxy(new Error("unread"), {
  get() {
    throw new Error("from the proxy");
  },
  getPrototypeOf() {
    throw new Error("from the proxy");
  },
});

const thrown: Record<string, () => unknown> = {
  Error: () => new Error("plain"),
  TypeError: () => new TypeError("built in"),
  OrderError: () => new OrderError("of a class without a name"),
  NamedError: () => new NamedError("with a name"),
  CleverTypeError: () => new CleverTypeError("of a class below one with a name"),
  injected: () => Object.assign(new Error("a\r\nb\0c"), { name: "Evil\r\nX-Injected: 1" }),
  "non-ASCII": () => Object.assign(new Error("grün"), { name: "Größenfehler" }),
  string: () => "a string",
  number: () => 42,
  null: () => null,
  undefined: () => undefined,
  symbol: () => Symbol("a symbol"),
  object: () => ({ code: 7 }),
  "error-like": () => ({ name: "LooksLikeOne", message: "but is none" }),
  circular: () => {
    const circular: { self?: unknown } = {};
    circular.self = circular;
    return circular;
  },
  getter: () => getterError,
  proxy: () => hostileProxy,
  "a message that looks like a stack": () => new Error(`bad input: \n at ${" (".repeat(30_000)}\rx`),
  "a long stack": () =>
    Object.assign(new Error("a long stack"), { stack: `Error\n${"    at deep (/a/file.ts:1:2)\n".repeat(5_000)}` }),
  "no stack": () => Object.assign(new Error("without a stack"), { stack: undefined }),
};

// The event names what is thrown.
run(
  json((name: string) => {
    throw thrown[name]?.();
  }),
);
