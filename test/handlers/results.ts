import { json, run } from "../../runtime.ts";

const circular: { self?: unknown } = {};
circular.self = circular;

const results: Record<string, unknown> = {
  undefined,
  null: null,
  string: "text",
  number: 0.5,
  date: new Date(0),
  surrogate: "\ud800",
  circular,
  bigint: 1n,
  function: () => {},
  symbol: Symbol("symbol"),
  toJSON: { toJSON: () => "from toJSON" },
  "toJSON throws": {
    toJSON() {
      throw new RangeError("thrown by toJSON");
    },
  },
  "body throws": {
    get body() {
      throw new RangeError("thrown by body");
    },
  },
};

// The event names the result.
run(json((name: string) => results[name]));
