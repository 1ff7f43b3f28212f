/** The README as tests read it, and a project that has done what it says: copied runtime.ts and build.sh. */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { root, workspace } from "./sandbox.ts";

export const readme = readFileSync(join(root, "README.md"), "utf8");

/** The texts of the code blocks in one language. */
export const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "gm"))].map(([, text = ""]) => text);

/** The commands that are shown, with the output that is shown for each. */
export const commands = () =>
  blocks("console").flatMap((block) =>
    [...block.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)].map(([, command = "", output = ""]) => ({ command, output })),
  );

/** What the README calls and tests cannot: stand-ins write down how they were called, and succeed. */
const standIns = ["aws", "sam", "docker", "curl"] as const;

/** A project with each TypeScript snippet in a file: it is named in its first line, or else by number; the first is handler.ts. */
export function createProject() {
  const directory = mkdtempSync(join(workspace, "readme-"));
  const bin = join(directory, "bin");
  const log = join(directory, "calls");
  for (const file of ["runtime.ts", "build.sh"]) copyFileSync(join(root, file), join(directory, file));
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  let unnamed = 0;
  for (const text of blocks("ts")) {
    const [, named] = /^\/\/ (\S+\.ts)\n/.exec(text) ?? [];
    const numbered = () => (unnamed++ === 0 ? "handler.ts" : `snippet-${unnamed - 1}.ts`);
    writeFileSync(join(directory, named ?? numbered()), text);
  }
  mkdirSync(bin);
  for (const name of standIns)
    writeFileSync(join(bin, name), `#!/bin/sh\nprintf "%s\\n" "${name} $*" >>'${log}'\n`, { mode: 0o755 });
  const path = (...more: string[]) => [...more, bin, join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);
  return {
    directory,
    path,
    /** Runs a command of the README, with more directories in front of the PATH where given. */
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
