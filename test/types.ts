/** What the types of runtime.ts accept and refuse: checked by tsc, never run. */
import type { APIGatewayProxyEventV2, Context as LambdaContext, Handler, SQSBatchResponse, SQSHandler } from "aws-lambda";
import { Hono } from "hono";
import { header, http, json, run, type Bytes, type Context, type RawHandler, type Reply, type Streamed } from "../runtime.ts";

// A handler that is typed with @types/aws-lambda is accepted unchanged.
declare const handler: Handler<APIGatewayProxyEventV2, { statusCode: number }>;
declare const untyped: Handler;
declare const sqs: SQSHandler;
declare const batch: Handler<unknown, SQSBatchResponse | void>;
run(json(handler));
run(json(untyped));
run(json(sqs));
run({ sqs: json(sqs), batch: json(batch) });
run(json(async (_event: unknown, context: LambdaContext) => context.awsRequestId));
declare const context: Context;
context satisfies LambdaContext;

// Event and result are inferred, or given.
run(json((event: { id: number }) => event.id));
run(json(async (event: { id: number }, { signal }) => fetch(`http://127.0.0.1/${event.id}`, { signal }).then((response) => response.json())));
run(json<{ id: number }, string>((event) => String(event.id)));
// @ts-expect-error: the result is a string
run(json<{ id: number }, string>((event) => event.id));
// @ts-expect-error: there is no such member
run(json((_event, context) => context.nothing));

// Web handlers are functions of a request, and may want the context and the event, typed or not.
const app = new Hono();
run(http(app.fetch));
run(http(() => new Response("text")));
run(http(async (request, context, event) => Response.json([request.url, context.awsRequestId, typeof event]), { streaming: true }));
run(http((_request, _context, event: APIGatewayProxyEventV2) => new Response(event.rawPath)));
// @ts-expect-error: a Response is wanted
run(http(() => "text"));

// Streams are replies of every kind of handler.
async function* generator(): AsyncGenerator<Bytes> {
  yield "text";
  yield new Uint8Array(1);
}
run(generator);
run(json(() => generator()));
run(() => new ReadableStream<Uint8Array>());
run(() => ({ contentType: "text/plain", body: generator() }) satisfies Streamed);
// @ts-expect-error: a chunk is bytes or a string
run(async function* () {
  yield 1;
});

// Raw handlers take bytes and return bytes or a string.
run((headers, body) => header(headers, "Lambda-Runtime-Aws-Request-Id") ?? body);
run(async () => "text");
// @ts-expect-error: an object is not bytes
run(() => ({ statusCode: 200 }));
// @ts-expect-error: nothing is not bytes
run(() => {});
// @ts-expect-error: a handler of values has to be wrapped in json()
run((event: { id: number }) => String(event.id));
export const reply: Reply = new Uint8Array(1);
export const raw: RawHandler = json((event) => event);
run satisfies (handler: RawHandler | Record<string, RawHandler>) => void;
