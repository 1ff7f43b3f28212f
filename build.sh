#!/bin/sh
# Builds an AWS Lambda function for provided.al2023 out of a handler and bunstrap's runtime.ts: see usage.
# Copy it into other projects together with runtime.ts: it needs nothing else of bunstrap.
# The shell only finds or installs Bun. Bun then runs the rest, the TypeScript below.
set -eu
unset CDPATH || true # cd would print where it goes

bun_version=${BUN_VERSION:-1.4.2} # 1.4.5 starts no faster, and its zip is close to the limit

usage() {
  cat <<END
Usage: ./build.sh [OPTION]... [HANDLER.ts] [-- ARGUMENTS FOR BUN BUILD]

Compiles HANDLER.ts into DIR/<arch>/bootstrap, and packs it into DIR/bootstrap-<arch>.zip, ready for upload.

  HANDLER.ts      the file that calls run(); default: handler.example.ts beside this script
  --arch ARCH     x86_64 or arm64; default: both
  --out DIR       the folder for what is built, relative to the current directory; default: dist
  --include PATH  adds a file or a folder, under the same relative path, to the zip and to DIR/<arch>; can be repeated:
                  --include libimage.so --include assets/fonts
                  Files of earlier builds stay in DIR/<arch>, but are not in the zip.
  --package NAME  adds a package that cannot be bundled, because it loads native code or files of its own; can be
                  repeated: --package sharp
                  It goes into node_modules beside bootstrap, with all packages that it needs, in the versions that are
                  installed in your project. npm fetches binaries that your machine lacks. At run time bootstrap looks
                  for it in the current directory, which in Lambda is the function's own.
  --locales LIST  keeps the data of these languages and of English, and drops all others; default: keeps all
                  --locales en,de,ja makes the zip about 6 MB smaller. For a dropped language, Intl and toLocaleString
                  answer in English or in no language, without an error.
  --no-prefetch   leaves out the prefetch. That is machine code which runs before the program. It asks the kernel for
                  all pages that a start touches, which makes the cold start in a new sandbox several times faster.
  --flat          puts bootstrap, and what belongs to it, into DIR itself, without a zip; needs --arch
                  For sam build and the bundling of CDK: --arch arm64 --flat --out FOLDER
  --no-zip        makes no zip, which saves most of the time: for container images, or to try something
  --help          prints this text

Arguments after -- are passed to bun build, after those of build.sh. It runs in the handler's project, which is the
nearest folder up from the handler that has a package.json.
  ./build.sh handler.ts -- --define 'process.env.STAGE="beta"'

Environment:
  BUN_VERSION     the version of Bun to build with; default: $bun_version
                  build.sh looks for it in node_modules, beside this script and above, and on the PATH. If it is not
                  there, npm installs it into node_modules/.cache beside this script (about 40 MB). That is also where
                  the Bun for the other architecture goes (about 40 MB), when it is first built for.
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

case $(uname -s) in
  CYGWIN* | MINGW* | MSYS*) fail "on Windows, run this in WSL: https://learn.microsoft.com/windows/wsl/install" ;;
esac
here=$(cd -- "$(dirname -- "$0")" && pwd)
case $here$PWD in
  *\\*) fail "Bun cannot build in a folder with a backslash in its path: rename it" ;;
esac

find_bun() {
  cache=$here/node_modules/.cache/bun-$bun_version
  npmrc=
  folder=$here
  while :; do # in a workspace it is in a folder above
    bun=$folder/node_modules/.bin/bun
    if is_wanted "$bun"; then return; fi
    if [ -z "$npmrc" ] && [ -f "$folder/.npmrc" ]; then npmrc=$folder/.npmrc; fi
    [ "$folder" != / ] || break
    folder=$(dirname -- "$folder")
  done
  for bun in bun "$cache/node_modules/.bin/bun"; do
    if is_wanted "$bun"; then return; fi
  done

  command -v npm >/dev/null || fail "Bun $bun_version is not installed, and there is no npm to install it with"
  printf 'build.sh: installing Bun %s through npm, about 40 MB, into %s\n' "$bun_version" "$cache" >&2
  mkdir -p "$cache"
  [ -z "$npmrc" ] || cp "$npmrc" "$cache/.npmrc"
  set -- --no-save --no-package-lock --no-audit --no-fund --loglevel=error
  npm install --prefix "$cache" "$@" "bun@$bun_version" >/dev/null ||
    fail "npm could not install Bun $bun_version"
  is_wanted "$bun" || fail "npm installed a Bun that is not $bun_version or does not run: see $cache"
}
find_bun

# Bun would read the configuration of the current directory, and keep a copy of this program in ~/.bun.
export BUN_RUNTIME_TRANSPILER_CACHE_PATH=0
exec "$bun" --config=/dev/null --env-file=/dev/null run - "$here" "$@" <<'TYPESCRIPT'
import { dlopen } from "bun:ffi";
import { chmodSync, copyFileSync, existsSync, lstatSync, mkdirSync, mkdtempSync, openSync, readdirSync } from "node:fs";
import { readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { constants } from "node:os";
import { basename, dirname, join, normalize, relative, resolve } from "node:path";

const architectures = {
  x86_64: { bun: "bun-linux-x64", cpu: "x64", machine: 62 }, // machine: in the header of an ELF file
  arm64: { bun: "bun-linux-aarch64", cpu: "arm64", machine: 183 },
};
type Architecture = keyof typeof architectures;

async function main([here = "", ...args]: string[]): Promise<void> {
  const options = Object.freeze(parseArguments(here, args));
  await lockFolders(options);
  const common = { ...options, interrupted: abortOnSignals(), work: createWorkFolder(options.out) };
  const builds = options.architectures.map((arch) => ({ ...common, arch, staged: join(common.work, arch) }));

  for (const build of builds) stage(build);
  for (const build of builds) {
    await compile(build);
    if (build.zip) writeFileSync(`${build.staged}.zip`, zip(build.staged, packedFiles(build)));
  }
  for (const build of builds) finish(build);
}

/** The build of one architecture. */
interface Build extends Readonly<Options> {
  arch: Architecture;
  /** The folder for everything that is not finished. */
  work: string;
  /** The folder in it for bootstrap and what goes beside it. */
  staged: string;
  /** Aborted by a signal to this process; the reason is the status to end with. */
  interrupted: AbortSignal;
}

function fail(message: string, status = 1): never {
  console.error(`build.sh: ${message}`);
  process.exit(status);
}

function warn(message: string): void {
  console.error(`build.sh: warning: ${message}`);
}

// ── Arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Options {
  /** The folder of build.sh. */
  here: string;
  /** The absolute path of the handler. */
  entry: string;
  /** The folder of the handler's project. Bun runs there, because stack traces name source files relative to it. */
  project: string;
  architectures: Architecture[];
  out: string;
  /** Files to pack, relative to the current directory. */
  included: string[];
  /** Names of packages to pack. */
  packages: string[];
  /** Languages whose data stays; none if all do. */
  languages: string[];
  prefetch: boolean;
  zip: boolean;
  /** Whether bootstrap goes to `out` itself. */
  flat: boolean;
  argumentsForBun: string[];
}

function parseArguments(here: string, args: string[]): Options {
  const values = new Map<string, string[]>();
  for (const name of ["--arch", "--out", "--include", "--package", "--locales"]) values.set(name, []);
  const valuesOf = (name: string) => values.get(name) ?? [];
  const handlers: string[] = [];
  const switches = new Set<string>();

  const end = args.includes("--") ? args.indexOf("--") : args.length;
  const own = args.slice(0, end);
  for (let argument = own.shift(); argument !== undefined; argument = own.shift()) {
    const [, name = argument, attached] = /^(--.*?)=(.*)$/s.exec(argument) ?? [];
    const hint = existsSync(argument) ? `: the file is ./${argument}` : "";
    if (values.has(name)) valuesOf(name).push((attached ?? own.shift()) || misused(`${name} needs a value`));
    else if (["--no-prefetch", "--no-zip", "--flat"].includes(argument)) switches.add(argument);
    else if (argument.startsWith("-")) misused(`unknown option ${argument}${hint}`);
    else handlers.push(argument);
  }

  const arch = valuesOf("--arch").map(architecture).at(-1);
  const out = valuesOf("--out").at(-1) ?? "dist";
  const includes = valuesOf("--include").map(includePath);
  const packages = valuesOf("--package").map(packageName).sort();
  const languages = valuesOf("--locales").flatMap((list) => list.split(",").map(language));
  const entry = entryOf(handlers, here);
  if (resolve(out).includes("\\")) fail(`Bun cannot write into ${resolve(out)}, because of the backslash in its path`);
  const flat = switches.has("--flat");
  if (flat && !arch) misused("--flat needs --arch: a folder has one bootstrap");
  const holdsMore = isIn(out, entry) || isIn(out, process.cwd());
  if (flat && holdsMore) misused(`--flat: ${out} holds more than what is built: name a folder of its own`);
  return {
    here,
    entry,
    project: foldersAbove(dirname(entry)).find((folder) => existsSync(join(folder, "package.json"))) ?? dirname(entry),
    architectures: arch ? [arch] : (Object.keys(architectures) as Architecture[]),
    out,
    included: [...new Set(includes.flatMap((path) => includedFiles(path, out)))],
    packages,
    languages,
    prefetch: !switches.has("--no-prefetch"),
    zip: !flat && !switches.has("--no-zip"),
    flat,
    argumentsForBun: args.slice(end + 1),
  };
}

