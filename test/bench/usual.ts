/** What functions usually do, one kind picked by `_HANDLER`: what its first events touch is in the tables of build.sh. */
import { s3 } from "bun";
import { http, json, run } from "../../runtime.ts";

run({
  wait: json(async (event: object, { awsRequestId }) => {
    await Bun.sleep(1);
    return { ...event, awsRequestId, id: crypto.randomUUID(), time: new Date().toISOString() };
  }),
  web: http(async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const body = request.body ? await request.json() : null;
    return Response.json({ pathname, name: searchParams.get("name"), agent: request.headers.get("user-agent"), body });
  }),
  stream: json(async function* (event) {
    yield JSON.stringify(event);
    await Bun.sleep(1);
    yield "end";
  }),
  log: json((event, { awsRequestId }) => {
    console.log("event", awsRequestId, event);
    console.error("a line");
    return null;
  }),
  fetch: json(async () => {
    const response = await fetch(process.env.SERVICE!, { tls: { rejectUnauthorized: false } });
    return [response.status, await response.json()];
  }),
  hash: json((event) => new Bun.CryptoHasher("sha256", "key").update(JSON.stringify(event)).digest("base64")),
  s3: json(() => s3.file("key").text()),
});
