import { execFile } from "node:child_process";
import { pbkdf2, randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { json, run } from "../../runtime.ts";

/** The port of a server that answers each connection after 100 ms, with an empty HTTP response. */
const port = Number(process.env.SERVER_PORT);

const waits: Record<string, (signal: () => AbortSignal) => Promise<unknown>> = {
  "a timer": () => new Promise((resolve) => setTimeout(resolve, 200)),
  "Bun.sleep": () => Bun.sleep(200),
  setImmediate: () => new Promise((resolve) => setImmediate(resolve)),
  "a socket": () =>
    new Promise(
      (resolve) =>
        void Bun.connect({ hostname: "127.0.0.1", port, socket: { data: (_, data) => resolve(data.length) } }),
    ),
  "a fetch": async () => (await fetch(`http://127.0.0.1:${port}/`)).text(),
  "a child process": () => Bun.spawn(["sleep", "0.2"]).exited,
  execFile: () => promisify(execFile)("sleep", ["0.2"]),
  "a file of Bun": async () => (await Bun.file(process.execPath).bytes()).length,
  "a file of node:fs": async () => (await readFile(process.execPath)).length,
  "a written file": () => Bun.write(Bun.file("/dev/null"), new Uint8Array(50_000_000)),
  DNS: () => lookup("localhost"),
  "a worker": () =>
    new Promise((resolve) => {
      const worker = new Worker(URL.createObjectURL(new Blob(["setTimeout(() => postMessage(1), 100)"])));
      worker.onmessage = () => {
        worker.terminate();
        resolve(1);
      };
    }),
  compression: async () => (await promisify(gzip)(randomBytes(10_000_000))).length,
  "a compression stream": async () =>
    (
      await new Response(
        new Blob([new Uint8Array(10_000_000)]).stream().pipeThrough(new CompressionStream("gzip")),
      ).bytes()
    ).length,
  "a key derivation": () => promisify(pbkdf2)("password", "salt", 200_000, 32, "sha256"),
  "a digest": () => crypto.subtle.digest("SHA-256", new Uint8Array(50_000_000)),
  "a password hash": () => Bun.password.hash("password", { algorithm: "bcrypt", cost: 8 }),
  "context.signal": (signal) => new Promise((resolve) => signal().addEventListener("abort", resolve)),
};

// The event names what the handler waits for; without one the names are returned.
run(
  json(async (name: string | null, context) => {
    if (name === null) return Object.keys(waits);
    await waits[name]?.(() => context.signal);
    return name;
  }),
);
