/** http(fetch): web requests out of the events of each kind, and web responses back in the shape that each expects. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { accepted, event } from "./runtime-api.ts";
import { executable, runLocally, Sandbox } from "./sandbox.ts";
import {
  alb,
  albMultiValue,
  functionUrl,
  httpApi,
  lattice,
  notRequests,
  restApi,
  sourceIp,
  type WebEvent,
} from "./web-events.ts";

const kinds = { functionUrl, httpApi, restApi, alb, albMultiValue, lattice };

interface Seen {
  method: string;
  url: string;
  headers: [string, string][];
  body: string;
}

/** Sends an event and returns the result, parsed. */
async function result(sandbox: Sandbox, webEvent: WebEvent) {
  const reply = await sandbox.invoke({ body: JSON.stringify(webEvent) });
  return JSON.parse(reply.body.toString());
}

/** Sends an event, and returns what was posted for it, parsed: a result, or the report of an error. */
async function posted(sandbox: Sandbox, webEvent: unknown) {
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ body: typeof webEvent === "string" ? webEvent : JSON.stringify(webEvent) }));
  const answer = await sandbox.api.anyRequest();
  await answer.send(accepted);
  return JSON.parse(answer.body.toString());
}

/** What the handler saw of the request. */
async function seen(
  sandbox: Sandbox,
  webEvent: WebEvent,
): Promise<Seen & { header(name: string): string | undefined }> {
  const { statusCode, body } = await result(sandbox, webEvent);
  assert.equal(statusCode, 200, body);
  const request: Seen = JSON.parse(body);
  return { ...request, header: (name) => request.headers.find(([other]) => other === name)?.[1] };
}

test("method, path and query string are those that the client sent, whatever the event", async () => {
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    const request = await seen(
      sandbox,
      make({
        method: "DELETE",
        path: "/a%2Fb/c",
        query: [
          ["q", "x y"],
          ["q", "z&=%"],
          ["empty", ""],
        ],
      }),
    );
    assert.equal(request.method, "DELETE", kind);
    const { host, pathname, searchParams, protocol } = new URL(request.url);
    assert.equal(protocol, "https:", kind);
    assert.equal(host, "example.com", kind);
    assert.equal(pathname, "/a%2Fb/c", kind);
    if (kind === "alb")
      assert.deepEqual(
        [...searchParams],
        [
          ["q", "z&=%"],
          ["empty", ""],
        ],
        "it keeps the last value of each name",
      );
    else
      assert.deepEqual(
        [...searchParams],
        [
          ["q", "x y"],
          ["q", "z&=%"],
          ["empty", ""],
        ],
        kind,
      );
  }
});

test("scheme and host are those of the event", async () => {
  await using sandbox = await Sandbox.start("web");
  const withHeaders = async (make: typeof alb, headers: Record<string, string>) =>
    (await seen(sandbox, { ...make({ path: "/p" }), headers })).url;
  assert.equal(
    await withHeaders(alb, { host: "internal.example:8080", "x-forwarded-proto": "http" }),
    "http://internal.example:8080/p",
  );
  assert.equal(await withHeaders(functionUrl, {}), "https://id.lambda-url.us-west-2.on.aws/p");
});

test("of VPC Lattice the query is that of the path, and without one the parameters", async () => {
  await using sandbox = await Sandbox.start("web");
  const { url } = await seen(sandbox, {
    ...lattice({ path: "/a%20b" }),
    path: "/a%20b?x=%2B&y=?&x",
    queryStringParameters: { x: ["+", ""], y: ["?"] },
  });
  assert.equal(url, "https://example.com/a%20b?x=%2B&y=?&x");
  const documented = await seen(sandbox, {
    ...lattice({ path: "/" }),
    queryStringParameters: { x: ["a b", "&"], y: ["=#"] },
  });
  assert.equal(documented.url, "https://example.com/?x=a%20b&x=%26&y=%3D%23");
});

test("empty multi-value members and null values are as if they were not there", async () => {
  await using sandbox = await Sandbox.start("web");
  const { url, header } = await seen(sandbox, {
    ...restApi({ path: "/p", query: [["a", "1"]], headers: [["x-one", "1"]] }),
    multiValueHeaders: {},
    multiValueQueryStringParameters: { a: [null] },
  });
  assert.equal(header("x-one"), "1");
  assert.equal(url, "https://example.com/p?a=");
});

/** The members of an event and of the objects in it, each by the names that lead to it. */
function members(value: unknown, path: string[] = []): string[][] {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isRecord || path.length > 2) return [];
  return Object.entries(value).flatMap(([name, inner]) => [[...path, name], ...members(inner, [...path, name])]);
}

