/** Clients of AWS in compiled handlers: one of @aws-sdk, and the S3 client that is part of Bun, against services that listen here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "./sandbox.ts";

interface ServiceRequest {
  method: string;
  path: string;
  headers: Headers;
  body: string;
}

/** A service of AWS as far as one test needs it: it keeps what it was asked, and answers each request in turn. */
function startService(...answers: Response[]) {
  const requests: ServiceRequest[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      requests.push({
        method: request.method,
        path: pathname + search,
        headers: request.headers,
        body: await request.text(),
      });
      return answers.shift() ?? new Response("nothing more was expected", { status: 500 });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, requests, [Symbol.dispose]: () => void server.stop(true) };
}

/** What Lambda gives every function; with it no client has to look for credentials elsewhere. */
const credentials = {
  AWS_REGION: "eu-west-1",
  AWS_ACCESS_KEY_ID: "AKIDEXAMPLE",
  AWS_SECRET_ACCESS_KEY: "not-a-secret",
  AWS_SESSION_TOKEN: "a-session",
};

/** Whether a request is signed with these credentials, for this region and service. */
function assertSigned({ headers }: ServiceRequest, service: string): void {
  assert.match(
    headers.get("authorization") ?? "",
    new RegExp(
      `^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\\d{8}/eu-west-1/${service}/aws4_request, ?SignedHeaders=[a-z0-9;-]*\\bhost;[a-z0-9;-]+, ?Signature=[\\da-f]{64}$`,
    ),
  );
  assert.equal(headers.get("x-amz-security-token"), "a-session");
}

const errorOf = (report: { body: Buffer }) =>
  JSON.parse(report.body.toString()) as { errorType: string; errorMessage: string };

const dynamoDbAnswer = (status: number, body: unknown) =>
  new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "1" },
  });

test("a client of @aws-sdk asks its service, signed, and the handler replies with what it answers", async () => {
  using service = startService(
    dynamoDbAnswer(200, { Item: { id: { S: "Ada" }, greeting: { S: "Grüß Gott" } } }),
    dynamoDbAnswer(200, {}),
  );
  await using sandbox = await Sandbox.start("aws-sdk", { ...credentials, AWS_ENDPOINT_URL_DYNAMODB: service.url });
  assert.equal((await sandbox.invoke({ body: '"Ada"' })).body.toString(), '"Grüß Gott"');
  assert.equal((await sandbox.invoke({ body: '"nobody"' })).body.toString(), "null");
  await sandbox.stop();
  const [first, second, ...more] = service.requests;
  assert.ok(first && second);
  assert.deepEqual(more, []);
  for (const [request, id] of [
    [first, "Ada"],
    [second, "nobody"],
  ] as const) {
    assert.equal(`${request.method} ${request.path}`, "POST /");
    assert.equal(request.headers.get("x-amz-target"), "DynamoDB_20120810.GetItem");
    assert.deepEqual(JSON.parse(request.body), { TableName: "greetings", Key: { id: { S: id } } });
    assertSigned(request, "dynamodb");
  }
});

test("an error of an @aws-sdk service is that of the invocation, and the next one is served", async () => {
  using service = startService(
    dynamoDbAnswer(400, {
      __type: "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
      message: "Requested resource not found",
    }),
    dynamoDbAnswer(200, { Item: { greeting: { S: "Hello" } } }),
  );
  await using sandbox = await Sandbox.start("aws-sdk", { ...credentials, AWS_ENDPOINT_URL_DYNAMODB: service.url });
  const report = await sandbox.invoke({ body: '"Ada"', expect: "error" });
  const { errorType, errorMessage } = errorOf(report);
  assert.deepEqual(
    { errorType, errorMessage },
    { errorType: "ResourceNotFoundException", errorMessage: "Requested resource not found" },
  );
  assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Function.ResourceNotFoundException");
  assert.equal((await sandbox.invoke({ body: '"Ada"' })).body.toString(), '"Hello"');
  const { stderr, stdout } = await sandbox.stop();
  assert.match(stdout + stderr, /ResourceNotFoundException/);
});

test("Bun's S3 client writes and reads an object, signed, with the credentials of the function", async () => {
  using service = startService(new Response(null, { headers: { ETag: '"1"' } }), new Response("Grüß Gott"));
  await using sandbox = await Sandbox.start("s3", {
    ...credentials,
    AWS_BUCKET: "greetings",
    AWS_ENDPOINT: service.url,
  });
  assert.equal(
    (await sandbox.invoke({ body: '{"key":"to/Ada.txt","text":"Grüß Gott"}' })).body.toString(),
    String(Buffer.byteLength("Grüß Gott")),
  );
  assert.equal((await sandbox.invoke({ body: '{"key":"to/Ada.txt"}' })).body.toString(), '"Grüß Gott"');
  await sandbox.stop();
  const [put, get, ...more] = service.requests;
  assert.ok(put && get);
  assert.deepEqual(more, []);
  assert.deepEqual([put.method, put.path, put.body], ["PUT", "/greetings/to/Ada.txt", "Grüß Gott"]);
  assert.deepEqual([get.method, get.path, get.body], ["GET", "/greetings/to/Ada.txt", ""]);
  for (const request of [put, get]) assertSigned(request, "s3");
});

test("an error of S3 is that of the invocation, and the next one is served", async () => {
  const notFound =
    '<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>';
  using service = startService(
    new Response(notFound, { status: 404, headers: { "Content-Type": "application/xml" } }),
    new Response("Hello"),
  );
  await using sandbox = await Sandbox.start("s3", {
    ...credentials,
    AWS_BUCKET: "greetings",
    AWS_ENDPOINT: service.url,
  });
  const report = await sandbox.invoke({ body: '{"key":"to/Bob.txt"}', expect: "error" });
  const { errorType, errorMessage } = errorOf(report);
  assert.deepEqual(
    { errorType, errorMessage },
    { errorType: "S3Error", errorMessage: "The specified key does not exist." },
  );
  assert.equal((await sandbox.invoke({ body: '{"key":"to/Ada.txt"}' })).body.toString(), '"Hello"');
  await sandbox.stop();
});
