import { http, json, listen, run, type WebEnv } from "../../runtime.ts";
import type { Callback, Context, Handler } from "aws-lambda";
import { once } from "node:events";
import type { RequestListener } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGzip, gzipSync } from "node:zlib";

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
  async "throws when it is cut"(stream) {
    const closed = once(stream, "close");
    const timer = setInterval(() => stream.write("x".repeat(1_000)), 1);
    await closed;
    clearInterval(timer);
    throw new RangeError("it was cut");
  },
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

/** What each path of an application for `node:http` does. */
const paths: Record<string, RequestListener> = {
  async "/echo"(request, response) {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { apiGateway, method, url, headers } = request as typeof request & { apiGateway: WebEnv };
    response.writeHead(201, { "Content-Type": "application/json", "Set-Cookie": ["a=1", "b=2"] });
    response.end(
      JSON.stringify({ method, url, headers, body, event: apiGateway.event, id: apiGateway.context.awsRequestId }),
    );
  },
  "/redirect": (_request, response) => void response.writeHead(302, { Location: "/echo" }).end(),
  "/gzip"(request, response) {
    const accepts = request.headers["accept-encoding"];
    response.setHeader("X-Accepts", `${accepts}`);
    if (accepts !== "gzip") return response.end("plain");
    response.setHeader("Content-Encoding", "gzip").end(gzipSync("text"));
  },
  async "/stream"(_request, response) {
    for (const chunk of ["one, ", "two, ", "three"]) {
      response.write(chunk);
      await Bun.sleep(10);
    }
    response.end();
  },
  async "/log"(request, response) {
    await Bun.sleep(20);
    console.log(request.headers["x-text"]);
    response.end();
  },
  "/break"(_request, response) {
    response.write("begun");
    response.destroy();
  },
};
const listener = listen((request, response) => paths[`${request.url}`.split("?")[0]!]?.(request, response));

function listenTo(value: unknown) {
  try {
    listen(value as RequestListener);
  } catch (error) {
    return `${error}`;
  }
}

run({
  listener: http(listener),
  "streaming listener": http(listener, { streaming: true }),
  "no listener": json(listenTo),
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
