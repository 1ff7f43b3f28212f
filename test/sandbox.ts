/** Builds the handlers under test with build.sh, and runs the executables against an emulator. */
import { setDefaultTimeout } from "bun:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { accepted, event, gone, RuntimeApi, type EventParts, type ReceivedRequest } from "./runtime-api.ts";

export const root = join(import.meta.dir, "..");
export const { version }: { version: string } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
export const architecture = process.arch === "arm64" ? "arm64" : "x86_64";

setDefaultTimeout(300_000); // ms, for the tests of the file that imports this

/** Whether this is `npm run test:long`: as many cases as there are, and ten times as many random ones. */
export const isLong = process.env.BUNSTRAP_TEST_LONG === "1";

/** Where everything that the tests of one run build goes; gone when the run ends. */
export const workspace = (process.env.BUNSTRAP_TEST_WORKSPACE ??= createWorkspace());

function createWorkspace(): string {
  const directory = mkdtempSync(join(tmpdir(), "bunstrap-test-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The executable of test/handlers/NAME.ts, built when it is first asked for in a run. */
export function executable(name: string): string {
  const bootstrap = join(workspace, name, architecture, "bootstrap");
  if (!existsSync(bootstrap)) {
    const handler = join(root, "test/handlers", `${name}.ts`);
    const out = `${workspace}/${name}.${process.pid}`; // another file of tests may be building it, too
    const { status, stderr } = buildWithoutZip(["--arch", architecture, "--out", out, handler]);
    assert.equal(status, 0, stderr);
    mkdirSync(dirname(bootstrap), { recursive: true });
    renameSync(join(out, architecture, "bootstrap"), bootstrap);
  }
  return bootstrap;
}

/** Runs build.sh without the packing, which takes most of the time. */
export function buildWithoutZip(args: string[], cwd = process.cwd()): { status: number | null; stderr: string } {
  return spawnSync(join(root, "build.sh"), ["--no-zip", ...args], { cwd, encoding: "utf8" });
}

/** Has build.sh download the Bun for the other architecture, if it has not yet: its path relative to the repository. */
export function otherBun(): string {
  const [arch, name] = architecture === "arm64" ? ["x86_64", "bun-linux-x64"] : ["arm64", "bun-linux-aarch64"];
  const cached = join("node_modules/.cache", `${name}-${Bun.version}`);
  if (!existsSync(join(root, cached))) {
    const args = ["--arch", arch, "--out", mkdtempSync(join(workspace, "other-"))];
    const { status, stderr } = buildWithoutZip([...args, join(root, "handler.example.ts")]);
    assert.equal(status, 0, stderr);
  }
  return cached;
}

/** Gives a project the Bun for the other architecture, so that build.sh need not download it again. */
export function shareBun(project: string): void {
  mkdirSync(join(project, "node_modules/.cache"), { recursive: true });
  symlinkSync(join(root, otherBun()), join(project, otherBun()));
}

/** What a process prints, as it comes. */
export class Output {
  readonly whole: Promise<string>;
  private text = "";
  private seen = 0;
  private isOver = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.whole = this.read(stream);
  }

  /** Waits until a text has come, behind those that were waited for before, and returns what came before it. */
  async until(text: string): Promise<string> {
    let at = this.text.indexOf(text, this.seen);
    for (; at < 0; at = this.text.indexOf(text, this.seen)) {
      assert.ok(
        !this.isOver,
        `${JSON.stringify(text)} has not come, but ${JSON.stringify(this.text.slice(this.seen))}`,
      );
      await Bun.sleep(1);
    }
    const before = this.text.slice(this.seen, at);
    this.seen = at + text.length;
    return before;
  }

  private async read(stream: ReadableStream<Uint8Array>): Promise<string> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) this.text += decoder.decode(bytes, { stream: true });
    this.isOver = true;
    return this.text;
  }
}

export interface Exit {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** A compiled handler that runs as Lambda runs it, with an emulator of its own. */
export class Sandbox implements AsyncDisposable {
  readonly exited: Promise<Exit>;
  readonly stdout: Output;
  readonly stderr: Output;

  private constructor(
    readonly api: RuntimeApi,
    readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">,
  ) {
    this.stdout = new Output(process.stdout);
    this.stderr = new Output(process.stderr);
    this.exited = outcome(process, this.stdout, this.stderr);
  }

  /** @param name of a file in test/handlers, or the path of an executable */
  static async start(name: string, env: Record<string, string> = {}, api?: RuntimeApi): Promise<Sandbox> {
    const emulator = api ?? (await RuntimeApi.start());
    const sandbox = new Sandbox(emulator, spawn(name, [], { AWS_LAMBDA_RUNTIME_API: emulator.address, ...env }));
    if (!api)
      void sandbox.exited.then(({ status, stderr }) =>
        emulator.abandon(new Error(`${name} has ended with ${status}: ${stderr}`)),
      );
    return sandbox;
  }

  /** Sends one event and accepts the answer, whether a reply or an error report: the request that brought it. */
  async invoke(parts: EventParts & { raw?: Uint8Array; expect?: "response" | "error" } = {}): Promise<ReceivedRequest> {
    const id = parts.id ?? "8476a536-e9f4-11e8-9739-2dfe598c3fcd";
    const next = await this.api.request("GET", "/invocation/next");
    await next.send(parts.raw ?? event(parts));
    const answer = await this.api.request(
      "POST",
      `/invocation/${encodeURIComponent(id)}/${parts.expect ?? "response"}`,
    );
    await answer.send(accepted);
    return answer;
  }

  /** Ends the function in the way that the service does, and checks that it went in peace. */
  async stop(): Promise<Exit> {
    const next = await this.api.request("GET", "/invocation/next");
    await next.send(gone);
    const exit = await this.exited;
    assert.equal(exit.status, 0, exit.stderr);
    return exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
    await this.api[Symbol.asyncDispose]();
  }
}

/** Runs a compiled handler outside Lambda. */
export async function runLocally(
  name: string,
  args: string[],
  options: { stdin?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<Exit> {
  return outcome(spawn(name, args, options.env ?? {}, Buffer.from(options.stdin ?? "")));
}

function spawn(name: string, args: string[], env: Record<string, string>, stdin?: Uint8Array) {
  const command = name.startsWith("/") ? name : executable(name);
  return Bun.spawn([command, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdin: stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
  }) as Bun.Subprocess<"ignore", "pipe", "pipe">;
}

async function outcome(
  child: Bun.Subprocess<"ignore", "pipe", "pipe">,
  stdout = new Output(child.stdout),
  stderr = new Output(child.stderr),
): Promise<Exit> {
  const [printed, logged] = await Promise.all([stdout.whole, stderr.whole, child.exited]);
  return { status: child.exitCode, stdout: printed, stderr: logged };
}

export interface LogEvent {
  requestId: string;
  level: string;
  message: string;
}

/** The log events of text format: one a line, the line feeds of a message as carriage returns. */
export function logEvents(log: string): LogEvent[] {
  return log
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const [, requestId = "", level = "", message = ""] =
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t([^\t]*)\t([A-Z]+)\t(.*)$/s.exec(line) ?? [];
      assert.ok(level, `not a log event: ${line}`);
      return { requestId, level, message: message.replaceAll("\r", "\n") };
    });
}

/** The resident memory of a process, in MB: all of it (`VmRSS`), what no file backs (`RssAnon`), or the peak (`VmHWM`). */
export function residentMemory(pid: number, field: "VmRSS" | "RssAnon" | "VmHWM" = "VmRSS"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1024) / 1e6;
}
