/**
 * bunstrap 0.1.0: an AWS Lambda custom runtime in one file, for Bun.
 *
 * ```ts
 * import { json, run } from "./runtime.ts";  // first, so that whatever fails to load after it is reported
 *
 * run(json((event: { name: string }) => `Hello, ${event.name}!`));
 * ```
 *
 * `./build.sh handler.ts` makes of it the zip to upload, for `provided.al2023` on x86_64 and arm64. Without Lambda
 * around it the handler serves one event and exits: `bun handler.ts '{"name":"Ada"}'`.
 *
 * The file is read from the top: the public face, web events, the context, the invocation loop, streamed replies, the end of
 * the process, local mode, error reports, the log, and last the HTTP/1.1 client. It imports nothing, so that it can live on
 * as a copy in any project.
 *
 * SPDX-License-Identifier: MIT
 */
const version = "0.1.0";

/** What a handler may overwrite, as it was before the handler was loaded. */
const { parse, stringify } = JSON;
const { setTimeout, clearTimeout } = globalThis;
const exit: (status: number) => never = process.exit;
const env = process.env as NodeJS.ProcessEnv & { [Variable in LambdaVariable]?: string };

/** @see https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime */
type LambdaVariable =
  | "_HANDLER"
  | "_X_AMZN_TRACE_ID"
  | `AWS_LAMBDA_FUNCTION_${"MEMORY_SIZE" | "NAME" | "VERSION"}`
  | `AWS_LAMBDA_LOG_${"FORMAT" | "GROUP_NAME" | "LEVEL" | "STREAM_NAME"}`
  | "AWS_LAMBDA_MAX_CONCURRENCY"
  | "AWS_LAMBDA_RUNTIME_API";

// ── Public types ────────────────────────────────────────────────────────────────────────────────────────────────────

/** What goes out: bytes as they are, a string as UTF-8. @example run(() => "hello"); */
export type Bytes = Uint8Array | string;

/**
 * A reply that is sent while it is being made, chunk by chunk, and no faster than it is taken.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
 * @example run(() => ({ contentType: "text/csv", body: Bun.file("prices.csv").stream() }));
 */
export interface Streamed {
  /** `application/octet-stream` unless given. */
  contentType?: string;
  body: AsyncIterable<Bytes>;
}

/**
 * What a raw handler answers with: bytes or a string, or a stream, of which an async generator and a `ReadableStream` are
 * the usual ones. It is sent however large it is: the limits, 6 MiB + 100 bytes and 200 MB streamed, are the service's.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-response
 * @example run(async function* () { yield "one, "; yield "and another"; });
 */
export type Reply = Bytes | Streamed | AsyncIterable<Bytes>;

/**
 * A handler of bytes.
 *
 * @param headers The header section of the event as it was received: every field line with its CRLF, without the status
 *   line and without the empty line that ends it. See {@link header}.
 * @param body The payload of the event, de-chunked.
 *
 * Both are the handler's to keep: their memory is never used again.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-next
 * @example const echo: RawHandler = (headers, body) => body;
 */
export type RawHandler = (headers: Uint8Array, body: Uint8Array) => Reply | Promise<Reply>;

/** @example run(handler, { onShutdown: () => database.close() }); */
export interface RunOptions {
  /**
   * Called once when Lambda shuts the sandbox down. It has 250 ms; then the process ends with status 0.
   *
   * Lambda announces the end (with SIGTERM) only to functions with an extension, so that is what the runtime registers
   * itself as, an internal one without events, if and only if this is given.
   *
   * @see https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown
   */
  onShutdown?: () => void | Promise<void>;
}

/**
 * What a handler is told of its invocation: the context of the official Node.js runtime, and three members more.
 * Nothing in it costs anything until it is read. A value that the service did not give is `""`, or `undefined` where
 * the type says so.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html
 * @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-next
 * @example run(json((event: { url: string }, { signal }) => fetch(event.url, { signal }).then((page) => page.text())));
 */
export interface Context {
  functionName: string;
  functionVersion: string;
  invokedFunctionArn: string;
  /** The configured memory in MiB, in decimal digits. */
  memoryLimitInMB: string;
  awsRequestId: string;
  logGroupName: string;
  logStreamName: string;
  /** Who invoked the function through the AWS Mobile SDK. @throws {Error} on reading, if what was received is not JSON. */
  identity?: CognitoIdentity | undefined;
  /** What the invoking client said of itself. @throws {Error} on reading, if what was received is not JSON. */
  clientContext?: ClientContext | undefined;
  /** The tenant that the invocation is isolated to. */
  tenantId?: string | undefined;
  /** The value of the `X-Amzn-Trace-Id` header for the AWS X-Ray service. */
  xRayTraceId?: string | undefined;
  /**
   * Fires 100 ms before the deadline, with a `TimeoutError`: pass it to `fetch` and the like, so that there is time
   * left to answer. It never fires without a deadline, after one that was over before the event came (the clocks
   * differ), before one in more than 24 days, and when the invocation has ended.
   */
  signal: AbortSignal;
  /** The time in ms until the deadline, negative once it is over, `Infinity` if there is none. */
  getRemainingTimeInMillis(): number;
  /** Has no effect: an invocation ends when its handler's promise settles. */
  callbackWaitsForEmptyEventLoop: boolean;
  /** @deprecated Return the result. @throws {Error} always. */
  done(error?: Error, result?: unknown): never;
  /** @deprecated Throw the error. @throws {Error} always. */
  fail(error: Error | string): never;
  /** @deprecated Return the result. @throws {Error} always. */
  succeed(result: unknown, object?: unknown): never;
}

/** @see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html */
export interface CognitoIdentity {
  cognitoIdentityId: string;
  cognitoIdentityPoolId: string;
}

/** @see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html */
export interface ClientContext {
  client: {
    installationId: string;
    appTitle: string;
    appVersionName: string;
    appVersionCode: string;
    appPackageName: string;
  };
  custom?: unknown;
  env: { platformVersion: string; platform: string; make: string; model: string; locale: string };
}

// ── The public face: run, json, http, header ────────────────────────────────────────────────────────────────────────

/**
 * Serves invocations with a handler, or with the one of several that the function's configured handler name
 * (`_HANDLER`) picks, so that one executable can serve many functions. Returns at once.
 *
 * Outside Lambda (without `AWS_LAMBDA_RUNTIME_API`) it serves one invocation and exits: the event is the first argument
 * of the program, or its standard input.
 *
 * @throws {TypeError} if there is no such handler, which is then reported as an initialization error.
 * @example run((headers, body) => body);
 * @example run({ create: json(create), list: json(list) }, { onShutdown: () => database.close() });
 */
export function run(handler: RawHandler | Record<string, RawHandler>, { onShutdown }: RunOptions = {}): void {
  if (running) throw new TypeError("run was called a second time; to serve several handlers, pass them all to one call");
  const picked = typeof handler === "function" ? handler : pickHandler(handler, env._HANDLER);
  if (onShutdown !== undefined && typeof onShutdown !== "function") {
    throw new TypeError(`onShutdown is ${kindOf(onShutdown)}, not a function`);
  }
  if (env.AWS_LAMBDA_MAX_CONCURRENCY) concurrency = parseConcurrency(env.AWS_LAMBDA_MAX_CONCURRENCY);
  running = true;
  if (runtimeApi) void serve(picked, runtimeApi, onShutdown);
  else void serveLocally(picked);
}

function pickHandler(handlers: Record<string, RawHandler>, name: string | undefined): RawHandler {
  if (typeof handlers !== "object" || handlers === null) {
    throw new TypeError(`run takes a handler, or an object of handlers, and got ${kindOf(handlers)}`);
  }
  for (const [name, handler] of Object.entries(handlers)) {
    if (typeof handler !== "function") throw new TypeError(`handler ${name} is ${kindOf(handler)}, not a function`);
  }
  const names = Object.keys(handlers).join(", ") || "none";
  if (!name) throw new TypeError(`_HANDLER is not set, and has to name one of the handlers: ${names}`);
  const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
  if (!handler) throw new TypeError(`_HANDLER is ${stringify(name)}, and the handlers are: ${names}`);
  return handler;
}

function parseConcurrency(value: string): number {
  const count = Number(value);
  if (Number.isInteger(count) && count >= 1 && count <= largestConcurrency) return count;
  throw new TypeError(`AWS_LAMBDA_MAX_CONCURRENCY is ${stringify(value)}, not a whole number from 1 to ${largestConcurrency}`);
}

/** More than any function is given. */
const largestConcurrency = 10_000;

/**
 * Makes a raw handler of one that takes an event as a value and returns a value.
 *
 * An empty body is `null`, a byte order mark is skipped, and `undefined` is sent as `null`. A body that is not JSON in
 * UTF-8 is reported as `Runtime.UnmarshalError`, a result that cannot be JSON as `Runtime.MarshalError`. A result that is
 * async-iterable, or whose `body` is, is a stream and not JSON: {@link Reply}.
 *
 * @param handler May also be typed with the `Handler` of `@types/aws-lambda`. There are no callbacks, so what comes
 *   after the context is a function that throws.
 * @throws {TypeError} if it is not a function.
 * @example run(json(async (event: { id: number }, context) => ({ id: event.id, request: context.awsRequestId })));
 */
export function json<Event, Result>(
  handler: (event: Event, context: Context, ...callback: never[]) => Result | Promise<Result> | void,
): RawHandler {
  if (typeof handler !== "function") throw new TypeError(`json takes a function, and got ${kindOf(handler)}`);
  const call = handler as (event: Event, context: Context, callback: () => never) => unknown;
  return (headers, body) =>
    withContext(headers, async (context) => {
      const result = await call(unmarshal(body) as Event, context, refuseCallback);
      return asStreamed(result) ?? marshal(result);
    });
}

let strictDecoder: TextDecoder | undefined;

function unmarshal(body: Uint8Array): unknown {
  if (body.length === 0) return null;
  try {
    return parse((strictDecoder ??= new TextDecoder("utf-8", { fatal: true })).decode(body));
  } catch (error) {
    throw runtimeError("Runtime.UnmarshalError", `the event is not JSON: ${describe(error).errorMessage}`, error);
  }
}

