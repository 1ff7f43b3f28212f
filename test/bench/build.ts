/** Builds what is measured. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { architecture, buildWithoutZip, root, workspace } from "../sandbox.ts";

/** The executable of a source file, which is named relative to the repository. */
export function build(source: string, { zip = false } = {}): string {
  const out = join(workspace, basename(source, ".ts"));
  const args = ["--arch", architecture, "--out", out, join(root, source)];
  const { status, stderr } = zip ? spawnSync(join(root, "build.sh"), args, { encoding: "utf8" }) : buildWithoutZip(args);
  assert.equal(status, 0, stderr);
  return join(out, architecture, "bootstrap");
}
