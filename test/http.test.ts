/** The HTTP/1.1 client, as the server sees it: the compiled executable answers whatever bytes an event comes in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  accepted,
  answer,
  basePath,
  chunkedEvent,
  chunks,
  event,
  eventHeaders,
  response,
  RuntimeApi,
} from "./runtime-api.ts";
import { Sandbox, version } from "./sandbox.ts";

const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
const sixMegabytes = new Uint8Array(6 * 1024 * 1024).map((_, index) => (index * 31) >> 3);

/** Sends an event in the pieces given, and expects its body back. */
async function echoes(sandbox: Sandbox, pieces: (string | Uint8Array)[], body: Uint8Array, id = "1"): Promise<void> {
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(...pieces);
  const reply = await sandbox.api.request("POST", `/invocation/${id}/response`);
  assert.ok(reply.body.equals(body), `${reply.body.length} bytes came back for ${body.length}`);
  await reply.send(accepted);
}

/** Sends what is no response, and expects the function to say so and to end. */
async function refuses(bytes: string | Uint8Array, complaint: RegExp, end = false): Promise<void> {
  await using sandbox = await Sandbox.start("echo");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(bytes);
  if (end) next.connection.end();
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, complaint);
  assert.equal(stderr.trimEnd().split("\n").length, 1, "one line says it");
  assert.equal(sandbox.api.unexpected, 0, "nothing more was asked");
}

const head = (fields = "", status = "200 OK") =>
  `HTTP/1.1 ${status}\r\nLambda-Runtime-Aws-Request-Id: 1\r\n${fields}\r\n`;

test("a request is one GET with Host and User-Agent, and nothing that was not asked for", async () => {
  await using sandbox = await Sandbox.start("echo");
  const next = await sandbox.api.request("GET", "/invocation/next");
  assert.equal(
    next.raw.toString(),
    `GET ${basePath}/invocation/next HTTP/1.1\r\nHost: ${sandbox.api.address}\r\nUser-Agent: bunstrap/${version}\r\n\r\n`,
  );
});

test("a reply is one POST with a Content-Length, and goes over the same connection as everything else", async () => {
  await using sandbox = await Sandbox.start("echo");
  const reply = await sandbox.invoke({ id: "1", body: "abc" });
  assert.equal(
    reply.raw.toString(),
    `POST ${basePath}/invocation/1/response HTTP/1.1\r\nHost: ${sandbox.api.address}\r\nUser-Agent: bunstrap/${version}\r\n` +
      "Content-Type: application/json\r\nContent-Length: 3\r\n\r\nabc",
  );
  await sandbox.invoke();
  await sandbox.stop();
  assert.equal(sandbox.api.connections.length, 1);
});

test("every byte value comes in and goes out unchanged", async () => {
  await using sandbox = await Sandbox.start("echo");
  await echoes(sandbox, [event({ id: "1", body: everyByte })], everyByte);
  await echoes(sandbox, [chunkedEvent({ id: "1", body: everyByte })], everyByte);
  await echoes(sandbox, [chunkedEvent({ id: "1", body: everyByte }, 1)], everyByte);
});

test("6 MiB come in and go out unchanged, with a length, as one chunk, and as many", async () => {
  await using sandbox = await Sandbox.start("echo");
  await echoes(sandbox, [event({ id: "1", body: sixMegabytes })], sixMegabytes);
  await echoes(sandbox, [chunkedEvent({ id: "1", body: sixMegabytes })], sixMegabytes);
  await echoes(sandbox, [chunkedEvent({ id: "1", body: sixMegabytes }, 1000)], sixMegabytes);
});

test("100,000 chunks of one byte are one body", async () => {
  const body = sixMegabytes.subarray(0, 100_000);
  await using sandbox = await Sandbox.start("echo");
  await echoes(sandbox, [chunkedEvent({ id: "1", body }, 1)], body);
});