function marshal(result: unknown): string {
  if (result === undefined) return "null";
  let text: string | undefined;
  try {
    text = stringify(result);
  } catch (error) {
    throw marshalError(`the result cannot be JSON: ${describe(error).errorMessage}`, error);
  }
  if (text === undefined) throw marshalError(`the result cannot be JSON: it is ${kindOf(result)}`);
  return text;
}

/**
 * Makes a raw handler of one for web requests, as Hono applications and plain `fetch` functions are.
 *
 * It takes the events of function URLs, API Gateway (REST and HTTP APIs) and Application Load Balancers, and answers each
 * in its own shape; an event that is none of these is reported as `Runtime.UnmarshalError`. Locally it also takes
 * `'GET /path?query'`. Whatever `fetch` throws is an error of the invocation.
 *
 * @param fetch Its request has the URL, the header fields and the body that the client sent; the path of a REST API comes
 *   without its stage. `request.signal` is {@link Context.signal}.
 * @param options `streaming` sends the response while it is being made, for function URLs in `RESPONSE_STREAM` mode.
 * @throws {TypeError} if `fetch` is not a function.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
 * @example run(http((request) => new Response(`You asked for ${request.url}`)));
 */
export function http<Event = unknown>(
  fetch: (request: Request, context: Context, event: Event) => Response | Promise<Response>,
  { streaming = false }: { streaming?: boolean } = {},
): RawHandler {
  if (typeof fetch !== "function") throw new TypeError(`http takes a function, and got ${kindOf(fetch)}`);
  return (headers, body) =>
    withContext(headers, async (context) => {
      const event = asWebEvent(unmarshalWebEvent(body));
      const request = toRequest(event);
      Object.defineProperty(request, "signal", { get: () => context.signal });
      const response: unknown = await fetch(request, context, event as Event);
      if (!(response instanceof Response)) {
        throw marshalError(`fetch has returned ${kindOf(response)}, not a Response`);
      }
      if (streaming) return streamResponse(response, request.method);
      return stringify(await toResult(response, request.method, event));
    });
}

/**
 * The value of a header.
 *
 * @param headers A header section, as a raw handler gets it.
 * @param name The field name, in any case.
 * @returns The value of the first field line of that name, trimmed, read as UTF-8; `undefined` if it is absent or empty.
 * @example header(headers, "Lambda-Runtime-Aws-Request-Id");
 */
export function header(headers: Uint8Array, name: string): string | undefined {
  for (let start = 0, end = 0; start < headers.length; start = end) {
    end = endOfLine(headers, start);
    if (isNameAt(headers, start, name)) return fieldValue(headers, start + name.length + 1, end) || undefined;
  }
  return undefined;
}

// ── Web events: what http makes of them ─────────────────────────────────────────────────────────────────────────────

/** The members that are read here of the four kinds of event. */
interface WebEvent {
  httpMethod?: string;
  path?: string;
  rawPath?: string;
  rawQueryString?: string;
  cookies?: string[];
  headers?: Record<string, string | undefined> | null;
  multiValueHeaders?: Record<string, string[] | undefined> | null;
  queryStringParameters?: Record<string, string | undefined> | null;
  multiValueQueryStringParameters?: Record<string, string[] | undefined> | null;
  requestContext: { http?: { method: string }; elb?: unknown; domainName?: string };
  body?: string | null;
  isBase64Encoded?: boolean;
}

/** In local mode the event may be a request line: `GET /path?query`. */
function unmarshalWebEvent(body: Uint8Array): unknown {
  if (runtimeApi) return unmarshal(body);
  const requestLine = /^([A-Z]+) (\/[^\s?]*)(?:\?(\S*))?$/;
  const [, method, rawPath, rawQueryString = ""] = requestLine.exec(decode(body.subarray(0, 10_000))) ?? [];
  if (method === undefined) return unmarshal(body);
  const requestContext = { http: { method, path: rawPath } };
  return { version: "2.0", rawPath, rawQueryString, headers: { host: "localhost" }, requestContext };
}

function asWebEvent(value: unknown): WebEvent {
  if (isObject(value)) {
    const { requestContext, rawPath, httpMethod, path } = value as { [Member in keyof WebEvent]?: unknown };
    const http = isObject(requestContext) && "http" in requestContext && requestContext.http;
    const isVersion2 = isObject(http) && "method" in http && typeof http.method === "string" && typeof rawPath === "string";
    const isVersion1OrBalancer = isObject(requestContext) && typeof httpMethod === "string" && typeof path === "string";
    if (isVersion2 || isVersion1OrBalancer) return value as WebEvent;
  }
  const expected = "the event of a function URL, of API Gateway (version 1.0 or 2.0), or of an Application Load Balancer";
  const received = isObject(value) ? `an object with ${Object.keys(value).join(", ") || "no members"}` : kindOf(value);
  throw runtimeError("Runtime.UnmarshalError", `http expects ${expected}, and got ${received}`);
}

/** The version of API Gateway's payload format, of which function URLs use 2.0; or a load balancer. */
function kindOfEvent({ requestContext }: WebEvent): "2.0" | "1.0" | "alb" {
  return requestContext.http ? "2.0" : requestContext.elb ? "alb" : "1.0";
}

function toRequest(event: WebEvent): Request {
  const headers = requestHeaders(event);
  const scheme = headers.get("x-forwarded-proto") === "http" ? "http" : "https";
  const hosts = [headers.get("host"), event.requestContext.domainName, "localhost"];
  const host = hosts.find((name) => name && /^(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?$/i.test(name)); // nothing that is part of a path
  const path = event.rawPath ?? event.path?.replaceAll(/[?#]/g, encodeURIComponent);
  const query = queryString(event);
  const method = event.requestContext.http?.method ?? event.httpMethod ?? "";
  const content = method === "GET" || method === "HEAD" ? null : (event.body ?? null);
  const body = content !== null && event.isBase64Encoded ? Uint8Array.fromBase64(content) : content;
  return new Request(`${scheme}://${host}${path}${query === "" ? "" : `?${query}`}`, { method, headers, body });
}

function requestHeaders({ headers, multiValueHeaders, cookies }: WebEvent): Headers {
  const result = new Headers();
  for (const [name, values] of Object.entries({ ...headers, ...multiValueHeaders })) {
    for (const value of [values].flat()) if (typeof value === "string") result.append(name, toByteString(value));
  }
  if (cookies && cookies.length > 0) result.set("cookie", toByteString(cookies.join("; ")));
  return result;
}

/** In web headers a character is a byte; what does not fit is sent as the bytes of its UTF-8. */
function toByteString(value: string): string {
  if (!/[^\0-\xff]/.test(value)) return value;
  return Array.from(encode(value), (byte) => String.fromCharCode(byte)).join("");
}

function queryString(event: WebEvent): string {
  if (event.rawQueryString !== undefined) return event.rawQueryString;
  // API Gateway has decoded names and values, a load balancer has not.
  const encode = kindOfEvent(event) === "alb" ? (text: string) => text : encodeURIComponent;
  const parameters = Object.entries({ ...event.queryStringParameters, ...event.multiValueQueryStringParameters });
  const pairs = parameters.flatMap(([name, values]) => [values].flat().map((value) => [name, value ?? ""] as const));
  return pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
}

async function toResult(response: Response, method: string, event: WebEvent): Promise<object> {
  const { status, statusText } = response;
  const headers = joinedHeaders(response);
  const cookies = response.headers.getSetCookie();
  const body = hasBody(response, method) ? await toResultBody(response, headers) : { body: "", isBase64Encoded: false };
  const result = { statusCode: status, ...body };
  const kind = kindOfEvent(event);
  if (kind === "2.0") return { ...result, headers, cookies };

  const multiValueHeaders: Record<string, string[]> = {};
  for (const [name, value] of Object.entries(headers)) multiValueHeaders[name] = [value];
  if (cookies.length > 0) multiValueHeaders["set-cookie"] = cookies;
  if (kind === "1.0") return { ...result, multiValueHeaders };

  const statusDescription = `${status} ${statusText}`.trim();
  if (event.multiValueHeaders) return { ...result, statusDescription, multiValueHeaders };
  const [cookie, ...lost] = cookies;
  if (cookie !== undefined) headers["set-cookie"] = cookie;
  if (lost.length > 0) {
    const remedy = "the load balancer needs its multi-value headers enabled to take more than one";
    log("WARN", undefined, `${lost.length} of the set-cookie fields are lost: ${remedy}`);
  }
  return { ...result, statusDescription, headers };
}

/** The header fields by name, but for `set-cookie`, the only one whose values cannot be joined. */
function joinedHeaders({ headers }: Response): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => name !== "set-cookie"));
}

/**
 * Text goes as it is; anything else in base64, and so does text that is compressed or not UTF-8.
 *
 * Bun gives a body that is made of a string no content type, so one without is text if it is UTF-8.
 */
async function toResultBody(
  response: Response,
  headers: Record<string, string>,
): Promise<{ body: string; isBase64Encoded: boolean }> {
  const bytes = await response.bytes();
  const { "content-type": type = "text/plain;charset=utf-8", "content-encoding": coding = "identity" } = headers;
  const textTypes = /^text\/|^application\/(?:json|javascript|xml|x-www-form-urlencoded|graphql)\b|\+(?:json|xml)\b/i;
  const isText = textTypes.test(type);
  const text = isText && coding.toLowerCase() === "identity" ? utf8Text(bytes) : undefined;
  headers["content-type"] ??= text === undefined ? "application/octet-stream" : type;
  return text === undefined ? { body: bytes.toBase64(), isBase64Encoded: true } : { body: text, isBase64Encoded: false };
}

