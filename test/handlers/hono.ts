import { Hono } from "hono";
import { getConnInfo, type LambdaContext, type LambdaEvent } from "hono/aws-lambda";
import { setCookie } from "hono/cookie";
import { streamSSE } from "hono/streaming";
import { http, run } from "../../runtime.ts";

const app = new Hono<{ Bindings: { event: LambdaEvent; lambdaContext: LambdaContext } }>();
app.get("/client", (context) =>
  context.json({ ...getConnInfo(context).remote, id: context.env.lambdaContext.awsRequestId }),
);
app.get("/event", (context) => context.json(context.env.event));
app.on("PROPFIND", "/pot", async (context) =>
  context.text(`${context.req.method} ${await context.req.raw.clone().text()}`),
);
app.get("/hello/:name", (context) => {
  setCookie(context, "seen", "yes");
  return context.json({ hello: context.req.param("name"), query: context.req.query("q") });
});
app.post("/form", async (context) => context.text(String((await context.req.formData()).get("field"))));
app.get("/events", (context) =>
  streamSSE(context, async (stream) => {
    for (let id = 1; id <= 3; id++) {
      await stream.writeSSE({ data: String(id) });
      await stream.sleep(150);
    }
  }),
);

run({ buffered: http(app.fetch), streaming: http(app.fetch, { streaming: true }) });
