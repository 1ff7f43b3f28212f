#!/bin/sh
# Builds an AWS Lambda function for provided.al2023 out of a handler and bunstrap's runtime.ts: see usage.
# It is copied into other projects together with runtime.ts, and needs nothing else of bunstrap.
# The shell only finds Bun, or installs it. Bun then runs all the rest, which is TypeScript and stands below.
set -eu
unset CDPATH || true # cd would print where it goes

bun_version=${BUN_VERSION:-1.4.2} # 1.4.5 starts no faster, and its zip is close to the limit

usage() {
  cat <<END
Usage: ./build.sh [OPTION]... [HANDLER.ts] [-- ARGUMENTS FOR BUN BUILD]

Compiles HANDLER.ts into DIR/<arch>/bootstrap, and packs that into DIR/bootstrap-<arch>.zip, ready for upload.

  HANDLER.ts      the file that calls run(); handler.example.ts beside this script unless given
  --arch ARCH     x86_64 or arm64; both unless given
  --out DIR       where to write to, relative to the current directory; dist unless given
  --include PATH  a file, or a folder with all that is in it, to pack beside bootstrap under the same relative path, and
                  to put beside DIR/<arch>/bootstrap; as often as wanted: --include libimage.so --include assets/fonts
                  (what an earlier build has put beside DIR/<arch>/bootstrap stays there, but is not in the zip)
  --locales LIST  keep the data of these languages, as in --locales en,de,ja, besides English, and drop that of all others,
                  which makes the zip about 7 MB smaller: in Intl and toLocaleString, a language that was dropped speaks
                  English, or nothing but numbers, without an error; all languages are kept unless given
  --no-zip        makes no zip, which takes most of the time: for container images, and to try something
  --help          this text

What follows -- goes to bun build as it is, after the arguments that build.sh gives, in the directory of the handler's
project (the nearest one up from the handler that has a package.json):
  ./build.sh handler.ts -- --define 'process.env.STAGE="beta"'

Environment:
  BUN_VERSION     the version of Bun to build with; $bun_version unless given. It is taken from node_modules beside this
                  script or from the PATH if it is there, and is otherwise installed through npm, into
                  node_modules/.cache beside this script.
END
}

fail() {
  printf 'build.sh: %s\n' "$1" >&2
  exit 1
}

for argument; do
  case $argument in
    --help | -h) usage && exit ;;
    --) break ;;
  esac
done

# ── Bun ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

is_wanted() {
  [ "$("$1" --version 2>/dev/null)" = "$bun_version" ]
}

here=$(cd -- "$(dirname -- "$0")" && pwd)

find_bun() {
  cache=$here/node_modules/.cache/bun-$bun_version
  for bun in "$here/node_modules/.bin/bun" bun "$cache/node_modules/.bin/bun"; do
    if is_wanted "$bun"; then return; fi
  done
  command -v npm >/dev/null || fail "Bun $bun_version is not installed, and there is no npm to install it with"
  printf 'build.sh: installing Bun %s into %s\n' "$bun_version" "$cache" >&2
  mkdir -p "$cache"
  npm install --prefix "$cache" --no-save --no-package-lock --no-audit --no-fund --silent "bun@$bun_version" >&2 ||
    fail "npm could not install Bun $bun_version"
  is_wanted "$bun" || fail "npm installed a Bun that is not $bun_version or does not run: see $cache"
}
find_bun