function utf8Text(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whether a body is to be sent; one that is not is cancelled, since nobody will read it. */
function hasBody({ status, body }: Response, method: string): boolean {
  if (body === null) return false;
  if (method !== "HEAD" && status !== 204 && status !== 304) return true;
  void cancelled(current(), () => body.cancel());
  return false;
}

/** A prelude with status and header fields, eight NUL bytes, and the body. */
function streamResponse(response: Response, method: string): Streamed {
  const headers = joinedHeaders(response);
  const body = hasBody(response, method) ? response.body : null;
  if (body) headers["content-type"] ??= "application/octet-stream";
  const prelude = stringify({ statusCode: response.status, headers, cookies: response.headers.getSetCookie() });
  async function* chunks(): AsyncGenerator<Bytes> {
    yield `${prelude}${"\0".repeat(8)}`;
    if (body) yield* body;
  }
  return { contentType: "application/vnd.awslambda.http-integration-response", body: chunks() };
}

// ── The context of an invocation ────────────────────────────────────────────────────────────────────────────────────

/** How long before the deadline {@link Context.signal} fires, in ms. */
const signalMargin = 100;

/** The longest time that a timer can be set to, in ms. */
const longestTimer = 2 ** 31 - 1;

/** Gives a handler its context, which ends with the reply, and with the last chunk of one that is streamed. */
async function withContext(headers: Uint8Array, handler: (context: Context) => Promise<Bytes | Streamed>): Promise<Reply> {
  const [context, release] = createContext(headers);
  let streamed = false;
  try {
    const reply = await handler(context);
    if (isBytes(reply)) return reply;
    streamed = true;
    return { ...reply, body: withEnd(reply.body, release) };
  } finally {
    if (!streamed) release();
  }
}

/** The same stream; calls `end` when it is over, also if that is before it began. */
function withEnd(body: AsyncIterable<Bytes>, end: () => void): AsyncIterable<Bytes> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = body[Symbol.asyncIterator]();
      return {
        async next() {
          const step = await iterator.next();
          if (step.done) end();
          return step;
        },
        async return() {
          end();
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

/** Makes a context that reads each member when it is asked for it, and the function that ends it with its invocation. */
function createContext(headers: Uint8Array): [Context, release: () => void] {
  const received = Date.now();
  const deadline = () => parseDeadline(header(headers, "Lambda-Runtime-Deadline-Ms"));
  let abort: AbortController | undefined;
  let timer: Timer | undefined;
  let ended = false;
  const context: Context = {
    get functionName() {
      return env.AWS_LAMBDA_FUNCTION_NAME ?? "";
    },
    get functionVersion() {
      return env.AWS_LAMBDA_FUNCTION_VERSION ?? "";
    },
    get invokedFunctionArn() {
      return header(headers, "Lambda-Runtime-Invoked-Function-Arn") ?? "";
    },
    get memoryLimitInMB() {
      return env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE ?? "";
    },
    get awsRequestId() {
      return header(headers, "Lambda-Runtime-Aws-Request-Id") ?? "";
    },
    get logGroupName() {
      return env.AWS_LAMBDA_LOG_GROUP_NAME ?? "";
    },
    get logStreamName() {
      return env.AWS_LAMBDA_LOG_STREAM_NAME ?? "";
    },
    get identity() {
      return jsonHeader<CognitoIdentity>(headers, "Lambda-Runtime-Cognito-Identity");
    },
    get clientContext() {
      return jsonHeader<ClientContext>(headers, "Lambda-Runtime-Client-Context");
    },
    get tenantId() {
      return header(headers, "Lambda-Runtime-Aws-Tenant-Id");
    },
    get xRayTraceId() {
      return header(headers, "Lambda-Runtime-Trace-Id");
    },
    get signal() {
      if (abort) return abort.signal;
      const { signal } = (abort = new AbortController());
      const due = deadline() - Date.now() - signalMargin;
      const fire = () => abort?.abort(new DOMException("the deadline of the invocation is near", "TimeoutError"));
      if (ended || deadline() <= received || due > longestTimer) return signal;
      if (due > 0) timer = setTimeout(fire, due);
      else fire();
      return signal;
    },
    getRemainingTimeInMillis: () => deadline() - Date.now(),
    callbackWaitsForEmptyEventLoop: true,
    done: refuseCallback,
    fail: refuseCallback,
    succeed: refuseCallback,
  };
  function release(): void {
    ended = true;
    clearTimeout(timer);
  }
  return [context, release];
}

/** In ms since the epoch; what is not a number is no deadline. */
function parseDeadline(value: string | undefined): number {
  const deadline = Number(value ?? Infinity);
  return Number.isNaN(deadline) ? Infinity : deadline;
}

function jsonHeader<Value>(headers: Uint8Array, name: string): Value | undefined {
  const text = header(headers, name);
  if (text === undefined) return undefined;
  try {
    return parse(text) as Value;
  } catch (cause) {
    throw new Error(`the header ${name} of the event is not JSON: ${stringify(text)}`, { cause });
  }
}

function refuseCallback(): never {
  throw new Error("this runtime has no callbacks: return the result (or a promise of it), or throw the error");
}

// ── The invocation loop ─────────────────────────────────────────────────────────────────────────────────────────────

/** Host and port of the Runtime API; there is none on a desk. */
const runtimeApi = env.AWS_LAMBDA_RUNTIME_API;
const runtimePath = "/2018-06-01/runtime";
const userAgent = `User-Agent: bunstrap/${version}\r\n`;

/** The largest reply that the service takes, in bytes. */
const replyLimit = 6 * 1024 * 1024 + 100;

/** How long the service may keep silent before it answers a POST, in ms. A `GET /next` is waited for without end. */
const postTimeout = 30_000;

/** An event, from when it was received until it is answered. */
interface Invocation {
  id: string;
  /** What goes back with whatever answers it. */
  invocationId?: string | undefined;
  tenantId?: string | undefined;
  /** The header section of the event: the handler's from when it is called, as the body is. */
  headers: Uint8Array;
  body: Uint8Array;
  /** Tells whoever waits for it what became of it. */
  post(outcome: Outcome): Promise<void>;
  /** Set by whoever answers first, and by nobody else: {@link answer}. */
  answered?: Promise<void>;
  /** Gives up on the handler, while something of it is waited for: {@link settled}. */
  abandon?: ((error: unknown) => void) | undefined;
  /** What was thrown past everybody, from when it was: a stream ends with it. */
  escaped?: { error: unknown };
}

/** What became of an invocation. */
type Outcome = { reply: Bytes } | { stream: OpenStream } | { error: unknown };

/** Whether `run` was called: it may be once. */
let running = false;

/**
 * `initializing` until the first event is asked for; `ending` from when it is certain that the process ends, and only
 * what was begun is brought to its end.
 */
let stage: "initializing" | "serving" | "ending" = "initializing";

/** How many invocations are served at a time, each by a loop with a connection of its own. */
let concurrency = 1;

/** Knows, where several are in flight, which invocation the code that runs belongs to. */
let storage: ReturnType<typeof createStorage> | undefined;

/** The invocations that were received and that the service does not hold for finished. */
const inFlight = new Set<Invocation>();

process.on("uncaughtException", escaped);
process.on("unhandledRejection", escaped);
process.on("beforeExit", ranEmpty);
process.on("exit", refuseExit);

/**
 * Serves events, one after the other or several at a time, until the service says that there are no more.
 *
 * Up to the first request on the wire, this way goes around what costs 50 to 110 µs when it is first touched, measured
 * where a cold start is 5 ms: `new Promise`, a regular expression, a generator, a spread of an array, `Math`.
 */
async function serve(handler: RawHandler, authority: string, onShutdown: RunOptions["onShutdown"]): Promise<void> {
  try {
    if (onShutdown) await registerForShutdown(authority, onShutdown);
    if (concurrency > 1) {
      await serveConcurrently(handler, authority);
    } else {
      const client = createHttpClient(authority);
      for (let invocation; (invocation = await receiveEvent(client)); ) await invoke(handler, invocation);
    }
    if (stage !== "ending") end(0);
  } catch (error) {
    // The Runtime API cannot be used any more, and there is nobody left to tell but the log.
    log("FATAL", undefined, describe(error).errorMessage);
    if (stage !== "ending") end(1); // or else whoever ends the process is at it, as onShutdown is
  }
}

/**
 * Serves as many events at a time as the function is configured for. A loop that fails begins again after a pause, without
 * disturbing the others: too many that ask at a time are answered 500, and a connection may break.
 *
 * @throws {Error} when each of them fails, and goes on to.
 */
async function serveConcurrently(handler: RawHandler, authority: string): Promise<void> {
  const invocations = (storage = createStorage());
  let active = concurrency; // loops that neither pause nor are over
  let isOver = false; // what any loop is told, each will be

  async function loop(): Promise<void> {
    const client = createHttpClient(authority);
    for (let failures = 0; !isOver; ) {
      let invocation: Invocation | undefined;
      try {
        while ((invocation = await receiveEvent(client))) {
          failures = 0;
          await invocations.run(invocation, invoke, handler, invocation);
          invocation = undefined;
        }
        isOver = true;
      } catch (error) {
        active--;
        if (active === 0 && failures === mostFailures && !isOver) throw error;
        if (failures === 0 && (invocation || !isOver)) log("ERROR", invocation, `one of ${concurrency} loops has failed: ${describe(error).errorMessage}`);
        if (!isOver) await Bun.sleep(shortestPause * 2 ** failures);
        failures = Math.min(failures + 1, mostFailures);
        active++;
      }
    }
    active--;
  }

  await Promise.all(Array.from({ length: concurrency }, loop));
}

/** How long a loop that has failed pauses, in ms: at first, and twice as long after every further failure in a row … */
const shortestPause = 100;

/** … up to so many. */
const mostFailures = 5;

function createStorage() {
  const { AsyncLocalStorage } = process.getBuiltinModule("node:async_hooks");
  return new AsyncLocalStorage<Invocation>();
}

/** Asks for an event. Returns `undefined` when there are no more to be served. */
async function receiveEvent(client: HttpClient): Promise<Invocation | undefined> {
  await client.connect();
  if (stage === "ending") return undefined;
  stage = "serving";
  const next = await client.request({ method: "GET", target: `${runtimePath}/invocation/next`, fields: userAgent });
  if (next.status === 410) return undefined;
  if (next.status !== 200) throw new Error(`GET /invocation/next was answered ${summary(next)}`);
  const invocation = createInvocation(client, next);
  if (!storage) setTraceId(header(next.headers, "Lambda-Runtime-Trace-Id"));
  return invocation;
}

async function invoke(handler: RawHandler, invocation: Invocation): Promise<void> {
  inFlight.add(invocation);
  try {
    const outcome = stage === "ending" ? { error: bystander() } : await handle(handler, invocation);
    if ("error" in outcome && !invocation.answered) logError(invocation, outcome.error);
    await answer(invocation, outcome);
  } finally {
    inFlight.delete(invocation);
  }
}

function createInvocation(client: HttpClient, { headers, body }: HttpResponse): Invocation {
  const id = header(headers, "Lambda-Runtime-Aws-Request-Id");
  if (id === undefined) throw new Error("GET /invocation/next was answered with an event that has no request id");
  const invocation: Invocation = {
    id,
    invocationId: header(headers, "Lambda-Runtime-Invocation-Id"),
    tenantId: header(headers, "Lambda-Runtime-Aws-Tenant-Id"),
    headers,
    body,
    post: (outcome) => post(client, invocation, outcome),
  };
  return invocation;
}

/** It belongs to the process, so it can be told only while one invocation is served at a time. */
function setTraceId(traceId: string | undefined): void {
  if (traceId === undefined) delete env._X_AMZN_TRACE_ID;
  else env._X_AMZN_TRACE_ID = traceId;
}

async function handle(handler: RawHandler, invocation: Invocation): Promise<Outcome> {
  try {
    const promised: unknown = handler(invocation.headers, invocation.body);
    const reply = isBytes(promised) ? promised : await settled(invocation, promised);
    if (isBytes(reply)) return { reply };
    const streamed = asStreamed(reply);
    if (streamed) return { stream: await openStream(invocation, streamed) };
    const hint = "a raw handler returns a Uint8Array, a string or a stream of them";
    throw marshalError(`the reply is ${kindOf(reply)}: ${hint}; to return a value, use run(json(handler))`);
  } catch (error) {
    return { error };
  }
}

/**
 * Waits for what the handler promises, or until it is seen that it can never come: meanwhile the connection does not hold
 * the event loop, so if that runs empty, nothing is left that could wake the handler. (What is awaited and not returned
 * does not go through `Promise.prototype.then`, which the handler may have overwritten.)
 *
 * @throws What the handler throws, or `Runtime.NeverSettled`.
 */
async function settled<Value>(invocation: Invocation, promise: Value): Promise<Awaited<Value>> {
  const { promise: value, resolve, reject } = Promise.withResolvers<Awaited<Value>>();
  invocation.abandon = reject;
  void forward(promise, resolve, reject);
  try {
    return await value;
  } finally {
    invocation.abandon = undefined;
  }
}

async function forward<Value>(
  promise: Value,
  resolve: (value: Awaited<Value>) => void,
  reject: (error: unknown) => void,
): Promise<void> {
  try {
    resolve(await promise);
  } catch (error) {
    reject(error);
  }
}

function isBytes(value: unknown): value is Bytes {
  return typeof value === "string" || value instanceof Uint8Array;
}

/** Tells the service what became of an invocation, once: whoever comes later waits for the first to be done. */
function answer(invocation: Invocation, outcome: Outcome): Promise<void> {
  return (invocation.answered ??= invocation.post(outcome));
}

function post(client: HttpClient, invocation: Invocation, outcome: Outcome): Promise<void> {
  if ("error" in outcome) return postError(client, invocation, outcome.error);
  return "stream" in outcome ? postStream(client, invocation, outcome.stream) : postReply(client, invocation, outcome.reply);
}

async function postReply(client: HttpClient, invocation: Invocation, body: Bytes): Promise<void> {
  const target = invocationPath(invocation, "response");
  const fields = `${invocationFields(invocation)}Content-Type: application/json\r\n`;
  const response = await client.request({ method: "POST", target, fields, body, timeout: postTimeout });
  if (response.status === 413) {
    const size = typeof body === "string" ? encode(body).length : body.length;
    log("ERROR", invocation, `the reply of ${size} bytes is too large, so the invocation has failed; the limit is ${replyLimit} bytes`);
  } else {
    acknowledge(invocation, "the reply", response);
  }
}

async function postError(client: HttpClient, invocation: Invocation, error: unknown): Promise<void> {
  const request = errorRequest(invocationPath(invocation, "error"), invocationFields(invocation), error);
  acknowledge(invocation, "the error report", await client.request(request));
}

function invocationPath({ id }: Invocation, what: "response" | "error"): string {
  return `${runtimePath}/invocation/${encodeURIComponent(id)}/${what}`;
}

function invocationFields({ invocationId }: Invocation): string {
  return invocationId === undefined ? userAgent : `${userAgent}Lambda-Runtime-Invocation-Id: ${invocationId}\r\n`;
}

/** Judges how the service took a POST: logs what is only this invocation's misfortune. @throws {Error} on the rest. */
function acknowledge(invocation: Invocation, what: string, response: HttpResponse): void {
  const { status, resent } = response;
  if (status >= 200 && status < 300) return;
  if (status < 400 || status >= 500) throw new Error(`${what} of invocation ${invocation.id} was answered ${summary(response)}`);
  if (resent && (status === 400 || status === 403)) return; // it was delivered the first time
  const reason = status === 410 ? "came after the invocation had timed out" : "was refused";
  log("ERROR", invocation, `${what} ${reason}: ${summary(response)}`);
}

function summary({ status, body }: HttpResponse): string {
  return `${status} ${stringify(decode(body.subarray(0, 1000)))}`;
}

// ── Streamed replies ────────────────────────────────────────────────────────────────────────────────────────────────

/** A stream whose first chunk is there: what fails before it is an ordinary error of the invocation. */
interface OpenStream extends ChunkedBody {
  contentType: string;
  /** Whether the handler threw after the first chunk. */
  failed?: boolean;
}

/** An object counts as streamed only if it is async-iterable, or its `body` is. */
function asStreamed(value: unknown): Streamed | undefined {
  if (isAsyncIterable(value)) return { body: value };
  return isObject(value) && "body" in value && isAsyncIterable(value.body) ? (value as Streamed) : undefined;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<Bytes> {
  return isObject(value) && Symbol.asyncIterator in value;
}

async function openStream(
  invocation: Invocation,
  { contentType = "application/octet-stream", body }: Streamed,
): Promise<OpenStream> {
  const iterator = body[Symbol.asyncIterator]();
  let isCancelled = false;

  function cancel(): void {
    isCancelled = true;
    void cancelled(invocation, () => iterator.return?.());
  }

  async function pull(): Promise<Uint8Array | undefined> {
    try {
      for (;;) {
        if (invocation.escaped) throw invocation.escaped.error;
        const { done, value } = await settled(invocation, iterator.next());
        if (done) return undefined;
        const chunk: Uint8Array = typeof value === "string" ? encode(value) : value;
        if (!isBytes(chunk)) throw marshalError(`a chunk of the stream is ${kindOf(value)}, not a Uint8Array or a string`);
        if (chunk.length > 0) return chunk; // one without bytes would end the body
      }
    } catch (error) {
      if (!isCancelled) cancel();
      throw error;
    }
  }

  const stream: OpenStream = {
    contentType,
    first: undefined,
    trailers: "",
    async next() {
      try {
        return await pull();
      } catch (error) {
        if (!invocation.escaped) logError(invocation, error); // or else it was logged when it escaped
        stream.failed = true;
        stream.trailers = errorTrailers(error);
        return undefined;
      }
    },
    cancel,
  };
  if (typeof contentType !== "string" || !/^[\x20-\x7e\t]+$/.test(contentType)) {
    cancel();
    throw marshalError(`the contentType of the stream is not printable ASCII: ${stringify(contentType)}`);
  }
  stream.first = await pull();
  return stream;
}

/** Cancels what nobody listens to any more: a generator runs its `finally` blocks, and what they throw is logged. */
async function cancelled(invocation: Invocation | undefined, cancel: () => unknown): Promise<void> {
  try {
    await cancel();
  } catch (error) {
    logError(invocation, error);
  }
}

function errorTrailers(error: unknown): string {
  const report = describe(error);
  const body = encode(stringify(report)).toBase64();
  return `${errorTypeField}: ${serviceErrorType(report.errorType)}\r\n${errorBodyField}: ${body}\r\n`;
}

async function postStream(client: HttpClient, invocation: Invocation, stream: OpenStream): Promise<void> {
  const fields =
    `${invocationFields(invocation)}Content-Type: ${stream.contentType}\r\n` +
    `Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: ${errorTypeField}, ${errorBodyField}\r\n`;
  const target = invocationPath(invocation, "response");
  const response = await client.stream({ method: "POST", target, fields, timeout: postTimeout }, stream);
  const wasCut = (why: string) => log("ERROR", invocation, `the streamed reply was cut, since ${why}`);
  if (stream.failed) wasCut("the handler failed after its first byte was sent");
  if (!response) wasCut("the connection broke after its first chunk was sent");
  else if (response.cut && response.status < 300) wasCut("it was answered before its end");
  else acknowledge(invocation, "the streamed reply", response);
}

// ── The end: escaped errors, process.exit, an empty event loop, SIGTERM ─────────────────────────────────────────────

/** Ends the process, whatever has become of `process.exit`. */
function end(status: number): never {
  stage = "ending";
  exit(status);
}

/** Takes what was thrown past everybody: reports it, and ends the process, since nobody knows what state it is in. */
async function escaped(error: unknown): Promise<void> {
  const wasInitializing = stage === "initializing";
  const owners = affected();
  if (stage === "ending" || inFlight.size === 0) logError(undefined, error);
  if (stage === "ending") return;
  stage = "ending";
  if (runtimeApi && wasInitializing) await postInitError(runtimeApi, error);
  await Promise.all(Array.from(inFlight, (invocation) => giveUp(invocation, owners.includes(invocation) ? error : bystander())));
  end(1);
}

/** The error of an invocation that is given up on for a reason that is not its own. */
function bystander(): Error {
  return runtimeError("Runtime.ExitError", "the process ends before this invocation was answered, for a reason that is not its own");
}

/** The invocations that something has happened to: the one that the code that runs belongs to, or else any in flight. */
function affected(): (Invocation | undefined)[] {
  const invocation = current();
  return invocation || inFlight.size === 0 ? [invocation] : Array.from(inFlight);
}

/** The invocation that the code that runs belongs to, as far as it is known. */
function current(): Invocation | undefined {
  const invocation = storage ? storage.getStore() : inFlight.size === 1 ? inFlight.values().next().value : undefined;
  return invocation && inFlight.has(invocation) ? invocation : undefined;
}

/** Answers an invocation whose handler has no say any more. A stream on its way has the error in its trailers. */
async function giveUp(invocation: Invocation, error: unknown): Promise<void> {
  logError(invocation, error);
  invocation.escaped = { error };
  invocation.abandon?.(error);
  try {
    await answer(invocation, { error });
  } catch (failure) {
    logError(invocation, failure);
  }
}

async function postInitError(authority: string, error: unknown): Promise<void> {
  try {
    const client = createHttpClient(authority);
    const response = await client.request(errorRequest(`${runtimePath}/init/error`, userAgent, error));
    if (response.status !== 202) throw new Error(`POST /init/error was answered ${summary(response)}`);
  } catch (failure) {
    logError(undefined, failure);
  }
}

/** Sees that nothing is left to wait for: the handler cannot settle, or there is none. */
function ranEmpty(): void {
  const message = "the handler can never settle: it waits, and nothing is left in the event loop that could wake it";
  // From a timer, since what is settled here is not looked at before the exit.
  for (const { abandon } of inFlight) if (abandon) setTimeout(abandon, 0, runtimeError("Runtime.NeverSettled", message));
  if (isProgram() && !running) setTimeout(escaped, 0, new Error("the program has come to its end without calling run"));
}

/** Whether this is a function: any compiled program is, and from source what calls `run`, so that a test is left alone. */
function isProgram(): boolean {
  return runtimeApi !== undefined || running || Bun.main.startsWith("/$bunfs/");
}

/** Makes a failure of a process that ends without having been told to: nobody would see it otherwise. */
function refuseExit(status: number): void {
  if (stage === "ending" || !isProgram()) return;
  const isInvoking = inFlight.size > 0;
  const otherwise = stage === "initializing" ? "while modules loaded" : "between two invocations";
  const when = isInvoking ? "in the middle of an invocation" : otherwise;
  const error = runtimeError("Runtime.ExitError", `process.exit was called ${when}, with status ${status}`);
  for (const invocation of affected()) logError(invocation, error);
  process.exitCode = status || 1;
}

/** How long `onShutdown` may take, in ms: about 50 ms less than what the service gives. */
const shutdownBudget = 250;

/** Registers an internal extension, without which the service sends no SIGTERM. The function is served without it, too. */
async function registerForShutdown(authority: string, onShutdown: () => void | Promise<void>): Promise<void> {
  process.on("SIGTERM", () => void shutDown(onShutdown));
  try {
    const client = createHttpClient(authority);
    const response = await client.request({
      method: "POST",
      target: `${extensionPath}/register`,
      fields: `${userAgent}Lambda-Extension-Name: bunstrap\r\nContent-Type: application/json\r\n`,
      body: '{"events":[]}',
      timeout: 1_000,
    });
    const identifier = header(response.headers, "Lambda-Extension-Identifier");
    if (response.status !== 200 || identifier === undefined) throw new Error(`it was answered ${summary(response)}`);
    void awaitExtensionEvent(client, identifier);
  } catch (error) {
    const reason = describe(error).errorMessage;
    log("ERROR", undefined, `onShutdown will not be called, since the extension was not registered: ${reason}`);
  }
}

const extensionPath = "/2020-01-01/extension";

/** Asks for an event that never comes: that the request is open is what tells the service that the extension is ready. */
async function awaitExtensionEvent(client: HttpClient, identifier: string): Promise<void> {
  try {
    const fields = `${userAgent}Lambda-Extension-Identifier: ${identifier}\r\n`;
    const response = await client.request({ method: "GET", target: `${extensionPath}/event/next`, fields, background: true });
    if (response.status !== 200) throw new Error(`it was answered ${summary(response)}`);
  } catch (error) {
    const reason = describe(error).errorMessage;
    log("ERROR", undefined, `onShutdown may not be called, since GET /extension/event/next failed: ${reason}`);
  }
}

async function shutDown(onShutdown: () => void | Promise<void>): Promise<void> {
  if (stage === "ending") return;
  stage = "ending";
  setTimeout(() => {
    log("ERROR", undefined, `onShutdown has not finished within ${shutdownBudget} ms`);
    end(1);
  }, shutdownBudget);
  try {
    await onShutdown();
  } catch (error) {
    logError(undefined, error);
    end(1);
  }
  end(0);
}

// ── Local mode: one invocation, outside Lambda ──────────────────────────────────────────────────────────────────────

/** The descriptor of standard output, which is the reply and nothing else. */
const standardOutput = runtimeApi ? 1 : divertStandardOutput();

async function serveLocally(handler: RawHandler): Promise<void> {
  const event = process.argv[2] ?? (process.stdin.isTTY ? undefined : await Bun.stdin.bytes());
  if (event === undefined) {
    writeLine(2, "usage: the event is the first argument, or standard input; in Lambda, AWS_LAMBDA_RUNTIME_API would be set");
    end(2);
  }
  const id = crypto.randomUUID();
  const headers = encode(
    `Lambda-Runtime-Aws-Request-Id: ${id}\r\n` +
      `Lambda-Runtime-Deadline-Ms: ${Date.now() + localTimeout}\r\n` +
      `Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:local:000000000000:function:local\r\n`,
  );
  const body = typeof event === "string" ? encode(event) : event;
  await Bun.sleep(0); // modules are loaded to their end before anything is served, as in Lambda
  stage = "serving";
  await invoke(handler, { id, headers, body, post: print });
}

/** Prints a reply, a stream as it comes, and ends the process. What was thrown is in the log. */
async function print(outcome: Outcome): Promise<void> {
  if ("error" in outcome) end(1);
  if ("reply" in outcome) write(standardOutput, outcome.reply);
  if ("stream" in outcome) await printStream(outcome.stream);
  end(0);
}

async function printStream(stream: OpenStream): Promise<void> {
  for (let chunk = stream.first; chunk; chunk = await stream.next()) write(standardOutput, chunk);
  if (stream.failed) end(1);
}

/** How long a local invocation is told that it has, in ms: as long as Lambda ever gives. */
const localTimeout = 15 * 60 * 1000;

interface ForeignFunctions {
  dlopen(
    library: string,
    symbols: Record<"dup" | "dup2", { args: string[]; returns: string }>,
  ): { symbols: { dup(descriptor: number): number; dup2(from: number, to: number): number } };
}

/**
 * Turns what is written to standard output, by whatever means, to standard error.
 * Returns the descriptor that standard output can still be reached by.
 */
function divertStandardOutput(): number {
  try {
    const { dlopen } = process.getBuiltinModule("bun:ffi") as ForeignFunctions;
    const { symbols } = dlopen(process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6", {
      dup: { args: ["int"], returns: "int" },
      dup2: { args: ["int", "int"], returns: "int" },
    });
    const descriptor = symbols.dup(1);
    symbols.dup2(2, 1);
    return descriptor;
  } catch {
    console.log = console.info = console.debug = console.error; // no libc of a known name: at least what is logged
    return 1;
  }
}

// ── Error reports ───────────────────────────────────────────────────────────────────────────────────────────────────

/** @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-invokeerror */
interface ErrorReport {
  errorMessage: string;
  errorType: string;
  stackTrace: string[];
}

const causeField = "Lambda-Runtime-Function-XRay-Error-Cause";
const errorTypeField = "Lambda-Runtime-Function-Error-Type";
const errorBodyField = "Lambda-Runtime-Function-Error-Body";

function runtimeError(name: `Runtime.${string}`, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { name });
}

function marshalError(message: string, cause?: unknown): Error {
  return runtimeError("Runtime.MarshalError", message, cause);
}

function errorRequest(target: string, fields: string, error: unknown): HttpRequest {
  const report = describe(error);
  const errorFields =
    "Content-Type: application/vnd.aws.lambda.error+json\r\n" +
    `${errorTypeField}: ${serviceErrorType(report.errorType)}\r\n${causeField}: ${xRayCause(report)}\r\n`;
  return { method: "POST", target, fields: fields + errorFields, body: stringify(report), timeout: postTimeout };
}

/** The error type in the only form that the service keeps, and no longer than a name is. */
function serviceErrorType(errorType: string): string {
  if (/^(Runtime|Function)\.[A-Z][a-zA-Z]{1,200}$/.test(errorType)) return errorType;
  return /^[A-Z][a-zA-Z]{1,200}$/.test(errorType) ? `Function.${errorType}` : "Function.Error";
}

/** The longest X-Ray error cause, in bytes. */
const causeLimit = 64 * 1024;

/**
 * What AWS X-Ray shows of an error, as JSON in printable ASCII; of one that is too large the outer stack frames are left
 * out, and the end of its message.
 *
 * @see https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html#api-segmentdocuments-errors
 */
function xRayCause({ errorType: type, errorMessage, stackTrace }: ErrorReport): string {
  const message = errorMessage.slice(0, 4_000);
  const working_directory = attempt(() => process.cwd(), "").slice(0, 1_000);
  for (let stack = stackTrace.map(causeFrame); ; stack.length >>= 1) {
    const paths = Array.from(new Set(stack.map(({ path }) => path)));
    const cause = stringify({ working_directory, exceptions: [{ type: type.slice(0, 200), message, stack }], paths });
    const escaped = cause.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
    if (escaped.length <= causeLimit) return escaped;
  }
}

function causeFrame(frame: string): { path: string; line: number; label: string } {
  const [, label = "", path = "", line = "0"] = /^at (?:(.*) \()?(.*?)(?::(\d+))?(?::\d+)?\)?$/s.exec(frame) ?? []; // s: it always matches, in one pass
  return { path, line: Number(line), label };
}

/** Describes anything that can be thrown: an error, any other value, an object that throws when it is looked at. */
function describe(thrown: unknown): ErrorReport {
  if (!attempt(() => isErrorLike(thrown), false)) {
    return {
      errorMessage: attempt(() => (typeof thrown === "object" ? (stringify(thrown) ?? "an object") : String(thrown)), unreadable),
      errorType: kindOf(thrown),
      stackTrace: [],
    };
  }
  const error = thrown as Error;
  return {
    errorMessage: attempt(() => String(error.message), unreadable),
    errorType: attempt(() => errorTypeOf(error), "Error"),
    stackTrace: attempt(() => stackFrames(error), []),
  };
}

const unreadable = "(it cannot be read: it throws when it is looked at)";

function attempt<Value>(read: () => Value, otherwise: Value): Value {
  try {
    return read() ?? otherwise;
  } catch {
    return otherwise;
  }
}

function isErrorLike(thrown: unknown): boolean {
  return thrown instanceof Error || (isObject(thrown) && "message" in thrown && typeof thrown.message === "string");
}

/** The name of an error, or of its class where the class has not set one. */
function errorTypeOf(error: Error): string {
  const isInherited = error.name === "Error" && !Object.hasOwn(error, "name");
  return String((isInherited ? error.constructor.name : error.name) || "Error");
}

function stackFrames(error: Error): string[] {
  const lines = String(error.stack).split("\n");
  return lines.filter((line) => /^\s*at /.test(line)).map((line) => line.trim());
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function kindOf(value: unknown): string {
  return value === null ? "null" : typeof value;
}

// ── The log ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"] as const;
type Level = (typeof levels)[number];

/**
 * Writes one log event, in the format that the function is configured for.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
 */
function log(level: Level, invocation: Invocation | undefined, message: unknown, error?: Partial<ErrorReport>, descriptor = 2): void {
  if (!isLogged(level)) return;
  const timestamp = new Date().toISOString();
  const { id: requestId, tenantId } = invocation ?? {};
  if (isLogOfJson()) {
    writeLine(descriptor, toJsonLine({ timestamp, level, requestId, tenantId, ...error }, message));
  } else {
    // A line feed inside the message would make two log events of it.
    writeLine(descriptor, `${timestamp}\t${requestId ?? ""}\t${level}\t${String(message).replaceAll("\n", "\r")}`);
  }
}

function logError(invocation: Invocation | undefined, error: unknown): void {
  const report = describe(error);
  if (!runtimeApi) writeLine(2, stringify(report));
  else if (isLogOfJson()) log("ERROR", invocation, headline(report), report);
  else log("ERROR", invocation, withStack(headline(report), report.stackTrace));
}

function headline({ errorType, errorMessage }: ErrorReport): string {
  return `${errorType}: ${errorMessage}`;
}

function withStack(message: string, frames: string[]): string {
  return [message, ...frames.map((frame) => `    ${frame}`)].join("\n");
}

/** Logs what a method of the console was given. */
function logValues(level: Level, descriptor: 1 | 2, values: unknown[]): void {
  if (!isLogged(level)) return;
  if (!isLogOfJson()) return log(level, current(), format(values), undefined, descriptor);
  const error = attempt(() => values.find((candidate) => candidate instanceof Error), undefined);
  const report = error && describe(error);
  const [value] = values;
  const isObjectAlone = values.length === 1 && isObject(value);
  const object = report ? headline(report) : value;
  log(level, current(), isObjectAlone ? object : format(values), report, descriptor);
}

/** Concurrent invocations are always logged as JSON, as Lambda has it. */
function isLogOfJson(): boolean {
  return !!env.AWS_LAMBDA_MAX_CONCURRENCY || env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";
}

function isLogged(level: Level): boolean {
  const least = isLogOfJson() && env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase();
  return !least || levels.indexOf(level) >= levels.indexOf(least as Level);
}

/** One object. A message that JSON has no form for is printed as Bun prints it. */
function toJsonLine(event: object, message: unknown): string {
  const json = attempt(() => stringify(message, toJsonValue), undefined) ?? stringify(display(message));
  return `${stringify(event).slice(0, -1)},"message":${json}}`;
}

/** Something in place of what JSON has no form for. */
function toJsonValue(_key: string, value: unknown): unknown {
  if (value instanceof Error) return describe(value);
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return Array.from(value);
  return typeof value === "bigint" ? String(value) : value;
}

/** @see https://console.spec.whatwg.org/#formatter */
function format(values: unknown[]): string {
  const [template, ...rest] = values;
  if (typeof template !== "string" || rest.length === 0) return values.map(display).join(" ");
  const text = template.replaceAll(/%[sdifjoOc%]/g, (specifier) => {
    if (specifier === "%%") return "%";
    return rest.length === 0 ? specifier : formatted(specifier, rest.shift());
  });
  return [text, ...rest.map(display)].join(" ");
}

function formatted(specifier: string, value: unknown): string {
  switch (specifier) {
    case "%s":
      return attempt(() => String(value), unreadable);
    case "%d":
    case "%i":
      return attempt(() => String(Math.trunc(Number(value))), "NaN");
    case "%f":
      return attempt(() => String(Number(value)), "NaN");
    case "%j":
      return attempt(() => String(stringify(value)), unreadable);
    case "%c":
      return ""; // style sheets are not for log lines
    default:
      return display(value);
  }
}

/** A value as Bun prints it. */
function display(value: unknown): string {
  return typeof value === "string" ? value : attempt(() => Bun.inspect(value, { depth: 2 }).trimEnd(), unreadable);
}

// The console is Bun's own until it is first used: where nothing is logged, nothing is spent on it.
if (runtimeApi) {
  const { console } = globalThis;
  const set = (value: unknown) => void Object.defineProperty(globalThis, "console", { value, writable: true, configurable: true });
  const get = () => {
    set(Object.assign(console, consoleMethods()));
    return console;
  };
  Object.defineProperty(globalThis, "console", { get, set, configurable: true });
}

/** The methods of the console that print, each of them one log event. */
function consoleMethods() {
  const print =
    (level: Level, descriptor: 1 | 2) =>
    (...values: unknown[]) =>
      logValues(level, descriptor, values);
  const info = print("INFO", 1);
  const error = print("ERROR", 2);
  const group = (...values: unknown[]) => (values.length > 0 ? info(...values) : undefined);
  const counts = new Map<string, number>();
  const timers = new Map<string, number>();

  function trace(...values: unknown[]): void {
    if (!isLogged("TRACE")) return;
    const stackTrace = stackFrames(new Error()).slice(1);
    log("TRACE", current(), isLogOfJson() ? format(values) : withStack(format(values), stackTrace), { stackTrace });
  }

  function assert(condition: unknown, ...values: unknown[]): void {
    if (!condition) error(...(values.length > 0 ? ["Assertion failed:", format(values)] : ["Assertion failed"]));
  }

  function count(label = "default"): void {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    info(`${label}: ${counts.get(label)}`);
  }

  function timeLog(label = "default", ...values: unknown[]): void {
    const begun = timers.get(label);
    if (begun !== undefined) info("%s: %s ms", label, (performance.now() - begun).toFixed(2), ...values);
  }

  return {
    trace,
    debug: print("DEBUG", 1),
    info,
    log: info,
    warn: print("WARN", 2),
    error,
    fatal: print("FATAL", 2),
    dir: (value: unknown, options?: Bun.BunInspectOptions) => info(attempt(() => Bun.inspect(value, options), unreadable)),
    dirxml: info,
    table: (data: unknown, columns?: string[]) => info(isObject(data) ? attempt(() => Bun.inspect.table(data, columns).trimEnd(), unreadable) : data),
    assert,
    count,
    countReset: (label = "default") => void counts.delete(label),
    time: (label = "default") => void timers.set(label, performance.now()),
    timeLog,
    timeEnd(label = "default") {
      timeLog(label);
      timers.delete(label);
    },
    group,
    groupCollapsed: group,
    groupEnd() {},
  };
}

/** Writes a line, without the colours that the console has on a terminal. */
function writeLine(descriptor: number, line: string): void {
  try {
    write(descriptor, `${line}\n`);
  } catch {
    // it is closed: there is nobody to tell
  }
}

/** Writes to a descriptor before anything else happens. @throws {Error} if it is closed. */
function write(descriptor: number, content: Bytes): void {
  const { writeSync } = process.getBuiltinModule("node:fs");
  const bytes = typeof content === "string" ? encode(content) : content;
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      Bun.sleepSync(1); // it is full, and whoever reads it is slower than we are
    }
  }
}

// ── An HTTP/1.1 client for one local server: connection, response parser, chunks ────────────────────────────────────
//
// One request at a time over one connection, which is kept alive, and holds the event loop only while a request is under
// way. It knows nothing of what it is used for, and from here to its end the file needs nothing of what is above.

interface HttpRequest {
  method: string;
  target: string;
  /** Field lines, each with its CRLF. `Host` and `Content-Length` are added. */
  fields: string;
  /** A string is sent as UTF-8. */
  body?: Uint8Array | string;
  /** How long to wait for the response, in ms; without end unless given. */
  timeout?: number;
  /** Whether the event loop may end before the response; it is held until then unless this is given. */
  background?: boolean;
}

interface HttpResponse {
  status: number;
  /** Every field line with its CRLF. */
  headers: Uint8Array;
  body: Uint8Array;
  /** The request was sent twice, since the first connection broke before a response: the server may have seen both. */
  resent: boolean;
}

interface StreamResponse extends HttpResponse {
  /** The server answered before the end of the body. */
  cut: boolean;
}

interface HttpClient {
  /** Opens the connection unless it is open. @throws {Error} if there is nobody to connect to. */
  connect(): Promise<void>;
  /**
   * Sends a request, when no other is under way, and waits for the response.
   *
   * @throws {Error} if there is nobody to connect to, if the connection breaks a second time before a response, on a
   *   response that breaks off or is not HTTP/1.1, and on one that does not come in time.
   */
  request(request: HttpRequest): Promise<HttpResponse>;
  /**
   * The same with a body that is made while it is sent, no faster than the server takes it.
   *
   * @returns `undefined` if the connection broke when more than the first chunk had been sent, or a second time.
   */
  stream(request: HttpRequest, body: ChunkedBody): Promise<StreamResponse | undefined>;
}

/** A body that is sent in chunks, none of which is empty. */
interface ChunkedBody {
  first: Uint8Array | undefined;
  /** Gives the next chunk, `undefined` at the end. Does not reject. */
  next(): Promise<Uint8Array | undefined>;
  /** The field lines behind the last chunk, from when there is no next one. */
  trailers: string;
  /** Says that nobody takes any more of it. */
  cancel(): void;
}

/** A request whose response is awaited. */
interface Exchange {
  parser: Parser<ParsedResponse>;
  /** Whether any byte of the response has come. */
  begun: boolean;
  /** Whether the request is sent in chunks that are not all there yet. */
  open: boolean;
  /** Wakes whoever adds to the request: called when the socket has taken everything, and when the exchange is over. */
  wake?: () => void;
  timer: Timer | undefined;
  response: Promise<ParsedResponse | undefined>;
  /** Takes `undefined` if the connection broke before a response: the request may be sent again. */
  resolve(response: ParsedResponse | undefined): void;
  reject(error: unknown): void;
}

/** @param authority Host and port: `127.0.0.1:9001`, `localhost:9001`, `[::1]:9001`. */
function createHttpClient(authority: string): HttpClient {
  const { hostname, port } = parseAuthority(authority);

  // The connection is closed without a socket, idle with one, and busy with an exchange too.
  let socket: Bun.Socket<undefined> | undefined;
  let exchange: Exchange | undefined;

  /** What the socket has not taken yet of the request. */
  let unsent: (Uint8Array | string)[] = [];

  async function request(request: HttpRequest): Promise<HttpResponse> {
    const message = serialize(authority, request);
    if (!socket) await connect(); // or else sent at once: Bun may run nothing that is awaited for 1 s after an unhandled rejection
    let response = await begin(request, message).response;
    if (response) return { ...response, resent: false };
    await connect();
    response = await begin(request, message).response;
    if (response) return { ...response, resent: true };
    throw new Error(`${authority} twice closed the connection instead of answering ${request.method} ${request.target}`);
  }

  async function connect(): Promise<void> {
    if (socket) return;
    try {
      await Bun.connect({
        hostname,
        port,
        socket: {
          binaryType: "uint8array",
          open: (opened) => void (socket = opened),
          data: (from, piece) => (from === socket ? receive(piece) : undefined),
          drain: (from) => (from === socket && unsent.length > 0 ? send() : undefined),
          close: (from, error) => (from === socket ? closed(error) : undefined),
        },
      });
    } catch (cause) {
      const { message, code } = cause as Error & { code?: string };
      if (code === "ECONNRESET") return; // it was there, and is already broken: what a request finds is no connection
      throw new Error(`cannot connect to ${authority}: ${message} (${code})`, { cause });
    }
  }

  async function stream(request: HttpRequest, body: ChunkedBody): Promise<StreamResponse | undefined> {
    const head = encode(serializeHead(authority, request, "Transfer-Encoding: chunked\r\n"));
    let opening: (Uint8Array | string)[] | undefined = [head, ...(body.first ? frame(body.first.slice()) : lastChunk(body.trailers))];
    let next: Promise<Uint8Array | undefined> | undefined; // asked for, and not sent yet
    let isOpen = body.first !== undefined;
    try {
      for (let resent = false; opening; resent = true) {
        if (!socket) await connect();
        const current = begin(request, opening, body.first !== undefined);
        while (current.open && (await drained(current)) && (await settles(current, (next ??= body.next())))) {
          const chunk = await next;
          unsent.push(...(chunk ? frame(chunk) : lastChunk(body.trailers)));
          send();
          if (!chunk) expectResponse(request, current);
          else next = opening = undefined; // more than the first chunk is gone, so it cannot be sent again
        }
        isOpen = current.open;
        const response = await current.response;
        if (response) return { ...response, resent, cut: isOpen };
        if (resent) break;
      }
      return undefined;
    } finally {
      if (isOpen) body.cancel();
    }
  }

  /** Sends a request, or the beginning of one that is `open`: whose end is not there yet. */
  function begin(request: HttpRequest, message: (Uint8Array | string)[], open = false): Exchange {
    if (request.background) socket?.unref();
    else socket?.ref();
    unsent = message.slice();
    send(); // before anything that can be done while the request is on its way
    const { promise: response, resolve, reject } = Promise.withResolvers<ParsedResponse | undefined>();
    const current: Exchange = { parser: parseResponse(), begun: false, open, timer: undefined, response, resolve, reject };
    current.parser.next(); // runs to where it waits for input
    exchange = current;
    if (!open) expectResponse(request, current);
    if (!socket) closed(undefined);
    return current;
  }

  /** Waits until the socket has taken everything. Returns whether the exchange goes on. */
  async function drained(current: Exchange): Promise<boolean> {
    if (unsent.length > 0) await new Promise<void>((resolve) => (current.wake = resolve));
    return exchange === current;
  }

  /** Waits for the body, and meanwhile not for the server. Returns whether the exchange goes on. */
  async function settles(current: Exchange, next: Promise<unknown>): Promise<boolean> {
    if (exchange !== current) return false;
    socket?.unref();
    await new Promise<void>((resolve) => {
      current.wake = resolve;
      void (async () => resolve(void (await next)))();
    });
    if (exchange === current) socket?.ref();
    return exchange === current;
  }

  /** Nothing is added to the request from here on: it is the server's turn. */
  function expectResponse({ method, target, timeout }: HttpRequest, current: Exchange): void {
    current.open = false;
    if (timeout === undefined) return;
    const expire = () => fail(current, new Error(`${authority} has not answered ${method} ${target} within ${timeout} ms`));
    current.timer = setTimeout(expire, timeout).unref();
  }

  /** Writes what the socket takes; the rest waits until it drains. */
  function send(): void {
    for (let part = unsent[0]; part && socket; part = unsent[0]) {
      const taken = socket.write(part);
      if (taken < part.length) {
        if (taken > 0) unsent[0] = typeof part === "string" ? part.slice(taken) : part.subarray(taken);
        return;
      }
      unsent.shift();
    }
    exchange?.wake?.();
  }

  function receive(piece: Uint8Array): void {
    if (!exchange) return disconnect(); // nobody asked, so nothing that follows can be trusted
    exchange.begun = true;
    advance(exchange, piece);
  }

  function closed(error: Error | undefined): void {
    socket = undefined;
    if (!exchange) return;
    if (!exchange.begun) finish(exchange).resolve(undefined);
    else if (error) fail(exchange, new Error(`the connection broke in the middle of a response: ${error.message}`));
    else advance(exchange, null);
  }

  function advance(current: Exchange, piece: Uint8Array | null): void {
    try {
      const { done, value } = current.parser.next(piece);
      if (!done) return;
      if (!value.persistent || current.open || unsent.length > 0) disconnect();
      finish(current).resolve(value);
    } catch (error) {
      fail(current, error);
    }
  }

  function fail(current: Exchange, error: unknown): void {
    disconnect();
    finish(current).reject(error);
  }

  function finish(current: Exchange): Exchange {
    clearTimeout(current.timer);
    socket?.unref();
    exchange = undefined;
    current.wake?.();
    return current;
  }

  function disconnect(): void {
    const discarded = socket;
    socket = undefined;
    discarded?.terminate();
  }

  return { connect, request, stream };
}

function parseAuthority(authority: string): { hostname: string; port: number } {
  const colon = authority.lastIndexOf(":");
  const isBracketed = authority[0] === "[" && authority[colon - 1] === "]";
  const hostname = isBracketed ? authority.slice(1, colon - 1) : authority.slice(0, colon);
  const port = parseDigits(authority.slice(colon + 1));
  const isHost = colon > 0 && hostname !== "" && (isBracketed || authority.indexOf(":") === colon);
  if (!isHost || !(port > 0 && port < 65536)) throw new Error(`${JSON.stringify(authority)} is not host:port`);
  return { hostname, port };
}

/** Up to this size, in bytes, a body is copied behind its head, to be sent in one write. */
const largestCopiedBody = 64 * 1024;

/** A request as what is written to the socket, one after the other: bytes, or a string in ASCII. */
function serialize(authority: string, request: HttpRequest): (Uint8Array | string)[] {
  if (request.body === undefined) return [serializeHead(authority, request, "")];
  const body = typeof request.body === "string" ? encode(request.body) : request.body;
  const head = encode(serializeHead(authority, request, `Content-Length: ${body.length}\r\n`));
  return body.length > largestCopiedBody ? [head, body] : [concatenate(head, body)];
}

function serializeHead(authority: string, { method, target, fields }: HttpRequest, framing: string): string {
  return `${method} ${target} HTTP/1.1\r\nHost: ${authority}\r\n${fields}${framing}\r\n`;
}

/** @see https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
function frame(chunk: Uint8Array): (Uint8Array | string)[] {
  const sizeLine = `${chunk.length.toString(16)}\r\n`;
  if (chunk.length > largestCopiedBody) return [sizeLine, chunk, "\r\n"];
  return [concatenate(concatenate(encode(sizeLine), chunk), encode("\r\n"))];
}

function lastChunk(trailers: string): (Uint8Array | string)[] {
  return [`0\r\n${trailers}\r\n`];
}

function concatenate(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

// The response parser is written as if all input were there already, top to bottom. Where it needs more it yields, and
// is resumed with the next piece of input, whatever its size, or with null once the server has closed the connection.
//
// What nearly every response consists of, a header section and a body of known length in one piece, is left to a regular
// expression and to `take`: the first response should not wait for loops over bytes that no JIT compiler has seen yet.

type Parser<Result> = Generator<undefined, Result, Uint8Array | null>;

interface ParsedResponse {
  status: number;
  headers: Uint8Array;
  body: Uint8Array;
  /** Whether the connection can be used again, if it is still open. */
  persistent: boolean;
}