/** A copy of an event, in which a member has another value, or, with undefined, is missing. */
function withMember(event: WebEvent, [name = "", ...rest]: string[], value: unknown): WebEvent {
  return { ...event, [name]: rest.length > 0 ? withMember(event[name] as WebEvent, rest, value) : value };
}

test("a member of an event that is null is as if it were missing, whichever it is", async () => {
  await using sandbox = await Sandbox.start("web");
  /** The reply, or the error without what names the member. */
  async function reply(webEvent: WebEvent) {
    const { errorType, errorMessage, ...result } = await posted(sandbox, webEvent);
    return errorType ? [errorType, errorMessage.replace(/, and got .*|null|undefined/, "")] : result;
  }
  const query: [string, string][] = [["a", "1"]];
  for (const [kind, make] of Object.entries(kinds)) {
    const webEvent = make({ method: "POST", query, cookies: ["a=1"], body: Buffer.from("body") });
    const isParameter = ([parent = "", name]: string[]) => parent.endsWith("ueryStringParameters") && name; // ?a
    const paths = [...members(webEvent).filter((path) => !isParameter(path)), ["cookies"], ["rawQueryString"]];
    assert.ok(paths.length > 10, kind);
    for (const path of paths) {
      const withNull = await reply(withMember(webEvent, path, null));
      assert.deepEqual(withNull, await reply(withMember(webEvent, path, undefined)), `${kind}: ${path.join(".")}`);
    }
  }
});

const spellings: ((name: string) => string)[] = [
  (name) => name.toLowerCase(),
  (name) => name.toUpperCase(),
  (name) => name.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase()),
];

test("names of header fields mean the same in any case, also where two members of an event have them", async () => {
  await using sandbox = await Sandbox.start("web");
  const respell = (fields: unknown, spell: (name: string) => string) =>
    fields && Object.fromEntries(Object.entries(fields).map(([name, value]) => [spell(name), value]));
  for (const [kind, make] of Object.entries(kinds)) {
    const webEvent = make({ headers: [["content-type", "text/plain"]], cookies: ["a=1", "b=2"] });
    const fields = (webEvent.headers ?? webEvent.multiValueHeaders) as Record<string, string | string[]>;
    const expected = await seen(sandbox, webEvent);
    assert.equal(expected.url, "https://example.com/", kind);
    for (const spellOne of spellings) {
      for (const spellOther of spellings) {
        const isOfTwo = kind === "restApi" || kind.startsWith("alb");
        const others = { ...fields, ...(webEvent.cookies ? { cookie: "a=1; b=2" } : {}) };
        const headers = respell(isOfTwo ? { ...fields, host: "other.example" } : others, spellOne);
        const lists = Object.entries(fields).map(([name, value]) => [spellOther(name), [value].flat()]);
        const respelled = { ...webEvent, headers, ...(isOfTwo && { multiValueHeaders: Object.fromEntries(lists) }) };
        const request = await seen(sandbox, respelled);
        assert.deepEqual([request.url, request.headers], [expected.url, expected.headers], kind);
      }
    }
  }
});

test("a % in a path that is no escape is encoded, and one that is stays", async () => {
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    for (const [path, expected] of [
      ["/100%", "/100%25"],
      ["/%zz", "/%25zz"],
      ["/%2", "/%252"],
      ["/%%41%", "/%25%41%25"],
      ["/%2F%c3%BC", "/%2F%c3%BC"],
    ] as const) {
      const { pathname } = new URL((await seen(sandbox, make({ path }))).url);
      assert.deepEqual([pathname, typeof decodeURIComponent(pathname)], [expected, "string"], kind);
    }
  }
});

test("a raw query string is kept to the letter", async () => {
  await using sandbox = await Sandbox.start("web");
  const request = await seen(sandbox, { ...functionUrl({}), rawQueryString: "a=%20&b=+&c&&d=%C3%A9" });
  assert.ok(request.url.endsWith("/?a=%20&b=+&c&&d=%C3%A9"), request.url);
});

test("header fields and cookies come in, repeated ones too", async () => {
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    const request = await seen(
      sandbox,
      make({
        headers: [
          ["x-one", "1"],
          ["x-list", "a"],
          ["x-list", "b, c"],
        ],
        cookies: ["a=1", "b=2"],
      }),
    );
    assert.equal(request.header("x-one"), "1", kind);
    assert.equal(
      request.header("x-list"),
      kind === "alb" ? "b, c" : kind === "functionUrl" || kind === "httpApi" ? "a,b, c" : "a, b, c",
      kind,
    );
    assert.equal(request.header("cookie"), "a=1; b=2", kind);
  }
});

