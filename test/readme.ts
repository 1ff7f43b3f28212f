/** The README and the templates as tests read them, and a project that has done what they say: copied runtime.ts and build.sh. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { root, workspace } from "./sandbox.ts";

export const readme = readFileSync(join(root, "README.md"), "utf8");
const all = readme + readFileSync(join(root, "test/templates.md"), "utf8");

/** The texts of the code blocks in one language. */
export const blocks = (language: string) =>
  [...all.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "gm"))].map(([, text = ""]) => text);

/** The commands that are shown, with the output that is shown for each. */
export const commands = () =>
  blocks("console").flatMap((block) =>
    [...block.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)].map(([, command = "", output = ""]) => ({ command, output })),
  );

/** What they call and tests cannot: stand-ins write down how they were called, and succeed. */
const standIns = ["aws", "sam", "docker", "curl"] as const;

/** A project with each TypeScript snippet in the file that its first line names. */
export function createProject() {
  const directory = mkdtempSync(join(workspace, "readme-"));
  const bin = join(directory, "bin");
  const log = join(directory, "calls");
  for (const file of ["runtime.ts", "build.sh"]) copyFileSync(join(root, file), join(directory, file));
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  for (const text of blocks("ts")) {
    const [, name] = /^\/\/ (\S+\.ts)\n/.exec(text) ?? [];
    assert.ok(name, `the first line of a snippet names no file: ${text}`);
    writeFileSync(join(directory, name), text);
  }
  mkdirSync(bin);
  for (const name of standIns)
    writeFileSync(join(bin, name), `#!/bin/sh\nprintf "%s\\n" "${name} $*" >>'${log}'\n`, { mode: 0o755 });
  const path = (...more: string[]) => [...more, bin, join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);
  return {
    directory,
    path,
    /** Runs a command of theirs, with more directories in front of the PATH where given. */
    sh: (command: string, ...more: string[]) =>
      spawnSync("sh", ["-c", command], {
        cwd: directory,
        encoding: "utf8",
        env: { ...process.env, PATH: path(...more) },
      }),
    /** How the stand-ins were called, a line each. */
    calls: () => (existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n") : []),
  };
}