/** What was received: `bytes` from `at` on are still to be read, and up to `line` they were seen to be whole lines. */
interface Input {
  bytes: Uint8Array;
  at: number;
  line: number;
}

/** What may be received at most, in bytes; of interim responses, how many. */
const limits = { headerSection: 64 << 10, chunkSizeLine: 4 << 10, trailerSection: 64 << 10, body: 64 << 20, interim: 100 };

/** @see https://www.rfc-editor.org/rfc/rfc9112#section-6 */
function* parseResponse(): Parser<ParsedResponse> {
  const input: Input = { bytes: new Uint8Array(0), at: 0, line: 0 };
  for (let interim = 0; interim <= limits.interim; interim++) {
    let section: Uint8Array | undefined;
    while (!(section = takeSection(input, "header section", limits.headerSection))) append(input, yield);
    const head = parseHead(section);
    if (head.status >= 200) {
      const body = takeBody(input, head) ?? (yield* readBody(input, head));
      const { status, headers } = head;
      return { status, headers, body, persistent: head.persistent && input.at === input.bytes.length };
    }
  }
  throw malformed(`more than ${limits.interim} interim responses`);
}

/** Takes a body that is all there, or of which there is none. */
function takeBody(input: Input, { status, chunked, contentLength }: Head): Uint8Array | undefined {
  if (status === 204 || status === 304) return new Uint8Array(0);
  return chunked || contentLength === undefined ? undefined : take(input, contentLength);
}