test("a header value beyond Latin-1 comes in as the bytes of its UTF-8", async () => {
  await using sandbox = await Sandbox.start("web");
  const request = await seen(sandbox, functionUrl({ headers: [["x-name", "☃"]] }));
  assert.equal(Buffer.from(request.header("x-name") ?? "", "latin1").toString("utf8"), "☃");
});

test("a body comes in as text or out of base64, bit by bit, and not at all with GET and HEAD", async () => {
  const everyByte = Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    assert.equal(
      (await seen(sandbox, make({ method: "POST", body: "grün" }))).body,
      Buffer.from("grün").toString("latin1"),
      kind,
    );
    assert.equal(
      (await seen(sandbox, make({ method: "PUT", body: everyByte }))).body,
      everyByte.toString("latin1"),
      kind,
    );
    assert.equal((await seen(sandbox, make({ method: "POST" }))).body, "", kind);
    assert.equal((await seen(sandbox, make({ method: "GET", body: "ignored" }))).body, "", kind);
  }
});

test("a response goes out with status, header fields and cookies in the shape of its event", async () => {
  await using sandbox = await Sandbox.start("web");
  const cookies = ["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=2"];
  const headers = { "x-list": "1, 2", "content-type": "text/plain;charset=utf-8" };
  const multiValueHeaders = { "content-type": ["text/plain;charset=utf-8"], "x-list": ["1, 2"], "set-cookie": cookies };
  const rest = { statusCode: 200, body: "two cookies", isBase64Encoded: false };
  const path = "/cookies";
  assert.deepEqual(await result(sandbox, functionUrl({ path })), { ...rest, headers, cookies });
  assert.deepEqual(await result(sandbox, httpApi({ path })), { ...rest, headers, cookies });
  assert.deepEqual(await result(sandbox, restApi({ path })), { ...rest, multiValueHeaders });
  assert.deepEqual(await result(sandbox, albMultiValue({ path })), { ...rest, multiValueHeaders });
  assert.deepEqual(await result(sandbox, lattice({ path })), {
    ...rest,
    headers: { ...headers, "set-cookie": cookies },
  });
  assert.deepEqual(await result(sandbox, alb({ path })), {
    ...rest,
    headers: { ...headers, "set-cookie": cookies[0] },
  });
  const { stderr } = await sandbox.stop();
  assert.match(stderr, /^\S+\t\tWARN\t1 of the set-cookie fields are lost: [^\n]*\n$/);
});

test("the status description of a load balancer is that of the response, and no other kind has one", async () => {
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    const { statusDescription } = await result(sandbox, make({ path: "/created" }));
    assert.equal(statusDescription, kind.startsWith("alb") ? "201 Created" : undefined, kind);
  }
});

test("fields that are about one connection do not go out", async () => {
  await using sandbox = await Sandbox.start("web");
  for (const [kind, make] of Object.entries(kinds)) {
    const { headers, multiValueHeaders } = await result(sandbox, make({ path: "/fields" }));
    const names = Object.keys({ ...headers, ...multiValueHeaders });
    assert.deepEqual(names.sort(), ["content-type", "x-other"], kind);
  }
});

for (const [path, body, isBase64Encoded] of [
  ["/json", '{"text":"é"}', false],
  ["/bom", "\ufefftext", false],
  ["/binary", Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte)).toString("base64"), true],
  ["/untyped", Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte)).toString("base64"), true],
  ["/latin1", "6Q==", true],
  ["/created", "", false],
  ["/204", "", false],
  ["/304", "", false],
] as const) {
  test(`a body goes out as text or in base64, by its type: ${path}`, async () => {
    await using sandbox = await Sandbox.start("web");
    for (const [kind, make] of Object.entries(kinds)) {
      const answer = await result(sandbox, make({ path }));
      assert.deepEqual([answer.body, answer.isBase64Encoded], [body, isBase64Encoded], kind);
      if (/^\/\d/.test(path)) assert.equal(answer.statusCode, Number(path.slice(1)));
    }
  });
}

const textTypes = [
  ...["text/csv", "text/event-stream", "image/svg+xml", "multipart/form-data; boundary=zip", "x-own/type", "text"],
  ...[
    "yaml",
    "x-ndjson",
    "toml",
    "sql",
    "jwt",
    "ld+json",
    "atom+xml",
    "javascript",
    "x-www-form-urlencoded",
    "graphql",
  ].map((subtype) => `application/${subtype}`),
];
const binaryTypes = [
  ...["image/png", "audio/mpeg", "video/mp4", "font/woff2"],
  ...[
    "octet-stream",
    "zip",
    "gzip",
    "zstd",
    "pdf",
    "wasm",
    "epub+zip",
    "x-tar",
    "x-protobuf",
    "cbor",
    "grpc-web+proto",
  ].map((subtype) => `application/${subtype}`),
];

