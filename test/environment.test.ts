/** Sandboxes in which something is missing that programs like to rely on. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { executable, Sandbox, workspace } from "./sandbox.ts";

/** A program that runs the fixture in surroundings that a shell script makes; "$0" is the executable. */
function surrounded(fixture: string, name: string, script: string): string {
  const file = join(workspace, `${fixture} ${name}`);
  writeFileSync(file, `#!/bin/sh\nset -- ${executable(fixture)}\n${script}\n`, { mode: 0o755 });
  return file;
}

/** Serves an event and an error, and ends in peace. */
async function serves(program: string): Promise<void> {
  await using sandbox = await Sandbox.start(program);
  assert.equal((await sandbox.invoke({ body: '"console"' })).body.toString(), '"console"');
  await sandbox.invoke({ body: '"throw"', expect: "error" });
  assert.equal((await sandbox.invoke({ body: '"console"' })).body.toString(), '"console"');
  await sandbox.stop();
}

test("an environment that holds only the address of the Runtime API is enough", () =>
  serves(surrounded("echo-or-throw", "env", 'exec env -i AWS_LAMBDA_RUNTIME_API="$AWS_LAMBDA_RUNTIME_API" "$1"')));

test("a home directory that does not exist is none that is needed", () =>
  serves(surrounded("echo-or-throw", "home", 'HOME=/nonexistent exec "$1"')));

for (const closed of ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"]) {
  test(`a function is served with standard descriptors closed: ${closed}`, () =>
    serves(surrounded("echo-or-throw", closed.replaceAll(/\W/g, ""), `exec "$1" ${closed}`)));
}

const canRemount = spawnSync("unshare", ["-m", "mount", "-o", "remount,ro,bind", "/"]).status === 0;

test(
  "a file system that cannot be written to does not matter",
  { skip: canRemount ? false : "unshare(1) may not mount here" },
  () =>
    serves(
      surrounded(
        "echo-or-throw",
        "readonly",
        `exec unshare -m sh -c 'mount -o remount,ro,bind / && ! touch /tmp && exec "$0"' "$1"`,
      ),
    ),
);