# The files that Bun would read in the current directory are not for this program.
exec "$bun" --config=/dev/null --env-file=/dev/null run - "$here" "$@" <<'TYPESCRIPT'
import { chmodSync, copyFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { basename, dirname, join, normalize, resolve } from "node:path";

const architectures = {
  x86_64: { target: "bun-linux-x64" },
  arm64: { target: "bun-linux-arm64" },
};
type Architecture = keyof typeof architectures;

const directUploadLimit = 50 * 2 ** 20; // bytes: what Lambda takes without a detour through S3

function fail(message: string, status = 1): never {
  console.error(`build.sh: ${message}`);
  process.exit(status);
}

function misused(message: string): never {
  fail(`${message} (./build.sh --help tells more)`, 2);
}

process.on("uncaughtException", (error: NodeJS.ErrnoException) => {
  fail(error.code && error.message ? error.message : Bun.inspect(error)); // as where a disk is full, or a folder is not ours
});

// ── Arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────

const [here = "", ...args] = process.argv.slice(2);

let handler: string | undefined;
let chosen = Object.keys(architectures) as Architecture[];
let out = "dist";
const includes: string[] = [];
const languages: string[] = [];
let zipped = true;

const options: Record<string, (value: string) => void> = {
  "--arch": (value) => {
    if (!Object.hasOwn(architectures, value)) misused(`unknown architecture ${value}: it is x86_64 or arm64`);
    chosen = [value as Architecture];
  },
  "--out": (value) => void (out = value),
  "--include": (value) => void includes.push(included(value)),
  "--locales": (value) => void languages.push(...value.split(",").map(language)),
};

/** The path of what is to be packed, relative to the current directory, with nothing needless in it. */
function included(path: string): string {
  if (path.startsWith("/")) misused(`--include ${path} is absolute: a relative path is the path in the zip as well`);
  if (path.split("/").includes("..")) misused(`--include ${path} has .. in it: call build.sh from a directory above`);
  const relative = normalize(path).replace(/\/$/, "");
  if (relative.split("/")[0] === "bootstrap") misused(`--include ${path} would take the place of bootstrap: rename it`);
  return relative;
}

/** A language of --locales, by the name that is in use today. */
function language(tag: string): string {
  try {
    if (!tag.includes("-")) return canonicalLanguage(tag);
  } catch {
    misused(`--locales has "${tag}", which is no language as in BCP 47: write en,de,ja`);
  }
  misused(`--locales has ${tag}: name the language alone, since its scripts and regions stay with it`);
}

for (let argument = args.shift(); argument !== undefined && argument !== "--"; argument = args.shift()) {
  const [, name = argument, attached] = /^(--.*?)=(.*)$/s.exec(argument) ?? [];
  const take = options[name];
  if (take) take((attached ?? args.shift()) || misused(`${name} needs a value`));
  else if (argument === "--no-zip") zipped = false;
  else if (argument.startsWith("-")) misused(`unknown option ${argument}${existsSync(argument) ? `: the file is ./${argument}` : ""}`);
  else if (handler !== undefined) misused(`two handlers, ${handler} and ${argument}: one executable is built from one file`);
  else handler = argument;
}
const argumentsForBun = args;

if (handler === undefined) {
  handler = join(here, "handler.example.ts");
  if (!existsSync(handler)) misused("which handler? ./build.sh handler.ts");
}
const status = statSync(handler, { throwIfNoEntry: false });
if (!status) fail(`there is no handler ${handler}`);
if (status.isDirectory()) fail(`${handler} is a folder: name the file in it that calls run()`);
const entry = resolve(handler);
if (entry.includes("\\")) fail(`Bun cannot build ${entry}, because of the backslash in its path: rename that folder or file`);

// Stack traces name source files relative to the directory that Bun runs in, so that is always the handler's project.
const project = projectOf(dirname(entry)) ?? dirname(entry);

function projectOf(folder: string): string | undefined {
  if (existsSync(join(folder, "package.json"))) return folder;
  return folder === "/" ? undefined : projectOf(dirname(folder));
}

// ── Included files ───────────────────────────────────────────────────────────────────────────────────────────────────

/** The files of a folder, or the file itself; the folders are those that it is in. */
function filesOf(path: string, folders: string[] = []): string[] {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isFile()) return [path];
  if (!status?.isDirectory()) fail(`cannot include what is neither a file nor a folder, as a link that leads nowhere: ${path}`);
  const folder = realpathSync(path);
  if (folders.includes(folder)) fail(`cannot include ${path}: it leads back to a folder that it is in`);
  return readdirSync(path).flatMap((name) => filesOf(join(path, name), [...folders, folder]));
}

/** The real path of what exists, or will. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : join(realPath(dirname(path)), basename(path));
}

const includedFiles = new Set<string>();
for (const path of includes) {
  if (!lstatSync(path, { throwIfNoEntry: false })) fail(`there is no ${path} to include`);
  for (const folder of [process.cwd(), out, join(out, "x86_64"), join(out, "arm64")]) {
    const holds = `${realPath(resolve(folder))}/`.startsWith(`${realPath(resolve(path))}/`);
    if (holds) misused(`--include ${path} holds ${folder}, and with it what is built: name a part of it`);
  }
  const files = filesOf(path);
  if (files.length === 0) fail(`there is no file in ${path} to include`);
  for (const file of files) includedFiles.add(file);
}

// ── Build ────────────────────────────────────────────────────────────────────────────────────────────────────────────

mkdirSync(out, { recursive: true });
const work = mkdtempSync(join(resolve(out), ".build.")); // on the same file system, so that the result can be moved at once
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(128 + constants.signals[signal]));

function build(): void {
  for (const arch of chosen) for (const file of includedFiles) stage(arch, file);
  for (const arch of chosen) {
    compile(arch);
    if (zipped) writeFileSync(join(work, `${arch}.zip`), zip(join(work, arch), files()));
  }
  for (const arch of chosen) finish(arch);
}

/** What is packed, in the order of the zip. */
function files(): string[] {
  return ["bootstrap", ...[...includedFiles].sort()];
}