for (const [what, isText, types, body, coding] of [
  ["UTF-8 of a type that is not binary", true, textTypes, Buffer.from("grün\0"), ""],
  ["UTF-8 with the coding identity", true, ["text/plain"], Buffer.from("text"), "Identity"],
  ["UTF-8 of a binary type", false, [...binaryTypes, "Image/PNG", "application/pdf; a=b"], Buffer.from("text"), ""],
  ["UTF-8 with a content coding", false, ["text/plain"], Buffer.from("text"), "br"],
  ["a body that is not UTF-8, of any type", false, [...textTypes, ...binaryTypes], Buffer.of(0x61, 0xff), ""],
] as const) {
  test(`${what} goes out as ${isText ? "text" : "base64"}`, async () => {
    await using sandbox = await Sandbox.start("web");
    for (const [kind, make] of Object.entries(kinds)) {
      for (const type of types) {
        const query: [string, string][] = [
          ["content-type", type],
          ...(coding ? [["content-encoding", coding] as [string, string]] : []),
        ];
        const answer = await result(sandbox, make({ method: "POST", path: "/typed", query, body: Buffer.from(body) }));
        const expected = [body.toString(isText ? "utf8" : "base64"), !isText];
        assert.deepEqual([answer.body, answer.isBase64Encoded], expected, `${kind}: ${type}`);
      }
    }
  });
}

test("text that is compressed goes out in base64", async () => {
  await using sandbox = await Sandbox.start("web");
  const { body, isBase64Encoded } = await result(sandbox, functionUrl({ path: "/compressed" }));
  assert.equal(isBase64Encoded, true);
  assert.equal(new TextDecoder().decode(Bun.gunzipSync(Buffer.from(body, "base64"))), "text");
});

for (const [how, log] of [
  ["cancel-gives-nothing", /^$/],
  ["cancel-throws", /\tERROR\tRangeError: thrown by cancel/],
] as const) {
  for (const handler of ["buffered", "streaming"]) {
    test(`a HEAD is answered, whatever the body is cancelled by (${how}, ${handler})`, async () => {
      await using sandbox = await Sandbox.start("web-answers", { _HANDLER: handler });
      await sandbox.invoke({ body: JSON.stringify(functionUrl({ method: "HEAD", path: `/${how}` })) });
      assert.match((await sandbox.stop()).stderr, log);
    });
  }
}

test("the response to HEAD has the fields of its body, and no body", async () => {
  await using sandbox = await Sandbox.start("web");
  const answer = await result(sandbox, functionUrl({ method: "HEAD", path: "/json" }));
  assert.equal(answer.body, "");
  assert.match(answer.headers["content-type"], /^application\/json/);
});

test("request.signal fires shortly before the deadline", async () => {
  await using sandbox = await Sandbox.start("web");
  const reply = await sandbox.invoke({
    body: JSON.stringify(functionUrl({ path: "/signal" })),
    headers: { "Lambda-Runtime-Deadline-Ms": String(Date.now() + 250) },
  });
  assert.equal(JSON.parse(reply.body.toString()).body, "TimeoutError");
});

test("what fetch throws is an error of the invocation", async () => {
  await using sandbox = await Sandbox.start("web");
  const report = await sandbox.invoke({ body: JSON.stringify(functionUrl({ path: "/throw" })), expect: "error" });
  assert.equal(report.headers.get("lambda-runtime-function-error-type"), "Function.RangeError");
});

test("fetch gets the event and the context, by the names that Hono's adapter for Lambda gives them", async () => {
  await using sandbox = await Sandbox.start("web-env");
  for (const [kind, make] of Object.entries(kinds)) {
    const event = make({ path: "/p", query: [["q", "1"]], cookies: ["a=1"] });
    const reply = await sandbox.invoke({ id: kind, body: JSON.stringify(event) });
    const { body } = JSON.parse(reply.body.toString());
    assert.deepEqual(JSON.parse(body), { event, requestContext: event.requestContext, id: kind, isSame: true }, kind);
  }
});

const refused = (received: string) =>
  "http expects that of a function URL, API Gateway (version 1.0 or 2.0), an Application Load Balancer, " +
  `or VPC Lattice (version 2.0), and got ${received}`;
