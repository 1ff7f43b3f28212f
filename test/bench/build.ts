/** Builds what is measured. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { architecture, buildWithoutZip, root, workspace } from "../sandbox.ts";
import { progress } from "./report.ts";

/** Tells build.sh to leave executables as Bun makes them. */
export const asBunMakesIt = ["--no-prefetch"];

/**
 * The executable of a source file, which is named relative to the repository; built when it is first asked for.
 *
 * @param options of build.sh
 */
export function build(source: string, options: string[] = []): string {
  const out = join(workspace, [source.replaceAll("/", "-"), ...options].join(" "));
  const executable = join(out, architecture, "bootstrap");
  if (!existsSync(executable)) {
    progress(`building ${source}`);
    check(buildWithoutZip(buildArguments(source, out, options)));
  }
  return executable;
}

/** The executable of a source file, and what is uploaded of it. */
export function buildZip(source: string, options: string[] = []): { executable: string; zip: string } {
  progress(`building and packing ${source}`);
  const out = join(workspace, [source.replaceAll("/", "-"), "packed", ...options].join(" "));
  check(spawnSync(join(root, "build.sh"), buildArguments(source, out, options), { encoding: "utf8" }));
  return { executable: join(out, architecture, "bootstrap"), zip: join(out, `bootstrap-${architecture}.zip`) };
}

function buildArguments(source: string, out: string, options: string[]): string[] {
  return [...options, "--arch", architecture, "--out", out, join(root, source)];
}

function check({ status, stderr }: { status: number | null; stderr: string }): void {
  assert.equal(status, 0, stderr);
}