/** Reads a body by the rules of RFC 9112, section 6.3. */
function* readBody(input: Input, { chunked, contentLength }: Head): Parser<Uint8Array> {
  if (chunked) return yield* readChunks(input);
  if (contentLength !== undefined) return yield* readBytes(input, contentLength);
  return yield* readUntilClose(input);
}

/** @see https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
function* readChunks(input: Input): Parser<Uint8Array> {
  let body: Uint8Array = new Uint8Array(0);
  let length = 0;
  for (;;) {
    let line: string | undefined;
    while ((line = takeLine(input, "chunk-size line", limits.chunkSizeLine)) === undefined) append(input, yield);
    const [, digits] = /^([\da-f]+)[ \t]*(?:;[^\0\r]*)?$/i.exec(line) ?? [];
    if (digits === undefined) throw malformed(`chunk-size line ${JSON.stringify(line)}`);
    const size = parseInt(digits, 16);
    if (size === 0) break;
    if (length + size > limits.body) throw malformed(`a body of more than ${limits.body} bytes`);
    if (length === 0) {
      body = yield* readBytes(input, size); // most often the only chunk: no copy
    } else {
      body = withRoom(body, length, size);
      yield* readInto(body.subarray(length, length + size), input);
    }
    length += size;
    const [cr, lf] = yield* readBytes(input, 2);
    if (cr !== CR || lf !== LF) throw malformed(`no line end after a chunk of ${size} bytes`);
  }
  let trailers: Uint8Array | undefined;
  while (!(trailers = takeSection(input, "trailer section", limits.trailerSection))) append(input, yield);
  checkFieldLines(decode(trailers).slice(0, -2));
  return body.subarray(0, length);
}

/** Reads a body that the end of the connection ends. */
function* readUntilClose(input: Input): Parser<Uint8Array> {
  let body: Uint8Array = input.bytes.subarray(input.at);
  let length = body.length;
  for (let piece = yield; piece; piece = yield) {
    if (length + piece.length > limits.body) throw malformed(`a body of more than ${limits.body} bytes`);
    body = withRoom(body, length, piece.length);
    body.set(piece, length);
    length += piece.length;
  }
  input.at = input.bytes.length;
  return body.subarray(0, length);
}

