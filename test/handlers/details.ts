import { json, run } from "../../runtime.ts";

class QueryError extends Error {
  constructor(
    readonly query: string,
    public override cause: unknown, // enumerable, as that of some query builders
  ) {
    super("the query failed");
  }
}

const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", port: 5432 });

function circular(): Error {
  const outer: Error & { self?: unknown } = new Error("outer");
  outer.self = { outer };
  outer.cause = new Error("inner", { cause: outer });
  return outer;
}

function chain(length: number): Error {
  return new Error(`link ${length}`, length > 1 ? { cause: chain(length - 1) } : undefined);
}

function throws(): never {
  throw new Error("do not look");
}

const hostile = new Proxy({}, { get: throws, ownKeys: throws, has: throws, getPrototypeOf: throws });

const errors: Record<string, () => unknown> = {
  "a cause": () => new TypeError("failed", { cause: new RangeError("out of range", { cause: "the root" }) }),
  "an enumerable cause": () => new QueryError("select 1", refused),
  "several errors": () => new AggregateError([refused, new RangeError("out of range")], "all failed"),
  "own properties": () =>
    Object.assign(new Error("denied"), {
      name: "AccessDenied",
      $fault: "client",
      $metadata: { httpStatusCode: 403, attempts: 1 },
      count: 3n,
      at: new Date(0),
      tags: new Set(["a"]),
      none: undefined,
      nothing: null,
    }),
  "names of the log's own": () =>
    Object.assign(new Error("mine"), {
      level: "mine",
      timestamp: "mine",
      requestId: "mine",
      errorType: "mine",
      stackTrace: "mine",
    }),
  "a circle": circular,
  "a long chain": () => chain(1_000),
  "much text": () => Object.assign(new Error("large"), { query: "x".repeat(1_000_000), rest: "y".repeat(1_000_000) }),
  "many members": () =>
    Object.assign(new Error("many"), {
      list: Array.from({ length: 100_000 }, (_, index) => index),
      bytes: new Uint8Array(1_000_000),
    }),
  "a wide tree": () =>
    Object.assign(new Error("wide"), { tree: Array.from({ length: 8 }).reduce((tree) => Array(60).fill(tree), 0) }),
  "what throws when it is looked at": () =>
    Object.defineProperties(new Error("hostile", { cause: hostile }), {
      getter: { get: throws, enumerable: true },
      nested: {
        value: {
          get inner(): string {
            return throws();
          },
          kept: 1,
        },
        enumerable: true,
      },
    }),
  "keys that throw": () => new Proxy(new Error("proxied"), { ownKeys: throws }),
  "a hostile list of errors": () => Object.assign(new AggregateError([hostile, new Error("kept")], "hostile")),
};

// The event says what is done with which error.
run(
  json(([how, name]: [string, string]) => {
    const error = errors[name]?.();
    if (how === "throw") throw error;
    if (how === "log") console.error(error);
    if (how === "among") console.error("it failed:", error, { code: 7 });
    if (how === "inside") console.error({ error });
  }),
);
