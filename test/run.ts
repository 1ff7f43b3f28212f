/**
 * Checks the format and the types, and runs the test files side by side, each in a `bun test` of its own:
 *
 *     npm test                  all files but memory, with few random cases
 *     npm test -- web stream    test/web.test.ts and test/stream.test.ts
 *     npm run test:long         those with very many cases, all of them: some 4 minutes
 *
 * A file's output comes when the file ends, without the tests that passed. `npx bun test test/web.test.ts` shows all
 * of it as it comes. The last line is the total.
 */
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { root, workspace } from "./sandbox.ts";

/** Files that take 10 s or more, most of it first, so that none of them starts last. */
const slow = [
  "faults",
  "peer",
  "build",
  "package",
  "locales",
  "prefetch",
  "delivery",
  "handler",
  "concurrency",
  "copy",
  "readme",
];

/** Files with as many cases as one likes. `npm test` runs few of them, and leaves memory out. */
const long = ["delivery", "fuzz", "locales", "memory"];

const isLong = process.argv.includes("--long");
const chosen = process.argv.slice(2).filter((name) => name !== "--long");
const started = performance.now();
const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

const running = new Map<string, number>();
let lastLine = 0;
function print(text: string): void {
  console.log(text);
  lastLine = performance.now();
}

interface Job {
  name: string;
  command: string[];
}

function jobs(): Job[] {
  const names = readdirSync(import.meta.dir).flatMap((file) => /^(.+)\.test\.ts$/.exec(file)?.[1] ?? []);
  const rank = (name: string) => (slow.includes(name) ? slow.indexOf(name) : slow.length);
  const unknown = chosen.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    console.error(`there is no test/${unknown}.test.ts`);
    process.exit(1);
  }
  const usual = isLong ? long : names.filter((name) => name !== "memory");
  const wanted = (chosen.length > 0 ? chosen : usual).toSorted((one, other) => rank(one) - rank(other));
  const files = wanted.map((name) => ({
    name: `${name}.test.ts`,
    command: [process.execPath, "test", join(import.meta.dir, `${name}.test.ts`)],
  }));
  if (isLong || chosen.length > 0) return files;
  const tool = (name: string, ...args: string[]) => ({
    name,
    command: [join(root, "node_modules/.bin", name), ...args],
  });
  return [tool("tsc"), ...files, tool("prettier", "--check", "--log-level", "warn", "*.ts", "test")];
}

interface Total {
  passed: number;
  failed: number;
  skipped: string[];
}

/** Runs a job. One that is no file of tests counts as one test. */
async function run({ name, command }: Job): Promise<Total> {
  const since = performance.now();
  running.set(name, since);
  const job = Bun.spawn(command, {
    cwd: root,
    env: { ...process.env, BUNSTRAP_TEST_WORKSPACE: workspace, ...(isLong && { BUNSTRAP_TEST_LONG: "1" }) },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([new Response(job.stdout).text(), new Response(job.stderr).text()]);
  const status = (await job.exited) ?? 1;
  running.delete(name);

  const output = stderr + stdout;
  const count = (what: string) => Number(new RegExp(`^ *(\\d+) ${what}$`, "m").exec(output)?.[1] ?? 0);
  const isTest = /^Ran \d+ tests? across/m.test(output);
  const cpu = (Number(job.resourceUsage()?.cpuTime.total ?? 0) / 1e6).toFixed(1);
  const passed = isTest ? count("pass") : status === 0 ? 1 : 0;
  const failed = Math.max(count("fail"), status === 0 ? 0 : 1);
  const skipped = Array.from(output.matchAll(/^\((?:skip|todo)\) (.*)$/gm), ([, title]) => `${name}: ${title}`);
  const rest = output.replaceAll(
    /^(?:\(pass\) .*|bun test v.*|Ran \d+ tests? across .*| *\d+ \w+|test\/\S+\.test\.ts:|)\n/gm,
    "",
  );
  print(
    `${failed > 0 ? "FAILED" : "ok"}  ${name}  ${passed} passed, ${failed} failed  ${seconds(since)}, CPU ${cpu} s\n${rest}`.trimEnd(),
  );
  return { passed, failed, skipped };
}

const queue = jobs();
const workers = availableParallelism() + 1; // some files wait more than they work
print(`${queue.length} files and checks, ${workers} at a time`);
const pulse = setInterval(() => {
  if (performance.now() - lastLine < 7_000) return;
  print(
    `…  ${seconds(started)}: ${Array.from(running, ([name, since]) => `${name} since ${seconds(since)}`).join(", ")}`,
  );
}, 500);

// First, since build.sh downloads the Bun for the other architecture: once, and not for each of the files.
const example = ["--no-zip", "--out", join(workspace, "example"), join(root, "handler.example.ts")];
const totals = [await run({ name: "build.sh", command: [join(root, "build.sh"), ...example] })];
async function work(): Promise<void> {
  for (let job = queue.shift(); job; job = queue.shift()) totals.push(await run(job));
}
await Promise.all(Array.from({ length: workers }, work));
clearInterval(pulse);

const sum = (values: number[]) => values.reduce((one, other) => one + other, 0);
const failed = sum(totals.map((total) => total.failed));
const skipped = totals.flatMap((total) => total.skipped);
print(`in ${seconds(started)}`);
if (skipped.length > 0)
  print(`${skipped.length} skipped, for want of something that .ci/run installs:\n${skipped.join("\n")}`);
if (!isLong && chosen.length === 0) print("not run: memory.test.ts, and most random cases: npm run test:long");
print(`${sum(totals.map((total) => total.passed))} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
