/**
 * Measures our example beside other bootstraps, in turn (A B A B …), so that a slow moment of the machine slows both.
 *
 *     npm run bench [-- --runs N]
 *
 * So far: the time from exec to the first `GET /next`, beside the floor, which is three lines that open a socket and
 * write, built by the same Bun with the same flags.
 */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { architecture, buildWithoutZip, root } from "./sandbox.ts";

const floorSource = `const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API!.split(":");
const request = \`GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: \${hostname}:\${port}\\r\\n\\r\\n\`;
Bun.connect({ hostname: hostname!, port: Number(port), socket: { open: (socket) => void socket.write(request), data() {} } });
`;

const { runs } = parseArgs({ options: { runs: { type: "string", default: "40" } } }).values;
const directory = mkdtempSync(join(tmpdir(), "bunstrap-bench-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

function build(name: string, handler: string): string {
  const out = join(directory, name);
  const { status, stderr } = buildWithoutZip(["--arch", architecture, "--out", out, handler]);
  if (status !== 0) throw new Error(stderr);
  // How a file got into the page cache changes how fast it starts, so each one is a fresh copy.
  copyFileSync(join(out, architecture, "bootstrap"), join(directory, `${name}.bootstrap`));
  return join(directory, `${name}.bootstrap`);
}

writeFileSync(join(directory, "floor.ts"), floorSource);
const executables = { floor: build("floor", join(directory, "floor.ts")), example: build("example", join(root, "handler.example.ts")) };

let received: () => void = () => {};
const server = createServer((socket) => {
  socket.once("data", () => received());
  socket.on("error", () => {});
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;

/** The time from exec to the first bytes on the wire, in ms. */
async function measureStart(executable: string): Promise<number> {
  const firstBytes = new Promise<void>((resolve) => (received = resolve));
  const begun = performance.now();
  const child = Bun.spawn([executable], { env: { AWS_LAMBDA_RUNTIME_API: address }, stdio: ["ignore", "ignore", "ignore"] });
  await firstBytes;
  const duration = performance.now() - begun;
  child.kill("SIGKILL");
  await child.exited;
  return duration;
}

const times: Record<string, number[]> = { floor: [], example: [] };
for (let run = -3; run < Number(runs); run++) {
  for (const [name, executable] of Object.entries(executables)) {
    const time = await measureStart(executable);
    if (run >= 0) times[name]?.push(time);
  }
}
server.close();

const quantile = (values: number[], q: number) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)] ?? NaN;
const ratios = times.example!.map((time, run) => time / times.floor![run]!);
const row = (name: string, values: number[], unit: string) =>
  console.log(`${name.padEnd(28)} ${[0.25, 0.5, 0.75].map((q) => quantile(values, q).toFixed(2).padStart(8)).join("")} ${unit}`);
console.log(`${cpus()[0]?.model}, ${cpus().length} CPUs, Bun ${Bun.version}, ${runs} runs in turn; quartiles and median:\n`);
console.log(`${"exec to first GET /next".padEnd(28)} ${"25 %".padStart(8)}${"median".padStart(8)}${"75 %".padStart(8)}`);
row("floor: socket and write", times.floor!, "ms");
row("handler.example.ts", times.example!, "ms");
row("ratio, run by run", ratios, "");
