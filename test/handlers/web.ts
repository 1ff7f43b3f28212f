import { http, run } from "../../runtime.ts";

const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** What a proxy must not forward (RFC 9110, 7.6.1), in part named by `Connection` alone. */
const connectionFields = {
  Connection: "keep-alive, X-Hop",
  "Keep-Alive": "timeout=5",
  "Proxy-Connection": "close",
  TE: "trailers",
  "Transfer-Encoding": "chunked",
  Upgrade: "h2c",
  "X-Hop": "1",
};

const routes: Record<string, (request: Request) => Response | Promise<Response>> = {
  "/cookies": () =>
    new Response("two cookies", {
      headers: [
        ["set-cookie", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
        ["set-cookie", "b=2"],
        ["x-list", "1"],
        ["x-list", "2"],
      ],
    }),
  "/binary": () => new Response(everyByte, { headers: { "content-type": "image/png" } }),
  "/untyped": () => new Response(everyByte),
  "/json": () => Response.json({ text: "é" }),
  "/compressed": () =>
    new Response(Bun.gzipSync("text"), { headers: { "content-type": "text/plain", "content-encoding": "gzip" } }),
  "/latin1": () => new Response(Uint8Array.of(0xe9), { headers: { "content-type": "text/plain; charset=iso-8859-1" } }),
  "/bom": () => new Response("\ufefftext"),
  "/typed": async (request) => {
    const fields = new URL(request.url).searchParams;
    return new Response(await request.bytes(), { headers: [...fields] });
  },
  "/created": () => new Response(null, { status: 201, statusText: "Created", headers: { location: "/1" } }),
  "/204": () => new Response(null, { status: 204 }),
  "/304": () => new Response(null, { status: 304, headers: { etag: '"1"' } }),
  "/throw": () => {
    throw new RangeError("in fetch");
  },
  "/clone": (request) => Response.json({ clone: request.clone().method, cloneOfClone: request.clone().clone().method }),
  "/fields": () => new Response("text", { headers: { ...connectionFields, "x-other": "1" } }),
  "/signal": async ({ signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return new Response(signal.reason.name);
  },
};

/** What the handler sees of a request. */
async function describe(request: Request): Promise<Response> {
  const body = Buffer.from(await request.arrayBuffer()).toString("latin1");
  return Response.json({ method: request.method, url: request.url, headers: [...request.headers], body });
}

run(http((request) => (routes[new URL(request.url).pathname] ?? describe)(request)));