function misused(message: string): never {
  fail(`${message} (./build.sh --help tells more)`, 2);
}

function architecture(value: string): Architecture {
  if (Object.hasOwn(architectures, value)) return value as Architecture;
  misused(`unknown architecture ${value}: it is x86_64 or arm64`);
}

/** The path of what to include, relative to the current directory, in its shortest form. */
function includePath(path: string): string {
  if (path.startsWith("/"))
    misused(`--include ${path} is absolute: give a relative path, which is also the path in the zip`);
  if (path.split("/").includes("..")) misused(`--include ${path} has .. in it: call build.sh from a directory above`);
  const normal = normalize(path).replace(/\/$/, "");
  if (normal.split("/")[0] === "bootstrap") misused(`--include ${path} would take the place of bootstrap: rename it`);
  return normal;
}

function includedFiles(path: string, out: string): string[] {
  if (!lstatSync(path, { throwIfNoEntry: false })) fail(`there is no ${path} to include`);
  for (const folder of [process.cwd(), out, join(out, "x86_64"), join(out, "arm64")]) {
    if (isIn(path, folder))
      misused(`--include ${path} contains ${folder}, where build.sh writes: include a part of it`);
  }
  const files = filesOf(path);
  if (files.length === 0) fail(`there is no file in ${path} to include`);
  return files;
}

function packageName(name: string): string {
  if (packageNames.test(name)) return name;
  misused(`--package ${name} is not a package name: write it as in package.json, without a version or a path`);
}

/** A language of --locales, by its current name. */
function language(tag: string): string {
  try {
    if (!tag.includes("-")) return canonicalLanguage(tag);
  } catch {
    misused(`--locales has "${tag}", which is not a language code: write en,de,ja`);
  }
  misused(`--locales has ${tag}: name the language alone, since its scripts and regions stay with it`);
}

function entryOf(handlers: string[], here: string): string {
  const [handler = join(here, "handler.example.ts"), second] = handlers;
  if (second) misused(`two handlers, ${handler} and ${second}: one executable is built from one file`);
  const status = statSync(handler, { throwIfNoEntry: false });
  if (!status && handlers.length === 0) misused("which handler? ./build.sh handler.ts");
  if (!status) fail(`there is no handler ${handler}`);
  if (status.isDirectory()) fail(`${handler} is a folder: name the file in it that calls run()`);
  const entry = resolve(handler);
  if (!entry.includes("\\")) return entry;
  fail(`Bun cannot build ${entry}, because of the backslash in its path: rename that folder or file`);
}

// ── Files and folders ────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Waits until no other build writes into `out`. Builds of one project may run side by side, but Bun leaves a large file
 * in the project when it is stopped. The last build to end removes those: it knows that no other needs them.
 */
async function lockFolders({ out, project }: Options): Promise<void> {
  mkdirSync(out, { recursive: true });
  const isProject = realPath(out) === realPath(project);
  const lock = openSync(out, "r");
  if (!tryLock(lock, 2)) console.error(`build.sh: waiting for another build that writes into ${out}`);
  while (!tryLock(lock, 2)) await Bun.sleep(50);
  const projectLock = isProject ? lock : openSync(project, "r");
  while (!isProject && !tryLock(projectLock, 1)) await Bun.sleep(50);
  process.on("exit", () => {
    if (tryLock(projectLock, 2)) remove(project, /^\.[\da-f]+-[\da-f]+\.bun-build$/);
  });
  remove(out, /^\.build\./); // of builds that were killed
}

/** Locks a folder until this process ends: 1 shares it, 2 does not. */
function tryLock(descriptor: number, operation: 1 | 2): boolean {
  const library = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6";
  const { flock } = dlopen(library, { flock: { args: ["int", "int"], returns: "int" } }).symbols;
  if (flock(descriptor, operation | 4) === 0) return true; // 4: without waiting
  return flock(descriptor, 8) !== 0; // 8 unlocks. If that fails, too, this file system has no locks
}

function remove(folder: string, names: RegExp): void {
  const found = readdirSync(folder).filter((name) => names.test(name));
  for (const name of found) rmSync(join(folder, name), { recursive: true, force: true });
}

/** It is in `out`, so that what is finished can be renamed. */
function createWorkFolder(out: string): string {
  const work = mkdtempSync(join(resolve(out), ".build."));
  process.prependListener("exit", () => rmSync(work, { recursive: true, force: true }));
  return work;
}

function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => controller.abort(128 + constants.signals[signal]));
  }
  return controller.signal;
}

/** The files of a folder, or the file itself; `folders` are those that it is in. */
function filesOf(path: string, folders: string[] = []): string[] {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isFile()) return [path];
  if (!status?.isDirectory()) {
    fail(`cannot include ${path}: it is neither a file nor a folder, or a link that leads nowhere`);
  }
  const folder = realpathSync(path);
  if (folders.includes(folder)) fail(`cannot include ${path}: it leads back to a folder that it is in`);
  return readdirSync(path).flatMap((name) => filesOf(join(path, name), [...folders, folder]));
}

/** The real path of what exists, or will. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : join(realPath(dirname(path)), basename(path));
}

function isIn(folder: string, path: string): boolean {
  return `${realPath(resolve(path))}/`.startsWith(`${realPath(resolve(folder))}/`);
}

/** The folder, the one that it is in, and so on. */
function foldersAbove(folder: string): string[] {
  return dirname(folder) === folder ? [folder] : [folder, ...foldersAbove(dirname(folder))];
}

function megabytes(file: string): string {
  return `${(statSync(file).size / 1e6).toFixed(1)} MB`;
}

// ── Stage: puts what goes beside bootstrap into the work folder ──────────────────────────────────────────────────────

function stage(build: Build): void {
  const files = new Map(build.included.map((file) => [file, file])); // what to copy, by the path beside bootstrap
  for (const { name, found, place } of placedPackages(build)) {
    for (const file of filesOfPackage(name, found, build.arch)) files.set(join(place, file), join(found.folder, file));
  }
  const size = [...files.values()].reduce((sum, file) => sum + statSync(file).size, 0);
  if (build.zip && size > 250 * 2 ** 20) {
    const much = `${(size / 1e6).toFixed(1)} MB of files beside bootstrap, and Lambda takes 250 MiB of a zip`;
    fail(`${much}: include less, or make a container image: --no-zip`);
  }
  for (const [name, file] of files) stageFile(build, file, name);
}

function stageFile(build: Build, file: string, name: string): void {
  const folder = folderOf(build);
  const place = join(folder, name);
  const copy = join(build.staged, name);
  if (!isIn(folder, place) || !isIn(build.staged, copy)) fail(`${place} leads out of ${folder}: remove that link`);
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory()) {
    fail(`${place} is a folder where a file goes: remove it`);
  }
  mkdirSync(dirname(copy), { recursive: true });
  try {
    copyFileSync(file, copy);
  } catch {
    fail(`cannot read ${file}, which is to be included`);
  }
  chmodSync(copy, statSync(file).mode & 0o100 ? 0o755 : 0o644);
}

interface Package {
  folder: string;
  manifest: Manifest;
}

/** The members of package.json that are used here. */
interface Manifest {
  version: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  peerDependenciesMeta?: Record<string, { optional?: boolean }>;
  os?: string[];
  cpu?: string[];
  libc?: string[];
}

interface Placed {
  name: string;
  found: Package;
  /** Its folder beside bootstrap. */
  place: string;
}

