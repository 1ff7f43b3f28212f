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
  --package NAME  a package that cannot be bundled, since it loads native code or files of its own: --package sharp. It is
                  packed with all that it needs, in the versions that your project has installed, as node_modules beside
                  bootstrap, with each architecture's binaries: npm fetches what your machine lacks; as often as wanted
                  (bootstrap looks for it in the current directory, which in Lambda is its own)
  --locales LIST  keep the data of these languages, and of English, and drop that of all others: --locales en,de,ja makes
                  the zip about 6 MB smaller. A language that is dropped is not refused, but Intl and toLocaleString
                  answer in English, or in no language; all are kept unless given
  --no-zip        make no zip, which takes most of the time: for container images, and to try something
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
import { isBuiltin } from "node:module";
import { constants } from "node:os";
import { basename, dirname, join, normalize, relative, resolve } from "node:path";

const architectures = {
  x86_64: { target: "bun-linux-x64", cpu: "x64", machine: 62 },
  arm64: { target: "bun-linux-arm64", cpu: "arm64", machine: 183 }, // in the header of an ELF file
};
type Architecture = keyof typeof architectures;

const directUploadLimit = 50 * 2 ** 20; // bytes: what Lambda takes without a detour through S3
const glibc = 34; // 2.34, that of Amazon Linux 2023

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
const packages: string[] = [];
const languages: string[] = [];
let zipped = true;

const options: Record<string, (value: string) => void> = {
  "--arch": (value) => {
    if (!Object.hasOwn(architectures, value)) misused(`unknown architecture ${value}: it is x86_64 or arm64`);
    chosen = [value as Architecture];
  },
  "--out": (value) => void (out = value),
  "--include": (value) => void includes.push(included(value)),
  "--package": (value) => void packages.push(packageName(value)),
  "--locales": (value) => void languages.push(...value.split(",").map(language)),
};

/** The path of what is to be packed, relative to the current directory, with nothing needless in it. */
function included(path: string): string {
  if (path.startsWith("/")) misused(`--include ${path} is absolute: a relative path is the path in the zip as well`);
  if (path.split("/").includes("..")) misused(`--include ${path} has .. in it: call build.sh from a directory above`);
  const normal = normalize(path).replace(/\/$/, "");
  if (normal.split("/")[0] === "bootstrap") misused(`--include ${path} would take the place of bootstrap: rename it`);
  return normal;
}

function packageName(name: string): string {
  if (/^(?:@[\w.~-]+\/)?[\w~-][\w.~-]*$/.test(name)) return name;
  misused(`--package ${name} is no name of a package: write it as in package.json, without a version or a path`);
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
let compiler: Bun.Subprocess | undefined;
process.on("exit", () => {
  compiler?.kill("SIGKILL");
  rmSync(work, { recursive: true, force: true });
});
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(128 + constants.signals[signal]));

async function build(): Promise<void> {
  for (const arch of chosen) {
    for (const file of includedFiles) stage(arch, file, file);
    for (const { name, found, place } of installedPackages(arch)) {
      for (const file of filesOfPackage(name, found, arch)) stage(arch, join(found.folder, file), join(place, file));
    }
  }
  for (const arch of chosen) {
    await compile(arch);
    if (zipped) writeFileSync(join(work, `${arch}.zip`), zip(join(work, arch), files(arch)));
  }
  for (const arch of chosen) finish(arch);
}

/** What is packed, in the order of the zip. */
function files(arch: Architecture): string[] {
  const staged = filesOf(join(work, arch)).map((file) => relative(join(work, arch), file));
  return ["bootstrap", ...staged.filter((file) => file !== "bootstrap").sort()];
}

/** Copies a file to where bootstrap will be. */
function stage(arch: Architecture, file: string, name: string): void {
  const place = join(out, arch, name);
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory()) fail(`${place} is a folder where a file goes: remove it`);
  const copy = join(work, arch, name);
  mkdirSync(dirname(copy), { recursive: true });
  try {
    copyFileSync(file, copy);
  } catch {
    fail(`cannot read ${file}, which is to be included`);
  }
  chmodSync(copy, statSync(file).mode & 0o100 ? 0o755 : 0o644);
}

