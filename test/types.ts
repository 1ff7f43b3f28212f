/** What the types of runtime.ts accept and refuse: checked by tsc, never run. */
import type {
  ALBEvent,
  APIGatewayProxyEvent,
  APIGatewayProxyEventV2,
  APIGatewayProxyEventV2WithJWTAuthorizer,
  Context as LambdaContext,
  Handler,
  LambdaFunctionURLEvent,
  SQSBatchResponse,
  SQSHandler,
} from "aws-lambda";
import { Hono } from "hono";
import {
  getConnInfo,
  type ApiGatewayRequestContextV2,
  type LambdaContext as HonoContext,
  type LambdaEvent,
} from "hono/aws-lambda";
import {
  header,
  http,
  json,
  run,
  type Bytes,
  type Context,
  type RawHandler,
  type Reply,
  type Streamed,
  type WebEnv,
} from "../runtime.ts";

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
run(json(awslambda.streamifyResponse<{ id: number }>(async ({ id }, stream) => void stream.end(`${id}`))));
declare const context: Context;
context satisfies LambdaContext;

// Event and result are inferred, or given.
run(json((event: { id: number }) => event.id));
run(
  json(async (event: { id: number }, { signal }) =>
    fetch(`http://127.0.0.1/${event.id}`, { signal }).then((response) => response.json()),
  ),
);
run(json<{ id: number }, string>((event) => String(event.id)));
// @ts-expect-error: the result is a string
run(json<{ id: number }, string>((event) => event.id));
// @ts-expect-error: there is no such member
run(json((_event, context) => context.nothing));
// @ts-expect-error: the second parameter is the context
run(json((_event, context: string) => context));

// Web handlers are functions of a request, and may want the event and the context; the event is typed or not.
const app = new Hono();
run(http(app.fetch));
run(http(() => new Response("text")));
run(
  http(async (request, { event, context }) => Response.json([request.url, context.awsRequestId, typeof event]), {
    streaming: true,
  }),
);
run(http((_request, { event }: WebEnv<LambdaFunctionURLEvent>) => new Response(event.requestContext.http.sourceIp)));
run(http<APIGatewayProxyEvent>((_request, { requestContext }) => new Response(requestContext.identity.sourceIp)));
run(
  http<APIGatewayProxyEventV2WithJWTAuthorizer>((_request, { requestContext }) =>
    Response.json(requestContext.authorizer.jwt.claims.sub),
  ),
);
run(http<ALBEvent>((_request, { requestContext }) => new Response(requestContext.elb.targetGroupArn)));
run(
  http(
    (_request, { lambdaContext, requestContext }) =>
      new Response(lambdaContext.awsRequestId satisfies string, requestContext satisfies unknown as {}),
  ),
);
// @ts-expect-error: nothing is known of an event without a type
run(http((_request, { event }) => new Response(event.rawPath)));
// @ts-expect-error: there is no such member
run(http((_request, { nothing }) => new Response(nothing)));

// What http gives fits what Hono's own adapter for Lambda gives, by Hono's types and by those of runtime.ts.
type LambdaBindings = { event: LambdaEvent; lambdaContext: HonoContext; requestContext: ApiGatewayRequestContextV2 };
const bound = new Hono<{ Bindings: LambdaBindings }>();
bound.get("/", (c) =>
  c.json([getConnInfo(c).remote.address, c.env.lambdaContext.awsRequestId, c.env.requestContext.http.sourceIp]),
);
run(http(bound.fetch));
run(
  http(
    new Hono<{ Bindings: WebEnv<APIGatewayProxyEventV2> }>().get("/", (c) =>
      c.text(c.env.event.requestContext.http.sourceIp),
    ).fetch,
  ),
);
declare const env: WebEnv<LambdaEvent>;
env satisfies { event: LambdaEvent; lambdaContext: HonoContext };
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