/** The packages to pack. If one is needed in two versions, the second is placed below the package that needs it. */
function placedPackages(build: Build): Placed[] {
  const placed: Placed[] = [];

  function add(name: string, found: Package, dependant: string): void {
    const places = foldersAbove(dependant).map((folder) => join(folder, "node_modules", name));
    const seen = places.map((place) => placed.find((other) => other.place === place)).find((other) => other);
    if (seen?.found.folder === found.folder) return;
    placed.push({ name, found, place: join(seen ? dependant : ".", "node_modules", name) });
  }

  for (const name of build.packages) {
    const found = installed(name, build.project);
    add(name, found ?? fail(`--package ${name} is not installed in ${build.project}: npm install ${name}`), ".");
  }
  for (const { name, found, place } of placed) {
    const needed = [...required(name, found), ...peers(found), ...binaries(build, name, found)];
    for (const [dependency, itsPackage] of new Map(needed)) add(dependency, itsPackage, place);
  }
  return placed;
}

/** A package, as code in a folder would find it. */
function installed(name: string, from: string): Package | undefined {
  const candidates = foldersAbove(from).map((folder) => join(folder, "node_modules", name));
  const found = candidates.find((candidate) => existsSync(join(candidate, "package.json")));
  return found ? { folder: realpathSync(found), manifest: readManifest(join(found, "package.json")) } : undefined;
}

function readManifest(file: string): Manifest {
  try {
    const manifest = JSON.parse(readFileSync(file, "utf8").replace(/^\uFEFF/, ""));
    if (typeof manifest !== "object" || manifest === null) throw new TypeError("it is no object");
    return Object.fromEntries(Object.entries(manifest).filter(([, value]) => value !== null)) as unknown as Manifest;
  } catch (error) {
    fail(`cannot read ${file}: ${(error as Error).message}`);
  }
}

/** Names of other packages in a manifest. None leads out of node_modules. */
function dependencyNames({ folder, manifest }: Package, member: keyof Manifest): string[] {
  const names = Object.keys(manifest[member] ?? {});
  const wrong = names.find((name) => !packageNames.test(name));
  if (wrong === undefined) return names;
  fail(`${folder}/package.json has ${JSON.stringify(wrong)} in ${member}, which is not a package name`);
}

function installedOf(names: string[], from: string): Map<string, Package> {
  const all = names.map((name) => [name, installed(name, from)] as const);
  return new Map(all.filter((pair): pair is [string, Package] => pair[1] !== undefined));
}

function required(name: string, dependant: Package): Map<string, Package> {
  const optional = dependencyNames(dependant, "optionalDependencies");
  const names = dependencyNames(dependant, "dependencies").filter((needed) => !optional.includes(needed));
  const found = installedOf(names, dependant.folder);
  const lacking = names.find((needed) => !found.has(needed));
  if (lacking) fail(`--package: ${name} needs ${lacking}, which is not installed: npm install`);
  return found;
}

function peers(dependant: Package): Map<string, Package> {
  const optional = new Map(Object.entries(dependant.manifest.peerDependenciesMeta ?? {}));
  const names = dependencyNames(dependant, "peerDependencies").filter((peer) => !optional.get(peer)?.optional);
  return installedOf(names, dependant.folder);
}

/** The optional dependencies that fit: often they hold the binaries, and npm installs only those for this machine. */
function binaries(build: Build, name: string, dependant: Package): Map<string, Package> {
  const names = dependencyNames(dependant, "optionalDependencies");
  const here = installedOf(names, dependant.folder);
  const fitting = (packages: Map<string, Package>) => [...packages].filter(([, found]) => fits(found, build.arch));
  const haveBinary = (packages: Iterable<[string, Package]>) => [...packages].some(([, found]) => found.manifest.cpu);

  const found = fitting(here);
  if (here.size < names.length && !haveBinary(found)) {
    const fetched = installedOf(names, fetchForArchitecture(build, name, dependant, here));
    found.push(...fitting(fetched).filter(([needed]) => !here.has(needed)));
  }
  if (haveBinary(here) && !haveBinary(found)) fail(noBinary(name, dependant, build.arch));
  return new Map(found);
}

/** Whether a package is for Lambda, on an architecture. Older packages do not say that they are for musl. */
function fits({ folder, manifest: { os = [], cpu = [], libc = [] } }: Package, arch: Architecture): boolean {
  const allows = (list: string[], value: string) =>
    !list.includes(`!${value}`) && (list.includes(value) || list.every((entry) => entry.startsWith("!")));
  const addons = ownFiles(folder).filter((file) => file.endsWith(".node"));
  const runs = addons.length === 0 || addons.some((file) => runsOn(join(folder, file), arch));
  return allows(os, "linux") && allows(cpu, architectures[arch].cpu) && allows(libc, "glibc") && runs;
}

/** The files of a package itself, relative to its folder. */
function ownFiles(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => name !== "node_modules");
  return names.flatMap((name) => filesOf(join(folder, name))).map((file) => relative(folder, file));
}

/** Lets npm install a package as it would on an architecture, beside versions that are here. Returns the folder. */
function fetchForArchitecture(
  { arch, project, work }: Build,
  name: string,
  { manifest: { version, optionalDependencies = {} } }: Package,
  here: Map<string, Package>,
): string {
  const folder = mkdtempSync(join(work, "npm-"));
  // The optional dependencies of a package usually have one version.
  const pinned = Object.entries(optionalDependencies).map(([optional, range]) => {
    const sibling = here.values().find(({ manifest }) => Bun.semver.satisfies(manifest.version, range));
    return [optional, sibling?.manifest.version ?? range];
  });
  const manifest = { dependencies: { [name]: version }, overrides: Object.fromEntries(pinned) };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  const platform = ["--os=linux", `--cpu=${architectures[arch].cpu}`, "--libc=glibc"];
  const failure = `--package ${name}: npm could not fetch what ${name} ${version} needs on ${arch}`;
  npmInstall(folder, project, platform, failure);
  return folder;
}

/** Installs into a folder, with the settings of the project that `from` is in. */
function npmInstall(folder: string, from: string, args: string[], failure: string): void {
  const settings = foldersAbove(from).map((above) => join(above, ".npmrc"));
  const found = settings.find((file) => existsSync(file));
  if (found) copyFileSync(found, join(folder, ".npmrc"));
  if (!Bun.which("npm")) fail(`${failure}: there is no npm`);
  const quietly = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  const command = ["npm", "install", `--prefix=${folder}`, ...args, ...quietly];
  const { success, stderr } = Bun.spawnSync(command, { cwd: folder, stdout: "ignore" });
  if (success) return;
  process.stderr.write(stderr);
  fail(failure);
}

function noBinary(name: string, { manifest }: Package, arch: Architecture): string {
  const advice = "build on such a machine, or with --arch for another";
  return `--package ${name}: ${name} ${manifest.version} has no binary for ${arch} with glibc: ${advice}`;
}

/** The files to pack of a package, without native code for other machines. Published code goes before compiled code. */
function filesOfPackage(name: string, found: Package, arch: Architecture): string[] {
  const { folder } = found;
  const all = ownFiles(folder);
  const native = all.filter((file) => /\.(?:node|dylib|dll|so(?:\.[\d.]+)?)$/.test(file));
  const usable = native.filter((file) => runsOn(join(folder, file), arch));
  const addons = usable.filter((file) => file.endsWith(".node"));
  if (addons.length === 0 && native.some((file) => file.endsWith(".node"))) fail(noBinary(name, found, arch));
  const published = addons.some((file) => file.startsWith("prebuilds/"));
  const isDropped = (file: string) =>
    (native.includes(file) && !usable.includes(file)) || (published && file.startsWith("build/"));
  const kept = all.filter((file) => !isDropped(file));
  for (const file of kept.filter((file) => usable.includes(file))) warnOfNewerGlibc(join(folder, file));
  return kept;
}

/** Whether a file is native code for Linux with glibc, on an architecture. */
function runsOn(file: string, arch: Architecture): boolean {
  const bytes = readFileSync(file);
  const isElf = bytes.length > 20 && bytes.subarray(0, 4).equals(Buffer.from("\x7fELF"));
  const isLinux = bytes[7] === 0 || bytes[7] === 3; // System V, or GNU
  const isForMusl = /\bmusl\b/.test(file) || bytes.includes("libc.musl-");
  return isElf && isLinux && bytes.readUInt16LE(18) === architectures[arch].machine && !isForMusl;
}