/** Makes bootstrap. Of --minify, names would rename classes, and with them the types of errors; syntax would move lines in stacks. */
async function compile(arch: Architecture): Promise<void> {
  const executable = join(work, "build/bootstrap"); // beside which Bun leaves source maps, which the executable holds as well
  const metafile = join(work, "metafile.json");
  const flags = [
    ...["--compile", `--target=${architectures[arch].target}`, `--outfile=${executable}`, "--bytecode", "--format=esm"],
    ...["--minify-whitespace", "--sourcemap", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"],
    ...(packages.length > 0 ? ["--compile-autoload-package-json"] : []), // without which node_modules is not looked into
    ...packages.map((name) => `--external=${name}`),
    ...argumentsForBun,
  ];
  await bunBuild([entry, ...flags, `--metafile=${metafile}`]);
  const { inputs }: Metafile = JSON.parse(readFileSync(metafile, "utf8"));
  if (arch === chosen[0]) warnOfNativeCode(inputs);
  const imports = Object.values(inputs).flatMap((input) => input.imports);
  const needed = imports.filter(({ external, kind }) => external && kind === "import-statement").map(({ path }) => path);
  if (needed.some((path) => !isBuiltin(path) && !/^bun\b/.test(path))) {
    await bunBuild([loader(), entry, `--root=${project}`, "--define=import.meta.main=true", ...flags]);
  }

  if (!existsSync(executable)) fail(`bun build made no executable of ${entry}`);
  if (languages.length > 0) keepLanguages(executable);
  mkdirSync(join(work, arch), { recursive: true });
  renameSync(executable, join(work, arch, "bootstrap"));
  chmodSync(join(work, arch, "bootstrap"), 0o755);
}

/** What goes into a bundle, by paths relative to the project, and what each file imports. */
interface Metafile {
  inputs: Record<string, { imports: { path: string; original?: string; kind: string; external?: boolean }[] }>;
}

async function bunBuild(args: string[]): Promise<void> {
  const env = { ...process.env, NODE_ENV: "production" };
  const running = Bun.spawn([process.execPath, "build", ...args], { cwd: project, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  compiler = running;
  const output = await Promise.all([new Response(running.stdout).text(), new Response(running.stderr).text()]);
  if ((await running.exited) === 0) return;
  process.stderr.write(output.join(""));
  fail(`bun build failed for ${entry}`);
}

/**
 * What a bundle imports from outside is looked for before any of its code runs, so runtime.ts cannot report that it is not there.
 * This module can. It is kept in the project, since its path, relative to the project, is in the executable.
 */
function loader(): string {
  const bundled = relative(project, entry).replace(/\.\w+$/, ".js");
  const source = `try {
  await import(import.meta.dir + ${JSON.stringify(`/${bundled}`)});
} catch (error) {
  if (process.listenerCount("uncaughtException") > 0) throw error; // runtime.ts is there
  const report = JSON.stringify({ errorMessage: error.message, errorType: "Runtime.ImportModuleError", stackTrace: [] });
  console.error(report);
  const api = process.env.AWS_LAMBDA_RUNTIME_API;
  const headers = { "Lambda-Runtime-Function-Error-Type": "Runtime.ImportModuleError" };
  if (api) await fetch(\`http://\${api}/2018-06-01/runtime/init/error\`, { method: "POST", headers, body: report });
  process.exit(1);
}
`;
  const file = join(project, "node_modules/.cache/bunstrap", `load-${bundled.replaceAll(/[^\w.-]/g, "_")}`);
  mkdirSync(dirname(file), { recursive: true });
  if (!existsSync(file) || readFileSync(file, "utf8") !== source) writeFileSync(file, source);
  return file;
}

function warnOfNativeCode(inputs: Metafile["inputs"]): void {
  const addons = new Map<string, string>(); // one for each package that imports one, or is imported as one
  for (const [importer, { imports }] of Object.entries(inputs)) {
    for (const { path, original = "" } of imports) {
      if (path.endsWith(".node") && path in inputs) addons.set(packageOf(importer) ?? packageOf(`node_modules/${original}`) ?? "", path);
    }
  }
  for (const [name, file] of addons) {
    const advice = name && `: use --package ${name}`;
    console.error(`build.sh: warning: ${file} is for one architecture, and goes into bootstrap for any${advice}`);
  }
}

/** The name of the package that a file is in. */
function packageOf(path: string): string | undefined {
  return /.*\bnode_modules\/((?:@[^/]+\/)?[^./][^/]*)/.exec(path)?.[1];
}

function finish(arch: Architecture): void {
  if (packages.length > 0) rmSync(join(out, arch, "node_modules"), { recursive: true, force: true }); // of another version
  for (const file of files(arch)) {
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

// ── Packages ─────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Package {
  folder: string;
  manifest: Manifest;
}

/** What matters here of package.json. */
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
  /** Beside bootstrap. */
  place: string;
}

/** The packages to pack. Of one that is needed in two versions, the second is placed below what needs it. */
function installedPackages(arch: Architecture): Placed[] {
  const placed: Placed[] = [];

  function add(name: string, found: Package, dependant: string): void {
    const places = foldersAbove(dependant).map((folder) => join(folder, "node_modules", name));
    const seen = places.map((place) => placed.find((other) => other.place === place)).find((other) => other);
    if (seen?.found.folder !== found.folder) placed.push({ name, found, place: join(seen ? dependant : ".", "node_modules", name) });
  }

  for (const name of packages.toSorted()) {
    add(name, installed(name, project) ?? fail(`--package ${name} is not installed in ${project}: npm install ${name}`), ".");
  }
  for (const { name, found, place } of placed) {
    for (const [needed, dependency] of needs(name, found, arch)) add(needed, dependency, place);
  }
  return placed;
}

/** A package, as what is in a folder would find it. */
function installed(name: string, folder: string): Package | undefined {
  const candidates = foldersAbove(folder).map((above) => join(above, "node_modules", name));
  const found = candidates.find((candidate) => existsSync(join(candidate, "package.json")));
  if (!found) return undefined;
  return { folder: realpathSync(found), manifest: JSON.parse(readFileSync(join(found, "package.json"), "utf8")) };
}

function installedOf(names: string[], folder: string): Map<string, Package> {
  return new Map(names.flatMap((name) => {
    const found = installed(name, folder);
    return found ? [[name, found]] : [];
  }));
}

/** The folder, the one that it is in, and so on. */
function foldersAbove(folder: string): string[] {
  return dirname(folder) === folder ? [folder] : [folder, ...foldersAbove(dirname(folder))];
}

/** What a package needs at run time on an architecture, by name. */
function needs(name: string, { folder, manifest }: Package, arch: Architecture): Map<string, Package> {
  const { dependencies = {}, optionalDependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} } = manifest;
  const found = new Map<string, Package>();
  for (const needed of Object.keys(dependencies)) {
    if (needed in optionalDependencies) continue;
    const dependency = installed(needed, folder) ?? fail(`--package: ${needed}, which ${name} needs, is not installed: npm install`);
    found.set(needed, dependency);
  }
  for (const peer of Object.keys(peerDependencies)) {
    const dependency = installed(peer, folder);
    if (dependency && !peerDependenciesMeta[peer]?.optional) found.set(peer, dependency);
  }

  // Of packages that hold the binaries for one architecture each, an installation lacks those for others.
  const optional = Object.keys(optionalDependencies);
  const here = installedOf(optional, folder);
  const lacking = optional.filter((needed) => !here.has(needed));
  const hasBinary = () => optional.some((needed) => found.get(needed)?.manifest.cpu);
  for (const [needed, dependency] of here) if (fits(dependency, arch)) found.set(needed, dependency);
  if (lacking.length > 0 && !hasBinary()) {
    const fetched = installedOf(lacking, fetchedFor(name, manifest, here, arch));
    for (const [needed, dependency] of fetched) if (fits(dependency, arch)) found.set(needed, dependency);
  }
  if (!hasBinary() && here.values().some(({ manifest }) => manifest.cpu)) fail(noBinary(name, manifest, arch));
  return found;
}

/** Whether a package is for Lambda, on an architecture. That it is for musl, older ones do not say. */
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

/** A folder in which npm has installed a package as it would on an architecture. Its optional dependencies have one version. */
function fetchedFor(name: string, manifest: Manifest, here: Map<string, Package>, arch: Architecture): string {
  const { version, optionalDependencies = {} } = manifest;
  const folder = mkdtempSync(join(work, "npm-"));
  const pinned = Object.entries(optionalDependencies).map(([optional, range]) => {
    const sibling = here.values().find(({ manifest }) => Bun.semver.satisfies(manifest.version, range));
    return [optional, sibling?.manifest.version ?? range];
  });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ dependencies: { [name]: version }, overrides: Object.fromEntries(pinned) }));
  if (existsSync(join(project, ".npmrc"))) copyFileSync(join(project, ".npmrc"), join(folder, ".npmrc"));
  const platform = ["--os=linux", `--cpu=${architectures[arch].cpu}`, "--libc=glibc"];
  const quietly = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  if (!Bun.which("npm")) fail(`--package ${name}: there is no npm to fetch what ${name} ${version} needs on ${arch}`);
  const { success, stderr } = Bun.spawnSync(["npm", "install", ...platform, ...quietly], { cwd: folder, stdout: "ignore" });
  if (success) return folder;
  process.stderr.write(stderr);
  fail(`--package ${name}: npm could not fetch what ${name} ${version} needs on ${arch}`);
}

function noBinary(name: string, { version }: Manifest, arch: Architecture): string {
  return `--package ${name}: ${name} ${version} has no binary for ${arch} with glibc: build on such a machine, or with --arch for another`;
}

/** What to pack of a package: no native code for other machines, and none that was compiled here where some is published. */
function filesOfPackage(name: string, { folder, manifest }: Package, arch: Architecture): string[] {
  const all = ownFiles(folder);
  const native = all.filter((file) => /\.(?:node|dylib|dll|so(?:\.[\d.]+)?)$/.test(file));
  const usable = native.filter((file) => runsOn(join(folder, file), arch));
  const addons = usable.filter((file) => file.endsWith(".node"));
  if (addons.length === 0 && native.some((file) => file.endsWith(".node"))) fail(noBinary(name, manifest, arch));
  const published = addons.some((file) => file.startsWith("prebuilds/"));
  const kept = all.filter((file) => (!native.includes(file) || usable.includes(file)) && !(published && file.startsWith("build/")));
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
  if (newest > glibc) console.error(`build.sh: warning: ${file} needs glibc 2.${newest}, and Amazon Linux 2023 has 2.${glibc}`);
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

await build();
TYPESCRIPT
