/** What the benchmark changes on the machine, it changes back. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { workspace } from "./sandbox.ts";

/** Does all that a cold start from squashfs needs, and then one of these. */
const endings = ["return", "throw", "SIGHUP", "SIGINT", "SIGTERM"];
const script = `
  import { CpuShare } from "./bench/cpu-share.ts";
  import { setReadAhead } from "./bench/page-cache.ts";
  import { Bootstrap } from "./bench/process.ts";
  import { mountCompressed } from "./bench/squashfs.ts";

  const [source, ending] = process.argv.slice(-2);
  await using machine = new AsyncDisposableStack();
  const { directory } = machine.use(mountCompressed(source));
  machine.use(setReadAhead(directory, 64));
  const share = machine.use(CpuShare.ofMemory(128));
  const bootstrap = machine.use(new Bootstrap({ command: [directory + "/sleep", "60"] }));
  share.limitRunning(bootstrap.pid);
  console.log("ready");
  if (ending === "throw") throw new Error("thrown");
  if (ending !== "return") await Bun.stdin.text(); // the end of which is that of the test
`;

const missing = ["losetup", "mksquashfs", "mount"].filter((command) => !Bun.which(command));
const skip = process.getuid!() !== 0 ? "it takes root" : missing.length > 0 && `${missing.join(", ")} is not installed`;

for (const ending of endings) {
  test(`the machine is as it was after a cold start, also when that ends with ${ending}`, { skip }, async () => {
    const source = mkdtempSync(join(workspace, "cold-"));
    const TMPDIR = mkdtempSync(join(workspace, "tmp-"));
    copyFileSync(Bun.which("sleep")!, join(source, "sleep"));
    const before = machineState();
    const child = Bun.spawn([process.execPath, "-e", script, source, ending], {
      cwd: import.meta.dir,
      env: { ...process.env, TMPDIR, BUNSTRAP_TEST_WORKSPACE: undefined },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { value } = await child.stdout.getReader().read();
    if (!value) assert.fail(await new Response(child.stderr).text());
    if (ending.startsWith("SIG")) {
      const during = machineState();
      for (const what of Object.keys(before) as (keyof typeof before)[])
        assert.notDeepEqual(during[what], before[what]);
      child.kill(ending as NodeJS.Signals);
    }
    await child.exited;
    assert.deepEqual(machineState(), before);
    assert.deepEqual(readdirSync(TMPDIR), []);
  });
}

/** What the script changes: a loop device and how much it reads ahead, a mount, and a control group. */
function machineState() {
  const mounts = readFileSync("/proc/mounts", "utf8");
  const disks = readdirSync("/sys/block").filter((disk) => disk.startsWith("loop"));
  const groups = [...mounts.matchAll(/^\S+ (\S+) cgroup2? /gm)].flatMap(([, directory]) => readdirSync(directory!));
  return {
    readAhead: disks.map((disk) => `${disk} ${readFileSync(`/sys/block/${disk}/queue/read_ahead_kb`, "utf8").trim()}`),
    groups: groups.filter((name) => name.startsWith("bunstrap-bench-")),
    mounts: mounts.split("\n").filter((line) => line.includes("squashfs")),
    loops: spawnSync("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"], { encoding: "utf8" }).stdout,
  };
}
