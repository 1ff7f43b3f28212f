import { mkdtempSync, rmdirSync, watch } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { json, run } from "../../runtime.ts";

const write = (socket: Bun.Socket) => void setTimeout(() => socket.write("woken"), 300).unref();

/** TypeScript knows it from ES2024 on. */
const { waitAsync: wait } = Atomics as unknown as {
  waitAsync(array: Int32Array, index: number, value: number, timeout?: number): { value: unknown };
};
const waitAsync = (timeout?: number) => wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, timeout).value;

let resolve: (value: string) => void = () => {};

const handlers: Record<string, () => unknown> = {
  "a promise that nobody resolves": () => new Promise(() => {}),
  "a promise of an async function": async () => {
    await Promise.all([new Promise(() => {}), 1]);
  },
  "a web stream that is never filled": () =>
    new Response(new ReadableStream({ pull: () => new Promise(() => {}) })).text(),
  "Atomics.waitAsync on what nobody shares": () => waitAsync(),
  "a thenable that does nothing": () => ({ then() {} }),
  "a promise that the next invocation resolves": () => new Promise((later) => (resolve = later)),
  // These do not hold the event loop, but they do settle.
  "an unreferenced timer": () => new Promise((resolve) => setTimeout(resolve, 300, "woken").unref()),
  "AbortSignal.timeout": () =>
    new Promise((resolve) => AbortSignal.timeout(300).addEventListener("abort", () => resolve("woken"))),
  "an unreferenced child process": async () => {
    const child = Bun.spawn(["sleep", "0.3"]);
    child.unref();
    await child.exited;
    return "woken";
  },
  "an unreferenced worker": () =>
    new Promise((resolve) => {
      const worker = new Worker(URL.createObjectURL(new Blob(["setTimeout(() => postMessage('woken'), 300)"])));
      worker.onmessage = ({ data }) => resolve(data);
      worker.unref();
    }),
  "an unreferenced socket": () =>
    new Promise((resolve) => {
      const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open: write, data() {} } });
      server.unref();
      connect(server.port, "127.0.0.1")
        .unref()
        .on("data", (data) => resolve(data.toString()));
    }),
  "an unreferenced watcher": () =>
    new Promise((resolve) => {
      const folder = mkdtempSync(`${tmpdir()}/bunstrap-`);
      watch(folder, () => resolve("woken")).unref();
      setTimeout(() => rmdirSync(folder), 300).unref();
    }),
  "Atomics.waitAsync with a time-out": () => Promise.resolve(waitAsync(300)).then(() => "woken"),
  resolve: () => {
    resolve("too late");
    return "resolved";
  },
};

// The event names what the handler waits for.
run(json((name: string) => handlers[name]?.()));