/** Copies what is included to where bootstrap will be. */
function stage(arch: Architecture, file: string): void {
  const place = join(out, arch, file);
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory()) fail(`${place} is a folder where a file goes: remove it`);
  const copy = join(work, arch, file);
  mkdirSync(dirname(copy), { recursive: true });
  try {
    copyFileSync(file, copy);
  } catch {
    fail(`cannot read ${file}, which is to be included`);
  }
  chmodSync(copy, statSync(file).mode & 0o100 ? 0o755 : 0o644);
}

/** Makes bootstrap. Of --minify, names would rename classes, and with them the types of errors; syntax would move lines in stacks. */
function compile(arch: Architecture): void {
  const executable = join(work, "build/bootstrap"); // beside which Bun leaves source maps, which the executable holds as well
  const flags = [
    ...["--compile", `--target=${architectures[arch].target}`, `--outfile=${executable}`, "--bytecode", "--format=esm"],
    ...["--minify-whitespace", "--sourcemap", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"],
  ];
  const { success, stdout, stderr } = Bun.spawnSync([process.execPath, "build", entry, ...flags, ...argumentsForBun], {
    cwd: project,
    env: { ...process.env, NODE_ENV: "production" },
  });
  if (!success || !existsSync(executable)) {
    process.stderr.write(`${stdout}${stderr}`);
    fail(`bun build failed for ${entry}`);
  }
  if (languages.length > 0) keepLanguages(executable);
  mkdirSync(join(work, arch), { recursive: true });
  renameSync(executable, join(work, arch, "bootstrap"));
  chmodSync(join(work, arch, "bootstrap"), 0o755);
}

function finish(arch: Architecture): void {
  for (const file of files()) {
    mkdirSync(dirname(join(out, arch, file)), { recursive: true });
    renameSync(join(work, arch, file), join(out, arch, file));
  }
  const bootstrap = `${out}/${arch}/bootstrap  ${megabytes(`${out}/${arch}/bootstrap`)}`;
  if (!zipped) return console.log(bootstrap);
  const archive = `${out}/bootstrap-${arch}.zip`;
  renameSync(join(work, `${arch}.zip`), archive);
  console.log(`${archive}  ${megabytes(archive)}  (${bootstrap})`);
  if (statSync(archive).size > directUploadLimit) {
    console.error(`build.sh: warning: ${archive} is larger than 50 MiB: Lambda takes it only from S3`);
  }
}

function megabytes(file: string): string {
  return `${(statSync(file).size / 1e6).toFixed(1)} MB`;
}

// ── Locales ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Languages whose data is partly that of others: what they inherit from, are an alias of, or consist of. */
const relatives: Record<string, string[]> = { ars: ["ar"], nb: ["no"], nn: ["no"], no: ["nb", "nn"], yue: ["zh"] };

/** What it takes to find words in scripts that do not separate them. ICU does not use cjdict without ja.res. */
const dictionaries: Record<string, string[]> = {
  Hans: ["brkitr/cjdict.dict", "brkitr/ja.res"],
  Hant: ["brkitr/cjdict.dict", "brkitr/ja.res"],
  Jpan: ["brkitr/cjdict.dict"],
  Khmr: ["brkitr/khmerdict.dict"],
  Laoo: ["brkitr/laodict.dict"],
  Mymr: ["brkitr/burmesedict.dict"],
  Thai: ["brkitr/thaidict.dict"],
};

/**
 * Takes what is of other languages out of the ICU data in an executable: an item's bytes become zeros, and its line in the
 * table of contents goes. Nothing moves. English stays, since it is the default where no locale is named.
 *
 * @see https://github.com/unicode-org/icu/blob/main/icu4c/source/common/ucmndata.h
 */
function keepLanguages(executable: string): void {
  const bytes = readFileSync(executable);
  const { table, items } = commonData(bytes);

  const known = new Set(items.map(({ name }) => languageOfItem(name)));
  const unknown = languages.find((language) => !known.has(language));
  if (unknown) fail(`--locales has ${unknown}, a language that Bun ${Bun.version} has no data of`);
  const keptLanguages = new Set(["en", ...languages, ...languages.flatMap((language) => relatives[language] ?? [])]);
  const keptItems = new Set(languages.flatMap((language) => dictionaries[new Intl.Locale(language).maximize().script ?? ""] ?? []));
  const kept = items.filter(({ name }) => {
    const language = languageOfItem(name);
    return keptItems.has(name) || (language ? keptLanguages.has(language) : !name.endsWith(".dict"));
  });

  const dropped = new Set(items).difference(new Set(kept));
  for (const { start, end } of dropped) bytes.fill(0, start, end);
  bytes.fill(0, table, table + 4 + 8 * items.length);
  bytes.writeUInt32LE(kept.length, table);
  for (const [index, { line }] of kept.entries()) line.copy(bytes, table + 4 + 8 * index);
  writeFileSync(executable, bytes);
}

interface Item {
  /** Without the name of the package, as in coll/de_AT.res. */
  name: string;
  /** In the table of contents: the offsets of the name and of the item, from the table. */
  line: Buffer;
  start: number;
  end: number;
}

/** The one piece of ICU common data that is in the bytes. Each check is of something that another Bun may have otherwise. */
function commonData(bytes: Buffer): { table: number; items: Item[] } {
  const unexpected = (what: string): never => fail(`--locales does not know the ICU data of Bun ${Bun.version}: ${what}`);

  // From the magic number to the format: 20 bytes of information, little-endian, ASCII, UTF-16, "CmnD".
  const mark = Buffer.from("da271400000000000200436d6e44", "hex");
  const header = bytes.indexOf(mark) - 2;
  if (header < 0) unexpected("there is none");
  if (bytes.includes(mark, header + mark.length)) unexpected("there is more than one");
  const table = header + bytes.readUInt16LE(header);
  const count = bytes.readUInt32LE(table);
  if (count > 100_000) unexpected(`${count} items`);

  const items: Item[] = [];
  for (let index = 0; index < count; index++) {
    const line = Buffer.from(bytes.subarray(table + 4 + 8 * index, table + 12 + 8 * index));
    const nameStart = table + line.readUInt32LE(0);
    const start = table + line.readUInt32LE(4);
    const [, name] = /^icudt\d+l\/([\w/-]+\.[a-z]+)$/.exec(bytes.toString("latin1", nameStart, bytes.indexOf(0, nameStart))) ?? [];
    const previous = items.at(-1);
    if (name === undefined) return unexpected(`item ${index} has no name`);
    if (previous && !(previous.name < name && previous.start < start)) unexpected(`${name} comes after ${previous.name}`);
    if (start >= bytes.length) unexpected(`${name} is beyond the end`);
    if (previous) previous.end = start;
    items.push({ name, line, start, end: start });
  }
  for (const name of ["root.res", "en.res", "brkitr/cjdict.dict"]) if (!items.some((item) => item.name === name)) unexpected(`no ${name}`);
  return { table, items };
}

/** de of curr/de_AT.res, none of root.res and res_index.res. */
function languageOfItem(name: string): string | undefined {
  const [, language] = /^(?:[a-z]+\/)?([a-z]{2,3})(?:_|_[A-Z\d_]\w*)?\.res$/.exec(name) ?? [];
  return language && canonicalLanguage(language);
}

/** The name of a language that is in use today: he for iw. */
function canonicalLanguage(code: string): string {
  return Intl.getCanonicalLocales(code)[0]?.split("-")[0] ?? code;
}

// ── Zip ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A zip of these files of a folder. The same bytes make the same zip, whenever and wherever: one time, no folders, no extra fields.
 *
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
function zip(folder: string, names: string[]): Buffer {
  if (names.length > 0xffff) fail(`${names.length} files are more than a zip holds, which is 65,535`);
  const entries: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const name of names) {
    const content = readFileSync(join(folder, name));
    const compressed = Bun.deflateSync(content, { library: "libdeflate", level: 6 });
    const encodedName = Buffer.from(name);
    const properties = Buffer.concat([
      uint16(20, 1 << 11, 8), // the version that it takes to extract, that the name is UTF-8, DEFLATE
      uint16(0, 33), // midnight of 1980-01-01
      uint32(Bun.hash.crc32(content), compressed.length, content.length),
      uint16(encodedName.length, 0),
    ]);
    const mode = statSync(join(folder, name)).mode * 2 ** 16;
    directory.push(Buffer.from("PK\x01\x02"), uint16(20 | (3 << 8)), properties, uint16(0, 0, 0), uint32(mode, offset), encodedName);
    entries.push(Buffer.from("PK\x03\x04"), properties, encodedName, Buffer.from(compressed));
    offset += 4 + properties.length + encodedName.length + compressed.length;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = [Buffer.from("PK\x05\x06"), uint16(0, 0, names.length, names.length), uint32(size, offset), uint16(0)];
  return Buffer.concat([...entries, ...directory, ...end]);
}

/** Integers as a zip has them. */
function uint16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt16LE(value, 2 * index);
  return bytes;
}

function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, 4 * index);
  return bytes;
}

build();
TYPESCRIPT