function warnOfNewerGlibc(file: string): void {
  const minors = [...readFileSync(file, "latin1").matchAll(/\0GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  const newest = Math.max(0, ...minors);
  if (newest > 34) warn(`${file} needs glibc 2.${newest}, and Amazon Linux 2023 has 2.34`);
}

// ── Compile: makes bootstrap ─────────────────────────────────────────────────────────────────────────────────────────

/** Nothing is minified: that renames the types of errors, moves lines in stacks, and breaks `await import("bun")`. */
async function compile(build: Build): Promise<void> {
  const { arch, entry, project } = build;
  const executable = join(build.work, "build/bootstrap"); // in a folder of its own, since Bun leaves a source map there
  const metafile = join(build.work, "metafile.json");
  const isBunChosen = build.argumentsForBun.some((argument) => /^--(target|compile-executable-path)\b/.test(argument));
  const flags = [
    ...["--compile", `--target=${architectures[arch].bun}`, `--outfile=${executable}`, "--bytecode", "--format=esm"],
    ...(isBunChosen ? [] : [`--compile-executable-path=${bunFor(build)}`]),
    ...["--sourcemap", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"],
    ...(build.packages.length > 0 ? ["--compile-autoload-package-json"] : []), // or node_modules is not looked into
    ...build.packages.map((name) => `--external=${name}`),
    ...build.argumentsForBun,
  ];
  await bunBuild(build, [entry, ...flags, `--metafile=${metafile}`]);
  const { inputs }: Metafile = JSON.parse(readFileSync(metafile, "utf8"));
  const imports = Object.values(inputs).flatMap((input) => input.imports);
  const external = imports.filter((each) => each.external && each.kind === "import-statement").map(({ path }) => path);
  const needsLoader = external.some((path) => !isBuiltin(path) && !/^bun\b/.test(path));
  if (needsLoader) await bunBuild(build, [loader(build), entry, `--root=${project}`, ...flags]);
  if (!existsSync(executable)) fail(`bun build made no executable of ${entry}`);

  const bytes = readFileSync(executable);
  const bundle = parseBundle(bytes);
  const { modules } = bundle;
  if (arch === build.architectures[0]) {
    const hasRuntime = needsLoader || modules.some(({ text }) => isRuntime(text));
    if (!hasRuntime) fail(`${entry} does not import runtime.ts, nor does a file that it imports: it would do nothing`);
    const warnedOf = warnOfPackages(build, inputs);
    for (const module of modules) warnOfPaths(module, warnedOf);
  }
  for (const module of modules) markAsync(module);
  if (build.languages.length > 0) keepLanguages(bytes, build.languages);
  mkdirSync(build.staged, { recursive: true });
  writeFileSync(join(build.staged, "bootstrap"), build.prefetch ? withPrefetch(bytes, bundle, arch) : bytes);
  chmodSync(join(build.staged, "bootstrap"), 0o755);
}

/** What goes into a bundle, by paths relative to the project, and what each file imports. */
interface Metafile {
  inputs: Record<string, { imports: { path: string; original?: string; kind: string; external?: boolean }[] }>;
}

/** The Bun that becomes bootstrap: this one if it runs there, or else npm's. Bun itself would not ask the registry. */
function bunFor({ arch, here }: Build): string {
  if (runsOn(process.execPath, arch)) return process.execPath;
  const { bun, cpu } = architectures[arch];
  const cache = join(here, "node_modules/.cache");
  const executable = join(cache, `${bun}-${Bun.version}`);
  if (existsSync(executable)) return executable;
  console.error(`build.sh: downloading Bun ${Bun.version} for ${arch} through npm, about 40 MB, into ${executable}`);
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(`${executable}.`);
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const args = ["--force", "--no-save", "--no-package-lock", `--cpu=${cpu}`, `@oven/${bun}@${Bun.version}`];
  npmInstall(folder, here, args, `npm could not install Bun ${Bun.version} for ${arch}`);
  renameSync(join(folder, "node_modules/@oven", bun, "bin/bun"), executable);
  return executable;
}

async function bunBuild({ entry, project, interrupted }: Build, args: string[]): Promise<void> {
  const compiler = Bun.spawn([process.execPath, "build", ...args], {
    cwd: project,
    env: { ...process.env, NODE_ENV: "production" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    signal: interrupted,
    killSignal: "SIGKILL",
  });
  const output = await Promise.all([new Response(compiler.stdout).text(), new Response(compiler.stderr).text()]);
  const status = await compiler.exited;
  if (interrupted.aborted) process.exit(interrupted.reason);
  if (status === 0) return;
  process.stderr.write(output.join(""));
  fail(`bun build failed for ${entry}${hintOfMissing(output.join(""))}`);
}

/** What to do where packages import others that are not installed. */
function hintOfMissing(output: string): string {
  const external = new Set<string>();
  const packages = new Set<string>();
  for (const [, missing, place = ""] of output.matchAll(/Could not resolve: "([^"]+)".*\n +at (.*)/g)) {
    const name = packageOf(place);
    if (name) external.add(` --external ${missing}`) && packages.add(` --package ${name}`);
  }
  if (packages.size === 0) return "";
  return `: install what is missing, leave it out (--${[...external].join("")}), or use${[...packages].join("")}`;
}

/**
 * Bun looks for external imports before any code of the bundle runs, so runtime.ts cannot report that one is missing.
 * This module can. It is kept in the project, because its path relative to the project is in the executable.
 */
function loader({ entry, project }: Build): string {
  const bundled = relative(project, entry).replace(/\.\w+$/, ".js");
  const source = `try {
  Bun.main = import.meta.dir + ${JSON.stringify(`/${bundled}`)};
  await import(Bun.main);
} catch (error) {
  if (process.listenerCount("uncaughtException") > 0) throw error; // runtime.ts is there
  const errorType = "Runtime.ImportModuleError";
  const report = JSON.stringify({ errorMessage: error.message, errorType, stackTrace: [] });
  console.error(report);
  const api = process.env.AWS_LAMBDA_RUNTIME_API;
  const headers = { "Lambda-Runtime-Function-Error-Type": errorType };
  if (api) await fetch(\`http://\${api}/2018-06-01/runtime/init/error\`, { method: "POST", headers, body: report });
  process.exit(1);
}
`;
  const file = join(project, "node_modules/.cache/bunstrap", `load-${bundled.replaceAll(/[^\w.-]/g, "_")}`);
  mkdirSync(dirname(file), { recursive: true });
  if (!existsSync(file) || readFileSync(file, "utf8") !== source) writeFileSync(file, source);
  return file;
}

interface Bundle {
  /** Offsets in the executable. All bytecode comes first. A start does not read the source maps and texts after it. */
  start: number;
  bytecodeEnd: number;
  modules: BundledModule[];
}

interface BundledModule {
  text: string;
  /** What Bun tells JavaScriptCore of the module, since that does not parse what is there as bytecode. */
  record: Buffer;
}

/** The modules in an executable, by the table at the end of what Bun has added to itself. */
function parseBundle(bytes: Buffer): Bundle {
  const end = bytes.lastIndexOf("\n---- Bun! ----\n") - 32; // its size and the place of the table follow
  if (end < 0) fail(`build.sh does not know the executables of Bun ${Bun.version}`);
  const start = end - Number(bytes.readBigUInt64LE(end));
  const slice = (at: number) => {
    const from = start + bytes.readUInt32LE(at);
    return bytes.subarray(from, from + bytes.readUInt32LE(at + 4));
  };
  const table = start + bytes.readUInt32LE(end + 8);
  const entries = Array.from({ length: bytes.readUInt32LE(end + 12) / 52 }, (_, index) => table + 52 * index);
  const texts = entries.map((entry) => slice(entry + 8));
  const sourceMaps = entries.map((entry) => slice(entry + 16));
  const behind = [...texts, ...sourceMaps].filter(({ length }) => length > 0);
  return {
    start,
    bytecodeEnd: Math.min(...behind.map(({ byteOffset }) => byteOffset - bytes.byteOffset)),
    modules: entries.map((entry, index) => {
      const encoding = bytes[entry + 48] === 2 ? "utf16le" : "latin1";
      return { text: texts[index]!.toString(encoding), record: slice(entry + 32) };
    }),
  };
}

/**
 * Bun 1.4.2 says that a module does not wait if only the bundler has put an `await` in it. Then JavaScriptCore does not
 * resume the module. One that is marked, and does not wait, runs as ever.
 *
 * @see https://github.com/oven-sh/bun/pull/37770
 */
function markAsync({ text, record }: BundledModule): void {
  const [flags = 0, version] = record;
  if (version === 1 && flags < 8) record[0] = flags | 4;
  else if (/^await /m.test(text))
    warn(`Bun ${Bun.version} may stop at an await: put await 0 at the end of the handler's file`);
}

/** Warns of packages that do not work in a bundle. Returns their names. */
function warnOfPackages({ project }: Build, inputs: Metafile["inputs"]): Set<string> {
  const warnings = new Map<string, string>();
  for (const [importer, { imports }] of Object.entries(inputs)) {
    for (const { path, original = "" } of imports) {
      if (!path.endsWith(".node") || !Object.hasOwn(inputs, path)) continue;
      const name = packageOf(importer) ?? packageOf(`node_modules/${original}`) ?? "";
      const advice = name && `: use --package ${name}`;
      warnings.set(name, `${path} is native code for one architecture, but goes into bootstrap for both${advice}`);
    }
  }
  for (const file of Object.keys(inputs)) {
    const name = packageOf(file) ?? "";
    const manifest = resolve(project, file.replace(/(.*\bnode_modules\/).*/, "$1"), name, "package.json");
    if (warnings.has(name) || !name || !existsSync(manifest)) continue;
    const optional = Object.keys(readManifest(manifest).optionalDependencies ?? {});
    const isNative = optional.some((dependency) => /\b(?:x64|arm64)\b/.test(dependency));
    const reason = isNative ? "loads native code, which a bundle does not have" : unbundled.get(name);
    if (reason) warnings.set(name, `${name} ${reason}: use --package ${name}`);
  }
  for (const warning of warnings.values()) warn(warning);
  return new Set(warnings.keys());
}

/** The name of the package that a file is in. */
function packageOf(path: string): string | undefined {
  return /.*\bnode_modules\/((?:@[^/]+\/)?[^./][^/]*)/.exec(path)?.[1];
}

/** Warns of what is found only on this machine. */
function warnOfPaths(module: BundledModule, warnedOf: Set<string>): void {
  const warnings = new Set<string>();
  for (const { file, text } of filesOfModule(module)) {
    const name = packageOf(file);
    for (const line of text.split("\n")) {
      const [, variable] = /\b(__dirname|__filename) = "/.exec(line) ?? [];
      const [, call] = /\b(?:__)?(import|require)\((?!["'])/.exec(line) ?? [];
      if (variable && !warnedOf.has(name ?? "")) {
        const advice = name ? `use --package ${name}` : 'see "More files in the zip" in the README';
        warnings.add(`${file} has ${variable}, a path of this machine: if it reads files there, ${advice}`);
      }
      if (call && !file.includes("node_modules/"))
        warnings.add(`${file} has ${call}() of a computed name, which is looked for only when it runs`);
    }
  }
  for (const warning of warnings) warn(warning);
}

/** The files in the text of a module. Before each stands a comment with its name, unless the text is minified. */
function filesOfModule({ text }: BundledModule): { file: string; text: string }[] {
  const parts = text.split(/^(?=\/[/*] \S.*\.\w+(?: \*\/)?$)/m);
  const nameOf = (part: string) => /^\/[/*] (\S.*?\.\w+)(?: \*\/)?$/m.exec(part.split("\n", 1)[0]!)?.[1];
  return parts.map((part) => ({ file: nameOf(part) ?? "the bundle", text: part }));
}

function isRuntime(text: string): boolean {
  return text.includes("AWS_LAMBDA_RUNTIME_API");
}

// ── Locales ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Removes the data of other languages from the ICU data in an executable: an item's bytes become zeros, and its line in
 * the table of contents goes. Nothing moves. English stays, since it is the default where no locale is named.
 *
 * @see https://github.com/unicode-org/icu/blob/main/icu4c/source/common/ucmndata.h
 */
function keepLanguages(bytes: Buffer, languages: string[]): void {
  const { table, items } = commonData(bytes);

  const known = new Set(items.map(({ name }) => languageOfItem(name)));
  const unknown = languages.find((language) => !known.has(language));
  if (unknown) fail(`--locales has ${unknown}, for which Bun ${Bun.version} has no data`);
  const scriptOf = (language: string) => new Intl.Locale(language).maximize().script ?? "";
  const related = languages.flatMap((language) => relatives.get(language) ?? []);
  const keptLanguages = new Set(["en", ...languages, ...related]);
  const keptItems = new Set(languages.flatMap((language) => dictionaries.get(scriptOf(language)) ?? []));
  const isKept = ({ name }: Item) => {
    const language = languageOfItem(name);
    return keptItems.has(name) || (language ? keptLanguages.has(language) : !name.endsWith(".dict"));
  };

  for (const { start, end } of items.filter((item) => !isKept(item))) bytes.fill(0, start, end);
  const kept = items.filter(isKept);
  bytes.fill(0, table, table + 4 + 8 * items.length);
  bytes.writeUInt32LE(kept.length, table);
  for (const [index, { line }] of kept.entries()) line.copy(bytes, table + 4 + 8 * index);
}

interface Item {
  /** Without the name of the package, as in coll/de_AT.res. */
  name: string;
  /** Its line in the table of contents: the offsets of the name and of the item, from the table. */
  line: Buffer;
  start: number;
  end: number;
}

/** The one piece of ICU common data in the bytes. Each check is of something that may differ in another Bun. */
function commonData(bytes: Buffer): { table: number; items: Item[] } {
  const unexpected = (what: string): never =>
    fail(`--locales does not know the ICU data of Bun ${Bun.version}: ${what}`);

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
    const path = bytes.toString("latin1", nameStart, bytes.indexOf(0, nameStart));
    const [, name] = /^icudt\d+l\/([\w/-]+\.[a-z]+)$/.exec(path) ?? [];
    const previous = items.at(-1);
    if (name === undefined) return unexpected(`item ${index} has no name`);
    if (previous && !(previous.name < name && previous.start < start))
      unexpected(`${name} comes after ${previous.name}`);
    if (start >= bytes.length) unexpected(`${name} is beyond the end`);
    if (previous) previous.end = start;
    items.push({ name, line, start, end: start });
  }
  for (const name of ["root.res", "en.res", "brkitr/cjdict.dict"]) {
    if (!items.some((item) => item.name === name)) unexpected(`no ${name}`);
  }
  return { table, items };
}

/** de of curr/de_AT.res, none of root.res and res_index.res. */
function languageOfItem(name: string): string | undefined {
  const [, language] = /^(?:[a-z]+\/)?([a-z]{2,3})(?:_|_[A-Z\d_]\w*)?\.res$/.exec(name) ?? [];
  return language && canonicalLanguage(language);
}

/** The current name of a language: he for iw. */
function canonicalLanguage(code: string): string {
  return Intl.getCanonicalLocales(code)[0]?.split("-")[0] ?? code;
}

// ── Prefetch: asks for the pages of a start before the program touches them ──────────────────────────────────────────

/**
 * In a new sandbox no page of the executable is in memory. Each is read when it is first touched, one after the other,
 * and that is most of a cold start. This code runs at the entry point, between ld.so and the program. It asks the
 * kernel for all of them at once: with MADV_WILLNEED, which begins to read, then with MADV_POPULATE_READ (since Linux
 * 5.14), which waits for them and maps them. Where the kernel refuses, nothing changes. Without the second call the
 * gain is nearly the same. A table of addresses and lengths follows the code, up to an address of 0.
 *
 * The pages stay where they are, in 190 blocks of a compressed file system. Copies of them side by side, mapped over
 * their places, are in 55 to 90. But each mapping makes every start 5 to 9 µs longer. It is also one of the lines of
 * /proc/self/maps, which Bun reads twice. With 120 mappings, a cold start from squashfs (zstd) took 0.5 to 0.6 of the
 * time, and a warm one 0.7 ms more.
 */
const prefetchCode: Record<Architecture, string> = {
  x86_64: `
    49 89 d5                 mov %rdx, %r13          # belongs to the program
    41 bc 03 00 00 00        mov $3, %r12d           # MADV_WILLNEED
    48 8d 1d 38 00 00 00  1: lea table(%rip), %rbx
    8b 3b                 2: mov (%rbx), %edi        # address
    8b 73 04                 mov 4(%rbx), %esi       # length
    48 83 c3 08              add $8, %rbx
    85 ff                    test %edi, %edi
    74 0c                    jz 3f
    44 89 e2                 mov %r12d, %edx
    b8 1c 00 00 00           mov $28, %eax           # madvise
    0f 05                    syscall
    eb e7                    jmp 2b
    41 83 fc 16           3: cmp $22, %r12d
    41 bc 16 00 00 00        mov $22, %r12d          # MADV_POPULATE_READ
    75 d4                    jne 1b
    4c 89 ea                 mov %r13, %rdx
    ff 25 02 00 00 00        jmp *entry(%rip)
    66 90                    .balign 8
    00 00 00 00       entry: .long 0                 # the entry point of the program
    00 00 00 00              .long 0
                      table:`,
  arm64: `
    e9 03 00 aa              mov x9, x0              // belongs to the program
    6a 00 80 52              mov w10, #3             // MADV_WILLNEED
    0b 02 00 10           1: adr x11, table
    60 05 c1 28           2: ldp w0, w1, [x11], #8   // address, length
    a0 00 00 34              cbz w0, 3f
    e2 03 0a 2a              mov w2, w10
    28 1d 80 52              mov w8, #233            // madvise
    01 00 00 d4              svc #0
    fb ff ff 17              b 2b
    5f 59 00 71           3: cmp w10, #22
    ca 02 80 52              mov w10, #22            // MADV_POPULATE_READ
    e1 fe ff 54              b.ne 1b
    e0 03 09 aa              mov x0, x9
    70 00 00 58              ldr x16, entry
    00 02 1f d6              br x16
    1f 20 03 d5              .balign 8
    00 00 00 00       entry: .long 0                 // the entry point of the program
    00 00 00 00              .long 0
                      table:`,
};

const pageSize = 4096; // what the tables count in; advice for a part of a larger page is refused
const largestBytecode = 8 * 2 ** 20; // bytes that are asked for; much of a larger bundle is loaded later, if ever

/** Which tables a program needs, by what is in its text: most read much that a small function never touches. */
const prefetchPatterns = {
  always: /^/,
  usual: /\b(?:async|await|console|Response|yield)\b/,
  network:
    /(?<![.\w])fetch\(|\b(?:redis|s3|sql|RedisClient|S3Client|SQL)\b|(?:from |\()"(?:node:)?(?:https?|http2|net|tls)"/,
  node: /(?:from |\()"(?:node:)?(?:https?|http2)"/,
};

/** Adds a segment for the code and its table behind the executable. Of Bun's bytes, two places in headers change. */
function withPrefetch(executable: Buffer, { start, bytecodeEnd, modules }: Bundle, arch: Architecture): Buffer {
  const headers = programHeaders(executable);
  const note = headers.find(({ type }) => type === 4); // PT_NOTE, which neither ld.so nor Bun reads
  const last = headers.findLast(({ type }) => type === 1); // PT_LOAD, with the bundle at its end
  const tables = note && prefetchTables.get(buildId(executable, note));
  if (!tables || !last) {
    console.error(`build.sh: ${arch} has no prefetch, so its cold start takes longer: there is no table for this Bun`);
    return executable;
  }

  const text = modules.map(textWithoutRuntime).join("");
  const names = Object.keys(prefetchPatterns) as (keyof typeof prefetchPatterns)[];
  const ranges = names.filter((name) => prefetchPatterns[name].test(text)).flatMap((name) => rangesOf(tables[name]));
  const toAddress = last.address - last.offset;
  const firstPage = Math.floor((start + toAddress) / pageSize) * pageSize;
  const end = Math.min(bytecodeEnd + toAddress, firstPage + largestBytecode);
  for (let at = firstPage; at < end; at += 32 * pageSize) {
    ranges.push([at, Math.min(32 * pageSize, end - at)]); // one call may read no more than the disk reads ahead
  }
  const bytes = prefetchCode[arch].replaceAll(/^ *((?:[\da-f]{2} )*).*$/gm, "$1").replaceAll(/\s/g, "");
  const code = Buffer.concat([Buffer.from(bytes, "hex"), uint32(...ranges.flat(), 0, 0)]);
  executable.copy(code, bytes.length / 2 - 8, 24, 32); // the entry point

  const offset = Math.ceil(executable.length / pageSize) * pageSize;
  const address = Math.ceil((last.address + last.size) / last.alignment) * last.alignment + (offset % last.alignment);
  const result = Buffer.concat([executable, Buffer.alloc(offset - executable.length), code]);
  uint64(address).copy(result, 24);
  uint32(1, 5).copy(result, note.at); // PT_LOAD, to be read and executed
  uint64(offset, address, address, code.length, code.length, last.alignment).copy(result, note.at + 8);
  return result;
}

/** The text without runtime.ts, which names all that it can do. In a minified text the files are not told apart. */
function textWithoutRuntime(module: BundledModule): string {
  const texts = filesOfModule(module).map(({ text }) => text);
  const own = texts.filter((text) => !isRuntime(text));
  return (own.length > 0 ? own : texts).join("");
}

interface ProgramHeader {
  at: number;
  type: number;
  offset: number;
  address: number;
  size: number;
  alignment: number;
}

/** @see https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html */
function programHeaders(executable: Buffer): ProgramHeader[] {
  const field = (at: number) => Number(executable.readBigUInt64LE(at));
  return Array.from({ length: executable.readUInt16LE(56) }, (_, index) => {
    const at = field(32) + 56 * index;
    const [offset, address, size, alignment] = [field(at + 8), field(at + 16), field(at + 32), field(at + 48)];
    return { at, type: executable.readUInt32LE(at), offset, address, size, alignment };
  });
}

/** Tells one Bun from another: executables with the same build ID differ in their bundle alone. */
function buildId(executable: Buffer, { offset, size }: ProgramHeader): string {
  const notes = executable.toString("hex", offset, offset + size);
  return /040000001400000003000000474e5500(.{40})/.exec(notes)?.[1] ?? ""; // lengths, NT_GNU_BUILD_ID, "GNU"
}

/** The address and length of each range. In a table it is two bytes: the pages to skip, and the pages to ask for. */
function rangesOf(table: string): [number, number][] {
  const bytes = Buffer.from(table, "base64");
  const ranges: [number, number][] = [];
  for (let at = 0, page = 0; at < bytes.length; at += 2) {
    const [first, count] = [page + bytes.readUInt8(at), bytes.readUInt8(at + 1)];
    if (count > 0) ranges.push([first * pageSize, count * pageSize]);
    page = first + count;
  }
  return ranges;
}

// ── Zip ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A zip of these files of a folder. The same bytes make the same zip, whenever and wherever it is made.
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
    const attributes = uint32(statSync(join(folder, name)).mode * 2 ** 16, offset);
    const madeBy = uint16(20 | (3 << 8)); // Unix
    directory.push(Buffer.from("PK\x01\x02"), madeBy, properties, uint16(0, 0, 0), attributes, encodedName);
    entries.push(Buffer.from("PK\x03\x04"), properties, encodedName, Buffer.from(compressed));
    offset += 4 + properties.length + encodedName.length + compressed.length;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = [Buffer.from("PK\x05\x06"), uint16(0, 0, names.length, names.length), uint32(size, offset), uint16(0)];
  return Buffer.concat([...entries, ...directory, ...end]);
}

/** Integers as a zip has them. */
function uint16(...values: number[]): Buffer {
  return Buffer.from(Uint16Array.from(values).buffer);
}

function uint64(...values: number[]): Buffer {
  return Buffer.from(BigUint64Array.from(values, BigInt).buffer);
}

function uint32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

// ── Finish: moves what is complete to its place ──────────────────────────────────────────────────────────────────────

function finish(build: Build): void {
  const { arch, out, packages, staged } = build;
  const folder = folderOf(build);
  if (packages.length > 0) rmSync(join(folder, "node_modules"), { recursive: true, force: true }); // of before
  for (const file of packedFiles(build)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    renameSync(join(staged, file), join(folder, file));
  }
  const bootstrap = `${folder}/bootstrap  ${megabytes(`${folder}/bootstrap`)}`;
  if (!build.zip) return console.log(bootstrap);

  const archive = `${out}/bootstrap-${arch}.zip`;
  renameSync(`${staged}.zip`, archive);
  console.log(`${archive}  ${megabytes(archive)}  (${bootstrap})`);
  const isTooLarge = statSync(archive).size > 50 * 2 ** 20;
  if (isTooLarge) warn(`${archive} is larger than 50 MiB: Lambda takes it only from S3`);
}

/** The folder that bootstrap goes to. */
function folderOf({ out, arch, flat }: Build): string {
  return flat ? out : `${out}/${arch}`;
}

/** What is packed, in the order of the zip. */
function packedFiles({ staged }: Build): string[] {
  const files = filesOf(staged).map((file) => relative(staged, file));
  return ["bootstrap", ...files.filter((file) => file !== "bootstrap").sort()];
}

// ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The pages that a start and the first events touch, by the build ID of the executable of Bun 1.4.2.
 * test/bench/prefetch.ts makes them. A range is two bytes in base64: the pages to skip, and the pages to ask for.
 */
const prefetchTables = new Map<string, Record<keyof typeof prefetchPatterns, string>>([
  [
    // x86_64
    "5afca2666bfab8605a934f1b6231dacae0518a5f",
    {
      always: `
        /wD/AAILBAQWIAAgACAAIAABJBgIAQ8BAwEEAQQBChX/AP8A/wD/AP8A/wD/AP8A/wD/AP8A0gEDBgUBBQEGAgQCCAIHDAkKEggrAScCBAEKAQ
        UHCggHBQQDBApaARADDQIKAwMCCQQGBBkBBQGVAQYHEgEZAQQFBQMJCDYBFgY3AR0ENQMIAQYBBwIJBSEXUgFFAgMgAAMEBxkCBAMFBQQCFgYF
        AncBUQEDAQwCAwP/AP8AcgEHFQYICQoGAQQgAAU9GgQDBwMDIAAgACAAIAAgACAAIAAgABZFAQQgACAAIAAYGAM4ARUDDQIEAgYODgERBRQHBg
        kEAQUGCgEFIAAKAwcNBSQEKgMFBQYJBAwFIAAOBhwDBgkBBwYDAQsBBgQGAQgDCxDKAQQCBAIHAgMODQMFAg4EAwEJAgQZAxcFChkFBApEBTYG
        BAG4ASUB+gISAxsCNAEIAQ0BCANMATMBBwJFAwcBNgGuBQ0BMgIEBD0EcARwAjMBXgFaAwkBHAEJAQoBHwEIAQcBKwEHAT8BQQEIBAMCCwGqAT
        QELgQGAQMH/wBvAVkBlQMQBPACBANlAQ0BTQEiAhIC/wDUAf8A/wDJAmIBBAEcARkBBgEEASECBAT/AIgFBgEhAUsBdQEyAVYB/wD/APgB/wBJ
        AQ0BBgEEBB0CWwEFAi8FEwI6AQQBQwMJAjADyQH2AQQBeAI2AYMCCwH/AP8A/wCgAZUBYgEDAQQCHQGHARAC/wASASgCMhAGBgoCBgMIARwBuw
        IFARwBDAEfAgQBAwEEATEEEQIDBBMFFQLKA9YBHQcDA10BNgYrAz8BBwJhAf8AwQHOAQcBBgEIAgMDJQH/AFcDABQDFxMDzwEqAQwDfwo=
      `,
      usual: `
        /wD/ABUC0QEWASkB/wD/AP8A/wD/AP8A/wD/AP8A/wD/ANgBDwMGAQgBHQEIAUgCRgERAQMBBAEsASYBOAQDAQMDBQIDBj4BhQEIBQMB/wARAR
        sBBQE6AwMIBQEEAhAPBwIIEw0CBgERAwcCGwE3ASQBQwHOAf8AYgL/ABkBXAEFAf8AYwGQAj4CaBgkAToDDgEGARUDDQQXAgcBBxooASgDAwUF
        AQwJBggeAQcEBAYMAQwBAwUDAQMFBwEKAQsBAwIQAwMKAwJ4AScBAwQUAQgBFwkIBAUBBgUEAQUECgETAQUEEAEEAQMDAwEjAQMBDgIIAwseBg
        QFFQUeCAkDEgMgABEbAW8DFgEOAckHFwFkARYBDAIKAjsBmwFMAW4BNAEWARYBCQFLAhoEBgMEAk4BAwFxAmUCPwEhAgcBGQIZARYBDQcDAgQB
        CAEGAjgCHQEPATcBOhAKAR4BDQQDAQYEDwEFCT4BBgFQBAUBIQH/ACYB/wClATABBAEPAiUCAwINAQoBYANkAh4B/wD/AP8A/wD7AhwBDAQHAQ
        0DAwEDAQYEEAIOAwUBCgL/AP8A/wD/AP8A/wD/AB8BDAIiAQQEMQFeARQCIAIICQMBJwEUHwQDFgEECAMBAwIHDQUCDgMLASADBQUOATQFBgER
        AxoBPQFbATQDZQSwAVwBegEMAUcDBgvOAf8A/wAhAgMEBAGeARABCQEIAggBBhQFBQMEBQILBQcCBAEDAQ0HHwEYCgoBCAIGAf8AEQEOAQMBAw
        QEAh8BVAMMBwwBOwFjAgwCBAEXAR0BBAEFAQMCCQENBAQFBwITAQQHEwETARcKOgH/AE0BOQMPAUcCCQMLAyEDCAEHBEECBwYDAQgDCgEQAf8A
        /wDoCwUBTwE=
      `,
      network: `
        /wD/ACACBgPQARsC/wD/AP8A/wD/AP8A/wD/AP8A/wD/AO0BAwEMAgUBGAIIAV8gEgU/DSgOEAb/AA0BCwFKAfoB/wD/AP8A/wD/AP8A/wDjBE
        kJBQUGARQMYAMIAf8AnQH/APACBAUFAQQBRgEGAS4BAwHRAzwBCgU9AQ4CMQIdAQMBGQEgAZECtQE9BFcBFAE/Bg8BjgEFBggCBwMrAQkBAwEm
        AQYCBgFdAfoBLQG7AxoBMwFrIAACAwIDBhAGBQ8NBwoFAwUDAwkCCAkGCgMEFAMHAjIRCSAADgoG/wBLAQcB/wD/AP8A/wD/AP8AkAEtAf8AqA
        sHDgMC/wBsASsB/wD/AP8AvwEKAwQBOwE4Af8A/wD/AP8A/wD/AP8A/wD/AP8A/wD/ANQB/wD/AP8A/wD/AP8A/wD7Af8AAQEFAQ==
      `,
      node: `
        /wD/ACUB/wD/AP8A/wD/AP8A/wD/AP8A/wD/AP8A5gEVAc8BBAQYBGUCAwIEBwUDCAEGBAoKFgKWAegBJAIuAisBEgIHAQkBBAEYAQQEEQIGAQ
        gECQEHAQQJQgEGASQBGQEvAeECDQJoAgoBEgJDARoCKAUEAQoDHAH/ACcCVQEDAQkCCQH/ADsBQwEUATQBeQIFAV0BIAEEAgYgABEDASEFZwIJ
        AiIBGwERBAoBRgEDAREBCQEEAQMGDwQFAwYCBgQMAQMB3gELCA8BBgYHFAkFOgcHFA0BEQERCwQFBQEPAgUBGwcFCw8DDQoDAgkGBBQDBoEEXw
        EKAyUCaAKXARICLwLpAgcB/wAxAQQBKgHuAS0CNwITAQ8BBgMwAQ4BIwE/AhYBAwETAQQBGAELAQkBHAEEAQYBGQEcARwBDgIRAREBKAIMAgQB
        CAQFAg0FBgUJARoEAwEEBQoBFQEJASAGCAEDBQkBhQFcAQcHDwHhBAQSFAEFDAkFHAEKAVcBHwENAwMBGAIFAQwEsQEUAR8BCQEDARcDBgz/AK
        YBBwH/AP8AwQEKAZMBBgL/AP8AngH/AP8A/wD/ANUBBgEzAZsBCgIDAQsBDwESAgUBAxADAgQBCQEEAQQBCAENBgMBFAcIBAQFCgMEAQMBBAEQ
        BQcDBQQECQgFAwcQBwsCAw4MAQMCAwIMGwkCAwEVBAMBDBIlAgkBCgEMAQMBCQIFAQoBBQMFAUQIGwMSEAMKBQUDBwQHAwIJIAAFAwIHDw0IAw
        sGAQMSBwQJBQQZBCAAFQQLBAUFAgcEBgIJBgQBAwgDBAgHBAgWBP8A/wD/AAMBBQEDBQMBCAUMAgMCfAEFDAUFBgEEBgMGEAIDDAUPDQEDCgkB
        AwIEAxYJEQQKCgQDBAQDBAkCBgQGAXEBDQJqCgcDBQYDAQYIBgEDAQQFEQEFARMBGAQQAQkBEQUDAQQIKwEEAiwCBAEEAh0FCQIGAyYHBAYUBQ
        UBBgEEBQYHBQQUAQMIBAMaBQUBBAEKAhwDBwMEBAwBBQj/AFcCdgEDAQgBBgU2AxABNQIDBgcKAwEDBFkGAwP/AP8A2wUmAQ0B8Ac=
      `,
    },
  ],
  [
    // arm64
    "ea562b973ecaa5f42a519deff871009a25e6b7d7",
    {
      always: `
        /wD/AAILAwUVIAAgACAAIAABJhcJAQ8BAwEDAQQCCQv/AP8A/wD/AP8A/wD/AP8A/wD/AP8AtwwDAwgCBwwJCg8HLAEnAQUBCgEEEwMDBAhlAg
        wCCgMEAQgDBgQQAQMBgwoFAxkBAwMJBS0BAwIDATYBCAMsAQgBBQEJBSERJgEbIAADBAUEAQkFBQFxAVEEDAIEAv8A/wCHFgYICQkGAQUcAwo9
        GgQBBQEDAgUBAyAAIAAgACAAIAAgACAAIAAgAActARcBBSAAIAAcAxcEARcFNAEXAgwCBQIHDSMFDwEGCAUMBQEFBwsBCiAAARoGKgEqAgUBAw
        IGBgMBBA0FIAASBh0DAQMDCgEHCQ8BBwQFAQkEChLGAQQCBQEGAQMPDAMIAg8KCQIRAQMgAA4ECwoFcwFYBIABJQL4AxEEHQE5ARACBwMFAYAC
        BgJEAwYCNAGsBj8CBgI7A9MCkgFgAwsBHwELAQ0BKAIJAQYBBQQDARcCSwEaASsCCQgOAbgBOQEyBAYBBAn/AJYBXQGeAxAF/wAVAgYDcAEOAl
        UBIwEUAf8A/wD/AP8A/wAOAmQBBAEdAR0BBQEEASQBBQP/AIgGBgFvAXMCLQJOAv8A/wD/AP8AOAEYAQsBIQIyAjQGHAEMATYBJgErAQoBNQT/
        ABEBvwEDAXABkwELAv8A/wD/AHUBqQFuAQkBogH/ABEBKwIwBwMGBwcLAwYEBQEdAc0DBQEkAQsBIgIDAgMBBAI0BBMCAwUTBhQC1APMARwJAw
        FgATcHLAM/AQkBZgL/AMoB1AEIAwYCBAIDAyQB/wBuAw8SCgEPAg4UEwLPASsBCwN/CgQB
      `,
      usual: `
        /wD/ABUB0wEVAv8A/wD/AP8A/wD/AP8A/wD/AP8A/wDgASkBCAFFAUYBBAUpASYBMQ8DAgMGEQGXAQQBCAG5ARoBAwEuDjEBDwEzASUBzAH/AG
        EC/wAZATUBNAEHAf8AXQEeAXMBBAFYA2YPMQEEAQUBDwEzAR8FBAELBgkCCgIFFAwBKgEpCgYBDQYDAQUBAwUhAQgEBAYNAQwCAwUDAQMGBgIJ
        AQ8BBAEYCQMCdwEoAQMDFAEfBwQBBgENAQYEAwcLAQUBDgEHAxQBNQEEAgwQRgIHBA4CVAGQAxUCDgHFCBkBZAEeAVUB4wFuATMBLQEJAQYCQA
        EaBAUCBQJBBm4CZgFCASQBBwIcARwBHAERCAQCBQEKAgYBLAEhARIBPgJABwMHCgEeAQ8EAwIHBBACBAQDBEQBBwJTAwYCBwEcAf8ASQH/ALwC
        NAEFAhQCDwEiAgMEEAENAWkEawEDAR8B/wD/AP8A/wD/AG0CGwILBQYBDwQDAQMDBgMQAg4EBgEKA/8A/wD/AP8A/wD/AP8ABQEOAicBCQE6Ai
        kBBgITAigDCgc1ATkBZgENAf8ARwE1A3UEigGrAUoDBQn/AP8A9AIEBAQB0QELBAgGCAQDAQQHbAULAQ8C/wARAREEAwMDAh0BVgMNAQQDDgFE
        AWsBDAIFAh0BHgIEAQYGCQEOAQMBBAUIAhQBBAcrARYFBAU7Af8AgwUMAVQCCwMjAgkBBwREAQcGCwT/AP8A/wAVAQoMBAFOAQ==
      `,
      network: `
        /wD/AB8CBgHUARsB/wD/AP8A/wD/AP8A/wD/AP8A/wD/AM4BGAIIAVwgEgQqDSgNDwPnATwBsAH/AP8A/wD/AP8A/wD/AGgFTgkGBAkBFhADAV
        ABCgMIAQMB/wB3AhYBFQH/AP8AJAkKARUBBwEuBc4EPgEIBGcBQAEDAQUBFQGsAvEBagFIAYoBBgIDAQkCBwIrAQkBAwEvAgcBZAFeAa4BMgLL
        AxoBNQF2IAADBgMEBhMGCBEOBxQOAwQLAwUECAsDBRUFBgI1FAcgABIJBv8AYAEJAU4B/wD/AP8A/wD/AP8A/wAVAQgB/wCgCQkOAwH/AGsBLw
        H/AP8A/wCjAQsEBAJFAUUB/wD/AP8A/wD/AP8A/wD/AP8A/wD/AP8ApAH/AP8A/wD/AP8A/wD/AP8A/wBiAQUB
      `,
      node: `
        /wD/ACQB/wD/AP8A/wD/AP8A/wD/AP8A/wD/AP8AxwHAAQcBDQRfBgUDCQIOBAgCBAMOAv8ANAEMAiYBHwESAgcBFQ0DDQMLMwHvAQYBDQJoAg
        oBEgJDARoCKAYDAQoDHAH/ACcDbgEDAwQBBQH/AJQBFgKwAgQBVAkgAQYBByAAFyYFTwsPAgoDAwEeASwCAwELAVABEQIJAQQCAwUQBQQJBAEG
        CAUBAwEDAScBvgkNDQgUAwMICQMNCAErAgMBBwEDBAwBCiAAIAAgAAEDIAAgABMJIAAgAAsoASUEWwELAigBaQKEASoCMgHlAgYB/wAtBSgB4w
        EsATsCFAEPAQYEKgEMARIBLAExAQYBFQEDARYBBgMmAQoBHwEDAQcBPAEbAg8CEwETAyoBDwIFAQgEBwIPBQgDCQEaBAMCBgMNARUBCgEhBgoB
        BgMMAaABXQEKAwMCDQLsBQQUEwEGAwMHCQcdAQoBXQInAhAEAwEiAgcBDwTDARYBIAEJAgMBGAQGDv8A5QEIAf8A/wDqAQoBmgEFAv8A/wChAv
        8A/wD/AP8AvwEHAT0BEgFbAQQBCQIFAgUBBwUDAxABFwEGDwYgBQUOGQMZBAQMCQMCBQESBQgJAw4JBgQIDQYKEwwFBAEODwUJCQIDARIJDhAi
        AgkBBwERAQQBCAIGAgsBCAFSCh0DEQ8GBQMCBAEFCQgdBQgOAgMCAwoGEQYEBwQEEQcgAAEDCQoBAwMFBAQBCAUDDg8HGgLOAf8A/wAcAg4BBQ
        QEBAQCAwEJBwoMjgEFAgMOBAIDAQMRAyAAEAYNCAwDAhABAwYOAwULBAsDBAYCBQQGAV8BFgF5AQUBAwEHBAQFAwEFBwYEBAUSAQUBLwMPAQoE
        EAIDAQQBBgovAQUBLQIFAQQCIgUKAQYCLwgFBRYFBQIGAQUBAwEGAQMEBQQUDQMGHAQFAQMCAwMFAhsGBwMEBQ0BBwb/AFMBdggGAgUFOAMPAh
        kBHQsHCgMBAwUEAhABRQMDAQUC/wD/AOoGLAENAf4H
      `,
    },
  ],
]);

/** What npm takes as the name of a package, without the oldest ones. */
const packageNames = /^(?:@[\w.~-]+\/)?[\w~-][\w.~-]*$/;

/** Packages that do not work in a bundle, as was tried, and why. */
const unbundled = new Map([
  ["@sparticuz/chromium", "reads files of its own"],
  ["jsdom", "reads files of its own"],
  ["pdfkit", "reads files of its own"],
  ["sequelize", "loads a database driver, which needs --package as well"],
  ["typeorm", "loads a database driver, which needs --package as well"],
]);

/** Languages whose data is partly that of others: they inherit from them, are an alias of them, or consist of them. */
const relatives = new Map([
  ["ars", ["ar"]],
  ["nb", ["no"]],
  ["nn", ["no"]],
  ["no", ["nb", "nn"]],
  ["yue", ["zh"]],
]);

/** What ICU needs to find words in scripts that do not separate them. It does not use cjdict without ja.res. */
const dictionaries = new Map([
  ["Hans", ["brkitr/cjdict.dict", "brkitr/ja.res"]],
  ["Hant", ["brkitr/cjdict.dict", "brkitr/ja.res"]],
  ["Jpan", ["brkitr/cjdict.dict"]],
  ["Khmr", ["brkitr/khmerdict.dict"]],
  ["Laoo", ["brkitr/laodict.dict"]],
  ["Mymr", ["brkitr/burmesedict.dict"]],
  ["Thai", ["brkitr/thaidict.dict"]],
]);

await main(process.argv.slice(2)).catch((error: NodeJS.ErrnoException) => {
  fail(error.code && error.message ? error.message : Bun.inspect(error)); // with a code: the disk is full, or the like
});
TYPESCRIPT
