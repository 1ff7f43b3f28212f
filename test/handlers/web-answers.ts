import { http, json, run, type RawHandler } from "../../runtime.ts";

/** What fetch may return that cannot be sent. */
const answers: Record<string, () => unknown> = {
  "/nothing": () => undefined,
  "/text": () => "text",
  "/used": async () => {
    const response = new Response("text");
    await response.text();
    return response;
  },
  "/locked": () => {
    const response = new Response("text");
    response.body?.getReader();
    return response;
  },
  "/partly-read": async () => {
    const response = new Response("text");
    const reader = response.body?.getReader();
    await reader?.read();
    reader?.releaseLock();
    return response;
  },
  "/error": () => Response.error(),
  "/101": () => new Response(null, { status: 101 }),
  "/cancel-gives-nothing": () => uncancelled(() => undefined),
  "/cancel-throws": () =>
    uncancelled(() => {
      throw new RangeError("thrown by cancel");
    }),
  "/line-feed": () => new Response("text", { statusText: "OK\r\nx: y" }),
  "/600": () => Object.defineProperty(new Response(), "status", { value: 600 }),
};

function uncancelled(cancel: () => unknown): Response {
  return new Response(Object.assign(new ReadableStream(), { cancel }) as ReadableStream);
}

const fetch = (request: Request) => answers[new URL(request.url).pathname]?.() as Response;

/** Handlers of other kinds that return a Response, with a body or without one. */
const responses = [new Response("created", { status: 201 }), new Response(null, { status: 204 })];

run({
  buffered: http(fetch),
  streaming: http(fetch, { streaming: true }),
  json: json((index: number) => responses[index]),
  promised: json(async (index: number) => responses[index]),
  raw: ((_headers: Uint8Array, body: Uint8Array) => responses[Number(Buffer.from(body))]) as RawHandler,
});
