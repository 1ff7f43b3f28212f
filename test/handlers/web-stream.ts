import { http, run } from "../../runtime.ts";

function events(): ReadableStream<Uint8Array> {
  let id = 0;
  return new ReadableStream({
    async pull(controller) {
      await Bun.sleep(150);
      controller.enqueue(new TextEncoder().encode(`data: ${++id}\n\n`));
      if (id === 3) controller.close();
    },
  });
}

function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(1000)),
    cancel: () => console.log("cancelled"),
  });
}

const routes: Record<string, () => Response> = {
  "/events": () => new Response(events(), { headers: { "content-type": "text/event-stream" } }),
  "/empty": () => new Response(null, { status: 204 }),
  "/head": () => new Response("a body that HEAD does not get"),
  "/cookies": () =>
    new Response("text", {
      status: 201,
      headers: [
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ],
    }),
  "/fields": () =>
    new Response("text", { headers: { connection: "close, x-hop", te: "trailers", "x-hop": "1", "x-other": "1" } }),
  "/endless": () => new Response(endless()),
  "/throw": () => {
    throw new RangeError("in fetch");
  },
};

run(
  http((request) => routes[new URL(request.url).pathname]?.() ?? new Response("not found", { status: 404 }), {
    streaming: true,
  }),
);