/** Returns a buffer that begins with the first `length` bytes of `body` and has room for `more` behind them. */
function withRoom(body: Uint8Array, length: number, more: number): Uint8Array {
  if (body.length >= length + more) return body;
  const larger = new Uint8Array(Math.max(2 * length, length + more));
  larger.set(body.subarray(0, length));
  return larger;
}

/** Reads a known number of bytes: a view of what was received if they came in one piece. */
function* readBytes(input: Input, length: number): Parser<Uint8Array> {
  const taken = take(input, length);
  if (taken) return taken;
  const bytes = new Uint8Array(length);
  yield* readInto(bytes, input);
  return bytes;
}

function* readInto(target: Uint8Array, input: Input): Parser<void> {
  for (let filled = 0; ; ) {
    const bytes = input.bytes.subarray(input.at, input.at + target.length - filled);
    target.set(bytes, filled);
    filled += bytes.length;
    input.at += bytes.length;
    if (filled === target.length) return;
    append(input, yield);
  }
}

/** Takes a line, without its CRLF, if it is all there. */
function takeLine(input: Input, what: string, limit: number): string | undefined {
  const end = findLineEnd(input, what, limit);
  const line = end < 0 ? undefined : take(input, end);
  return line && decode(line.subarray(0, end - 2));
}