test("a reply of 32 MiB is delivered to a server that reads slowly", async () => {
  await using sandbox = await Sandbox.start("size");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: String(32 << 20) }));
  for (let pauses = 0; pauses < 20; pauses++) {
    next.connection.pause();
    await Bun.sleep(10);
    next.connection.resume();
    await Bun.sleep(1);
  }
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.length, 32 << 20);
  assert.ok(reply.body.every((byte) => byte === 0x78));
});

for (const [kind, bytes] of [
  ["with a Content-Length", event({ id: "1", body: "{}" })],
  [
    "in chunks with an extension and trailers",
    `${head("transfer-encoding: Chunked\r\n")}1;a="b;c"\r\n{\r\n01 ;x\r\n}\r\n000\r\nA: b\r\nC:d\r\n\r\n`,
  ],
  [
    "behind an interim response",
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${head("Content-Length: 2\r\n")}{}`,
  ],
] as const) {
  test(`an event ${kind} is the same wherever it is split in two`, async () => {
    await using sandbox = await Sandbox.start("echo");
    const whole = Buffer.from(bytes);
    for (let at = 1; at < whole.length; at++) {
      await echoes(sandbox, [whole.subarray(0, at), whole.subarray(at)], Buffer.from("{}"));
    }
    await sandbox.stop();
    assert.equal(sandbox.api.connections.length, 1);
  });

  test(`an event ${kind} is the same when it comes byte by byte`, async () => {
    await using sandbox = await Sandbox.start("echo");
    await echoes(
      sandbox,
      [...Buffer.from(bytes)].map((byte) => Buffer.of(byte)),
      Buffer.from("{}"),
    );
  });
}

test("field names are read in any case, and values without the white space around them", async () => {
  await using sandbox = await Sandbox.start("echo");
  await echoes(
    sandbox,
    ["HTTP/1.1 200\r\nlambda-runtime-AWS-request-id:1\r\nCONTENT-LENGTH: \t 2 \t\r\n\r\n{}"],
    Buffer.from("{}"),
  );
  await echoes(
    sandbox,
    ["HTTP/1.1 200 \r\nLAMBDA-RUNTIME-AWS-REQUEST-ID:\t1\t\r\nContent-Length:2\r\n\r\n{}"],
    Buffer.from("{}"),
  );
  await sandbox.stop();
});

test("a body without a length ends with the connection, and the reply goes over a new one", async () => {
  await using sandbox = await Sandbox.start("echo");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(head(), "close-", "delimited");
  next.connection.end();
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.equal(reply.body.toString(), "close-delimited");
  assert.equal(sandbox.api.connections.length, 2);
});

test("an event of HTTP/1.0 is served, and its connection is not used again", async () => {
  await using sandbox = await Sandbox.start("echo");
  await echoes(sandbox, [head("Content-Length: 2\r\n").replace("1.1", "1.0") + "{}"], Buffer.from("{}"));
  assert.equal(sandbox.api.connections.length, 2);
});

test("HTTP/1.0 with a transfer coding is served, and its connection is used no more, even with keep-alive", async () => {
  await using sandbox = await Sandbox.start("echo");
  const fields = "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n";
  await echoes(sandbox, [head(fields).replace("1.1", "1.0") + "2\r\n{}\r\n0\r\n\r\n"], Buffer.from("{}"));
  assert.equal(sandbox.api.connections.length, 2);
});

for (const value of ["chunked,", ",chunked", ", chunked ,, ", "\t, CHUNKED"]) {
  test(`Transfer-Encoding ${JSON.stringify(value)} is chunked: the empty members of a list do not count`, async () => {
    await using sandbox = await Sandbox.start("echo");
    await echoes(sandbox, [head(`Transfer-Encoding: ${value}\r\n`) + "2\r\n{}\r\n0\r\n\r\n"], Buffer.from("{}"));
    assert.equal(sandbox.api.connections.length, 1);
  });
}

/** Field lines that fill a header section to its limit, 64 KiB with what every event has. */
const filling = (line: string) => line.repeat(Math.floor((65_536 - 200) / line.length));

for (const [kind, fields] of [
  ["10,000 field lines without a value", filling("a:\r\n")],
  ["10,000 field lines of three letters", filling("a: b\r\n")],
  ["white space", filling(`a:${" \t".repeat(100)}\r\n`)],
  ["one field line", `a: ${"b".repeat(65_000)}\r\n`],
  ["one field name", `${"a".repeat(65_000)}: b\r\n`],
  ["names that nearly frame it", filling("content-lengt: 1\r\ntransfer-encodin: x\r\nconnectio: close\r\n")],
] as const) {
  test(`64 KiB of ${kind} in the header section are served over the same connection, whatever the framing`, async () => {
    await using sandbox = await Sandbox.start("echo");
    for (const order of [`Content-Length: 2\r\n${fields}`, `${fields}Content-Length: 2\r\n`]) {
      const bytes = head(order) + "{}";
      await echoes(sandbox, [bytes], Buffer.from("{}"));
      await echoes(sandbox, [bytes.slice(0, 40_000), bytes.slice(40_000)], Buffer.from("{}"));
    }
    await echoes(
      sandbox,
      [head(`${fields}Transfer-Encoding: chunked\r\n`) + "2\r\n{}\r\n0\r\n\r\n"],
      Buffer.from("{}"),
    );
    await echoes(
      sandbox,
      [head("Transfer-Encoding: chunked\r\n") + `2\r\n{}\r\n0\r\n${fields}\r\n`],
      Buffer.from("{}"),
    );
    assert.equal(sandbox.api.connections.length, 1);
  });
}

for (const pieces of [1, 2]) {
  test(`a header section of 64 KiB is served, and one of a byte more is refused (in ${pieces} pieces)`, async () => {
    await using sandbox = await Sandbox.start("echo");
    const ofLength = (length: number) => {
      const room = length - event({ id: "1", body: "", headers: { X: "" } }).length;
      const bytes = event({ id: "1", body: "", headers: { X: "x".repeat(room) } });
      return pieces === 1 ? [bytes] : [bytes.subarray(0, 100), bytes.subarray(100)];
    };
    await (await sandbox.api.request("GET", "/invocation/next")).send(...ofLength(65_536));
    await (await sandbox.api.request("POST", "/invocation/1/response")).send(accepted);
    await (await sandbox.api.request("GET", "/invocation/next")).send(...ofLength(65_537));
    assert.match((await sandbox.exited).stderr, /header section of more than 65536 bytes/);
  });
}

test("a connection of HTTP/1.0 that is kept alive is used again", async () => {
  await using sandbox = await Sandbox.start("echo");
  const fields = "Connection: Keep-Alive\r\nContent-Length: 2\r\n";
  await echoes(sandbox, [head(fields).replace("1.1", "1.0") + "{}"], Buffer.from("{}"));
  assert.equal(sandbox.api.connections.length, 1);
});

test("a connection is not used again after Connection: close", async () => {
  await using sandbox = await Sandbox.start("echo");
  await echoes(sandbox, [head("Connection: x, Close\r\nContent-Length: 2\r\n") + "{}"], Buffer.from("{}"));
  assert.equal(sandbox.api.connections.length, 2);
  await sandbox.stop();
});

test("a connection is not used again after more than the response came over it", async () => {
  await using sandbox = await Sandbox.start("echo");
  await echoes(sandbox, [head("Content-Length: 2\r\n") + "{}HTTP/1.1 200 OK"], Buffer.from("{}"));
  assert.equal(sandbox.api.connections.length, 2);
});

test("204 and 304 have no body, whatever their fields say", async () => {
  await using sandbox = await Sandbox.start("echo");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1" }));
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  await reply.send("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n");
  await sandbox.stop();
  assert.equal(sandbox.api.connections.length, 1);
});

test("Transfer-Encoding goes before Content-Length, and the connection is not used again", async () => {
  await using sandbox = await Sandbox.start("echo");
  await echoes(
    sandbox,
    [head("Content-Length: 9\r\nTransfer-Encoding: chunked\r\n") + "2\r\n{}\r\n0\r\n\r\n"],
    Buffer.from("{}"),
  );
  assert.equal(sandbox.api.connections.length, 2);
});

test("a Content-Length may be repeated if it is the same", async () => {
  await using sandbox = await Sandbox.start("echo");
  await echoes(sandbox, [head("Content-Length: 2\r\nContent-Length: 2, 2\r\n") + "{}"], Buffer.from("{}"));
});

for (const [kind, cut] of [
  ["in the status line", "HTTP/1.1 2"],
  ["in the header section", "HTTP/1.1 200 OK\r\nA: b\r\n"],
  ["in a body with a Content-Length", `${head("Content-Length: 3\r\n")}{}`],
  ["in a chunk", `${head("Transfer-Encoding: chunked\r\n")}3\r\n{}`],
  ["before the last chunk", `${head("Transfer-Encoding: chunked\r\n")}2\r\n{}\r\n`],
  ["in the trailers", `${head("Transfer-Encoding: chunked\r\n")}0\r\nA: b\r\n`],
] as const) {
  test(`a response that breaks off ${kind} ends the process with a message`, () =>
    refuses(cut, /the connection was closed in the middle of a response/, true));
}

test("a body that the connection's end delimits is not whole when the connection is reset", async () => {
  await using sandbox = await Sandbox.start("echo");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(head(), "half a bo");
  await Bun.sleep(50);
  next.connection.reset();
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, /the connection broke in the middle of a response: .*ECONNRESET/);
});

for (const [kind, bytes, complaint] of [
  ["what is not HTTP", "SSH-2.0-OpenSSH_9.9\r\n\r\n", /malformed response: status line "SSH-2\.0-OpenSSH_9\.9"/],
  ["HTTP/2", "HTTP/2 200\r\n\r\n", /status line "HTTP\/2 200"/],
  [
    "a name of the protocol in lower case",
    head("Content-Length: 2\r\n").replace("HTTP", "http") + "{}",
    /status line "http\/1\.1 200 OK"/,
  ],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", /status line/],
  ["a byte order mark", `\ufeff${head("Content-Length: 0\r\n")}`, /status line/],
  [
    "a bare LF after the status line",
    "HTTP/1.1 200 OK\nA: b\r\n\r\n",
    /a line feed without carriage return in the header section/,
  ],
  [
    "a bare LF in the header section",
    head("A: b\nC: d\r\n"),
    /a line feed without carriage return in the header section/,
  ],
  ["a bare CR in a field value", head("A: b\rC: d\r\n"), /field line "A: b\\rC: d"/],
  ["a NUL in a field value", head("A: b\0\r\n"), /field line "A: b\\u0000"/],
  ["white space before the colon", head("Content-Length : 2\r\n"), /field line "Content-Length : 2"/],
  ["a folded field line", head("A: b\r\n c\r\n"), /field line " c"/],
  ["a field line without a colon", head("Content-Length\r\n"), /field line "Content-Length"/],
  ["a field line without a name", head(": b\r\n"), /field line ": b"/],
  ["two different lengths", head("Content-Length: 2\r\nContent-Length: 3\r\n"), /Content-Length "2,3"/],
  ["a negative length", head("Content-Length: -1\r\n"), /Content-Length "-1"/],
  ["a signed length", head("Content-Length: +2\r\n"), /Content-Length "\+2"/],
  ["a hexadecimal length", head("Content-Length: 0x2\r\n"), /Content-Length "0x2"/],
  ["an empty length", head("Content-Length:\r\n"), /Content-Length ""/],
  ["a length over 64 MiB", head(`Content-Length: ${(64 << 20) + 1}\r\n`), /Content-Length "67108865"/],
  ["a length over 2^53", head("Content-Length: 9007199254740993\r\n"), /Content-Length "9007199254740993"/],
  ["a transfer coding that is not chunked", head("Transfer-Encoding: gzip\r\n"), /Transfer-Encoding "gzip"/],
  ["a second transfer coding", head("Transfer-Encoding: gzip, chunked\r\n"), /Transfer-Encoding "gzip,chunked"/],
  [
    "chunked twice",
    head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    /Transfer-Encoding "chunked,chunked"/,
  ],
  ["a chunk size that is not hexadecimal", `${head("Transfer-Encoding: chunked\r\n")}g\r\n`, /chunk-size line "g"/],
  ["a negative chunk size", `${head("Transfer-Encoding: chunked\r\n")}-1\r\n`, /chunk-size line "-1"/],
  ["an empty chunk size", `${head("Transfer-Encoding: chunked\r\n")}\r\n`, /chunk-size line ""/],
  [
    "a chunk of more than 64 MiB",
    `${head("Transfer-Encoding: chunked\r\n")}4000001\r\n`,
    /a body of more than 67108864 bytes/,
  ],
  [
    "chunks of more than 64 MiB together",
    `${head("Transfer-Encoding: chunked\r\n")}1\r\n{\r\n4000000\r\n`,
    /a body of more than 67108864 bytes/,
  ],
  [
    "a body of more than 64 MiB that the connection would end",
    Buffer.concat([Buffer.from(head()), Buffer.alloc((64 << 20) + 1)]),
    /a body of more than 67108864 bytes/,
  ],
  [
    "a chunk size over 2^53",
    `${head("Transfer-Encoding: chunked\r\n")}20000000000001\r\n`,
    /a body of more than 67108864 bytes/,
  ],
  [
    "a chunk that is longer than its size",
    `${head("Transfer-Encoding: chunked\r\n")}1\r\n{}\r\n0\r\n\r\n`,
    /no line end after a chunk of 1 bytes/,
  ],
  [
    "a chunk that ends in a CR alone",
    `${head("Transfer-Encoding: chunked\r\n")}2\r\n{}\rx0\r\n\r\n`,
    /no line end after a chunk of 2 bytes/,
  ],
  [
    "a bare CR in a chunk extension",
    `${head("Transfer-Encoding: chunked\r\n")}2;a\rb\r\n{}\r\n0\r\n\r\n`,
    /chunk-size line "2;a\\rb"/,
  ],
  ["a NUL in a trailer", `${head("Transfer-Encoding: chunked\r\n")}0\r\nA: \0\r\n\r\n`, /field line "A: \\u0000"/],
  ["a field line of one letter", head("x\r\n"), /field line "x"/],
  ["a tab after the status", "HTTP/1.1 200\t\r\n\r\n", /status line "HTTP\/1\.1 200\\t"/],
  [
    "a bare LF after a chunk size",
    `${head("Transfer-Encoding: chunked\r\n")}2\n{}\r\n0\r\n\r\n`,
    /a line feed without carriage return in the chunk-size line/,
  ],
  [
    "a header section without end",
    `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(20_000)}`,
    /header section of more than 65536 bytes/,
  ],
  ["a field line without end", `HTTP/1.1 200 OK\r\n${"A".repeat(100_000)}`, /header section of more than 65536 bytes/],
  [
    "a chunk-size line without end",
    `${head("Transfer-Encoding: chunked\r\n")}1;${"x".repeat(5_000)}`,
    /chunk-size line of more than 4096 bytes/,
  ],
  [
    "trailers without end",
    `${head("Transfer-Encoding: chunked\r\n")}0\r\n${"A: b\r\n".repeat(20_000)}`,
    /trailer section of more than 65536 bytes/,
  ],
  ["64 KiB of field lines of which the last is none", head(`${"a:\r\n".repeat(16_000)}b\r\n`), /field line "b"/],
  [
    "another protocol",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    /malformed response: 101: nobody asked for another protocol/,
  ],
  ["no member in its transfer coding", head("Transfer-Encoding: ,\r\n"), /Transfer-Encoding ","/],
  ["interim responses without end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000), /more than 100 interim responses/],
] as const) {
  test(`a response with ${kind} ends the process with a message`, () => refuses(bytes, complaint));
}

test("an emulator is found by host name", async () => {
  await using api = await RuntimeApi.start();
  await using sandbox = await Sandbox.start("echo", { AWS_LAMBDA_RUNTIME_API: `localhost:${api.port}` }, api);
  const next = await api.request("GET", "/invocation/next");
  assert.equal(next.headers.get("host"), `localhost:${api.port}`);
  await next.send(event({ id: "1", body: "abc" }));
  assert.equal((await api.request("POST", "/invocation/1/response")).body.toString(), "abc");
  assert.equal(sandbox.process.exitCode, null);
});

test("an emulator is found by IPv6 address in brackets", async () => {
  await using api = await RuntimeApi.start("::1");
  await using sandbox = await Sandbox.start("echo", {}, api);
  const reply = await sandbox.invoke({ id: "1", body: "abc" });
  assert.equal(reply.body.toString(), "abc");
  assert.equal(reply.headers.get("host"), `[::1]:${api.port}`);
});

test("a Runtime API that nobody serves ends the process with its host and port", async () => {
  let address: string;
  {
    await using api = await RuntimeApi.start();
    address = api.address;
  }
  await using sandbox = await Sandbox.start("echo", { AWS_LAMBDA_RUNTIME_API: address });
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`^\\S+\\t\\tFATAL\\tcannot connect to ${address}: .*\\(ECONNREFUSED\\)\n$`));
});

for (const address of [
  "127.0.0.1:0",
  "127.0.0.1:70000",
  "http://127.0.0.1:9001",
  "127.0.0.1:",
  ":9001",
  "127.0.0.1",
  "::1:9001",
  "127.0.0.1:80.5",
  "127.0.0.1:0x50",
]) {
  test(`an address of ${address} ends the process with a message`, async () => {
    await using sandbox = await Sandbox.start("echo", { AWS_LAMBDA_RUNTIME_API: address });
    const { status, stderr } = await sandbox.exited;
    assert.equal(status, 1);
    assert.ok(stderr.endsWith(`"${address}" is not host:port\n`), stderr);
  });
}

test("the raw handler gets the field lines as they were received, without status line and empty line", async () => {
  const fields = "LAMBDA-runtime-aws-REQUEST-id:  1 \r\nX-Latin: \xe9\r\nx-utf8: é\r\nX-Empty:\r\nX-Empty:again\r\n";
  const bytes = Buffer.concat([
    Buffer.from(fields.replace("é", ""), "latin1"), // a byte that is not UTF-8, too
    Buffer.from("Transfer-Encoding: chunked\r\n"),
  ]);
  await using sandbox = await Sandbox.start("headers");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(
    Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\n"), bytes, Buffer.from("\r\n"), chunks(everyByte, 100)]),
  );
  const reply = await sandbox.api.request("POST", "/invocation/1/response");
  assert.ok(reply.body.equals(bytes), JSON.stringify(reply.body.toString("latin1")));
});

test("the memory of a body is never used again", async () => {
  await using sandbox = await Sandbox.start("keep");
  const first = await sandbox.invoke({ id: "1", body: "the first body" });
  assert.equal(first.body.toString(), "the first body");
  for (let id = 2; id < 50; id++) {
    const reply = await sandbox.invoke({ id: String(id), body: "another body!!" });
    assert.equal(reply.body.toString(), "the first body");
  }
});

test("a response that comes before the request is sent counts, and the next request goes over a new connection", async () => {
  await using sandbox = await Sandbox.start("size");
  const next = await sandbox.api.request("GET", "/invocation/next");
  next.connection.pause();
  await next.send(event({ id: "1", body: String(64 << 20) }));
  await next.send("", answer(413));
  const again = await sandbox.api.request("GET", "/invocation/next");
  assert.notEqual(again.connection, next.connection);
  await again.send(answer(410));
  const { status, stderr } = await sandbox.exited;
  assert.equal(status, 0);
  assert.match(stderr, /\t1\tERROR\tthe reply of 67108864 bytes is too large/);
});

test("an event without a request id ends the process with a message", () =>
  refuses(
    response(200, {
      ...eventHeaders({ headers: { "Lambda-Runtime-Aws-Request-Id": undefined } }),
      "Content-Length": "0",
    }),
    /no request id/,
  ));
