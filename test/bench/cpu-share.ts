/** The share of a CPU that a function has on Lambda, which comes with its memory. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Subject } from "./process.ts";
import { retry, undoAtExit } from "./undo.ts";

/**
 * The memory that comes with one whole CPU, in MB.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
 */
const wholeCpu = 1769;

/** In µs: how often the quota is given out. */
const period = 20_000;

/** A control group with the quota of a function with so much memory. It is removed when this process ends. */
export class CpuShare implements Disposable {
  private readonly created: Disposable;

  private constructor(
    private readonly directory: string,
    lift: () => void,
  ) {
    this.created = undoAtExit(() =>
      retry(() => {
        lift(); // what waits for its quota cannot end
        rmdirSync(directory);
      }),
    );
  }

  /**
   * @param memory of the function, in MB
   * @throws Error when this machine allows no such group, or not to this user
   */
  static ofMemory(memory: number): CpuShare {
    const quota = Math.round((period * memory) / wholeCpu);
    const mounts = readFileSync("/proc/mounts", "utf8");
    const v1 = /^\S+ (\S+) cgroup \S*\bcpu\b/m.exec(mounts)?.[1];
    const v2 = /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
    const parent = v1 ?? v2;
    if (parent === undefined) throw new Error("no control groups are mounted");
    if (v1 === undefined) enableCpuController(parent);
    const directory = join(parent, `bunstrap-bench-${process.pid}`);
    mkdirSync(directory);
    const set = (file: string, value: string | number) => writeFileSync(join(directory, file), String(value));
    const share = new CpuShare(
      directory,
      v1 === undefined ? () => set("cpu.max", "max") : () => set("cpu.cfs_quota_us", -1),
    );
    try {
      if (v1 === undefined) set("cpu.max", `${quota} ${period}`);
      else {
        set("cpu.cfs_period_us", period);
        set("cpu.cfs_quota_us", quota);
      }
    } catch (error) {
      share[Symbol.dispose]();
      throw error;
    }
    return share;
  }

  /** The same, as a process that is in the group before it becomes what is measured. */
  limit(subject: Subject): Subject {
    return {
      ...subject,
      command: ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', this.directory, ...subject.command],
    };
  }

  /** Limits a process that runs already, with all of its threads. */
  limitRunning(pid: number): void {
    writeFileSync(join(this.directory, "cgroup.procs"), String(pid));
  }

  /** Removes the group, as soon as the processes in it, which have been killed, are gone. */
  [Symbol.dispose](): void {
    this.created[Symbol.dispose]();
  }
}

/** With control groups of version 2, a group has those controllers that its parent gives to its children. */
function enableCpuController(parent: string): void {
  const names = (file: string) => readFileSync(join(parent, file), "utf8").split(/\s/);
  if (!names("cgroup.controllers").includes("cpu")) throw new Error("its control groups know no CPU quota");
  if (!names("cgroup.subtree_control").includes("cpu")) writeFileSync(join(parent, "cgroup.subtree_control"), "+cpu");
}
