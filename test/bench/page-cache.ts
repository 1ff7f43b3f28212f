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
import { dirname, join } from "node:path";
import { dlopen, FFIType } from "bun:ffi";
import { undoAtExit } from "./undo.ts";

export const pageSize = 4096;

const { i32, i64, ptr } = FFIType;
const { symbols: libc } = dlopen("libc.so.6", {
  mmap: { args: [ptr, i64, i32, i32, i32, i64], returns: ptr },
  munmap: { args: [ptr, i64], returns: i32 },
  mincore: { args: [ptr, i64, ptr], returns: i32 },
  posix_fadvise: { args: [i32, i64, i64, i32], returns: i32 },
});
const PROT_READ = 1;
const MAP_SHARED = 1;
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
  libc.posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  closeSync(fd);
  const left = cachedPages(file).length;
  if (left > 0) throw new Error(`${left} pages of ${file} stay in the page cache: is it in use, or not on a disk?`);
}

/** Sets how many kB the disk that a file is on reads ahead, until this is disposed. @throws Error where that cannot be */
export function setReadAhead(file: string, kilobytes: number): Disposable {
  const setting = readAheadOf(file);
  const before = readFileSync(setting, "utf8");
  const undo = undoAtExit(() => writeFileSync(setting, before));
  writeFileSync(setting, String(kilobytes));
  return undo;
}

/** The file with this setting, in kB. A partition has that of its disk. */
function readAheadOf(file: string): string {
  const { dev } = statSync(file);
  const [major, minor] = [(dev >>> 8) & 0xfff, (dev & 0xff) | ((dev >>> 12) & 0xfff00)];
  const device = `/sys/dev/block/${major}:${minor}`;
  if (!existsSync(device)) throw new Error(`${file} is not on a file system with a disk of its own`);
  const directory = realpathSync(device);
  return join(existsSync(join(directory, "partition")) ? dirname(directory) : directory, "queue/read_ahead_kb");
}