/** Takes lines up to the empty one that ends them, which is included, if they are all there. */
function takeSection(input: Input, what: string, limit: number): Uint8Array | undefined {
  for (let end = findLineEnd(input, what, limit); end >= 0; end = findLineEnd(input, what, limit)) {
    if (end - input.line === 2) return take(input, end);
    input.line = end;
  }
  return undefined;
}

/** Where the line that begins at `input.line` ends, behind its CRLF, counted from `input.at`; -1 if it is not all there. */
function findLineEnd({ bytes, at, line }: Input, what: string, limit: number): number {
  const lineFeed = bytes.indexOf(LF, at + line);
  const end = (lineFeed < 0 ? bytes.length : lineFeed + 1) - at;
  if (end > limit) throw malformed(`${what} of more than ${limit} bytes`);
  if (lineFeed < 0) return -1;
  if (end - line < 2 || bytes[lineFeed - 1] !== CR) throw malformed(`a line feed without carriage return in the ${what}`);
  return end;
}

/** Takes a known number of bytes, as a view, if they are all there. */
function take(input: Input, length: number): Uint8Array | undefined {
  if (input.bytes.length - input.at < length) return undefined;
  input.at += length;
  input.line = 0;
  return input.bytes.subarray(input.at - length, input.at);
}

/** Adds the next piece. What is unread before it stays, so that it can be read as one. */
function append(input: Input, piece: Uint8Array | null): void {
  if (!piece) throw new Error("the connection was closed in the middle of a response");
  input.bytes = input.at === input.bytes.length ? piece : concatenate(input.bytes.subarray(input.at), piece);
  input.at = 0;
}

