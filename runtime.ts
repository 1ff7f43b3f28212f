/**
 * bunstrap 0.3.0: an AWS Lambda custom runtime in one file, for Bun.
 *
 * ```ts
 * import { json, run } from "./runtime.ts";  // first: it reports errors of the modules that load after it
 *
 * run(json((event: { name: string }) => `Hello, ${event.name}!`));
 * ```
 *
 * `./build.sh handler.ts` makes the zip to upload, for `provided.al2023` on x86_64 and arm64. Outside Lambda the
 * program serves one event and exits: `bun handler.ts '{"name":"Ada"}'`. The file imports nothing: copy it into any
 * project.
 *
 * The way of an event. `settle` takes a promised reply to `answer`, `sendStream` takes the first chunk of a stream:
 *
 *     run → serve → serveEvents: askForEvent → receiveEvent → invoke → handler → answer → deliver → askForEvent
 *     HTTP client, for each request: request → serialize → send → data → parseResponse → finish
 *
 * SPDX-License-Identifier: MIT
 */

/* eslint-disable -- a copy is replaced, not edited */
/* biome-ignore-all lint format assist: the same */
/// <reference lib="es2022" />
const version = "0.3.0";

if (typeof Bun === "undefined") throw new Error("bunstrap needs Bun: run this with bun (Vitest as bun --bun vitest)");

/** `exit` is Bun's own: programs wrap it. */
const { parse, stringify } = JSON;
const { getBuiltinModule } = process;
const exit: (status: number) => never = process.exit;
const env = process.env as NodeJS.ProcessEnv & { [Name in Variable]?: string };

/** @see https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime */
type Variable = "_HANDLER" | "_X_AMZN_TRACE_ID" | "AWS_EXECUTION_ENV" | "BUNSTRAP_RUNTIME_API" | `AWS_LAMBDA_${Suffix}`;
type Suffix = "MAX_CONCURRENCY" | "RUNTIME_API" | `FUNCTION_${"MEMORY_SIZE" | "NAME" | "VERSION"}` | `LOG_${LogSuffix}`;
type LogSuffix = "FORMAT" | "GROUP_NAME" | "LEVEL" | "STREAM_NAME";

// ── Public types ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Content to send: bytes as they are, a string as UTF-8. @example run(() => "hello"); */
export type Bytes = Uint8Array | string;

/**
 * A reply that is sent chunk by chunk while it is made. Each chunk is asked for when the connection can take it.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
 * @example run(() => ({ contentType: "text/csv", body: Bun.file("prices.csv").stream() }));
 */
export interface Streamed {
  /** `application/octet-stream` unless given. */
  contentType?: string;
  body: AsyncIterable<Bytes>;
}

/**
 * The reply of a raw handler: bytes, a string, or a stream, such as an async generator or a `ReadableStream`. The
 * runtime sends replies of any size. The service limits them to 6 MiB + 100 bytes, and streams to 200 MB.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-response
 * @example run(async function* () { yield "one, "; yield "and another"; });
 */
export type Reply = Bytes | Streamed | AsyncIterable<Bytes>;

/**
 * A handler of bytes. It may keep its arguments: the runtime never uses their memory again.
 * @param headers The header section of the event as received: each field line with its CRLF, without the status line
 *   and without the empty line at the end. See {@link header}.
 * @param body The payload of the event, de-chunked.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-next
 * @example const echo: RawHandler = (headers, body) => body;
 */
export type RawHandler = (headers: Uint8Array, body: Uint8Array) => Reply | Promise<Reply>;

/** @example run(handler, { onShutdown: () => database.close() }); */
export interface RunOptions {
  /**
   * Called once when Lambda shuts the sandbox down. It has 250 ms; then the process ends with status 0. Lambda sends
   * SIGTERM only to functions with an extension, so with this option the runtime registers an internal one without
   * events.
   * @see https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown
   */
  onShutdown?: () => void | Promise<void>;
}

/**
 * The context of an invocation, as in the official Node.js runtime, with three members more. No member costs anything
 * until it is read. A value that the service did not give is `""`, or `undefined` where the type says so.
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
  /** Who invoked the function through the AWS Mobile SDK. @throws {Error} on reading, if the header is not JSON. */
  identity?: CognitoIdentity | undefined;
  /** What the client said about itself, through the same SDK. @throws {Error} on reading, if the header is not JSON. */
  clientContext?: ClientContext | undefined;
  /** The tenant that the invocation is isolated to. */
  tenantId?: string | undefined;
  /** The value of the `X-Amzn-Trace-Id` header for the AWS X-Ray service. */
  xRayTraceId?: string | undefined;
  /**
   * Fires 100 ms before the deadline, with a `TimeoutError`. Pass it to `fetch` and the like: that leaves time to
   * answer. It never fires after the invocation has ended, without a deadline, or with one in more than 24 days. It
   * does not fire either if the deadline was over before the event came: the clocks differ.
   */
  signal: AbortSignal;
  /** The time in ms until the deadline, negative after it, `Infinity` without one. */
  getRemainingTimeInMillis(): number;
  /** Has no effect: an invocation ends when its handler's promise settles. */
  callbackWaitsForEmptyEventLoop: boolean;
  /** @deprecated Return the result. @throws {Error} before the answer. After the answer it only logs the error. */
  done(error?: Error, result?: unknown): void;
  /** @deprecated Throw the error. @throws {Error} as `done` does. */
  fail(error: Error | string): void;
  /** @deprecated Return the result. @throws {Error} as `done` does. */
  succeed(result: unknown, object?: unknown): void;
}

export type CognitoIdentity = Record<"cognitoIdentityId" | "cognitoIdentityPoolId", string>;

export interface ClientContext {
  client: Record<"installationId" | "appTitle" | "appVersionName" | "appVersionCode" | "appPackageName", string>;
  custom?: unknown;
  env: Record<"platformVersion" | "platform" | "make" | "model" | "locale", string>;
}

// ── The public face: run, json, http, header ────────────────────────────────────────────────────────────────────────

/**
 * Serves invocations with a handler. Of several it takes the one that the function's configured handler name
 * (`_HANDLER`) picks, so that one executable can serve many functions. Returns at once.
 *
 * Outside Lambda (without `AWS_LAMBDA_RUNTIME_API`) it serves one invocation and exits. The event is the first argument
 * of the program, or its standard input. It serves one at every change under `bun --watch` and `bun --hot`, and none
 * under `bun test`, so that a test can import a handler's file.
 * @throws {TypeError} if there is no such handler. The runtime reports it as an initialization error.
 * @example run((headers, body) => body);
 * @example run({ create: json(create), list: json(list) }, { onShutdown: () => database.close() });
 */
export function run(handler: RawHandler | Record<string, RawHandler>, { onShutdown }: RunOptions = {}): void {
  if (refusal) throw new Error(refusal);
  if (!runtimeApi && hasTests()) return;
  if (running) throw new TypeError("run was called a second time; to serve several handlers, pass all to one call");
  if (!isFunction) takeOver();
  const picked = typeof handler === "function" ? handler : pickHandler(handler, env._HANDLER);
  if (onShutdown !== undefined && typeof onShutdown !== "function")
    throw new TypeError(`onShutdown is ${kindOf(onShutdown)}, not a function`);
  const loops = env.AWS_LAMBDA_MAX_CONCURRENCY || "1";
  concurrency = Number(loops);
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 10_000)
    throw new TypeError(`AWS_LAMBDA_MAX_CONCURRENCY is ${stringify(loops)}, not a whole number from 1 to 10000`);
  running = true;
  if (!runtimeApi) void serveLocally(picked);
  else if (onShutdown) void registerForShutdown(runtimeApi, onShutdown).then(() => serve(picked, runtimeApi));
  else serve(picked, runtimeApi);
}

function pickHandler(handlers: Record<string, RawHandler>, picked: string | undefined): RawHandler {
  if (!isObject(handlers))
    throw new TypeError(`run takes a handler, or an object of handlers, and got ${kindOf(handlers)}`);
  for (const [name, handler] of Object.entries(handlers))
    if (typeof handler !== "function") throw new TypeError(`handler ${name} is ${kindOf(handler)}, not a function`);
  const names = Object.keys(handlers).join(", ") || "none";
  if (!picked) throw new TypeError(`_HANDLER is not set, and has to name one of the handlers: ${names}`);
  if (Object.hasOwn(handlers, picked)) return handlers[picked]!;
  throw new TypeError(`_HANDLER is ${stringify(picked)}, and the handlers are: ${names}`);
}

/**
 * Makes a raw handler of a function that takes an event as a value and returns a value.
 *
 * An empty body is `null`, a byte order mark is skipped, and `undefined` is sent as `null`. A body that is not JSON in
 * UTF-8 is a `Runtime.UnmarshalError`, a result that cannot be JSON a `Runtime.MarshalError`. If the result or its
 * `body` is async-iterable, it is a stream and not JSON: {@link Reply}.
 * @param handler May have the type `Handler` of `@types/aws-lambda`. There are no callbacks, as in Node.js 24: a
 *   handler of three parameters that returns `undefined` fails. `awslambda.streamifyResponse` makes one with a stream.
 * @throws {TypeError} if it is not a function.
 * @example run(json(async (event: { id: number }, context) => ({ id: event.id, request: context.awsRequestId })));
 */
export function json<Event, Result>(
  handler: (event: Event, context: Context, ...callback: never[]) => Result | Promise<Result> | void,
): RawHandler;
export function json<Event>(handler: (event: Event, stream: ResponseStream, context: Context) => unknown): RawHandler;
export function json(handler: (event: unknown, ...rest: never[]) => unknown): RawHandler {
  if (typeof handler !== "function") throw new TypeError(`json takes a function, and got ${kindOf(handler)}`);
  if (streamMark in handler) return (headers, body) => callStreaming(handler, unmarshal(body), createContext(headers));
  const call = handler as (event: unknown, context: Context) => unknown;
  const raw: RawHandler = (headers, body) => {
    const result = call(unmarshal(body), createContext(headers));
    if (result === undefined && handler.length > 2) throw callbackError();
    const isPromise = typeof result === "object" && result !== null && "then" in result;
    return isPromise ? toReplyLater(result) : toReply(result);
  };
  rehearsals.add(rehearseJson);
  if (stage === "initializing") onEveryEvent.push([raw, unmarshal, createContext, toReply, asStreamed, toReplyLater]);
  return raw;
}

function rehearseJson(headers: Uint8Array, body: Uint8Array): void {
  createContext(headers);
  toReply(unmarshal(body));
}

async function toReplyLater(promised: unknown): Promise<Bytes | Streamed> {
  return toReply(await promised);
}

