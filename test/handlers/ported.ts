import { json, run } from "../../runtime.ts";
import type { Callback, Context, Handler } from "aws-lambda";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGzip } from "node:zlib";

const callback: Handler<string, string> = (how, _context, callback) => {
  if (how === "at once") callback(null, "result");
  else setTimeout(() => callback?.(null, "result"), 10);
};

/** As Slack Bolt has it. */
const promise = async (event: unknown, _context: Context, _callback: Callback) => event;

let callLater = () => {};

/** Calls what the context has for callbacks: at once, or when the next event comes. */
const methods: Handler<"done" | "fail" | "succeed" | "later" | "now later"> = (how, context) => {
  if (how === "now later") return callLater();
  if (how === "later") callLater = () => context.succeed("result");
  else context[how](undefined as never, "result");
};

const streaming: Record<string, (stream: awslambda.HttpResponseStream, context: Context) => void | Promise<void>> = {
  async text(stream, context) {
    stream.setContentType("text/plain");
    stream.write("one, ");
    stream.write({ id: context.awsRequestId });
    stream.end("+w==", "base64");
  },
  async metadata(stream) {
    stream = awslambda.HttpResponseStream.from(stream, {
      statusCode: 201,
      headers: { "Content-Type": "text/html" },
      cookies: ["a=1"],
    });
    await Promise.resolve();
    stream.write("<p>");
    stream.end();
  },
  async "metadata alone"(stream) {
    awslambda.HttpResponseStream.from(stream, { statusCode: 204 }).end();
  },
  gzip: (stream) => pipeline(Readable.from(["text"]), createGzip(), stream),
  large: (stream) => pipeline(Readable.from(Array.from({ length: 100 }, () => "x".repeat(100_000))), stream),
  async "ends later"(stream) {
    stream.write("early, ");
    setTimeout(() => stream.end("late"), 20);
  },
  "not async"(stream) {
    stream.end("text");
  },
  async "throws before"(stream) {
    awslambda.HttpResponseStream.from(stream, { statusCode: 200 });
    throw new RangeError("before");
  },
  "throws at once"() {
    throw new RangeError("at once");
  },
  async "throws after"(stream) {
    stream.write("text");
    await Bun.sleep(20);
    throw new RangeError("after");
  },
  async "throws after its end"(stream) {
    stream.end("text");
    await Bun.sleep(20);
    throw new RangeError("after its end");
  },
  "type too late": (stream) =>
    new Promise<void>((_, reject) =>
      stream.write("text", () =>
        setTimeout(() => {
          try {
            stream.setContentType("text/plain");
          } catch (error) {
            reject(error as Error);
          }
        }, 20),
      ),
    ),
  async "never ends"(stream) {
    stream.write("text");
  },
};

const streamed = awslambda.streamifyResponse<string>((name, stream, context) => streaming[name]?.(stream, context));

/** What `@aws/lambda-invoke-store` makes of the global. */
interface Store {
  hasContext(): boolean;
  get(key: string | symbol): unknown;
  set(key: string | symbol, value: unknown): void;
  run(context: object, callback: () => unknown): unknown;
  getRequestId(): string;
  getXRayTraceId(): string | undefined;
  getTenantId(): string | undefined;
  getTraceparent(): string | undefined;
}
const store = (awslambda as unknown as { InvokeStore: Store }).InvokeStore;

/** What the store has at the end of a wait of so many ms. */
async function stored(wait: number) {
  store.set("wait", wait);
  await Bun.sleep(wait);
  const refused = [];
  try {
    store.set(Symbol.for("_AWS_LAMBDA_REQUEST_ID"), "another");
  } catch (error) {
    refused.push((error as Error).message);
  }
  const ids = [store.getRequestId(), store.getXRayTraceId(), store.getTenantId(), store.getTraceparent() ?? null];
  const inner = store.run({ wait: "inner" }, () => [store.get("wait"), store.getRequestId()]);
  return { ids, wait: store.get("wait"), inner, refused };
}

const outside = [store.hasContext(), store.getRequestId()];
store.set("outside", "module"); // as Powertools' BatchProcessor does
outside.push(store.get("outside") as string);

function prints(_event: unknown, context: Context) {
  console.log(context);
  return { ...context, printed: Bun.inspect({ context }) };
}

run({
  callback: json(callback),
  promisified: json(promisify(callback)),
  promise: json(promise),
  methods: json(methods),
  streamed: json(streamed),
  stored: json(stored),
  outside: json(() => [...outside, store.get("outside") ?? null]),
  prints: json(prints),
  environment: json(() => process.env.AWS_EXECUTION_ENV ?? "not set"),
});
