import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { isLong, root } from "./sandbox.ts";

const cases = isLong ? 100_000 : 5_000;

function fuzz(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "test/fuzz.ts"), ...args], {
    encoding: "utf8",
    env: { PATH: process.env.PATH },
  });
  return { status, output: stdout + stderr };
}

test(`${cases} responses and mutations of them are parsed alike, whatever their fragments`, () => {
  const { status, output } = fuzz("--cases", String(cases));
  console.log(output); // the seed
  assert.equal(status, 0, output);
});

test("the same seed makes the same cases", () => {
  const [first, second] = [fuzz("--seed", "7", "--cases", "300"), fuzz("--seed", "7", "--cases", "300")];
  assert.equal(first.status, 0, first.output);
  assert.equal(first.output, second.output);
});