const url = functionUrl({ path: "/p" });
const domain = "https://id.lambda-url.us-west-2.on.aws";
const withMethod = (method: unknown, body?: string) => ({
  ...url,
  ...(body ? { body } : {}),
  requestContext: { http: { method } },
});
const withHeaders = (headers: unknown) => ({ ...url, headers });

/** What a client may send, and what whoever may invoke the function can make up: what the handler sees, or the error. */
const hostile: [name: string, event: unknown, seen: Partial<Seen> | { error: string }][] = [
  // Paths
  [
    "a # that was %23",
    { ...url, rawPath: "/orders#", rawQueryString: "x=1" },
    { url: "https://example.com/orders%23?x=1" },
  ],
  [
    "a ? that was %3F",
    { ...url, rawPath: "/orders?admin", rawQueryString: "x=1" },
    { url: "https://example.com/orders%3Fadmin?x=1" },
  ],
  ["a \\ that was %5C", { ...url, rawPath: "/public\\..\\admin" }, { url: "https://example.com/public%5C..%5Cadmin" }],
  ["white space that a URL drops", { ...url, rawPath: "/a\tb\n " }, { url: "https://example.com/a%09b%0A%20" }],
  ["what is still encoded", { ...url, rawPath: "/%2F%3f%23%25" }, { url: "https://example.com/%2F%3f%23%25" }],
  ["characters beyond ASCII", { ...url, rawPath: "/grün\ud800" }, { url: "https://example.com/gr%C3%BCn%EF%BF%BD" }],
  ["the path *", { ...url, rawPath: "*" }, { url: "https://example.com/*" }],
  ["a path that would move the host", { ...url, rawPath: "@evil.com/" }, { url: "https://example.com/@evil.com/" }],
  ["a path that would extend the host", { ...url, rawPath: ".evil.com/" }, { url: "https://example.com/.evil.com/" }],
  ["a path that would be a port", { ...url, rawPath: ":80/" }, { url: "https://example.com/:80/" }],
  ["a path of two slashes", { ...url, rawPath: "//evil.com/x" }, { url: "https://example.com//evil.com/x" }],
  ["an empty path", { ...url, rawPath: "" }, { url: "https://example.com/" }],
  [
    "a # in the path of a REST API",
    { ...restApi({ path: "/p" }), path: "p?#" },
    { url: "https://example.com/p%3F%23" },
  ],
  [
    "a # in the path of a load balancer",
    { ...alb({ path: "/p" }), path: "p?#" },
    { url: "https://example.com/p%3F%23" },
  ],
  [
    "a # in the path of VPC Lattice",
    { ...lattice({ path: "/p" }), path: "p#?#" },
    { url: "https://example.com/p%23?%23" },
  ],
  ["no path", { ...url, rawPath: undefined }, { error: "its path is undefined, not a string" }],
  // Queries
  ["a # in the query", { ...url, rawQueryString: "a=#b&c=1 " }, { url: "https://example.com/p?a=%23b&c=1%20" }],
  [
    "half a surrogate pair in the query",
    { ...restApi({ path: "/p" }), multiValueQueryStringParameters: { a: ["\ud800"] } },
    { url: "https://example.com/p?a=%EF%BF%BD" },
  ],
  [
    "a # in the query of a load balancer",
    { ...alb({ path: "/p" }), queryStringParameters: { a: "#b" } },
    { url: "https://example.com/p?a=%23b" },
  ],
  // Hosts
  ...[
    "a.com/admin?",
    "a.com#",
    "user@evil.com",
    "",
    "example.com:99999",
    "256.1.1.1",
    "[:::]",
    "xn--",
    "a.com, b.com",
    "a b",
  ].map((host): (typeof hostile)[number] => [
    `the Host ${JSON.stringify(host)}`,
    withHeaders({ host }),
    { url: `${domain}/p` },
  ]),
  ["a Host that is an IPv6 address", withHeaders({ host: "[::1]:8080" }), { url: "https://[::1]:8080/p" }],
  [
    "a scheme of the client's",
    withHeaders({ host: "a.com", "x-forwarded-proto": "https,http" }),
    { url: "https://a.com/p" },
  ],
  ["no host at all", { ...alb({ path: "/p" }), headers: null }, { url: "https://localhost/p" }],
  // Methods
  ...["PROPFIND", "PURGE", "LOCK", "REPORT", "QUERY", "TRACE", "OPTIONS", "M-SEARCH"].map(
    (method): (typeof hostile)[number] => [
      `the method ${method}`,
      withMethod(method, "text"),
      { method, body: "text" },
    ],
  ),
  ...["BREW", "VIEW", "get", "Delete", "patch", "constructor", "A!#$%&'*+.^_`|~9"].map(
    (method): (typeof hostile)[number] => [
      `the method ${method}`,
      withMethod(method, "text"),
      { error: `its method is ${JSON.stringify(method)}, which Bun does not know` },
    ],
  ),
  ...["F OO", "", "GÉT", "GET\n", null, undefined, 1].map((method): (typeof hostile)[number] => [
    `the method ${JSON.stringify(method)}`,
    withMethod(method),
    { error: `its method is ${JSON.stringify(method)}, which Bun does not know` },
  ]),
  // Header fields and cookies
  [
    "a field that is named __proto__",
    JSON.stringify(url).replace('"host"', '"__proto__":"1","host"'),
    { url: "https://example.com/p" },
  ],
  [
    "cookies in fields of their own",
    { ...albMultiValue({ path: "/p" }), multiValueHeaders: { cookie: ["a=1", "b=2"] } },
    { headers: [["cookie", "a=1; b=2"]] },
  ],
  [
    "values that are no strings",
    withHeaders({ a: 1, b: null, c: ["x", {}], d: "y" }),
    {
      headers: [
        ["c", "x"],
        ["d", "y"],
      ],
    },
  ],
  [
    "names that differ only in case",
    withHeaders({ "X-A": "1", "x-a": "2", "x-A": null }),
    { headers: [["x-a", "1, 2"]] },
  ],
  [
    "fields without a value beside fields with one",
    { ...restApi({}), headers: { a: "1", b: "2", c: "3" }, multiValueHeaders: { A: [], B: null, C: [null] } },
    {
      headers: [
        ["a", "1"],
        ["b", "2"],
        ["c", "3"],
      ],
    },
  ],
  ["fields that are no object", withHeaders(null), { headers: [] }],
  ["a name that is none", withHeaders({ "a b": "x" }), { error: "Invalid header name: 'a b'" }],
  ["a line feed in a value", withHeaders({ a: "x\ny" }), { error: "Header 'a' has invalid value: 'x\ny'" }],
  ["cookies that are no list", { ...url, cookies: 1 }, { url: "https://example.com/p" }],
  // Bodies
  [
    "a body that is no string",
    { ...withMethod("POST"), body: { a: 1 } },
    { error: "its body is object, not a string" },
  ],
  ["a body that is no base64", { ...withMethod("POST"), body: "%", isBase64Encoded: true }, { error: "" }],
  // Other events
  ["the event of a queue", { Records: [] }, { error: refused("an object with Records") }],
  ["an empty object", {}, { error: refused("an object with no members") }],
  ["an empty requestContext", { requestContext: {} }, { error: refused("an object with requestContext") }],
  [
    "a requestContext that is none",
    { requestContext: 1, rawPath: "/" },
    { error: refused("an object with requestContext, rawPath") },
  ],
  ...Object.entries(notRequests).map(([name, { from, event }]): (typeof hostile)[number] => [
    name,
    event,
    { error: `it is for ${from}; serve such events with run(json(handler))` },
  ]),
  [
    "VPC Lattice's version 1",
    { raw_path: "/", method: "GET", headers: {} },
    { error: refused("an object with raw_path, method, headers") },
  ],
  ["an http that is null", { rawPath: "/", requestContext: { http: null } }, { error: "" }],
  ["a VPC Lattice event without a path", { ...lattice({}), path: null }, { error: "" }],
  ["null", null, { error: refused("null") }],
  ["a number", 1, { error: refused("number") }],
];