function toReply(result: unknown): Bytes | Streamed {
  if (result === undefined) return "null";
  const streamed = asStreamed(result);
  if (streamed) return streamed;
  let text: string | undefined;
  try {
    text = stringify(result);
  } catch (error) {
    throw marshalError(`the result cannot be JSON: ${describe(error).errorMessage}`, error);
  }
  if (text === undefined) throw marshalError(`the result cannot be JSON: it is ${kindOf(result)}`);
  return text;
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

/**
 * Makes a raw handler of one for web requests, such as a Hono application or a plain `fetch` function.
 *
 * It takes the events of function URLs, API Gateway (REST and HTTP APIs), Application Load Balancers and VPC Lattice
 * (version 2.0), and answers each in its own shape. Any other event, and one that makes no request, is a
 * `Runtime.UnmarshalError`. Locally it also takes `'GET /path?query'`. An error that `fetch` throws is the
 * invocation's. If `fetch` returns anything but a `Response` that can be sent, that is a `Runtime.MarshalError`.
 * @param fetch Its request has the method, the URL, the header fields and the body that the client sent. The path of a
 *   REST API comes without its stage. `request.signal` is {@link Context.signal}. {@link WebEnv} has the rest.
 * @param options `streaming` sends the response while it is made, for function URLs in `RESPONSE_STREAM` mode.
 * @throws {TypeError} if `fetch` is not a function.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 * @see https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
 * @see https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html
 * @example run(http((request) => new Response(`You asked for ${request.url}`)));
 */
export function http<Event = unknown>(
  fetch: (request: Request, env: WebEnv<Event>) => Response | Promise<Response>,
  { streaming = false }: { streaming?: boolean } = {},
): RawHandler {
  if (typeof fetch !== "function") throw new TypeError(`http takes a function, and got ${kindOf(fetch)}`);
  rehearsals.add(rehearseHttp);
  return async (headers, body) => {
    const context: Context = createContext(headers);
    const event = unmarshalWebEvent(body);
    const [request, web] = toRequest(event);
    Object.defineProperty(request, "signal", { get: () => context.signal });
    const { requestContext } = event as WebEvent;
    const response = await fetch(request, { event, context, requestContext, lambdaContext: context } as WebEnv<Event>);
    if (streaming) return streamResponse(response, request.method);
    return stringify(web.toReply(await toResult(response, request.method), response.statusText));
  };
}

/** Makes no `Request` and no `Response`: a program that has replaced these would see it. */
function rehearseHttp(headers: Uint8Array, body: Uint8Array): void {
  createContext(headers);
  const result = { statusCode: 200, headers: {}, cookies: [], body: "", isBase64Encoded: false };
  stringify(readWebEvent(unmarshal(body) as WebEvent).toReply(result, ""));
}

/**
 * What a web handler gets with a request. Hono's adapter for Lambda has the same members in `c.env`, so the types and
 * the `getConnInfo` of `hono/aws-lambda` fit.
 * @example run(http<{ requestContext: { stage: string } }>((_request, { event }) => new Response(event.requestContext.stage)));
 */
export interface WebEnv<Event = unknown> {
  /** The event as Lambda sent it. Locally a request line makes one. */
  event: Event;
  context: Context;
  /** That of the event: it says who sent the request, and what an authorizer found out. */
  requestContext: Event extends { requestContext: infer RequestContext } ? RequestContext : unknown;
  /** The same as `context`. */
  lambdaContext: Context;
}

/**
 * Makes a web handler of a listener for `node:http`, such as an Express, Koa or NestJS application. The listener is
 * served on a port of its own inside the process. It finds the event and the context in `request.apiGateway`.
 * @param listener Express: `app`. Koa: `app.callback()`. Fastify: `app.routing`, after `await app.ready()`. NestJS:
 *   `app.getHttpAdapter().getInstance()`, after `await app.init()`.
 * @throws {TypeError} if it is not a function.
 * @example run(http(listen((request, response) => response.end(`You asked for ${request.url}`))));
 */
export function listen(listener: RequestListener): (request: Request, env: WebEnv) => Promise<Response> {
  if (typeof listener !== "function") throw new TypeError(`listen takes a function, and got ${kindOf(listener)}`);
  const idField = "x-bunstrap-request";
  const calls = new Map<string, typeof listener>();
  const server = getBuiltinModule("node:http").createServer((request, response) =>
    (calls.get(`${request.headers[idField]}`) ?? listener)(request, response),
  );
  server.listen(0, "127.0.0.1").unref();

  return async ({ url, method, headers: received, body, signal }, env) => {
    const { port } = server.address() as { port: number };
    const target = Object.assign(new URL(url), { protocol: "http:", host: `127.0.0.1:${port}` });
    const id = crypto.randomUUID();
    const headers = new Headers(received);
    headers.set(idField, id);
    if (!headers.has("accept-encoding")) headers.set("accept-encoding", "identity"); // or else fetch asks for gzip
    const invocation = current(); // the request comes over a socket, which belongs to none
    calls.set(id, (request, response) => {
      Object.assign(request, { apiGateway: env });
      if (storage && invocation) storage.run(invocation, listener, request, response);
      else listener(request, response);
    });
    // A kept connection may be dead after a freeze.
    const options = { redirect: "manual", decompress: false, keepalive: false, timeout: false } as const;
    try {
      return await fetch(target, { method, headers, body, signal, ...options });
    } finally {
      calls.delete(id);
    }
  };
}

type HttpModule = ReturnType<typeof process.getBuiltinModule<"node:http">>;
type RequestListener = NonNullable<Parameters<HttpModule["createServer"]>[1]>;

/**
 * The value of a header.
 * @param headers A header section, as a raw handler gets it.
 * @param name The field name, in any case.
 * @returns The value of the first such field line, trimmed, read as UTF-8; `undefined` if it is absent or empty.
 * @example header(headers, "Lambda-Runtime-Aws-Request-Id");
 */
export function header(headers: Uint8Array, name: string): string | undefined {
  return fieldValue(fieldLines(headers), name);
}

// ── Web events: what http makes of them ─────────────────────────────────────────────────────────────────────────────

/** Locally the event may be a request line: `GET /path?query`. */
function unmarshalWebEvent(body: Uint8Array): unknown {
  if (runtimeApi) return unmarshal(body);
  const line = decode(body.subarray(0, 10_000)).trim();
  const [, method, rawPath, rawQueryString = ""] = /^([A-Z]+) (\/[^\s?]*)(?:\?(\S*))?$/.exec(line) ?? [];
  if (method !== undefined) {
    const requestContext = { http: { method, path: rawPath, sourceIp: "127.0.0.1" } };
    return { version: "2.0", rawPath, rawQueryString, headers: { host: "localhost" }, requestContext };
  }
  if (line === "" || line.startsWith("{")) return unmarshal(body);
  const expected = "'GET /path?query', with the method in capitals and no body, or the whole event as a JSON object";
  throw runtimeError("Runtime.UnmarshalError", `http expects ${expected}, and got ${stringify(line.slice(0, 200))}`);
}

type Maybe<Value> = Value | null | undefined; // a member that is null counts as missing
type Values = Maybe<Record<string, Maybe<string | Maybe<string>[]>>>; // header fields or query parameters

/** The members of all kinds of events that are read. */
type WebEvent = Record<"body" | "httpMethod" | "method" | "path" | "rawPath" | "rawQueryString", Maybe<string>> &
  Record<"headers" | "multiValueHeaders" | "multiValueQueryStringParameters" | "queryStringParameters", Values> &
  Record<"isBase64Encoded" | "methodArn" | "routeArn", unknown> &
  Record<"cookies", Maybe<string[]>> &
  Record<"requestContext", Maybe<RequestContext>>;
type RequestContext = Partial<Record<"connectionId" | "domainName" | "elb" | "serviceArn", unknown>> & {
  http?: Maybe<{ method?: Maybe<string> }>;
};

/** An event of any kind in one shape, and how to reply to its kind. */
interface WebRequest {
  method: Maybe<string>;
  path: Maybe<string>;
  query: string;
  fields: Values[]; // a field of a later source replaces that of an earlier one
  toReply(result: WebResult, statusText: string): object;
}

type WebResult = Awaited<ReturnType<typeof toResult>>; // in the shape for function URLs

function readWebEvent(event: WebEvent): WebRequest {
  const { methodArn, routeArn, httpMethod, requestContext }: WebEvent = Object(event);
  const { connectionId, elb, http, serviceArn }: RequestContext = requestContext ?? {};
  const remedy = "serve such events with run(json(handler))";
  if (methodArn ?? routeArn) throw new TypeError(`it is for a Lambda authorizer; ${remedy}`);
  if (connectionId) throw new TypeError(`it is for a WebSocket; ${remedy}`);
  if (http) return readVersion2(event);
  if (elb) return readBalancer(event);
  if (serviceArn) return readLattice(event);
  if (requestContext && httpMethod) return readVersion1(event);
  const sources = "a function URL, API Gateway (version 1.0 or 2.0), an Application Load Balancer, or VPC Lattice";
  const received = isObject(event) ? `an object with ${Object.keys(event).join(", ") || "no members"}` : kindOf(event);
  throw new TypeError(`http expects that of ${sources} (version 2.0), and got ${received}`);
}

/** The event of a function URL, or of an HTTP API of API Gateway. */
function readVersion2({ rawPath, rawQueryString, headers, cookies, requestContext }: WebEvent): WebRequest {
  return {
    method: requestContext?.http?.method,
    path: rawPath,
    query: rawQueryString ?? "",
    fields: [headers, cookies?.length ? { cookie: cookies.join("; ") } : undefined],
    toReply: (result) => result,
  };
}

/** The event of a REST API of API Gateway, or of an HTTP API with payload format 1.0. The query comes decoded. */
function readVersion1(event: WebEvent, encode = percentEncode): WebRequest {
  return {
    method: event.httpMethod,
    path: event.path,
    query: toQuery({ ...event.queryStringParameters, ...event.multiValueQueryStringParameters }, encode),
    fields: [event.headers, event.multiValueHeaders],
    toReply({ headers, cookies, ...result }) {
      const multiValueHeaders = Object.entries(headers).map(([name, value]) => [name, [value]]);
      if (cookies.length > 0) multiValueHeaders.push(["set-cookie", cookies]);
      return { ...result, multiValueHeaders: Object.fromEntries(multiValueHeaders) };
    },
  };
}

/** The event of a load balancer. The query comes as the client sent it. */
function readBalancer(event: WebEvent): WebRequest {
  const request = readVersion1(event, (text) => text);
  function toReply(result: WebResult, statusText: string): object {
    const statusDescription = statusText ? `${result.statusCode} ${statusText}` : undefined;
    if (event.multiValueHeaders) return { ...request.toReply(result, statusText), statusDescription };
    const { headers, cookies, ...rest } = result;
    const [cookie, ...lost] = cookies;
    const remedy = "enable the load balancer's multi-value headers, since it takes only one field without them";
    if (lost.length > 0) log("WARN", undefined, `${lost.length} of the set-cookie fields are lost: ${remedy}`);
    return { ...rest, statusDescription, headers: { ...headers, "set-cookie": cookie } };
  }
  return { ...request, toReply };
}

/** The event of VPC Lattice. Its path has the query that the client sent, though the documentation shows none. */
function readLattice({ method, path, headers, queryStringParameters }: WebEvent): WebRequest {
  const [, beforeQuery, query] = /^(.*?)\?(.*)$/s.exec(path ?? "") ?? [];
  return {
    method,
    path: beforeQuery ?? path,
    query: query ?? toQuery(queryStringParameters, percentEncode),
    fields: [headers],
    toReply({ headers, cookies, ...result }) {
      return { ...result, headers: { ...headers, "set-cookie": cookies.length > 1 ? cookies : cookies[0] } };
    },
  };
}

function toQuery(parameters: Values, encode: (text: string) => string): string {
  return Object.entries(parameters ?? {})
    .flatMap(([name, values]) => [values].flat().map((value) => `${encode(name)}=${encode(value ?? "")}`))
    .join("&");
}

function percentEncode(text: string): string {
  return encodeURIComponent(text.replaceAll(/\p{Surrogate}/gu, "\ufffd"));
}

function toRequest(event: unknown): [Request, WebRequest] {
  try {
    const web = readWebEvent(event as WebEvent);
    return [createRequest(web, event as WebEvent), web];
  } catch (error) {
    const message = `the event is not a web request: ${describe(error).errorMessage}`;
    throw runtimeError("Runtime.UnmarshalError", message, error);
  }
}

function createRequest(web: WebRequest, { requestContext, body: content, isBase64Encoded }: WebEvent): Request {
  const { method, path, query, fields } = web;
  if (typeof path !== "string") throw new TypeError(`its path is ${kindOf(path)}, not a string`);
  if (typeof (content ?? "") !== "string") throw new TypeError(`its body is ${kindOf(content)}, not a string`);
  const headers = toHeaders(fields);
  const scheme = headers.get("x-forwarded-proto") === "http" ? "http" : "https";
  // A client may send anything as a host. A name or an address counts, with or without a port.
  const isHost = (name: unknown) =>
    typeof name === "string" && /^(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d+)?$/i.test(name) && URL.canParse(`https://${name}`);
  const host = [headers.get("host"), requestContext?.domainName].find(isHost) ?? "localhost";
  // An HTTP API and others decode the path. Characters that would change the URL are encoded again. Escapes stay.
  const target = path.replaceAll(/[?#\\\0-\x20]|%(?![\da-f]{2})/gi, encodeURIComponent);
  const search = query && `?${query.replaceAll(/[#\0-\x20]/g, encodeURIComponent)}`;
  const url = `${scheme}://${host}${target.startsWith("/") ? "" : "/"}${target}${search}`;
  const sent = method === "GET" || method === "HEAD" ? null : (content ?? null);
  const body = isBase64Encoded && sent ? Uint8Array.fromBase64(sent) : sent;
  const request = new Request(url, { method: method as string, headers, body });
  if (request.method === method) return request;
  throw new TypeError(`its method is ${stringify(method)}, which Bun does not know`); // Bun makes it GET
}

function toHeaders(sources: Values[]): Headers {
  const headers = new Headers();
  // In web headers a character is a byte. A value with other characters becomes the bytes of its UTF-8.
  const toByteString = (value: string) => (/[^\0-\xff]/.test(value) ? Buffer.from(value).toString("latin1") : value);
  for (const source of sources) {
    const fields = Object.entries(source ?? {}).map(([name, values]) => [name, [values].flat()] as const);
    for (const [name, values] of fields) if (values.some((value) => typeof value === "string")) headers.delete(name);
    for (const [name, values] of fields)
      for (const value of values) if (typeof value === "string") headers.append(name, toByteString(value));
  }
  return headers;
}

/**
 * Sends text as it is, and anything else in base64. Text is UTF-8 without a content coding and not of a binary type. A
 * REST API does not decode the base64 of types outside its `binaryMediaTypes`, so as much as possible is text. A body
 * without a content type counts as text/plain: Bun sets none where a Response is made of a string.
 */
async function toResult(response: Response, method: string) {
  const head = toHead(response);
  const bytes = hasBody(response, method) ? new Uint8Array(await response.arrayBuffer()) : undefined;
  if (!bytes?.length) return { ...head, body: "", isBase64Encoded: false };
  const { "content-type": type = "text/plain;charset=utf-8", "content-encoding": coding = "identity" } = head.headers;
  const binaryTypes =
    /^(?:image|audio|video|font)\/(?!svg\+xml)|^[^;]*\b(?:octet-stream|zip|gzip|zstd|tar|pdf|wasm|protobuf|msgpack|cbor|grpc)\b/i;
  const isText = coding.toLowerCase() === "identity" && !binaryTypes.test(type);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const text = isText ? attempt(() => decoder.decode(bytes), undefined) : undefined;
  head.headers["content-type"] ??= text === undefined ? "application/octet-stream" : type;
  return { ...head, body: text ?? bytes.toBase64(), isBase64Encoded: text === undefined };
}

/**
 * Status, cookies, and header fields other than those of one connection. The values of `set-cookie` cannot be joined.
 * @throws {Error} `Runtime.MarshalError` if this is no `Response` that can be sent.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
 */
function toHead(response: Response) {
  const what = "fetch has returned a Response";
  if (!(response instanceof Response)) throw marshalError(`fetch has returned ${kindOf(response)}, not a Response`);
  const { status, statusText, headers } = response;
  if (status < 200 || status > 599)
    throw marshalError(`${what} of status ${status}${status === 0 ? " (Response.error)" : ""}, not of 200 to 599`);
  if (/[\0-\x08\x0a-\x1f\x7f]/.test(statusText))
    throw marshalError(`${what} with control characters in its statusText: ${stringify(statusText)}`);
  const known = "set-cookie,connection,keep-alive,proxy-connection,te,transfer-encoding,upgrade";
  const omitted = `${known},${headers.get("connection") ?? ""}`.toLowerCase().split(/[\s,]+/);
  const fields = [...headers].filter(([name]) => !omitted.includes(name));
  return { statusCode: status, headers: Object.fromEntries(fields), cookies: headers.getSetCookie() };
}

/** Whether the reply has a body. Cancels one that is not sent. */
function hasBody(response: Response, method: string): boolean {
  if (method !== "HEAD" && response.status !== 204 && response.status !== 304) {
    if (!response.bodyUsed) return true;
    throw new TypeError("the body of the Response that fetch returned was already used; return a clone made before");
  }
  const invocation = current();
  const cancel = async () => response.body?.cancel();
  cancel().catch((error) => logError(invocation, error));
  return false;
}

function streamResponse(response: Response, method: string): Streamed {
  const head = toHead(response);
  const body = hasBody(response, method) ? response.body : null;
  if (body) head.headers["content-type"] ??= "application/octet-stream";
  async function* chunks(): AsyncGenerator<Bytes> {
    yield toPrelude(head);
    if (body) yield* body;
  }
  return { contentType: preludeType, body: chunks() };
}

// ── The context of an invocation ────────────────────────────────────────────────────────────────────────────────────

const longestTimer = 2 ** 31 - 1; // in ms

/** Makes a context that reads a member only when asked. The accessors are its own, so a copy has them all. */
function createContext(headers: Uint8Array): Context & { __proto__: object } {
  const received = Date.now();
  const invocation = storage ? storage.getStore() : inFlight.values().next().value; // as current()
  const refuse = () => refuseCallback(invocation);
  let abort: AbortController | undefined;
  return {
    __proto__: (contextPrototype ??= { [inspectMethod]: copyOfThis }),
    functionName: env.AWS_LAMBDA_FUNCTION_NAME ?? "",
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION ?? "",
    get invokedFunctionArn() {
      return header(headers, "Lambda-Runtime-Invoked-Function-Arn") ?? "";
    },
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE ?? "",
    get awsRequestId() {
      return header(headers, "Lambda-Runtime-Aws-Request-Id") ?? "";
    },
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME ?? "",
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME ?? "",
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
      const deadline = deadlineOf(headers);
      const due = deadline - Date.now() - 100;
      if (invocation?.state === "over" || deadline <= received || due > longestTimer) return signal;
      const fire = () => abort?.abort(new DOMException("the deadline of the invocation is near", "TimeoutError"));
      if (due <= 0) fire();
      else if (invocation) invocation.timer = setTimeout(fire, due);
      else setTimeout(fire, due).unref();
      return signal;
    },
    getRemainingTimeInMillis: () => deadlineOf(headers) - Date.now(),
    callbackWaitsForEmptyEventLoop: true,
    done: refuse,
    fail: refuse,
    succeed: refuse,
  };
}

let contextPrototype: object | undefined; // has a context printed with its values, and not with its accessors

function copyOfThis(this: object): object {
  return { ...this };
}

/** In ms since the epoch. A value that is not a number is no deadline. */
function deadlineOf(headers: Uint8Array): number {
  const deadline = Number(header(headers, "Lambda-Runtime-Deadline-Ms"));
  return Number.isNaN(deadline) ? Infinity : deadline;
}

function jsonHeader<Value>(headers: Uint8Array, name: string): Value | undefined {
  const text = header(headers, name);
  try {
    return text === undefined ? undefined : parse(text);
  } catch (cause) {
    throw new Error(`the header ${name} of the event is not JSON: ${stringify(text)}`, { cause });
  }
}

/** After the answer the error is only logged. Thrown, it would fail the next invocation. */
function refuseCallback(invocation: Invocation | undefined): void {
  const error = new Error("this runtime has no callbacks: return the result (or a promise of it), or throw the error");
  if (!invocation || invocation.state === "running") throw error;
  logError(invocation, error);
}

function callbackError(): Error {
  const what = "the handler has three parameters and returned undefined: it waits for a callback";
  const remedy = "return the result or a promise of it, or wrap the handler: json(promisify(handler)), from node:util";
  return runtimeError("Runtime.CallbackHandlerDeprecated", `${what}, and this runtime has none; ${remedy}`);
}

// ── awslambda: the global of the official Node.js runtime ───────────────────────────────────────────────────────────

function createAwsLambda() {
  return {
    streamifyResponse: (handler: object) => Object.assign(handler, { [streamMark]: "response" }),
    HttpResponseStream: { from: withPrelude },
    InvokeStore: createInvokeStore(),
  };
}

/** Defines a global that costs nothing until it is first read. */
function defineGlobal(name: string, create: () => unknown): void {
  const set = (value: unknown) => void Object.defineProperty(globalThis, name, { value, writable: true });
  const get = () => (Object(globalThis)[name] = create());
  Object.defineProperty(globalThis, name, { get, set, configurable: true });
}

/** The stream of a handler made by `awslambda.streamifyResponse`. The prelude is sent before its first chunk. */
type ResponseStream = PassThrough & { setContentType(type: string): void; prelude?: string };
type PassThrough = InstanceType<ReturnType<typeof process.getBuiltinModule<"node:stream">>["PassThrough"]>;

/** The official runtime marks such a handler with it. Packages that wrap handlers know it, too. */
const streamMark = Symbol.for("aws.lambda.runtime.handler.streaming");
const preludeType = "application/vnd.awslambda.http-integration-response";

function withPrelude(stream: ResponseStream, metadata: object = {}): ResponseStream {
  stream.setContentType(preludeType);
  return Object.assign(stream, { prelude: toPrelude(metadata) });
}

/** Status and header fields, as they are sent before the body. */
function toPrelude(metadata: object): string {
  return `${stringify(metadata)}${"\0".repeat(8)}`;
}

/** Calls a handler that writes to a stream. Its first chunk begins the reply. Earlier failures are ordinary errors. */
async function callStreaming(handler: Function, event: unknown, context: Context): Promise<Streamed> {
  const { PassThrough } = getBuiltinModule("node:stream");
  const stream = new PassThrough();
  let contentType: string | undefined;
  let hasBegun = false;
  const response: ResponseStream = Object.assign(stream, {
    setContentType(type: string) {
      if (hasBegun) throw new Error("setContentType was called after the reply had begun");
      contentType = type;
    },
    write(chunk: unknown, encoding?: BufferEncoding, done?: () => void) {
      const bytes = typeof chunk === "string" || ArrayBuffer.isView(chunk) ? chunk : stringify(chunk);
      return PassThrough.prototype.write.call(stream, bytes, encoding as BufferEncoding, done);
    },
  });
  const handled = (async () => handler(event, response, context))();
  handled.catch((error) => stream.destroy(error ?? new Error(`the handler has thrown ${error}`)));
  const chunks = stream[Symbol.asyncIterator]();
  let next = await chunks.next();
  hasBegun = true;

  async function* body(): AsyncGenerator<Bytes> {
    try {
      if (response.prelude) yield response.prelude;
      for (; !next.done; next = await chunks.next()) yield next.value;
    } finally {
      stream.destroy();
      await handled;
    }
  }
  return { ...(contentType && { contentType }), body: body() };
}

/** The store of `@aws/lambda-invoke-store`: values for each invocation. */
function createInvokeStore() {
  type Stored = Record<string | symbol, unknown>;
  const stored = new WeakMap<Invocation, Stored>();
  let outside: Stored | undefined; // set while no invocation was in flight
  let nested: ReturnType<typeof createStorage<Stored>> | undefined;
  const keyOf = (name: string) => Symbol.for(`_AWS_LAMBDA_${name}`);
  const get = (key: string | symbol) => getContext()?.[key];

  function getContext(): Stored | undefined {
    const invocation = current();
    const values = nested?.getStore() ?? (invocation ? stored.get(invocation) : outside);
    if (values || !invocation) return values;
    stored.set(invocation, {
      [keyOf("REQUEST_ID")]: invocation.id,
      [keyOf("X_RAY_TRACE_ID")]: fieldValue(invocation.fields, "Lambda-Runtime-Trace-Id"),
      [keyOf("TENANT_ID")]: fieldValue(invocation.fields, "Lambda-Runtime-Aws-Tenant-Id"),
    });
    return stored.get(invocation);
  }

  return {
    getContext,
    get,
    hasContext: () => getContext() !== undefined,
    set(key: string | symbol, value: unknown) {
      const isProtected = typeof key === "symbol" && Symbol.keyFor(key)?.startsWith("_AWS_LAMBDA_");
      if (isProtected) throw new Error(`InvokeStore.set: ${String(key)} cannot be set`);
      (getContext() ?? (outside ??= {}))[key] = value;
    },
    run: (values: Stored, callback: () => unknown) => (nested ??= createStorage<Stored>()).run(values, callback),
    getRequestId: () => get(keyOf("REQUEST_ID")) ?? "-",
    getXRayTraceId: () => get(keyOf("X_RAY_TRACE_ID")),
    getTenantId: () => get(keyOf("TENANT_ID")),
    getTraceparent: () => get(keyOf("TRACEPARENT")),
    getTracestate: () => get(keyOf("TRACESTATE")),
    getBaggage: () => get(keyOf("BAGGAGE")),
  };
}

// ── On import ───────────────────────────────────────────────────────────────────────────────────────────────────────
//
// Only this part acts on import. Everywhere it defines a global, which costs nothing until it is read. In Lambda and in
// a compiled function it takes over at once: errors have to be reported even while modules load. Where a program runs
// from source outside Lambda, `run` calls `takeOver`.

const runtimeApi = env.AWS_LAMBDA_RUNTIME_API; // host and port of the Runtime API; outside Lambda there is none
let standardOutput = 1; // the descriptor of standard output: in local mode it is for the reply alone
let libc: Libc | undefined; // the C library, once it is open

/** Why `run` must not serve events here, if it must not. Whatever else the file exports works all the same. */
const refusal = !Bun.isMainThread
  ? "run was called in a worker, and only the main thread serves events"
  : runtimeApi && env.BUNSTRAP_RUNTIME_API === runtimeApi
    ? "run was called in a child process of the function, which already serves the events; " +
      'to run a script with this executable, set BUN_BE_BUN: "1" in the environment of the child'
    : undefined;

const isFunction = !refusal && (runtimeApi !== undefined || Bun.main.startsWith("/$bunfs/"));
if (isFunction) takeOver();
defineGlobal("awslambda", createAwsLambda);

/** Has the runtime report what ends the process, and write the log. */
function takeOver(): void {
  process.on("uncaughtException", escaped);
  process.on("unhandledRejection", escaped);
  process.on("beforeExit", ranEmpty);
  process.on("exit", refuseExit);
  if (!runtimeApi) return void (standardOutput = divertStandardOutput());
  env.BUNSTRAP_RUNTIME_API = runtimeApi; // for its children
  env.AWS_EXECUTION_ENV ??= "AWS_Lambda_provided.al2023"; // its absence is taken for "not in Lambda"
  replaceConsole();
}

// ── The invocation loop ─────────────────────────────────────────────────────────────────────────────────────────────

const runtimePath = "/2018-06-01/runtime";
const userAgent = `User-Agent: bunstrap/${version}\r\n`;
const nextRequest: HttpRequest = { method: "GET", target: `${runtimePath}/invocation/next`, fields: userAgent };
const replyLimit = 6 * 1024 * 1024 + 100; // the largest reply that the service takes, in bytes
const postTimeout = 30_000; // how long the service may take to answer a POST, in ms; GET /next has no time-out

type HttpClient = ReturnType<typeof createHttpClient>;

/** An event, from when it is received until the service has its answer. */
type Invocation = typeof newInvocation & {
  id: string;
  fields: FieldLines; // the header section, as the runtime reads it
  headers: Uint8Array; // the same; from when the handler is called, the memory is the handler's
  deliver(outcome: Outcome): void; // sends the outcome; only `answer` calls it, once
  unref?: () => void; // stops the connection from keeping the process alive while the handler works: `ranEmpty`
};

const newInvocation = {
  /** `answered` when its outcome is known, `over` when the service has taken the answer, or never will. */
  state: "running" as "running" | "answered" | "over",
  settling: undefined as WeakRef<Promise<void>> | undefined, // waits for the handler, which alone holds it
  doubtedAt: undefined as number | undefined, // how many chunks were made when the event loop last ran empty
  stream: undefined as OpenStream | undefined, // the reply, if it is a stream
  timer: undefined as Timer | undefined, // of `Context.signal`; holds the event loop until the invocation is over
};

/** What became of an invocation. */
type Outcome =
  { kind: "reply"; reply: Bytes } | { kind: "stream"; stream: OpenStream } | { kind: "error"; error: unknown };

/**
 * - `initializing`, until the first `GET /next` is sent: `askForEvent`.
 * - `serving`, until the process ends.
 * - `failing`, from an uncaught error until what is in flight is answered: `escaped`. No event is begun any more.
 * - `stopping`, from SIGTERM until what is in flight is answered and `onShutdown` is done: `shutDown`. The same holds.
 * - `ended`, when the status of the process is decided: `end`.
 */
let stage: "initializing" | "serving" | "failing" | "stopping" | "ended" = "initializing";

let running = false; // whether `run` was called: it may be once
let concurrency = 1; // how many invocations are served at a time, each by a loop with a connection of its own
const inFlight = new Set<Invocation>(); // the invocations that are not over

/** Knows, where several are in flight, which invocation the code that runs belongs to. */
let storage: ReturnType<typeof createStorage<Invocation>> | undefined;

function createStorage<Store>() {
  return new (getBuiltinModule("node:async_hooks").AsyncLocalStorage)<Store>();
}

/** Serves events, one after the other or several at a time, until the service says that there are no more. */
function serve(handler: RawHandler, authority: string): void {
  try {
    rehearse();
    if (concurrency > 1) void serveConcurrently(handler, authority);
    else serveEvents(handler, createHttpClient(authority), endServing);
  } catch (error) {
    endServing(error);
  }
}

/**
 * Parses an event, takes it through the layers, and makes a request of the reply: without a socket or the handler.
 * The initialization has a whole CPU for what loads here. The first event of a function with 128 MB has 7 % of one.
 */
function rehearse(): void {
  const body = '{"rawPath":"/","requestContext":{"http":{"method":"GET"}}}';
  const text = `HTTP/1.1 200 OK\r\nLambda-Runtime-Deadline-Ms: 0\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  try {
    const event: Buffer = Object.setPrototypeOf(encode(text), Buffer.prototype); // Buffer.from takes 0.2 ms at first
    const { bytes, start, end } = parseResponse(event) as HttpResponse;
    for (const layer of rehearsals) layer(bytes.subarray(start, end), bytes.subarray(end + 2));
    serialize("", { ...nextRequest, body });
  } catch {} // what throws here throws in the first event, too, which reports it
}

/** What the layers that are in use take part in {@link rehearse} with. */
const rehearsals = new Set<(headers: Uint8Array, body: Uint8Array) => void>();

/** Ends the process: there are no more events, or the Runtime API cannot be used, which goes to the log. */
function endServing(failure?: unknown): void {
  if (failure) log("FATAL", undefined, describe(failure).errorMessage);
  if (stage !== "stopping") end(failure || stage === "failing" ? 1 : 0);
}

/** Called once: when there are no more events, or with what failed, and whose answer that was. */
type EndLoop = (failure?: Error, invocation?: Invocation) => void;

/**
 * Serves one event after the other, over one connection. Each step calls the next, and nothing is awaited that is
 * there. These functions are large on purpose: JavaScriptCore compiles large, partly unused functions later, which
 * saves CPU time in the first thousand events.
 */
function serveEvents(handler: RawHandler, client: HttpClient, endLoop: EndLoop): void {
  let invocation: Invocation | undefined; // both are let go before the next event comes
  let outcome: Outcome | undefined;
  client.connect((failure) => (failure ? endLoop(failure) : askForEvent()));
  if (stage === "initializing") onEveryEvent.push([askForEvent, receiveEvent, deliver], client.onEveryRequest);

  /** @param result How the service took the answer to the last one. */
  function askForEvent(result?: HttpResponse | RequestError): void {
    const last = invocation;
    if (last && outcome && result) {
      last.state = "over";
      inFlight.delete(last);
      if (last.timer) clearTimeout(last.timer);
      const isTaken = "status" in result && result.status === 202 && outcome.kind === "reply";
      const failure = isTaken ? undefined : judge(last, outcome, result);
      invocation = outcome = undefined;
      if (failure) return endLoop(failure, last);
    }
    if (stage === "initializing") stage = "serving";
    if (stage === "serving") client.request(nextRequest, receiveEvent);
    else whenAnswered();
    if (last && onEveryEvent.length > 0) forgoLastCompiler();
  }

  function receiveEvent(next: HttpResponse | Error): void {
    if (next instanceof Error) return endLoop(next);
    if (next.status === 410) return endLoop();
    if (next.status !== 200) return endLoop(new Error(`GET /invocation/next was answered ${summary(next)}`));
    const id = fieldValue(next, "Lambda-Runtime-Aws-Request-Id");
    if (!id) return endLoop(new Error("GET /invocation/next was answered with an event that has no request id"));
    const { bytes, start, end, text, isAscii } = next;
    const { buffer, byteOffset, length } = bytes; // a handler gets no Buffer: the slice of one is no copy
    const headers = new Uint8Array(buffer, byteOffset + start, end - start);
    const body = next.body ?? new Uint8Array(buffer, byteOffset + end + 2, length - end - 2);
    invocation = { ...newInvocation, id, fields: { text, isAscii }, headers, deliver, unref: client.unref };
    if (storage) return storage.run(invocation, invoke, handler, invocation, body);
    const traceId = fieldValue(next, "Lambda-Runtime-Trace-Id"); // for the environment, which has one value
    if (traceId !== undefined) env._X_AMZN_TRACE_ID = traceId;
    else if (env._X_AMZN_TRACE_ID !== undefined) delete env._X_AMZN_TRACE_ID;
    invoke(handler, invocation, body);
  }

  function deliver(result: Outcome): void {
    const answered = invocation!;
    outcome = result;
    try {
      const invocationId = fieldBytes(answered.fields, "Lambda-Runtime-Invocation-Id");
      const fields = invocationId ? `${userAgent}Lambda-Runtime-Invocation-Id: ${invocationId}\r\n` : userAgent;
      const path = `${runtimePath}/invocation/${encodeURIComponent(answered.id)}`;
      let request: HttpRequest;
      if (result.kind === "error") request = errorRequest(`${path}/error`, fields, result.error);
      else if (result.kind === "stream") request = streamRequest(path, fields, result.stream);
      else {
        const target = `${path}/response`;
        const replyFields = `${fields}Content-Type: application/json\r\n`;
        request = { method: "POST", target, fields: replyFields, body: result.reply, timeout: postTimeout };
      }
      client.request(request, askForEvent);
    } catch (error) {
      answered.state = "over"; // it cannot be answered
      escaped(error);
    }
  }
}

/** What is done for every event, here and in the layers, until {@link forgoLastCompiler} has seen to it. */
const onEveryEvent: Function[][] = [[invoke, answer, settle, isBytes]];

/**
 * Keeps what is done for every event from FTL, the last of JavaScriptCore's compilers. Where the system does nearly all
 * of the work, FTL takes more than it gives back. Handlers are compiled as ever. This is done after the first event,
 * while nobody waits.
 * @see https://bun.com/reference/bun/jsc/noFTL
 */
function forgoLastCompiler(): void {
  const { noFTL } = getBuiltinModule("bun:jsc") as { noFTL?(compiled: Function): void };
  for (const functions of onEveryEvent.splice(0)) for (const each of functions) noFTL?.(each);
}

/**
 * Serves as many events at a time as the function is configured for. A loop that fails starts again after a pause, and
 * the others go on: a connection may break, and the service answers 500 if too many ask at a time. The process ends
 * when every loop fails again and again.
 */
async function serveConcurrently(handler: RawHandler, authority: string): Promise<void> {
  storage = createStorage<Invocation>();
  let active = concurrency; // loops that neither pause nor have ended
  let isOver = false; // whether a loop was told 410, so that the others stop, too
  const mostFailures = 5; // after each of them a loop pauses twice as long as before: 100 ms, 200 ms, …

  async function loop(): Promise<void> {
    const client = createHttpClient(authority);
    let failures = 0; // in a row
    const served: RawHandler = (headers, body) => {
      failures = 0;
      return handler(headers, body);
    };
    while (!isOver) {
      const ended = new Promise<Parameters<EndLoop>>((done) => serveEvents(served, client, (...how) => done(how)));
      const [failure, invocation] = await ended;
      active--;
      if (!failure) isOver = true;
      else if (active === 0 && failures === mostFailures && !isOver) throw failure;
      else if (failures === 0 && (invocation || !isOver))
        log("ERROR", invocation, `one of ${concurrency} loops has failed: ${failure.message}`);
      whenAnswered();
      if (isOver) return;
      await Bun.sleep(100 * 2 ** failures);
      failures = Math.min(failures + 1, mostFailures);
      active++;
    }
  }

  await Promise.all(Array.from({ length: concurrency }, loop)).then(() => endServing(), endServing);
}

/** Calls the handler. Answers at once if the handler returns its reply at once. */
function invoke(handler: RawHandler, invocation: Invocation, body: Uint8Array): void {
  inFlight.add(invocation);
  if (stage !== "serving") return fail(invocation, bystander());
  let result: unknown;
  let isReply: boolean;
  try {
    result = handler(invocation.headers, body);
    isReply = typeof result === "string" || isBytes(result);
  } catch (error) {
    return fail(invocation, error);
  }
  if (isReply) answer(invocation, { kind: "reply", reply: result as Bytes });
  else invocation.settling = new WeakRef(settle(invocation, result));
}

/** Answers an invocation, unless it was answered before. */
function answer(invocation: Invocation, outcome: Outcome): void {
  if (invocation.state !== "running") return;
  invocation.state = "answered";
  invocation.deliver(outcome);
}

/** Waits for what the handler promises. Until then the connection does not keep the process alive: {@link ranEmpty}. */
async function settle(invocation: Invocation, promised: unknown): Promise<void> {
  invocation.unref?.();
  try {
    const reply = await promised;
    if (isBytes(reply)) answer(invocation, { kind: "reply", reply });
    else await sendStream(invocation, reply);
  } catch (error) {
    fail(invocation, error);
  }
}

/** Whether a value is bytes. @throws {Error} `Runtime.MarshalError` if their memory is gone. */
function isBytes(value: unknown): value is Bytes {
  if (typeof value === "string") return true;
  if (!(value instanceof Uint8Array)) return false;
  if (value.length > 0 || attempt(() => [value.at(0)], undefined)) return true;
  const reason = "it was transferred, or a WebAssembly memory has grown";
  throw marshalError(`a Uint8Array was returned whose memory is gone: ${reason}`);
}

/** Reports the error of an invocation, unless it has been answered. */
function fail(invocation: Invocation, error: unknown): void {
  if (invocation.state !== "running") return;
  logError(invocation, error);
  answer(invocation, { kind: "error", error });
}

/** Judges how the service took an answer: logs what concerns this invocation alone, and returns any other failure. */
function judge(invocation: Invocation, outcome: Outcome, result: HttpResponse | RequestError): Error | undefined {
  const what = { reply: "the reply", stream: "the streamed reply", error: "the error report" }[outcome.kind];
  const logged = (message: string): undefined => void log("ERROR", invocation, message);
  const wasCut = (why: string) => logged(`${what} was cut, since ${why}`);
  if (result instanceof Error && !result.incomplete) return result;
  if (outcome.kind === "stream" && outcome.stream.trailers) wasCut("the handler failed after its first byte was sent");
  if (result instanceof Error) return wasCut(result.message);
  const { status, resent, incomplete } = result;
  if (status < 300) return incomplete ? wasCut("it was answered before its end") : undefined;
  if (status < 400 || status >= 500)
    return new Error(`${what} of invocation ${invocation.id} was answered ${summary(result)}`);
  if (resent && (status === 400 || status === 403)) return undefined; // it was delivered the first time
  if (status === 413 && outcome.kind === "reply") {
    const size = `${Buffer.byteLength(outcome.reply)} bytes`;
    return logged(`${what} of ${size} is too large, so the invocation has failed; the limit is ${replyLimit} bytes`);
  }
  const reason = status === 410 ? "came after the invocation had timed out" : "was refused";
  return logged(`${what} ${reason}: ${summary(result)}`);
}

function summary({ status, bytes, end, body = bytes.subarray(end + 2) }: HttpResponse): string {
  return `${status} ${stringify(decode(body.subarray(0, 1000)))}`;
}

// ── Streamed replies ────────────────────────────────────────────────────────────────────────────────────────────────

/** A streamed reply on its way. An error before its first chunk is the invocation's. A later one is in the trailers. */
interface OpenStream extends ChunkedBody {
  contentType: string;
  made: number; // how many chunks it has made
  fail(error: unknown): void; // ends the stream with an error, which is logged elsewhere
}

/** An object counts as streamed only if it is async-iterable, or its `body` is. */
function asStreamed(value: unknown): Streamed | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (Symbol.asyncIterator in value) return { body: value as AsyncIterable<Bytes> };
  if ("bodyUsed" in value)
    throw marshalError("a Response was returned: serve it with run(http(fetch)), or return await response.json()");
  const hasStream = "body" in value && isObject(value.body) && Symbol.asyncIterator in value.body;
  return hasStream ? (value as Streamed) : undefined;
}

const turn = 5; // how long a stream may go on before the event loop has its turn, in ms

/**
 * Sends a reply as a stream, in the async context of its invocation.
 *
 * While the handler makes a chunk, nothing else may hold what waits for it: {@link ranEmpty}. So the iterator is put
 * away, and this is no async function, all of whose closures would hold its parameters.
 */
function sendStream(invocation: Invocation, reply: unknown): Promise<void> {
  const streamed = asStreamed(reply);
  const what = `the reply is ${kindOf(reply)}: a raw handler returns a Uint8Array, a string or a stream of them`;
  if (!streamed) throw marshalError(`${what}; to return a value, use run(json(handler))`);
  const { contentType = "application/octet-stream", body } = streamed;
  let iterator: AsyncIterator<Bytes> | undefined = body[Symbol.asyncIterator]();
  const weakIterator = new WeakRef(iterator);
  let take: ((chunk?: Uint8Array) => void) | undefined; // who waits for a chunk
  let resume: (() => void) | undefined; // goes on when somebody does
  let cancel!: () => void;
  new Promise<void>((resolve) => (cancel = resolve))
    .then(() => (iterator ?? weakIterator.deref())?.return?.()) // a generator runs its `finally` blocks
    .catch((error) => logError(invocation, error));
  const stream: OpenStream = {
    contentType,
    first: undefined,
    isOpen: true,
    trailers: "",
    made: 0,
    cancel,
    next(taker) {
      take = taker;
      if (stream.trailers === "") resume?.();
      else give();
    },
    fail(error) {
      if (!stream.isOpen || stream.trailers !== "") return;
      stream.trailers = errorTrailers(error);
      cancel();
      if (take) give();
    },
  };

  function give(chunk?: Uint8Array): void {
    const taken = take;
    take = undefined;
    stream.isOpen = chunk !== undefined;
    taken?.(chunk);
  }

  let turnBegan = Date.now();

  /** Makes the next chunk that is not empty: an empty one would end the body. */
  async function make(): Promise<Uint8Array | undefined> {
    const maker = iterator!;
    iterator = undefined;
    try {
      for (;;) {
        if (Date.now() - turnBegan > turn) {
          await new Promise<void>((resolve) => void setImmediate(resolve));
          turnBegan = Date.now();
        }
        const { done, value } = await maker.next();
        if (done) return undefined;
        const chunk: Uint8Array = typeof value === "string" ? encode(value) : value;
        if (!isBytes(chunk))
          throw marshalError(`a chunk of the stream is ${kindOf(value)}, not a Uint8Array or a string`);
        stream.made++;
        if (chunk.length > 0) return chunk;
      }
    } finally {
      iterator = maker;
    }
  }

  async function send(): Promise<void> {
    try {
      if (typeof contentType !== "string" || !/^[\x20-\x7e\t]+$/.test(contentType))
        throw marshalError(`the contentType of the stream is not printable ASCII: ${stringify(contentType)}`);
      while (stream.isOpen) {
        const chunk = await make();
        if (stream.trailers !== "") return;
        if (invocation.state === "running") {
          stream.first = chunk;
          stream.isOpen = chunk !== undefined;
          answer(invocation, { kind: "stream", stream });
        } else give(chunk);
        if (stream.isOpen && !take) await new Promise<void>((resolve) => (resume = resolve));
      }
    } catch (error) {
      cancel();
      if (invocation.state === "running") throw error;
      if (stream.trailers === "") logError(invocation, error);
      stream.fail(error);
    }
  }

  invocation.stream = stream;
  return send();
}

function errorTrailers(error: unknown): string {
  const report = describe(error);
  const body = encode(stringify(report)).toBase64();
  return `${errorTypeField}: ${serviceErrorType(report.errorType)}\r\n${errorBodyField}: ${body}\r\n`;
}

function streamRequest(path: string, fields: string, chunks: OpenStream): HttpRequest {
  const mode = "Lambda-Runtime-Function-Response-Mode: streaming\r\n";
  const streaming = `Content-Type: ${chunks.contentType}\r\n${mode}Trailer: ${errorTypeField}, ${errorBodyField}\r\n`;
  return { method: "POST", target: `${path}/response`, fields: fields + streaming, chunks, timeout: postTimeout };
}

// ── The end: escaped errors, process.exit, an empty event loop, SIGTERM ─────────────────────────────────────────────

/** Ends the process. Under `bun --watch` it only ends the run: Bun would end with the process. */
function end(status: number): void {
  stage = "ended";
  if (!isWatched()) exit(status);
  process.off("uncaughtException", escaped).off("unhandledRejection", escaped); // the next run sets its own
}

/**
 * Reports an uncaught error and ends the process, whose state is unknown from here on. With several invocations in
 * flight no client is told the error: the code that threw it may have worked on the data of any of them.
 */
function escaped(error: unknown): void {
  const before = stage;
  const owner = current();
  if (before === "serving") stage = "failing";
  if (before === "initializing") stage = "ended";
  if (before === "serving" && owner && inFlight.has(owner) && inFlight.size === 1) {
    giveUp(owner, error);
  } else {
    logError(owner, error);
    if (before === "initializing") return runtimeApi ? void postInitError(runtimeApi, error) : end(1);
    if (before === "serving") for (const invocation of inFlight) giveUp(invocation, bystander());
  }
  whenAnswered();
}

/** Lets the process end, if it is about to, once all that is in flight is answered. */
function whenAnswered(): void {
  for (const { state } of inFlight) if (state !== "over") return;
  if (stage === "failing") end(1);
  else allAnswered?.();
}

/** The error of an invocation that ends with the process. It does not say why: the reason may be another tenant's. */
function bystander(): Error {
  return runtimeError("Runtime.ExitError", "the process ends before this invocation was answered; the log says why");
}

/** The invocation that the running code belongs to, if that is known. It may be over. */
function current(): Invocation | undefined {
  return storage ? storage.getStore() : inFlight.values().next().value;
}

/** Answers an invocation with an error while its handler still runs. An open stream ends with the error. */
function giveUp(invocation: Invocation, error: unknown): void {
  logError(invocation, error);
  invocation.stream?.fail(error);
  answer(invocation, { kind: "error", error });
}

async function postInitError(authority: string, error: unknown): Promise<void> {
  try {
    await sendAsync(createHttpClient(authority), errorRequest(`${runtimePath}/init/error`, userAgent, error), 202);
  } catch (failure) {
    logError(undefined, failure);
  }
  end(1);
}

/** Sends a request that is not part of every event. @throws {Error} if the response has another status. */
async function sendAsync(client: HttpClient, request: HttpRequest, status: number): Promise<HttpResponse> {
  const result = await new Promise<HttpResponse | Error>((resolve) => client.request(request, resolve));
  if (result instanceof Error) throw result;
  if (result.status === status) return result;
  throw new Error(`${request.method} ${request.target.replace(runtimePath, "")} was answered ${summary(result)}`);
}

const patience = 100; // how long an empty event loop is tolerated, in ms: some clients do not hold it while they wait
const lastMoment = 50; // how long before its deadline a handler that was not woken fails, in ms
let isWaitLogged = false; // once is enough: the handler uses such a client

/**
 * The event loop is empty: nothing that is referenced can wake the handler. Whatever else can wake it holds the promise
 * of `settle`. If the garbage collector frees that, the handler never settles.
 */
function ranEmpty(): void {
  if (!running) setTimeout(escaped, 0, new Error("the program has come to its end without calling run"));
  for (const invocation of inFlight) {
    const made = madeBy(invocation);
    if (made === undefined) continue;
    const rest = Math.min(timeLeft(invocation), patience);
    if (made !== invocation.doubtedAt && rest > 0) setTimeout(() => {}, rest);
    else setTimeout(examine, 0, invocation, made, isWaitLogged ? 0 : 3);
    invocation.doubtedAt = made;
  }
}

/** How many chunks the handler has made, `undefined` if it no longer works. */
function madeBy({ state, stream }: Invocation): number | undefined {
  return state === "running" || stream?.isOpen ? (stream?.made ?? 0) : undefined;
}

/** The time that a handler has, in ms: without end if it has no deadline, or if the clocks differ. */
function timeLeft({ fields }: Invocation): number {
  const left = Number(fieldValue(fields, "Lambda-Runtime-Deadline-Ms")) - Date.now() - lastMoment;
  return left > -lastMoment && left < longestTimer ? Math.max(left, 0) : longestTimer;
}

/** Fails an invocation whose handler does not settle: at once where it never can, else right before its deadline. */
function examine(invocation: Invocation, made: number, attempts: number): void {
  const neverSettled = (why: string) =>
    giveUp(invocation, runtimeError("Runtime.NeverSettled", `the handler can never settle: ${why}`));
  if (madeBy(invocation) !== made) return;
  if (attempts > 0) Bun.gc(true);
  if (!invocation.settling?.deref()) return neverSettled("it waits, and nothing is left that could wake it");
  if (attempts > 1) return void setTimeout(examine, 1, invocation, made, attempts - 1); // the stack may have held it
  const what = "the handler waits for something that does not hold the event loop";
  if (!isWaitLogged) log("WARN", invocation, `${what}; if it is not woken, it will fail right before its deadline`);
  isWaitLogged = true;
  setTimeout(() => {
    if (madeBy(invocation) === made) neverSettled(`${what}, and its deadline has come`);
  }, timeLeft(invocation));
}

/** Makes it a failure, and logs it, if the handler ends the process. */
function refuseExit(status: number): void {
  if (stage === "stopping" || stage === "ended") return;
  process.exitCode = status || 1;
  if (stage === "failing") return; // the error was logged
  const idle = stage === "initializing" ? "while modules loaded" : "between two invocations";
  const when = inFlight.size > 0 ? "in the middle of an invocation" : idle;
  logError(current(), runtimeError("Runtime.ExitError", `process.exit was called ${when}, with status ${status}`));
}

const shutdownBudget = 250; // how long the process goes on after SIGTERM, in ms: the service gives about 50 ms more
const answerBudget = 150; // how much of that the invocations in flight have
const extensionPath = "/2020-01-01/extension";
let allAnswered: (() => void) | undefined; // called in stage `stopping` when nothing is in flight any more

/** Registers an internal extension: only functions with one are sent SIGTERM. A failure is only logged. */
async function registerForShutdown(authority: string, onShutdown: () => void | Promise<void>): Promise<void> {
  process.on("SIGTERM", () => void shutDown(onShutdown));
  const client = createHttpClient(authority);
  const report = (what: string, error: unknown) =>
    log("ERROR", undefined, `onShutdown ${what}: ${describe(error).errorMessage}`);
  const named = `${userAgent}Lambda-Extension-Name: bunstrap\r\nContent-Type: application/json\r\n`;
  const target = `${extensionPath}/register`;
  const registration = { method: "POST", target, fields: named, body: '{"events":[]}', timeout: 1_000 };
  try {
    const response = await sendAsync(client, registration, 200);
    const identifier = fieldValue(response, "Lambda-Extension-Identifier");
    if (identifier === undefined) throw new Error(`no identifier came: ${summary(response)}`);
    const fields = `${userAgent}Lambda-Extension-Identifier: ${identifier}\r\n`;
    // No event comes. That the request is open tells the service that the extension is ready.
    const ready: HttpRequest = { method: "GET", target: `${extensionPath}/event/next`, fields, background: true };
    sendAsync(client, ready, 200).catch((error) => report("may not be called", error));
  } catch (error) {
    report("will not be called, since the extension was not registered", error);
  }
}

/** Waits for what is in flight, then calls `onShutdown`, both within the budget. */
async function shutDown(onShutdown: () => void | Promise<void>): Promise<void> {
  if (stage !== "initializing" && stage !== "serving") return;
  stage = "stopping";
  setTimeout(() => {
    log("ERROR", undefined, `onShutdown has not finished within ${shutdownBudget} ms`);
    end(1);
  }, shutdownBudget);
  await new Promise<void>((resolve) => {
    allAnswered = resolve;
    whenAnswered();
    setTimeout(resolve, answerBudget);
  });
  for (const invocation of inFlight)
    if (invocation.state !== "over") log("ERROR", invocation, "the sandbox ends before this invocation was answered");
  try {
    await onShutdown();
  } catch (error) {
    logError(undefined, error);
    end(1);
  }
  end(0);
}

// ── Local mode: one invocation, outside Lambda ──────────────────────────────────────────────────────────────────────

/** Whether this is `bun test`: only there can a test be described. */
function hasTests(): boolean {
  const { describe } = getBuiltinModule("bun:test") as unknown as { describe(): never };
  try {
    return describe();
  } catch (error) {
    return !/outside of the test runner/.test((error as Error).message);
  }
}

/** Whether Bun runs the program again at every change, in the same process. */
function isWatched(): boolean {
  return !runtimeApi && (process.execArgv.includes("--watch") || process.execArgv.includes("--hot"));
}

async function serveLocally(handler: RawHandler): Promise<void> {
  const event = process.argv[2] ?? (isTerminal(0) ? undefined : await Bun.stdin.bytes());
  if (event === undefined) {
    writeLine("usage: the event is the first argument, or standard input; in Lambda AWS_LAMBDA_RUNTIME_API is set");
    return end(2);
  }
  const isText = typeof event === "string";
  const body = isText ? encode(event) : event;
  if (!isText && body.length === 0) writeLine("standard input is empty, and so is the event: to json it is null");
  if (isText && !attempt(() => [parse(event)], undefined) && getBuiltinModule("node:fs").existsSync(event))
    writeLine(`the event is the text ${event}, and not what is in the file: for that, use <${event}`);
  const id = crypto.randomUUID();
  const deadline = Date.now() + 15 * 60 * 1000; // the latest that Lambda gives
  const arn = "arn:aws:lambda:local:000000000000:function:local";
  const fields = `Lambda-Runtime-Aws-Request-Id: ${id}\r\nLambda-Runtime-Deadline-Ms: ${deadline}\r\n`;
  const headers = encode(`${fields}Lambda-Runtime-Invoked-Function-Arn: ${arn}\r\n`);
  await Bun.sleep(0); // as in Lambda, all modules are loaded before an event is served
  if (stage !== "initializing") return; // they failed, under bun --watch
  stage = "serving";
  const deliver = (outcome: Outcome) => void print(outcome);
  invoke(handler, { ...newInvocation, id, fields: fieldLines(headers), headers, deliver }, body);
}

/** Prints a reply, a stream as it comes, and ends the process. What was thrown is in the log. */
async function print(outcome: Outcome): Promise<void> {
  if (outcome.kind === "error") return end(1);
  const stream = outcome.kind === "stream" ? outcome.stream : undefined;
  const next = async () => stream && new Promise<Uint8Array | undefined>(stream.next);
  try {
    let last: Bytes | undefined;
    let chunk: Bytes | undefined = outcome.kind === "reply" ? outcome.reply : outcome.stream.first;
    for (; chunk; chunk = await next()) write(standardOutput, (last = chunk));
    if (last && last.at(-1) !== "\n" && last.at(-1) !== LF && (isTerminal(standardOutput) || isWatched()))
      write(standardOutput, "\n");
    end(stream?.trailers ? 1 : 0);
  } catch (error) {
    writeLine(`the reply cannot be written to standard output: ${describe(error).errorMessage}`);
    end(1);
  }
}

/** Diverts standard output to standard error. @returns the descriptor that still is standard output. */
function divertStandardOutput(): number {
  try {
    if (isWatched()) throw new Error("the next run would inherit what is diverted");
    const { dup, dup2, fcntl } = (libc ??= openLibc());
    const [F_GETFD, FD_CLOEXEC, none] = [1, 1, 2 ** 31 - 1];
    // If descriptor 1 was closed, Bun has opened /dev/null there with FD_CLOEXEC, a flag that nothing inherited has.
    const descriptor = fcntl(1, F_GETFD) === FD_CLOEXEC ? none : dup(1);
    dup2(2, 1);
    return descriptor;
  } catch {
    console.log = console.info = console.debug = console.error; // at least what is logged
    return 1;
  }
}

function isTerminal(descriptor: number): boolean {
  return getBuiltinModule("node:tty").isatty(descriptor);
}

// ── Error reports ───────────────────────────────────────────────────────────────────────────────────────────────────

/** @see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-invokeerror */
type ErrorReport = { errorMessage: string; errorType: string; stackTrace: string[] };

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
  const type = `${errorTypeField}: ${serviceErrorType(report.errorType)}\r\n`;
  const cause = `Lambda-Runtime-Function-XRay-Error-Cause: ${xRayCause(report)}\r\n`;
  const errorFields = `${fields}Content-Type: application/vnd.aws.lambda.error+json\r\n${type}${cause}`;
  return { method: "POST", target, fields: errorFields, body: stringify(report), timeout: postTimeout };
}

/** The error type in the only form that the service keeps, and no longer than a name is. */
function serviceErrorType(type: string): string {
  const [, source = "Function.", name = "Error"] = /^(Runtime\.|Function\.)?([A-Z][a-zA-Z]{1,200})$/.exec(type) ?? [];
  return source + name;
}

/**
 * What AWS X-Ray shows of an error, as JSON in printable ASCII. Of a large error it has the beginning.
 * @see https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html#api-segmentdocuments-errors
 */
function xRayCause(report: ErrorReport): string {
  const stack = report.stackTrace.map(causeFrame);
  const exception = { type: report.errorType.slice(0, 200), message: report.errorMessage.slice(0, 4_000), stack };
  const paths = Array.from(new Set(stack.map(({ path }) => path)));
  const working_directory = attempt(() => process.cwd(), "").slice(0, 1_000);
  const cause = stringify({ working_directory, exceptions: [exception], paths });
  const ascii = cause.replaceAll(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  if (ascii.length <= 64 * 1024) return ascii; // the most that the service takes
  return xRayCause({ ...report, stackTrace: report.stackTrace.slice(0, stack.length / 2) });
}

function causeFrame(frame: string): { path: string; line: number; label: string } {
  const [, label = "", path = "", line = "0"] = /^at (?:(.*) \()?(.*?)(?::(\d+))?(?::\d+)?\)?$/s.exec(frame) ?? [];
  return { path, line: Number(line), label };
}

/** Describes anything that can be thrown: an error, any other value, an object that throws when it is looked at. */
function describe(thrown: unknown): ErrorReport {
  if (!isErrorLike(thrown)) {
    const text = () => (typeof thrown === "object" ? (stringify(thrown) ?? "an object") : String(thrown));
    return { errorMessage: attempt(text, unreadable), errorType: kindOf(thrown), stackTrace: [] };
  }
  const isInherited = () => thrown.name === "Error" && !Object.hasOwn(thrown, "name"); // so the class names it
  const name = () => (isInherited() ? thrown.constructor.name : thrown.name);
  return {
    errorMessage: attempt(() => String(thrown.message), unreadable),
    errorType: attempt(() => String(name() || "Error"), "Error"),
    stackTrace: attempt(() => stackFrames(thrown), []),
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

function isErrorLike(thrown: unknown): thrown is Error {
  return attempt(() => thrown instanceof Error || typeof (thrown as Error | null)?.message === "string", false);
}

/** The frames of a stack, without those of this file below the handler. */
function stackFrames(error: Error): string[] {
  const frames = framesOf(error);
  const own = [causeFrame(framesOf(new Error())[0]!).path, "node:async_hooks"];
  const last = frames.map((frame) => own.includes(causeFrame(frame).path)).lastIndexOf(false);
  return last < 0 ? frames : frames.slice(0, last + 1);
}

function framesOf({ stack }: Error): string[] {
  return (`${stack}`.match(/^\s*at .*/gm) ?? []).map((line) => line.trim());
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
 * Writes one log event. In text an error takes the place of the message.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
 */
function log(level: Level, invocation: Invocation | undefined, message: unknown, error?: ErrorDetails): void {
  const timestamp = new Date().toISOString();
  const requestId = invocation?.id;
  if (!isLogOfJson()) {
    const text = (error ? toText(error) : `${message}`).replaceAll("\n", "\r"); // a line feed would begin a log event
    return writeLine(`${timestamp}\t${requestId ?? ""}\t${level}\t${text}`);
  }
  if (levels.indexOf(level) < levels.indexOf(env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase() as Level)) return;
  const tenantId = invocation && fieldValue(invocation.fields, "Lambda-Runtime-Aws-Tenant-Id");
  const event = { timestamp, level, requestId, tenantId };
  // A message that JSON has no form for is printed as Bun prints it.
  const json = attempt(() => stringify(message, toJsonValue), undefined) ?? stringify(display(message));
  writeLine(`${stringify({ ...event, ...error, ...event }).slice(0, -1)},"message":${json}}`);
}

function logError(invocation: Invocation | undefined, error: unknown): void {
  const details = detailsOf(error);
  if (runtimeApi) log("ERROR", invocation, headline(details), details);
  else writeLine(isTerminal(2) ? toText(details) : stringify(details));
}

function headline({ errorType, errorMessage }: ErrorReport): string {
  return `${errorType}: ${errorMessage}`;
}

/** What the log shows of an error: the report, its causes, and its other members. */
type ErrorDetails = ErrorReport & Record<string, unknown>;

/** How much is shown beyond the report: levels below the error, members of each object, characters in all. */
const detailLimits = { levels: 8, members: 50, characters: 32_768 };

/** Makes plain data of an error: neither deep nor long nor circular, and fit for JSON. */
function detailsOf(thrown: unknown): ErrorDetails {
  let room = detailLimits.characters;
  return withMembers(describe(thrown), thrown, [thrown]);

  /** Adds the members of an error to its report. `cause` and `errors` are not enumerable. */
  function withMembers(report: ErrorReport, error: unknown, path: unknown[]): ErrorDetails {
    if (!isErrorLike(error)) return { ...report };
    const isShown = (name: string) => !/^(name|message|stack)$/.test(name) && Object.hasOwn(error, name);
    const names = attempt(() => Array.from(new Set([...Object.keys(error), "cause", "errors"])).filter(isShown), []);
    const details = { ...report, ...copyMembers(error, names, path), ...report };
    // Inside of other values, Bun prints it as the text that an error is in the log.
    return Object.defineProperty(details, inspectMethod, { value: () => toText(details).replaceAll("\n", "\n  ") });
  }

  function copyMembers(object: object, names: string[], path: unknown[]): object {
    const shown = names.slice(0, detailLimits.members);
    const members = shown.map((name) => [copyText(name), copy(() => object[name as never], path)]);
    if (names.length > shown.length) members.push(["…", "[…]"]);
    return Object.fromEntries(members.filter(([, value]) => value !== undefined));
  }

  function copyText(text: string): string {
    const copied = text.length > room ? `${text.slice(0, Math.max(room, 0))}…` : text;
    room -= text.length;
    return copied;
  }

  function copy(read: () => unknown, outer: unknown[]): unknown {
    try {
      const value = read();
      room -= 8; // what is around a value, and all of a short one
      if (typeof value === "string") return copyText(value);
      if (!isObject(value)) return /bigint|symbol|function/.test(typeof value) ? display(value) : value;
      if (outer.includes(value)) return "[Circular]";
      if (outer.length > detailLimits.levels || room <= 0) return "[…]";
      const path = [...outer, value];
      if (value instanceof Error) {
        const { errorMessage, errorType, stackTrace } = describe(value);
        const frames = stackTrace.slice(0, detailLimits.members).map(copyText);
        const report = { errorMessage: copyText(errorMessage), errorType: copyText(errorType), stackTrace: frames };
        return withMembers(report, value, path);
      }
      if (ArrayBuffer.isView(value)) return copyText(display(value));
      if (Array.isArray(value)) {
        const items = value.slice(0, detailLimits.members).map((item) => copy(() => item, path));
        return value.length > items.length ? [...items, "[…]"] : items;
      }
      const hasJson = "toJSON" in value && typeof value.toJSON === "function";
      const plain = hasJson ? (value as Date).toJSON() : toJsonValue("", value);
      return plain === value ? copyMembers(value, Object.keys(value), path) : copy(() => plain, path);
    } catch {
      return unreadable;
    }
  }
}

function toText({ errorType, errorMessage, stackTrace, ...members }: ErrorDetails): string {
  const stack = [`${errorType}: ${errorMessage}`, ...stackTrace].join("\n    ");
  const hasMore = Object.keys(members).length > 0;
  return hasMore ? `${stack} ${Bun.inspect(members, { depth: detailLimits.levels })}` : stack;
}

/** Logs what a method of the console was given. */
function logValues(level: Level, values: unknown[]): void {
  if (!isLogOfJson()) return log(level, current(), format(values));
  const error = attempt(() => values.find((candidate) => candidate instanceof Error), undefined);
  const details = error && detailsOf(error);
  const isObjectAlone = values.length === 1 && isObject(values[0]);
  log(level, current(), !isObjectAlone ? format(values) : details ? headline(details) : values[0], details);
}

/** Concurrent invocations are always logged as JSON, as Lambda has it. */
function isLogOfJson(): boolean {
  return !!env.AWS_LAMBDA_MAX_CONCURRENCY || env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";
}

/** Something in place of what JSON has no form for. */
function toJsonValue(_key: string, value: unknown): unknown {
  if (value instanceof Error) return detailsOf(value);
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
    if (rest.length === 0) return specifier;
    const value = rest.shift();
    if (specifier === "%c") return ""; // style sheets are not for log lines
    if (specifier === "%s") return attempt(() => String(value), unreadable);
    if (specifier === "%j") return attempt(() => String(stringify(value)), unreadable);
    if (specifier === "%f") return attempt(() => String(Number(value)), "NaN");
    return /[di]/.test(specifier) ? attempt(() => String(Math.trunc(Number(value))), "NaN") : display(value);
  });
  return [text, ...rest.map(display)].join(" ");
}

const inspectMethod = Symbol.for("nodejs.util.inspect.custom"); // the method that prints an object, if it has one

/** A value as Bun prints it, but for errors, which Bun prints with lines of their source around them. */
function display(value: unknown): string {
  if (typeof value === "string") return value;
  function inspect(this: Error): string {
    return toText(detailsOf(this));
  }
  const { prototype } = Error;
  const isSet = inspectMethod in prototype; // by the handler, or below
  if (!isSet) Object.defineProperty(prototype, inspectMethod, { value: inspect, configurable: true });
  const text = attempt(() => Bun.inspect(value, { depth: 2 }).trimEnd(), unreadable);
  if (!isSet) Reflect.deleteProperty(prototype, inspectMethod);
  return text;
}

/** Replaces the console when it is first used: where nothing is logged, nothing is spent on it. */
function replaceConsole(): void {
  type Methods = Record<string, (...values: unknown[]) => void>;
  const console = globalThis.console as Console & Methods;
  defineGlobal("console", () => {
    const methods: Methods = {
      ...Object.fromEntries(levels.map((level) => [level.toLowerCase(), (...values) => logValues(level, values)])),
      log: (...values) => logValues("INFO", values),
      trace: (...values) => logValues("TRACE", [[format(values), ...framesOf(new Error()).slice(1)].join("\n    ")]),
    };
    const stdout = { write: (text: string) => logValues("INFO", [text.trimEnd()]) } as unknown as NodeJS.WritableStream;
    let others: Methods | undefined; // those of Node.js, which print by `log` and `warn`: Bun's print no log events
    const names = "assert count countReset dir dirxml group groupCollapsed groupEnd table time timeEnd timeLog";
    for (const name of names.split(" "))
      console[name] = (...values) => {
        const { Console } = console; // takes 10 ms to load
        others ??= Object.assign(new Console({ stdout, ignoreErrors: false, colorMode: false }) as object, methods);
        attempt(() => others?.[name]?.(...values), undefined);
      };
    return Object.assign(console, methods);
  });
}

/** Writes a line to standard error, as all of them: a reader of two descriptors would not keep their order. */
function writeLine(line: string): void {
  attempt(() => write(2, `${line}\n`), undefined); // it may be closed
}

/** Writes to a descriptor before anything else happens. @throws {Error} if it is closed. */
function write(descriptor: number, content: Bytes): void {
  const bytes = typeof content === "string" ? encode(content) : content;
  let written = attempt(() => Math.max(0, Number((libc ??= openLibc()).write(descriptor, bytes, bytes.length))), 0);
  if (written === bytes.length) return;
  const { writeSync } = getBuiltinModule("node:fs");
  while (written < bytes.length) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      Bun.sleepSync(1); // the pipe is full
    }
  }
}

/** Opens the C library, since `node:fs` takes 3 ms to load: 40 ms of a first event with 128 MB. */
type Libc = Record<"dup" | "dup2" | "fcntl" | "write", (...values: (number | Uint8Array)[]) => number>;

function openLibc(): Libc {
  type ForeignFunctions = { dlopen(name: string, functions: object): { symbols: Libc } };
  const { dlopen } = getBuiltinModule("bun:ffi") as unknown as ForeignFunctions;
  return dlopen(process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6", {
    dup: { args: ["i32"], returns: "i32" },
    dup2: { args: ["i32", "i32"], returns: "i32" },
    fcntl: { args: ["i32", "i32"], returns: "i32" },
    write: { args: ["i32", "ptr", "usize"], returns: "i64" },
  }).symbols;
}

// ── An HTTP/1.1 client for one local server: connection, response parser, grammar ───────────────────────────────────
//
// It sends one request at a time, and keeps its connection alive. It knows nothing of Lambda, and needs nothing above.

interface HttpRequest {
  method: string;
  target: string;
  /** Field lines, each with its CRLF. A character is a byte. The client adds `Host` and those that frame the body. */
  fields: string;
  /** A string is sent as UTF-8. */
  body?: Uint8Array | string;
  /** Instead of `body`: one that is made while it is sent, with backpressure. */
  chunks?: ChunkedBody;
  /** How long to wait for the response, in ms. No limit unless given. */
  timeout?: number;
  /** Whether the process may end before the response comes. */
  background?: boolean;
}

/** A body that is sent in chunks. None is empty. */
interface ChunkedBody {
  first: Uint8Array | undefined;
  /** Whether there is more to come. */
  isOpen: boolean;
  /** Makes the next chunk, unless it is being made, and calls `take` with it, or with `undefined` at the end. */
  next(take: (chunk?: Uint8Array) => void): void;
  /** The trailer fields, once the body is not open. */
  trailers: string;
  /** Called when no more of it is needed. */
  cancel(): void;
}

interface HttpResponse extends FieldLines {
  status: number;
  /** The field lines from `start` to `end`, an empty line, and the body, unless that is in `body`. */
  bytes: Buffer;
  start: number;
  end: number;
  body?: Uint8Array | undefined;
  /** Whether the connection can be used again. */
  persistent: boolean;
  /** Whether the request was sent twice. The server may have seen both. */
  resent: boolean;
  /** Whether it came before the end of `chunks`. */
  incomplete: boolean;
}

interface RequestError extends Error {
  /** The request was sent in part, and cannot be sent again. The next request opens another connection. */
  incomplete?: true;
}

type Done = (result: HttpResponse | RequestError) => void;

/** What is written to the socket: bytes, or a string in ASCII. Only a part whose memory is gone is empty. */
type Part = Uint8Array | string;

/** A request until its `done` is called. */
interface Exchange extends NewExchange {
  request: HttpRequest;
  done: Done;
  /** The request as far as it is made, while it can be sent again: until a second chunk. */
  message: readonly Part[] | undefined;
  /** What is written. */
  parts: readonly Part[];
}

type NewExchange = typeof newExchange;
const newExchange = {
  /** How many of the parts the socket has taken. */
  sent: 0,
  /** Whether it is sent a second time. */
  resent: false,
  /** The part of the response that has come. */
  incoming: undefined as Incoming | undefined,
  /** The response, if it came before all of the request was sent. */
  early: undefined as HttpResponse | undefined,
  timer: undefined as Timer | undefined,
};

/** @param authority Host and port: `127.0.0.1:9001`, `localhost:9001`, `[::1]:9001`. */
function createHttpClient(authority: string) {
  const { hostname, port } = parseAuthority(authority);

  // The connection is closed, idle (with a socket), or busy (with an exchange too).
  let socket: Bun.Socket<undefined> | undefined;
  let current: Exchange | undefined;
  let isHeld = true; // whether the connection keeps the process alive
  let whenOpen: ((failure?: Error) => void) | undefined; // called when the connection is open, or cannot be opened

  // Opens a connection. Bun calls the handlers of a socket in the async context that opened it. So each connection is
  // opened in the context of the one before, never in that of an invocation.
  let dial = dialHere;

  /** Opens the connection unless it is open. `done` takes the error if that fails. */
  function connect(done: (failure?: Error) => void): void {
    if (socket) return done();
    whenOpen = done;
    dial();
  }

  function dialHere(): void {
    void Bun.connect({ hostname, port, socket: { open, connectError, data, drain, close } });
  }

  /**
   * Sends a request, when no other is under way. `done` takes the response, or an error: the connection cannot be
   * opened, or breaks twice before a response; the response is cut, malformed or late; the memory of the body is gone.
   */
  function request(request: HttpRequest, done: Done): void {
    const message = serialize(authority, request);
    current = { ...newExchange, request, done, message, parts: message };
    if (socket) send(current);
    else reconnect(current);
  }

  function reconnect(exchange: Exchange): void {
    connect((failure) => {
      if (failure) return finish(exchange, failure);
      send(exchange);
      if (!socket && exchange === current) broken(exchange); // it was reset as it opened
    });
  }

  /** Writes as much as the socket takes. The rest waits for `drain`. */
  function send(exchange: Exchange): void {
    const { parts, request } = exchange;
    const { chunks, timeout, background = false } = request;
    if (isHeld === background) hold(!isHeld);
    if (timeout !== undefined && !chunks?.isOpen) exchange.timer ??= setTimeout(expire, timeout, exchange).unref();
    for (; exchange.sent < parts.length; exchange.sent++) {
      const part = parts[exchange.sent]!;
      if (part.length === 0)
        return finish(exchange, cutError("the memory of its body was taken away while it was sent"));
      const taken = socket ? socket.write(part) : -1;
      if (taken < part.length) {
        if (taken <= 0) return;
        const rest = typeof part === "string" ? part.slice(taken) : part.subarray(taken);
        exchange.parts = [rest, ...parts.slice(exchange.sent + 1)];
        return void (exchange.sent = 0);
      }
    }
    if (exchange.early) return finish(exchange, exchange.early);
    if (!chunks?.isOpen) return;
    hold(false); // whoever makes the next chunk keeps the process alive
    chunks.next((chunk) => {
      if (exchange !== current) return;
      const more = chunkParts(chunk, chunks.trailers);
      exchange.message = chunks.isOpen ? undefined : exchange.message?.concat(more);
      exchange.parts = [...exchange.parts.slice(exchange.sent), ...more];
      exchange.sent = 0;
      if (socket) send(exchange);
    });
  }

  /** Ends the wait for a response. First it reads the socket once more: the process may have been frozen, or busy. */
  function expire(exchange: Exchange): void {
    const { early, request } = exchange;
    const { method, target, timeout } = request;
    const late: RequestError = early
      ? cutError(`the server did not take all of it within ${timeout} ms, though it had answered ${early.status}`)
      : new Error(`${authority} has not answered ${method} ${target} within ${timeout} ms`);
    exchange.timer = setTimeout(finish, 50, exchange, late).unref();
  }

  function open(opened: Bun.Socket<undefined>): void {
    socket = opened;
    if (!isHeld) opened.unref();
    void new Promise<void>((resolve) => (dial = resolve)).then(dialHere);
    goOn();
  }

  function goOn(failure?: Error): void {
    const done = whenOpen;
    whenOpen = undefined;
    done?.(failure);
  }

  function connectError(_: unknown, cause: Error & { code?: string }): void {
    dial = dialHere;
    const isReset = cause.code === "ECONNRESET"; // it was open for a moment: `reconnect` finds it closed
    const reason = `${cause.message} (${cause.code})${whyNoDescriptor()}`;
    goOn(isReset ? undefined : new Error(`cannot connect to ${authority}: ${reason}`, { cause }));
  }

  /** Takes the next piece of the response, or `null`, the end of the connection. */
  function data(from: Bun.Socket<undefined> | undefined, piece: Buffer | null): void {
    const exchange = current;
    if (from !== socket) return; // of a connection that was closed
    if (!exchange) return disconnect(); // without a request
    if (exchange.early) return void (exchange.early.persistent = false);
    let response: HttpResponse | Incoming;
    try {
      response = parseResponse(piece, exchange.incoming);
    } catch (error) {
      return finish(exchange, error as Error);
    }
    if (!("status" in response)) return void (exchange.incoming = response);
    response.resent = exchange.resent;
    response.incomplete = !!exchange.request.chunks?.isOpen;
    const hasRest = exchange.sent < exchange.parts.length;
    if (hasRest && !response.incomplete && response.status < 300) {
      exchange.early = response; // the rest is sent all the same
      return piece ? undefined : broken(exchange);
    }
    if (hasRest || response.incomplete) disconnect();
    finish(exchange, response);
  }

  function drain(from: Bun.Socket<undefined>): void {
    if (from === socket && current && current.sent < current.parts.length) send(current);
  }

  function close(from: Bun.Socket<undefined>, error?: Error): void {
    if (from !== socket) return;
    socket = undefined;
    if (current) broken(current, error);
  }

  function finish(exchange: Exchange, result: HttpResponse | RequestError): void {
    const { timer, message, request, done } = exchange;
    if (timer) clearTimeout(timer);
    current = undefined;
    // Frees the bytes of a large string. The garbage collector takes them for small, and lets them pile up.
    const large = typeof request.body === "string" ? message?.[1] : undefined;
    if (typeof large === "object") (large.buffer as { transfer?(length: number): unknown }).transfer?.(0);
    if (request.chunks?.isOpen) request.chunks.cancel();
    if (!("persistent" in result)) disconnect();
    else if (!result.persistent) disconnect("end"); // the server can still read what was sent
    done(result);
  }

  /** Sends the request again, once, unless part of the response has come, or an earlier chunk is gone. */
  function broken(exchange: Exchange, error?: Error): void {
    const { early, incoming, message, resent, request, timer } = exchange;
    const { method, target } = request;
    const fail = (failure: RequestError) => finish(exchange, failure);
    if (early)
      return fail(cutError(`the connection broke before all of it was sent, though it was answered ${early.status}`));
    if (incoming && error) return fail(new Error(`the connection broke in the middle of a response: ${error.message}`));
    if (incoming) return data(socket, null); // that was its end
    if (!message) return fail(cutError("the connection broke after its first chunk was sent"));
    if (resent)
      return fail(new Error(`${authority} twice closed the connection instead of answering ${method} ${target}`));
    if (timer) clearTimeout(timer);
    Object.assign(exchange, { timer: undefined, parts: message, sent: 0, resent: true } satisfies Partial<Exchange>);
    reconnect(exchange);
  }

  function disconnect(how: "terminate" | "end" = "terminate"): void {
    const discarded = socket;
    socket = undefined;
    discarded?.unref();
    discarded?.[how]();
  }

  function hold(isToBeHeld: boolean): void {
    isHeld = isToBeHeld;
    socket?.[isHeld ? "ref" : "unref"]();
  }

  /** Until the next request, the connection does not keep the process alive. */
  const unref = () => hold(false);
  const onEveryRequest = [request, serialize, encode, send, data, parseResponse, finish, fieldValue, fieldBytes];
  return { connect, request, unref, onEveryRequest };
}

function cutError(message: string): RequestError {
  return Object.assign(new Error(message), { incomplete: true as const });
}

/** Says if no file descriptor is left, which Bun calls a refused connection. */
function whyNoDescriptor(): string {
  const { closeSync, existsSync, openSync } = process.getBuiltinModule("node:fs");
  try {
    closeSync(openSync("/dev/null", "r"));
    return "";
  } catch (error) {
    let open = 0; // of the 1,024 that Lambda allows
    for (let descriptor = 0; descriptor < 1_024; descriptor++) if (existsSync(`/proc/self/fd/${descriptor}`)) open++;
    return `, since ${open} file descriptors are open and no other can be (${(error as { code?: string }).code})`;
  }
}

function parseAuthority(authority: string): { hostname: string; port: number } {
  const [, bracketed, hostname = bracketed, digits] = /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(authority) ?? [];
  const port = Number(digits);
  if (!hostname || !(port > 0 && port < 65536)) throw new Error(`${JSON.stringify(authority)} is not host:port`);
  return { hostname, port };
}

/** Up to this size, in bytes, a body is copied, so that one write sends it with its head. */
const largestCopiedBody = 64 << 10;

/** Makes the message of a request. It avoids `Buffer`, whose first use takes 0.2 ms. */
function serialize(authority: string, { method, target, fields, body, chunks }: HttpRequest): Part[] {
  const head = `${method} ${target} HTTP/1.1\r\nHost: ${authority}\r\n${fields}`;
  if (chunks) {
    const { first, trailers } = chunks;
    const section = toBytes(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    return [section, ...chunkParts(first && plainView(first).slice(), trailers)];
  }
  if (body === undefined) return [`${head}\r\n`];
  if (typeof body === "string" && body.length <= largestCopiedBody) {
    const text = `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
    const message = encode(text);
    if (message.length === text.length) return [message]; // all of it is ASCII, so the length is right
  }
  const bytes = typeof body === "string" ? encode(body) : plainView(body);
  const section = toBytes(`${head}Content-Length: ${bytes.length}\r\n\r\n`);
  if (bytes.length === 0) return [section];
  return bytes.length <= largestCopiedBody ? [concatenate(section, bytes)] : [section, bytes];
}

