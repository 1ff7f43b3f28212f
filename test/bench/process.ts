/** The processes that are measured: how they start, what they take, and how they end. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { dlopen, FFIType } from "bun:ffi";
import { residentMemory, workspace } from "../sandbox.ts";
import { Service, type BlockOptions, type PreparedEvent } from "./service.ts";
import { undoAtExit } from "./undo.ts";

/** An executable and its arguments. */
export type Command = [executable: string, ...args: string[]];

/** Something that can be started as a bootstrap. */
export interface Subject {
  command: Command;
  /** Variables beyond those that are set for every bootstrap, or in their place. */
  environment?: Record<string, string>;
}

/** What one invocation took, in ms: the mean of a block of them. */
export interface Invocation {
  /** From one event to the next: the event, the handler, the reply, its answer, and the request for the next event. */
  roundTrip: number;
  /** CPU time of the process, all of its threads, in user and system mode. */
  cpu: number;
  /** CPU time of this process meanwhile, which is a part of the round trip. */
  harnessCpu: number;
}

/**
 * The same with a fresh copy of its executable, if that is given by a path, in the place of the last one of that name:
 * how a file got into the page cache changes how fast it starts.
 */
export function freshCopy(name: string, subject: Subject, parent = workspace): Subject {
  const [executable, ...args] = subject.command;
  if (!executable.includes("/")) return subject;
  const directory = join(parent, `copy of ${name}`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const copy = join(directory, basename(executable));
  copyFileSync(executable, copy);
  return { ...subject, command: [copy, ...args] };
}

/** What Lambda sets for every function, as far as bootstraps are known to read it. */
const lambdaEnvironment = {
  _HANDLER: "bootstrap",
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "1024",
  AWS_LAMBDA_FUNCTION_NAME: "bench",
  AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
  AWS_LAMBDA_LOG_GROUP_NAME: "/aws/lambda/bench",
  AWS_LAMBDA_LOG_STREAM_NAME: "2026/01/01/[$LATEST]0",
  AWS_REGION: "eu-west-1",
  LAMBDA_TASK_ROOT: process.cwd(),
};

/** How long a process may take for its start, or for a block of invocations, in ms. */
const patience = 60_000;

/** A bootstrap that runs, and the Runtime API that it talks to. */
export class Bootstrap implements AsyncDisposable {
  readonly service = new Service();
  private readonly begun: number;
  private readonly child: Bun.Subprocess;
  /** In bytes, once it is known. */
  private replyLength: number | undefined;
  private readonly log = join(workspace, `stderr-${randomUUID()}`);
  private readonly running: Disposable;
  /** Whether the process may end. */
  private isEnding = false;

  constructor(private readonly subject: Subject) {
    const { command, environment } = subject;
    const env = {
      ...lambdaEnvironment,
      AWS_LAMBDA_RUNTIME_API: this.service.address,
      PATH: process.env.PATH,
      ...environment,
    };
    const stderr = openSync(this.log, "w"); // before the clock starts
    this.begun = performance.now();
    this.child = Bun.spawn(command, {
      env,
      stdio: ["ignore", "ignore", stderr],
      onExit: (child) => this.exited(child),
    });
    closeSync(stderr);
    this.running = undoAtExit(() => this.child.kill("SIGKILL"));
  }

  /** Starts a process, and waits until it asks for its first event. */
  static async start(subject: Subject): Promise<Bootstrap> {
    const bootstrap = new Bootstrap(subject);
    try {
      await bootstrap.ready();
    } catch (error) {
      await bootstrap[Symbol.asyncDispose]();
      throw error;
    }
    return bootstrap;
  }

  get pid(): number {
    return this.child.pid;
  }

  ready(): Promise<void> {
    return this.withPatience(this.service.ready());
  }

  /** The time from exec to the first request on the wire, in ms. */
  get startTime(): number {
    return this.service.askedAt - this.begun;
  }

  /** Sends one event, and returns the reply, and how long after the event and after exec it came, in ms. */
  async invoke(event: PreparedEvent): Promise<{ reply: string; took: number; sinceExec: number }> {
    let reply = "";
    await this.withPatience(this.service.invoke(event, 1, { onReply: (body) => (reply = body.toString()) }));
    const { sentAt, repliedAt } = this.service;
    return { reply, took: repliedAt - sentAt, sinceExec: repliedAt - this.begun };
  }

  /** Sends an event, and checks that the process echoes it, as JSON at least: later replies have to be as long. */
  async checkEcho(event: PreparedEvent): Promise<void> {
    const { reply } = await this.invoke(event);
    if (reply !== event.body)
      assert.deepEqual(JSON.parse(reply), JSON.parse(event.body), `${this.description} is no echo`);
    this.replyLength = Buffer.byteLength(reply);
  }

  /** Sends so many events, and returns the CPU time of the process from exec to each of these replies, in ms. */
  async cpuToReplies(event: PreparedEvent, count: number, replies: number[]): Promise<number[]> {
    const times: number[] = [];
    const onReplied = (reply: number) => void (replies.includes(reply) && times.push(cpuTime(this.pid)));
    await this.withPatience(this.service.invoke(event, count, { replyLength: this.replyLength, onReplied }));
    return times;
  }

  /** Sends so many events, and checks that each reply is as long as that of `checkEcho` was. */
  async invokeBlock(event: PreparedEvent, count: number, options: BlockOptions = {}): Promise<Invocation> {
    const [cpuBefore, harnessCpuBefore] = [cpuTime(this.pid), cpuTime(process.pid)];
    const begun = performance.now();
    await this.withPatience(this.service.invoke(event, count, { replyLength: this.replyLength, ...options }));
    const roundTrip = Math.max(this.service.askedAt, this.service.repliedAt) - begun;
    const [cpu, harnessCpu] = [cpuTime(this.pid) - cpuBefore, cpuTime(process.pid) - harnessCpuBefore];
    return { roundTrip: roundTrip / count, cpu: cpu / count, harnessCpu: harnessCpu / count };
  }

  /** @see residentMemory */
  memory(field: Parameters<typeof residentMemory>[1]): number {
    return residentMemory(this.pid, field);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isEnding = true;
    this.running[Symbol.dispose]();
    await this.child.exited;
    this.service.close();
  }

  private exited({ exitCode, signalCode }: Bun.Subprocess): void {
    if (this.isEnding) return;
    this.service.fail(new Error(`${this.description} has ended with ${exitCode ?? signalCode}${this.lastWords}`));
  }

  private async withPatience(progress: Promise<void>): Promise<void> {
    const stalled = () =>
      this.service.fail(new Error(`${this.description} did nothing for ${patience / 1000} s${this.lastWords}`));
    const timer = setTimeout(stalled, patience);
    await progress.finally(() => clearTimeout(timer));
  }

  private get description(): string {
    return this.subject.command.join(" ");
  }

  private get lastWords(): string {
    const text = readFileSync(this.log, "utf8").trimEnd();
    return text ? `; it wrote:\n${text.slice(-4000)}` : ", and wrote nothing to standard error";
  }
}

const { symbols: libc } = dlopen("libc.so.6", {
  clock_gettime: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
});

/**
 * The CPU time that a process has used, in ms: to the nanosecond, where `/proc/PID/stat` has ticks of 10 ms, and with
 * the threads that have ended, which `/proc/PID/task/TID/schedstat` leaves out.
 *
 * @see https://man7.org/linux/man-pages/man3/clock_getcpuclockid.3.html
 */
export function cpuTime(pid: number): number {
  const clock = (~pid << 3) | 2; // as clock_getcpuclockid makes it
  const time = new BigInt64Array(2);
  assert.equal(libc.clock_gettime(clock, time), 0, `process ${pid} has no CPU clock: it is gone`);
  return Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
}

/**
 * Has this process and the ones that it starts from here on share one CPU: while one works, the other waits for it, and
 * neither is moved about.
 *
 * @returns the number of the CPU, or `undefined` if there is no `taskset` to do it with
 */
export function pinToOneCpu(): number | undefined {
  const allowed = /^Cpus_allowed_list:.*?(\d+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const { status } = spawnSync("taskset", ["-a", "-c", "-p", String(allowed), String(process.pid)]);
  return status === 0 ? Number(allowed) : undefined;
}