test("a hostile event makes the request that it is, or a Runtime.UnmarshalError, and nothing else", async () => {
  await using sandbox = await Sandbox.start("web");
  const wrong: unknown[] = [];
  for (const [name, hostileEvent, expected] of hostile) {
    const answer = await posted(sandbox, hostileEvent);
    if ("error" in expected) {
      const start = `the event is not a web request: ${expected.error}`;
      if (answer.errorType !== "Runtime.UnmarshalError" || !answer.errorMessage.startsWith(start))
        wrong.push([name, answer]);
    } else {
      const request: Seen = answer.statusCode === 200 ? JSON.parse(answer.body) : answer;
      const relevant = Object.fromEntries(Object.keys(expected).map((key) => [key, request[key as keyof Seen]]));
      if (JSON.stringify(relevant) !== JSON.stringify(expected)) wrong.push([name, answer]);
    }
  }
  assert.deepEqual(wrong, []);
});

test("a clone of a request has its method", async () => {
  await using sandbox = await Sandbox.start("web");
  for (const method of ["PROPFIND", "PUT"]) {
    const { body } = await result(sandbox, functionUrl({ method, path: "/clone" }));
    assert.deepEqual(JSON.parse(body), { clone: method, cloneOfClone: method });
  }
});

for (const mode of ["buffered", "streaming"]) {
  test(`what fetch returns that cannot be sent is an error of the invocation, never a reply (${mode})`, async () => {
    await using sandbox = await Sandbox.start("web-answers", { _HANDLER: mode });
    const used = "the body of the Response that fetch returned was already used; return a clone made before";
    for (const [path, errorType, errorMessage] of [
      ["/nothing", "Runtime.MarshalError", "fetch has returned undefined, not a Response"],
      ["/text", "Runtime.MarshalError", "fetch has returned string, not a Response"],
      ["/used", "TypeError", used],
      ["/locked", "TypeError", used],
      ["/partly-read", "TypeError", used],
      [
        "/error",
        "Runtime.MarshalError",
        "fetch has returned a Response of status 0 (Response.error), not of 200 to 599",
      ],
      [
        "/line-feed",
        "Runtime.MarshalError",
        'fetch has returned a Response with control characters in its statusText: "OK\\r\\nx: y"',
      ],
      ["/101", "Runtime.MarshalError", "fetch has returned a Response of status 101, not of 200 to 599"],
      ["/600", "Runtime.MarshalError", "fetch has returned a Response of status 600, not of 200 to 599"],
    ] as const) {
      const report = await sandbox.invoke({ body: JSON.stringify(functionUrl({ path })), expect: "error" });
      const answer = JSON.parse(report.body.toString());
      assert.deepEqual([answer.errorType, answer.errorMessage], [errorType, errorMessage], path);
    }
  });
}