interface Head {
  status: number;
  headers: Uint8Array;
  chunked: boolean;
  contentLength: number | undefined;
  persistent: boolean;
}

/** @see https://www.rfc-editor.org/rfc/rfc9112#section-4 for the status line, and section 5 for field lines */
function parseHead(section: Uint8Array): Head {
  const text = decode(section);
  const [statusLine = "", minorVersion, status] = /^HTTP\/1\.(\d) ([1-5]\d\d)(?: [^\0\r\n]*)?\r\n/.exec(text) ?? [];
  if (status === undefined) throw malformed(`status line ${JSON.stringify(text.slice(0, text.indexOf("\n") - 1))}`);
  checkFieldLines(text.slice(statusLine.length, -2));

  const headers = section.subarray(endOfLine(section, 0), section.length - 2);
  const codings = fieldValues(headers, "Transfer-Encoding");
  const lengths = fieldValues(headers, "Content-Length");
  const connection = fieldValues(headers, "Connection");
  const persistent = minorVersion === "0" ? connection.includes("keep-alive") : !connection.includes("close");
  const chunked = codings.length > 0;
  if (chunked && codings.join() !== "chunked") throw malformed(`Transfer-Encoding ${JSON.stringify(codings.join())}`);
  return {
    status: +status,
    headers,
    chunked,
    contentLength: parseContentLength(lengths),
    persistent: persistent && !(chunked && lengths.length > 0),
  };
}

function parseContentLength(values: string[]): number | undefined {
  const [value] = values;
  if (value === undefined) return undefined;
  const length = parseDigits(value);
  const isValid = length <= limits.body && (values.length === 1 || values.every((other) => other === value));
  if (!isValid) throw malformed(`Content-Length ${JSON.stringify(values.join())} (at most ${limits.body} bytes)`);
  return length;
}

/** The number that decimal digits write, and NaN for anything else, of which `Number` takes a lot. */
function parseDigits(text: string): number {
  let number = text === "" ? NaN : 0;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    number = digit >= 0 && digit <= 9 ? 10 * number + digit : NaN;
  }
  return number;
}

/** Refuses what is not lines of a field name, a colon right behind it, and a value without CR and NUL. */
function checkFieldLines(lines: string): void {
  const fieldLine = /[!#$%&'*+.^_`|~\w-]+:[^\0\r\n]*\r\n/y;
  for (let start = 0; start < lines.length; start = fieldLine.lastIndex) {
    if (fieldLine.test(lines)) continue;
    throw malformed(`field line ${JSON.stringify(lines.slice(start, lines.indexOf("\n", start) - 1).slice(0, 200))}`);
  }
}

/** The members of a list, in lower case, from all field lines of that name. */
function fieldValues(headers: Uint8Array, name: string): string[] {
  const values: string[] = [];
  for (let start = 0, end = 0; start < headers.length; start = end) {
    end = endOfLine(headers, start);
    if (!isNameAt(headers, start, name)) continue;
    const value = fieldValue(headers, start + name.length + 1, end).toLowerCase();
    if (value.includes(",")) values.push(...value.split(/[ \t]*,[ \t]*/));
    else values.push(value);
  }
  return values;
}

/** Whether a field line of that name begins there. */
function isNameAt(bytes: Uint8Array, start: number, name: string): boolean {
  if (bytes[start + name.length] !== COLON) return false;
  for (let i = 0; i < name.length; i++) {
    if (lowerCase(bytes[start + i] ?? 0) !== lowerCase(name.charCodeAt(i))) return false;
  }
  return true;
}

function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

function fieldValue(bytes: Uint8Array, from: number, to: number): string {
  while (from < to && isSpace(bytes[from])) from++;
  while (from < to && isSpace(bytes[to - 1])) to--;
  return decode(bytes.subarray(from, to));
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === CR || byte === LF;
}

function endOfLine(bytes: Uint8Array, start: number): number {
  const lineFeed = bytes.indexOf(LF, start);
  return lineFeed < 0 ? bytes.length : lineFeed + 1;
}

function malformed(what: string): Error {
  return new Error(`malformed response: ${what}`);
}

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;

// Made when first needed, since a start should not wait for them.
let encoder: TextEncoder | undefined;
let decoder: TextDecoder | undefined;

function encode(text: string): Uint8Array {
  return (encoder ??= new TextEncoder()).encode(text);
}

function decode(bytes: Uint8Array): string {
  return (decoder ??= new TextDecoder("utf-8", { ignoreBOM: true })).decode(bytes);
}
