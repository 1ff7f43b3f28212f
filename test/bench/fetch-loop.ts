/** What one would write without a runtime: `fetch` in a loop, or in several. It posts the same fields as bunstrap. */
const invocations = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
const userAgent = { "User-Agent": "bunstrap/0.3.0" };
const headers = { ...userAgent, "Content-Type": "application/json" };

type Handler = (event: Response) => Promise<string | ArrayBuffer>;

export async function run(handler: Handler): Promise<void> {
  const concurrency = Number(process.env.AWS_LAMBDA_MAX_CONCURRENCY ?? 1);
  await Promise.all(Array.from({ length: concurrency }, () => loop(handler)));
}

async function loop(handler: Handler): Promise<never> {
  for (;;) {
    const event = await fetch(`${invocations}/next`, { headers: userAgent });
    const id = event.headers.get("Lambda-Runtime-Aws-Request-Id");
    await fetch(`${invocations}/${id}/response`, { method: "POST", headers, body: await handler(event) });
  }
}