for (const handler of ["json", "promised", "raw"]) {
  test(`a Response from a handler of another kind is an error that says what to do (${handler})`, async () => {
    await using sandbox = await Sandbox.start("web-answers", { _HANDLER: handler });
    for (const body of ["0", "1"]) {
      const report = await sandbox.invoke({ body, expect: "error" });
      const { errorType, errorMessage } = JSON.parse(report.body.toString());
      const remedy = "serve it with run(http(fetch)), or return await response.json()";
      assert.deepEqual([errorType, errorMessage], ["Runtime.MarshalError", `a Response was returned: ${remedy}`]);
    }
  });
}

test("in local mode a request line is an event", async () => {
  const { stdout, stderr } = await runLocally("web", ["GET /path?a=1&b"]);
  assert.equal(JSON.parse(JSON.parse(stdout || stderr).body).url, "https://localhost/path?a=1&b");
});

for (const line of ["POST /path body", "get /path", "GET path", "/path"]) {
  test(`in local mode what is nearly a request line (${line}) is answered with what one looks like`, async () => {
    const { status, stdout, stderr } = await runLocally("web", [line]);
    assert.deepEqual([status, stdout], [1, ""]);
    assert.match(
      stderr,
      /http expects 'GET \/path\?query', with the method in capitals and no body, or the whole event as a JSON object, and got /,
    );
  });
}

// ── Streaming ──

/** Splits a streamed reply into its prelude and its body. */
function parts(body: Buffer) {
  const at = body.indexOf("\0".repeat(8));
  return { prelude: JSON.parse(body.subarray(0, at).toString()), body: body.subarray(at + 8).toString() };
}

for (const [method, path, prelude, body] of [
  [
    "GET",
    "/cookies",
    { statusCode: 201, headers: { "content-type": "application/octet-stream" }, cookies: ["a=1", "b=2"] },
    "text",
  ],
  [
    "GET",
    "/fields",
    { statusCode: 200, headers: { "content-type": "application/octet-stream", "x-other": "1" }, cookies: [] },
    "text",
  ],
  ["GET", "/empty", { statusCode: 204, headers: {}, cookies: [] }, ""],
  ["HEAD", "/head", { statusCode: 200, headers: {}, cookies: [] }, ""],
] as const) {
  test(`a streamed response (${method} ${path}) is a prelude, eight NUL bytes and the body`, async () => {
    await using sandbox = await Sandbox.start("web-stream");
    const reply = await sandbox.invoke({ body: JSON.stringify(functionUrl({ method, path })) });
    assert.equal(reply.headers.get("content-type"), "application/vnd.awslambda.http-integration-response");
    assert.equal(reply.headers.get("lambda-runtime-function-response-mode"), "streaming");
    assert.deepEqual(parts(reply.body), { prelude, body });
  });
}