/** The bytes of a text in which a character is a byte. */
function toBytes(text: string): Uint8Array {
  const bytes = encode(text);
  return bytes.length === text.length ? bytes : Buffer.from(text, "latin1");
}

function concatenate(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

/** Makes a chunk, or the last chunk and the trailers. @see https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
function chunkParts(chunk: Uint8Array | undefined, trailers: string): Part[] {
  if (!chunk) return [`0\r\n${trailers}\r\n`];
  if (chunk.length === 0) return [plainView(chunk)]; // its memory is gone: `send` fails
  const sizeLine = `${chunk.length.toString(16)}\r\n`;
  if (chunk.length > largestCopiedBody) return [sizeLine, plainView(chunk), "\r\n"];
  return [concatenate(concatenate(encode(sizeLine), chunk), encode("\r\n"))];
}

/** The same bytes without a subclass, and none if their memory was detached or shrunk. */
function plainView({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  const isDetached = (buffer as { detached?: boolean }).detached;
  return isDetached ? new Uint8Array(0) : new Uint8Array(buffer, byteOffset, byteLength);
}

/** A response that has come in part. */
type Incoming = ReturnType<typeof createIncoming>;

function createIncoming() {
  return {
    /** The bytes that were received last. From `at` on they are unread. */
    bytes: Buffer.alloc(0) as Buffer,
    at: 0,
    /** How many interim responses came before it. */
    interim: 0,
    /** Set once its header section is read. */
    response: undefined as HttpResponse | undefined,
    /** What delimits its body: a length in bytes, chunks, or the end of the connection. */
    framing: "close" as number | "chunks" | "close",
    /** The body, with room for more behind the bytes that are `filled`. */
    body: new Uint8Array(0) as Uint8Array,
    filled: 0,
    /** The length of all chunks that were read, and the size of the next, once its chunk-size line is read. */
    length: 0,
    size: undefined as number | undefined,
  };
}

/** The most that is accepted: bytes, and interim responses. */
const limits = { section: 64 << 10, chunkSizeLine: 4 << 10, body: 64 << 20, interim: 100 };

/**
 * Parses the next piece of a response, or `null`, the end of the connection. Each piece of a header section is parsed
 * with all before it. One regular expression recognizes the usual response: JavaScript is slow until it is compiled.
 *
 * @returns the response, or, while that is incomplete, what to pass with the next piece.
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-6
 */
function parseResponse(piece: Buffer | null, begun?: Incoming): HttpResponse | Incoming {
  if (piece && !begun) {
    const end = piece.indexOf("\r\n\r\n") + 2;
    const text = end >= 2 && end + 2 <= limits.section ? piece.toString("latin1", 0, end) : "";
    const [, status = "", length = ""] = text.startsWith("HTTP") ? ((usual ?? usualHead()).exec(text) ?? []) : [];
    if (status && end + 2 + +length === piece.length)
      return {
        text,
        isAscii: true,
        status: +status,
        bytes: piece,
        start: text.indexOf("\n") + 1,
        end,
        persistent: true,
        resent: false,
        incomplete: false,
      };
  }
  const incoming = begun ?? createIncoming();
  const { bytes, at } = incoming;
  if (piece) incoming.bytes = at === bytes.length ? piece : Buffer.concat([bytes.subarray(at), piece]);
  if (piece) incoming.at = 0;
  const response = (incoming.response ??= takeHead(incoming));
  const body = response && takeBody(incoming, response.status, !piece);
  if (body) {
    if (incoming.at < incoming.bytes.length) response.persistent = false; // what follows was not asked for
    return { ...response, body };
  }
  if (!piece) throw new Error("the connection was closed in the middle of a response");
  return incoming;
}

/** Takes the status line and the header section of the response, behind any interim ones. */
function takeHead(incoming: Incoming): HttpResponse | undefined {
  for (; incoming.interim <= limits.interim; incoming.interim++) {
    const { bytes, at } = incoming;
    const text = takeSection(incoming, "header section");
    if (text === undefined) return undefined;
    const status = +text.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length);
    if (status === 101) throw malformed("101: nobody asked for another protocol");
    const persistent = readFraming(incoming, text.toLowerCase());
    if (status < 200) continue;
    const start = at + text.indexOf("\n") + 1;
    const end = at + text.length;
    return { text, isAscii: false, status, bytes, start, end, persistent, resent: false, incomplete: false };
  }
  throw malformed(`more than ${limits.interim} interim responses`);
}

/**
 * Reads how the body is delimited. @returns whether the connection can be used again.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-6.3 and #section-9.3
 */
function readFraming(incoming: Incoming, head: string): boolean {
  const codings = fieldMembers(head, "transfer-encoding");
  const lengths = fieldMembers(head, "content-length");
  const connection = fieldMembers(head, "connection");
  const isHttp10 = head.startsWith("http/1.0");
  const isChunked = codings.length > 0;
  if (isChunked && codings.filter((coding) => coding !== "").join() !== "chunked")
    throw malformed(`Transfer-Encoding ${JSON.stringify(codings.join())}`);
  const isValid = (length: string) => /^\d+$/.test(length) && +length <= limits.body && length === lengths[0];
  if (!lengths.every(isValid))
    throw malformed(`Content-Length ${JSON.stringify(lengths.join())} (at most ${limits.body} bytes)`);
  incoming.framing = isChunked ? "chunks" : lengths[0] ? +lengths[0] : "close";
  if (isChunked && (lengths[0] || isHttp10)) return false; // a proxy may have delimited it in another way
  return isHttp10 ? connection.includes("keep-alive") : !connection.includes("close");
}

function takeBody(incoming: Incoming, status: number, isClosed: boolean): Uint8Array | undefined {
  const { bytes, at, filled, framing } = incoming;
  if (status === 204 || status === 304) return new Uint8Array(0);
  if (framing === "chunks") return takeChunks(incoming);
  const length = framing === "close" ? filled + bytes.length - at : framing;
  if (length > limits.body) throw malformed(`a body of more than ${limits.body} bytes`);
  const isWhole = gather(incoming, length) && (framing !== "close" || isClosed);
  return isWhole ? incoming.body.subarray(0, length) : undefined;
}

/** @see https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
function takeChunks(incoming: Incoming): Uint8Array | undefined {
  while ((incoming.size ??= takeChunkSize(incoming))) {
    const length = incoming.length + incoming.size;
    if (length > limits.body) throw malformed(`a body of more than ${limits.body} bytes`);
    if (!gather(incoming, length + 2)) return undefined;
    const { body, size } = incoming;
    if (body[length] !== CR || body[length + 1] !== LF) throw malformed(`no line end after a chunk of ${size} bytes`);
    incoming.length = incoming.filled = length;
    incoming.size = undefined;
  }
  const trailers = incoming.size === 0 ? takeSection(incoming, "trailer section") : undefined;
  return trailers === undefined ? undefined : incoming.body.subarray(0, incoming.length);
}

/** Adds to the body up to a length. @returns whether that is there. What comes in one piece is not copied. */
function gather(incoming: Incoming, length: number): boolean {
  const { bytes, at, body, filled } = incoming;
  const end = Math.min(at + length - filled, bytes.length);
  incoming.at = end;
  incoming.filled += end - at;
  if (filled === 0 && incoming.filled === length) {
    incoming.body = new Uint8Array(bytes.buffer, bytes.byteOffset + at, length);
  } else {
    if (body.length < length) {
      incoming.body = new Uint8Array(Math.max(2 * filled, length));
      incoming.body.set(body.subarray(0, filled));
    }
    incoming.body.set(bytes.subarray(at, end), filled);
  }
  return incoming.filled === length;
}

function takeChunkSize(incoming: Incoming): number | undefined {
  const { bytes, at } = incoming;
  const lineFeed = bytes.indexOf("\n", at);
  const end = lineFeed < 0 ? bytes.length : lineFeed + 1;
  if (end - at > limits.chunkSizeLine) throw malformed(`chunk-size line of more than ${limits.chunkSizeLine} bytes`);
  if (lineFeed < 0) return undefined;
  incoming.at = end;
  const line = bytes.toString("latin1", at, end);
  checkLineFeeds(line, "chunk-size line");
  const [, digits] = RegExp(`^${rules.chunkSizeLine}$`, "i").exec(line) ?? [];
  if (digits === undefined) throw malformed(`chunk-size line ${JSON.stringify(line.slice(0, -2))}`);
  return parseInt(digits, 16);
}

/** Takes lines and the empty line that ends them. @returns them without the empty line. A character is a byte. */
function takeSection(incoming: Incoming, what: "header section" | "trailer section"): string | undefined {
  const { bytes, at } = incoming;
  const unread = bytes.toString("latin1", at, Math.min(at + limits.section, bytes.length));
  const length = unread.startsWith("\r\n") ? 0 : unread.indexOf("\r\n\r\n") + 2;
  if (length === 1) {
    checkLineFeeds(unread, what); // it has no empty line
    if (bytes.length - at > limits.section) throw malformed(`${what} of more than ${limits.section} bytes`);
    return undefined;
  }
  incoming.at = at + length + 2;
  const text = unread.slice(0, length);
  checkSection(text, what === "header section");
  return text;
}

function malformed(what: string): Error {
  return new Error(`malformed response: ${what}`);
}

// Grammar. In its texts a character is a byte.

/** @see https://www.rfc-editor.org/rfc/rfc9112#section-4, #section-5, #section-7.1, and RFC 9110, 5.5 and 5.6.2 */
const rules = {
  token: "[!#$%&'*+.^_`|~\\w-]+",
  value: "[^\\0\\r\\n]*",
  asciiValue: "[\\t -~]*",
  framing: "connection:|content-length:|transfer-encoding:",
  chunkSizeLine: "([\\da-f]+)[ \\t]*(?:;[^\\0\\r\\n]*)?\\r\\n",
};

/** The head of nearly every response: in ASCII, and its body delimited by one `Content-Length` and nothing else. */
function usualHead(): RegExp {
  const { token, asciiValue, framing } = rules;
  const others = `(?:(?!${framing})${token}:${asciiValue}\\r\\n)*`;
  const statusLine = `HTTP/1\\.1 (20[0-3]|[45]\\d\\d)(?: ${asciiValue})?\\r\\n`;
  return (usual = RegExp(`^${statusLine}${others}content-length:[ \\t]*(\\d{1,7})[ \\t]*\\r\\n${others}$`, "i"));
}

let usual: RegExp | undefined;

/** @throws {Error} unless the text is field lines, in a header section behind a status line. */
function checkSection(text: string, isHeader: boolean): void {
  const { token, value } = rules;
  const start = isHeader ? text.indexOf("\n") + 1 : 0;
  const [statusLine, lines] = [text.slice(0, start), text.slice(start)];
  const isStatusLine = RegExp(`^HTTP/1\\.\\d [1-5]\\d\\d(?: ${value})?\\r\\n$`).test(statusLine);
  const fieldLines = RegExp(`^(?:${token}:${value}\\r\\n)*$`);
  if (isStatusLine === isHeader && fieldLines.test(lines)) return;
  checkLineFeeds(text, isHeader ? "header section" : "trailer section");
  if (isStatusLine !== isHeader) throw malformed(`status line ${JSON.stringify(statusLine.slice(0, -2))}`);
  const wrong = lines.split("\r\n").find((line) => !fieldLines.test(`${line}\r\n`));
  throw malformed(`field line ${JSON.stringify(wrong?.slice(0, 200))}`);
}

function checkLineFeeds(text: string, what: string): void {
  if (/(?:^|[^\r])\n/.test(text)) throw malformed(`a line feed without carriage return in the ${what}`);
}

/** Field lines behind at least one line feed, and whether all is known to be ASCII. */
interface FieldLines {
  text: string;
  isAscii: boolean;
}

/** The field lines of a header section. */
function fieldLines({ buffer, byteOffset, byteLength }: Uint8Array): FieldLines {
  return { text: `\n${Buffer.from(buffer, byteOffset, byteLength).toString("latin1")}`, isAscii: false };
}

/** The value of the first field line of a name, in any case, read as UTF-8. `undefined` if it is absent or empty. */
function fieldValue(lines: FieldLines, name: string): string | undefined {
  const { text, isAscii } = lines;
  const at = isAscii ? text.toLowerCase().indexOf(`\n${name.toLowerCase()}:`) : -1;
  if (at >= 0) return text.slice(at + name.length + 2, text.indexOf("\r", at)).trim() || undefined;
  const value = isAscii ? undefined : fieldBytes(lines, name);
  return value === undefined ? undefined : decode(toBytes(value));
}

/** The same, a character for a byte. */
function fieldBytes({ text }: FieldLines, name: string): string | undefined {
  const at = text.toLowerCase().indexOf(`\n${name.toLowerCase()}:`);
  return at < 0 ? undefined : valueAt(text, at + name.length + 2) || undefined;
}

/** The members of a list, of all field lines of a name. @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1 */
function fieldMembers(lowerCase: string, name: string): string[] {
  const lines = lowerCase.split("\r\n").filter((line) => line.startsWith(`${name}:`));
  return lines.flatMap((line) => line.slice(name.length + 1).split(",")).map((value) => valueAt(value, 0));
}

/** The rest of the line, without the white space around it. */
function valueAt(text: string, start: number): string {
  let end = text.indexOf("\r", start);
  if (end < 0) end = text.length;
  while (start < end && (text[start] === " " || text[start] === "\t")) start++;
  while (start < end && (text[end - 1] === " " || text[end - 1] === "\t")) end--;
  return text.slice(start, end);
}

const LF = 0x0a;
const CR = 0x0d;

// Made when first needed, so that a start does not wait for them.
let encoder: TextEncoder | undefined;
let decoder: TextDecoder | undefined;

function encode(text: string): Uint8Array {
  return (encoder ??= new TextEncoder()).encode(text);
}

function decode(bytes: Uint8Array): string {
  return (decoder ??= new TextDecoder("utf-8", { ignoreBOM: true })).decode(bytes);
}
