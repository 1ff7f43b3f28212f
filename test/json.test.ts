/** json(handler): events and results as values, and the context. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "./sandbox.ts";

test("an event comes in as a value, and the result goes out as JSON", async () => {
  await using sandbox = await Sandbox.start("json-echo");
  for (const [body, reply] of [
    ['{"a":[1,2.5,true,null,"é"]}', '{"a":[1,2.5,true,null,"é"]}'],
    [" [ ]\r\n", "[]"],
    ["", "null"],
    ["\ufeff{}", "{}"],
    ['"\\ud800"', '"\\ud800"'],
  ] as const) {
    assert.equal((await sandbox.invoke({ body })).body.toString(), reply);
  }
});

for (const [kind, body] of [
  ["broken JSON", '{"a":'],
  ["white space only", " "],
  ["UTF-8 that is none", Buffer.from([0x22, 0xff, 0x22])],
] as const) {
  test(`a body of ${kind} is a Runtime.UnmarshalError, and the next event is served`, async () => {
    await using sandbox = await Sandbox.start("json-echo");
    const report = await sandbox.invoke({ body, expect: "error" });
    assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Runtime.UnmarshalError");
    const { errorType, errorMessage } = JSON.parse(report.body.toString());
    assert.equal(errorType, "Runtime.UnmarshalError");
    assert.match(errorMessage, /^the event is not JSON: ./);
    assert.equal((await sandbox.invoke({ body: "1" })).body.toString(), "1");
  });
}

test("a result is what JSON makes of it, and undefined is null", async () => {
  await using sandbox = await Sandbox.start("results");
  for (const [name, reply] of [
    ["undefined", "null"],
    ["null", "null"],
    ["string", '"text"'],
    ["number", "0.5"],
    ["date", '"1970-01-01T00:00:00.000Z"'],
    ["surrogate", '"\\ud800"'],
    ["toJSON", '"from toJSON"'],
  ] as const) {
    assert.equal((await sandbox.invoke({ body: JSON.stringify(name) })).body.toString(), reply);
  }
});

for (const [name, message] of [
  ["circular", /^the result cannot be JSON: .*(cyclic|circular)/],
  ["bigint", /^the result cannot be JSON: .*BigInt/],
  ["function", /^the result cannot be JSON: it is function$/],
  ["symbol", /^the result cannot be JSON: it is symbol$/],
  ["toJSON throws", /^the result cannot be JSON: thrown by toJSON$/],
] as const) {
  test(`a result that cannot be JSON (${name}) is a Runtime.MarshalError`, async () => {
    await using sandbox = await Sandbox.start("results");
    const report = await sandbox.invoke({ body: JSON.stringify(name), expect: "error" });
    const { errorType, errorMessage } = JSON.parse(report.body.toString());
    assert.equal(errorType, "Runtime.MarshalError");
    assert.match(errorMessage, message);
  });
}

test("what a result throws when it is looked at for a stream is the handler's error", async () => {
  await using sandbox = await Sandbox.start("results");
  const report = await sandbox.invoke({ body: '"body throws"', expect: "error" });
  const { errorType, errorMessage, stackTrace } = JSON.parse(report.body.toString());
  assert.deepEqual([errorType, errorMessage], ["RangeError", "thrown by body"]);
  assert.match(stackTrace[0], /results\.ts/);
});

test("the context holds what the event and the environment say", async () => {
  await using sandbox = await Sandbox.start("context", {
    AWS_LAMBDA_FUNCTION_NAME: "name",
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "512",
    AWS_LAMBDA_LOG_GROUP_NAME: "group",
    AWS_LAMBDA_LOG_STREAM_NAME: "stream",
  });
  const reply = await sandbox.invoke({
    id: "request",
    headers: {
      "Lambda-Runtime-Deadline-Ms": String(Date.now() + 60_000),
      "Lambda-Runtime-Client-Context": '{"client":{"installationId":"é"}}',
      "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"id","cognitoIdentityPoolId":"pool"}',
      "Lambda-Runtime-Aws-Tenant-Id": "tenant",
    },
  });
  const { remaining, ...context } = JSON.parse(reply.body.toString());
  assert.deepEqual(context, {
    functionName: "name",
    functionVersion: "$LATEST",
    invokedFunctionArn: "arn:aws:lambda:eu-west-1:123456789012:function:test",
    memoryLimitInMB: "512",
    awsRequestId: "request",
    logGroupName: "group",
    logStreamName: "stream",
    identity: { cognitoIdentityId: "id", cognitoIdentityPoolId: "pool" },
    clientContext: { client: { installationId: "é" } },
    tenantId: "tenant",
    xRayTraceId: "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
    signal: false,
    callbackWaitsForEmptyEventLoop: true,
  });
  assert.ok(remaining > 0 && remaining <= 60_000, String(remaining));
});

test("what the event and the environment do not say is empty or undefined", async () => {
  await using sandbox = await Sandbox.start("context");
  const reply = await sandbox.invoke({
    id: "request",
    headers: {
      "Lambda-Runtime-Deadline-Ms": undefined,
      "Lambda-Runtime-Invoked-Function-Arn": undefined,
      "Lambda-Runtime-Trace-Id": "",
      "Lambda-Runtime-Client-Context": "",
      "Lambda-Runtime-Cognito-Identity": "  ",
    },
  });
  assert.deepEqual(JSON.parse(reply.body.toString()), {
    functionName: "",
    functionVersion: "",
    invokedFunctionArn: "",
    memoryLimitInMB: "",
    awsRequestId: "request",
    logGroupName: "",
    logStreamName: "",
    signal: false,
    callbackWaitsForEmptyEventLoop: true,
    remaining: null, // Infinity, in JSON
  });
});

test("a client context that is not JSON fails the handler that reads it, by name", async () => {
  await using sandbox = await Sandbox.start("context");
  const report = await sandbox.invoke({ headers: { "Lambda-Runtime-Client-Context": "{" }, expect: "error" });
  assert.match(report.body.toString(), /the header Lambda-Runtime-Client-Context of the event is not JSON: \\"{\\"/);
});

test("the signal fires 100 ms before the deadline", async () => {
  await using sandbox = await Sandbox.start("signal");
  const reply = await sandbox.invoke({ headers: { "Lambda-Runtime-Deadline-Ms": String(Date.now() + 300) } });
  const { name, remaining } = JSON.parse(reply.body.toString());
  assert.equal(name, "TimeoutError");
  assert.ok(remaining <= 100, String(remaining));
});

test("a handler that is made in an event is collected after it", async () => {
  await using sandbox = await Sandbox.start("nested");
  const heapSizes: number[] = [];
  for (let id = 1; id <= 60; id++) {
    const reply = await sandbox.invoke({ id: String(id), body: "1" });
    heapSizes.push(JSON.parse(reply.body.toString())[2]);
  }
  const growth = heapSizes.at(-1)! - heapSizes[19]!;
  assert.ok(growth < 1_000_000, `the heap has grown by ${growth} bytes in 40 events, each of which makes 80,000`);
});
