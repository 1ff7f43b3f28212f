/** A compressed file system, in which reading one page means to decompress a block of 128 kB. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { basename, join } from "node:path";
import { workspace } from "../sandbox.ts";
import { keepReadAhead } from "./page-cache.ts";
import { retry, undoAtExit } from "./undo.ts";

export interface Mount extends Disposable {
  directory: string;
}

/** Mounts a compressed copy of a directory, until this is disposed. @throws Error where that cannot be */
export function mountCompressed(source: string): Mount {
  if (!Bun.which("mksquashfs")) throw new Error("there is no mksquashfs");
  const work = mkdtempSync(join(workspace, "squashfs-"));
  const image = join(work, "image");
  const directory = join(work, "mount");
  mkdirSync(directory);
  const zstd = ["-comp", "zstd", "-Xcompression-level", "3"]; // a higher level takes minutes
  run("mksquashfs", source, image, ...zstd, "-noappend", "-quiet", "-no-progress");
  const loop = run("losetup", "--find");
  using stack = new DisposableStack();
  stack.use(keepReadAhead(basename(loop))); // it reads ahead more once it is in use
  run("mount", "-o", `loop=${loop},ro`, image, directory);
  stack.use(undoAtExit(() => retry(() => run("umount", directory))));
  const mounted = stack.move();
  return { directory, [Symbol.dispose]: () => mounted.dispose() };
}

/** Runs a command, and returns the line that it writes. */
function run(command: string, ...args: string[]): string {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? stderr.trim()}`);
  return stdout.trim();
}