for (const [name, env, path] of [
  ["web-stream", {}, "/events"],
  ["hono", { _HANDLER: "streaming" }, "/events"],
] as const) {
  test(`server-sent events arrive one by one (${name})`, async () => {
    await using sandbox = await Sandbox.start(name, env);
    const next = await sandbox.api.request("GET", "/invocation/next");
    await next.send(event({ id: "1", body: JSON.stringify(functionUrl({ path })) }));
    for (let count = 1; count < 3; count++) {
      await next.connection.receives(`data: ${count}`);
      assert.ok(!next.connection.received.includes(`data: ${count + 1}`), `${count} alone`);
    }
    const reply = await sandbox.api.request("POST", "/invocation/1/response");
    assert.match(parts(reply.body).body, /^data: 1\n\ndata: 2\n\ndata: 3\n\n$/);
    const { headers } = parts(reply.body).prelude;
    assert.match(headers["content-type"], /^text\/event-stream/);
    assert.deepEqual([headers["transfer-encoding"], headers.connection], [undefined, undefined]);
    await reply.send(accepted);
    await sandbox.stop();
  });
}

test("the body of a streamed response is cancelled when the connection breaks", async () => {
  await using sandbox = await Sandbox.start("web-stream");
  const next = await sandbox.api.request("GET", "/invocation/next");
  await next.send(event({ id: "1", body: JSON.stringify(functionUrl({ path: "/endless" })) }));
  await next.connection.receives(10_000);
  next.connection.reset();
  await sandbox.invoke({ body: JSON.stringify(functionUrl({ path: "/cookies" })) });
  const { stdout, stderr } = await sandbox.stop();
  assert.match(stdout + stderr, /\tcancelled\n/);
});

test("what fetch throws is an error of the invocation when it streams, too", async () => {
  await using sandbox = await Sandbox.start("web-stream");
  await sandbox.invoke({ body: JSON.stringify(functionUrl({ path: "/throw" })), expect: "error" });
});

test("a Hono application answers with its routes, parameters, forms and cookies", async () => {
  await using sandbox = await Sandbox.start("hono", { _HANDLER: "buffered" });
  for (const make of Object.values(kinds)) {
    const hello = await result(sandbox, make({ path: "/hello/Ada", query: [["q", "1"]] }));
    assert.deepEqual(JSON.parse(hello.body), { hello: "Ada", query: "1" });
    assert.deepEqual(hello.cookies ?? hello.multiValueHeaders?.["set-cookie"] ?? [hello.headers["set-cookie"]], [
      "seen=yes; Path=/",
    ]);
    const form = await result(
      sandbox,
      make({
        method: "POST",
        path: "/form",
        headers: [["content-type", "application/x-www-form-urlencoded"]],
        body: "field=gr%C3%BCn",
      }),
    );
    assert.equal(form.body, "grün");
    assert.equal((await result(sandbox, make({ path: "/nowhere" }))).statusCode, 404);
  }
});

test("a Hono application gets what Hono's own adapter gives it, so getConnInfo knows the client", async () => {
  await using sandbox = await Sandbox.start("hono", { _HANDLER: "buffered" });
  for (const [kind, make] of Object.entries(kinds)) {
    const reply = await sandbox.invoke({ id: kind, body: JSON.stringify(make({ path: "/client" })) });
    assert.deepEqual(JSON.parse(JSON.parse(reply.body.toString()).body), { address: sourceIp, id: kind }, kind);
    const event = make({ path: "/event" });
    assert.deepEqual(JSON.parse((await result(sandbox, event)).body), event, kind);
  }
});

test("a Hono application routes a method beyond the usual ones", async () => {
  await using sandbox = await Sandbox.start("hono", { _HANDLER: "buffered" });
  for (const [kind, make] of Object.entries(kinds)) {
    assert.equal(
      (await result(sandbox, make({ method: "PROPFIND", path: "/pot", body: "coffee" }))).body,
      "PROPFIND coffee",
      kind,
    );
    assert.equal((await result(sandbox, make({ method: "GET", path: "/pot" }))).statusCode, 404, kind);
  }
});

test("an executable that imports only run contains nothing of http", () => {
  const marks = ["multiValueHeaders", "serviceArn", "multiValueQueryStringParameters", "isBase64Encoded"];
  const text = (name: string) => readFileSync(executable(name)).toString("latin1");
  const [without, withHttp] = [text("echo"), text("web")];
  for (const mark of marks) {
    assert.ok(withHttp.includes(mark), mark);
    assert.ok(!without.includes(mark), mark);
  }
  assert.ok(!withHttp.includes("x-bunstrap-request"), "nor is listen in one that imports http alone");
});
