/** What Linux keeps of files in memory, and how much of a file it reads when a page of it is touched. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { dlopen, FFIType } from "bun:ffi";
import { undoAtExit } from "./undo.ts";

export const pageSize = 4096;

const { i32, i64, ptr } = FFIType;
const { symbols: libc } = dlopen("libc.so.6", {
  mmap: { args: [ptr, i64, i32, i32, i32, i64], returns: ptr },
  munmap: { args: [ptr, i64], returns: i32 },
  mincore: { args: [ptr, i64, ptr], returns: i32 },
  sync: { args: [], returns: FFIType.void },
  flock: { args: [i32, i32], returns: i32 },
  posix_fadvise: { args: [i32, i64, i64, i32], returns: i32 },
});
const PROT_READ = 1;
const MAP_SHARED = 1;
const LOCK_EX_NB = 2 | 4;
const POSIX_FADV_DONTNEED = 4;

/** The pages of a file that are in the page cache, by number from 0 on. */
export function cachedPages(file: string): number[] {
  const { size } = statSync(file);
  const pages = new Uint8Array(Math.ceil(size / pageSize));
  const fd = openSync(file, "r");
  const address = libc.mmap(null, size, PROT_READ, MAP_SHARED, fd, 0);
  closeSync(fd);
  const status = libc.mincore(address, size, pages);
  libc.munmap(address, size);
  if (status !== 0) throw new Error(`mincore tells nothing about ${file}`);
  return [...pages.keys()].filter((page) => pages[page]! & 1);
}

/** Takes one file out of the page cache. @throws Error if a page stays, as it does while a process uses the file */
export function evict(file: string): void {
  const fd = openSync(file, "r");
  fsyncSync(fd); // what is not written yet would stay
  let left = 1;
  for (let tries = 0; left > 0 && tries < 50; tries++) {
    if (tries > 0) Bun.sleepSync(20); // the kernel is not done with a process that has just ended
    libc.posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    left = cachedPages(file).length;
  }
  closeSync(fd);
  if (left > 0) throw new Error(`${left} pages of ${file} stay in the page cache: is it in use, or not on a disk?`);
}

/** The libraries of the system that this process uses: libc, libm, and the one that loads them. */
const libraries = new Set(readFileSync("/proc/self/maps", "utf8").match(/\/\S*\.so\b\S*$/gm));

/** Empties the page cache, but for the libraries of the system, which a new sandbox is not the first to use. */
export function dropPageCache(): void {
  libc.sync(); // what is not written yet would stay
  writeFileSync("/proc/sys/vm/drop_caches", "3");
  for (const library of libraries) readFileSync(library);
}

/** Sets how many kB a file's disk reads ahead, until this is disposed. @throws Error where that cannot be */
export function setReadAhead(file: string, kilobytes: number): Disposable {
  const disk = diskOf(file);
  const lock = openSync(readAheadOf(disk), "r+");
  if (libc.flock(lock, LOCK_EX_NB) !== 0) {
    closeSync(lock);
    throw new Error(`another process has set how much ${disk} reads ahead: try again when it has ended`);
  }
  const before = readFileSync(lock, "utf8");
  const undo = undoAtExit(() => {
    writeFileSync(lock, before);
    closeSync(lock);
  });
  writeFileSync(lock, String(kilobytes));
  return undo;
}

/** Sets how much a disk reads ahead back to what it is now, when this is disposed. */
export function keepReadAhead(disk: string): Disposable {
  const before = readFileSync(readAheadOf(disk), "utf8");
  return undoAtExit(() => writeFileSync(readAheadOf(disk), before));
}

function readAheadOf(disk: string): string {
  return `/sys/block/${disk}/queue/read_ahead_kb`;
}

/** The name of the disk that a file is on. */
function diskOf(file: string): string {
  const device = `/sys/dev/block/${deviceOf(file)}`;
  if (!existsSync(device)) throw new Error(`${file} is not on a file system with a disk of its own`);
  const directory = realpathSync(device);
  return basename(existsSync(join(directory, "partition")) ? dirname(directory) : directory);
}

/** The type of the file system that a file is on. */
export function fileSystemOf(file: string): string {
  const mounted = new RegExp(`^\\d+ \\d+ ${deviceOf(file)} .* - (\\S+) `, "m");
  return mounted.exec(readFileSync("/proc/self/mountinfo", "utf8"))?.[1] ?? "an unknown file system";
}

/** The device that a file is on, as MAJOR:MINOR. */
function deviceOf(file: string): string {
  const { dev } = statSync(file);
  return `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`;
}
