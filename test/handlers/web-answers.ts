import { http, run } from "../../runtime.ts";

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
  "/600": () => Object.defineProperty(new Response(), "status", { value: 600 }),
};

function uncancelled(cancel: () => unknown): Response {
  return new Response(Object.assign(new ReadableStream(), { cancel }) as ReadableStream);
}

const fetch = (request: Request) => answers[new URL(request.url).pathname]?.() as Response;

run({ buffered: http(fetch), streaming: http(fetch, { streaming: true }) });
