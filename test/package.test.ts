/** build.sh --package: packages with native code, packed for each architecture, and what is said when that cannot be. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { before, test } from "node:test";
import { accepted } from "./runtime-api.ts";
import { architecture, root, Sandbox, shareBun, workspace } from "./sandbox.ts";

const bunDirectory = join(root, "node_modules/.bin");
const machines = { x86_64: 62, arm64: 183 };
const otherArchitecture = architecture === "arm64" ? "x86_64" : "arm64";

/** Writes files, whose names begin with the folders that they are in. */
function write(directory: string, files: Record<string, string | Uint8Array>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
}

/** A project that has only copied runtime.ts and build.sh, in a folder with a space in its name. */
function createProject(files: Record<string, string | Uint8Array>): string {
  const project = mkdtempSync(join(workspace, "a project "));
  for (const file of ["runtime.ts", "build.sh"]) copyFileSync(join(root, file), join(project, file));
  write(project, { "package.json": "{}", ...files });
  shareBun(project);
  return project;
}

function build(project: string, args: string[], env: Record<string, string> = {}) {
  const PATH = [bunDirectory, process.env.PATH].join(delimiter);
  return spawnSync(join(project, "build.sh"), ["handler.ts", ...args], {
    cwd: project,
    encoding: "utf8",
    env: { ...process.env, PATH, ...env },
  });
}

/** Runs what was built where it is, as Lambda does. */
function run(project: string, arch: string, event: string, emulator: string[] = []) {
  const [command = "", ...args] = [...emulator, "./bootstrap", event];
  return spawnSync(command, args, { cwd: join(project, "dist", arch), encoding: "utf8", env: {} });
}

const filesIn = (folder: string) => readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
const addonsIn = (folder: string) => filesIn(folder).filter((file) => file.endsWith(".node"));

/** The start of a native add-on: the header of an ELF file. */
function addon(machine: number, { system = 0, text = "" } = {}): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header.writeUInt8(system, 7);
  header.writeUInt16LE(machine, 18);
  return Buffer.concat([header, Buffer.from(`\0${text}\0`)]);
}

// ── Packages of the registry ──────────────────────────────────────────────────────────────────────────────────────────

const nativeHandler = `import { json, run } from "./runtime.ts";
import bcrypt from "bcrypt";
import { crc32 } from "@node-rs/crc32";
run(json(async (word: string) => [process.arch, crc32(word), await bcrypt.compare(word, await bcrypt.hash(word, 4)), import.meta.main]));
`;

/** One whose binaries are all in it, and one that has a package for each, of which npm installs that of this machine. */
let native: string;

before(() => {
  native = createProject({ "handler.ts": nativeHandler });
  const wanted = ["bcrypt@6.0.0", "@node-rs/crc32@1.10.6"];
  const { status, stderr } = spawnSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", ...wanted], {
    cwd: native,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});

test("each architecture has the binaries of its own, in the versions that are installed, and the same wherever it is built", () => {
  const copy = mkdtempSync(join(workspace, "copy-"));
  cpSync(native, copy, { recursive: true });
  const zips = [native, copy].map((project) => {
    const { status, stderr } = build(project, ["--package", "bcrypt", "--package=@node-rs/crc32"]);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    return ["x86_64", "arm64"].map((arch) => readFileSync(join(project, "dist", `bootstrap-${arch}.zip`)));
  });
  for (const [arch, machine] of Object.entries(machines)) {
    const folder = join(native, "dist", arch, "node_modules");
    const cpu = arch === "arm64" ? "arm64" : "x64";
    assert.deepEqual(addonsIn(folder), [
      `@node-rs/crc32-linux-${cpu}-gnu/crc32.linux-${cpu}-gnu.node`,
      `bcrypt/prebuilds/linux-${cpu}/bcrypt.glibc.node`,
    ]);
    for (const file of addonsIn(folder)) assert.equal(readFileSync(join(folder, file)).readUInt16LE(18), machine, file);
    for (const [name, version] of [
      ["bcrypt", "6.0.0"],
      ["@node-rs/crc32", "1.10.6"],
      [`@node-rs/crc32-linux-${cpu}-gnu`, "1.10.6"],
    ] as const) {
      assert.equal(JSON.parse(readFileSync(join(folder, name, "package.json"), "utf8")).version, version);
    }
    assert.ok(existsSync(join(folder, "node-gyp-build/index.js")), "and what bcrypt needs");
    const listed = spawnSync("python3", ["-m", "zipfile", "-l", join(native, "dist", `bootstrap-${arch}.zip`)], {
      encoding: "utf8",
    }).stdout;
    assert.match(listed, new RegExp(`^node_modules/bcrypt/prebuilds/linux-${cpu}/bcrypt\\.glibc\\.node `, "m"));
  }
  for (const index of [0, 1]) assert.ok(zips[0]?.[index] && zips[1]?.[index]?.equals(zips[0][index]));
  assert.deepEqual(
    readdirSync(join(native, "dist")).filter((name) => name.startsWith(".")),
    [],
  );
});

const emulator = Bun.which("qemu-aarch64-static");
const armLibraries = "/usr/aarch64-linux-gnu"; // libstdc++6-arm64-cross of Debian
const canEmulate = emulator && existsSync(join(armLibraries, "lib/libstdc++.so.6"));

for (const [arch, command, skip] of [
  ["x86_64", [], process.arch === "x64" ? false : "this is no x86_64 machine"],
  [
    "arm64",
    process.arch === "arm64" ? [] : [emulator ?? "", "-L", armLibraries],
    canEmulate || process.arch === "arm64"
      ? false
      : "qemu-aarch64-static (of qemu-user-static, with libstdc++6-arm64-cross) is not installed",
  ],
] as const) {
  test(`what is packed for ${arch} runs there, and the handler is the main module as ever`, { skip }, () => {
    const built = build(native, ["--no-zip", "--arch", arch, "--package", "bcrypt", "--package=@node-rs/crc32"]);
    assert.equal(built.status, 0, built.stderr);
    const { stdout, stderr } = run(native, arch, '"Ada"', [...command]);
    assert.deepEqual(
      { stdout, stderr },
      { stdout: `["${arch === "arm64" ? "arm64" : "x64"}",${Bun.hash.crc32("Ada")},true,true]`, stderr: "" },
    );
  });
}

for (const [kind, env, complaint] of [
  [
    "the registry cannot be reached",
    { npm_config_registry: "http://127.0.0.1:9/", npm_config_fetch_retries: "0" },
    /could not fetch what @node-rs\/crc32 1\.10\.6 needs on \w+\n$/,
  ],
  ["there is no npm", { PATH: "" }, /could not fetch what @node-rs\/crc32 1\.10\.6 needs on \w+: there is no npm\n$/],
] as const) {
  test(`where ${kind}, what is installed is packed, and what is not is named`, () => {
    const bin = mkdtempSync(join(workspace, "bin-"));
    for (const program of ["sh", "dirname", "cat", "uname", "bun"])
      symlinkSync(
        Bun.which(program, { PATH: [bunDirectory, process.env.PATH].join(delimiter) }) ?? "",
        join(bin, program),
      );
    const offline = { ...env, npm_config_cache: join(bin, "cache"), ...("PATH" in env ? { PATH: bin } : {}) };
    const here = build(
      native,
      ["--no-zip", "--arch", architecture, "--package", "@node-rs/crc32", "--package", "bcrypt"],
      offline,
    );
    assert.deepEqual({ status: here.status, stderr: here.stderr }, { status: 0, stderr: "" });
    const { status, stderr } = build(native, ["--arch", otherArchitecture, "--package", "@node-rs/crc32"], offline);
    assert.equal(status, 1);
    assert.match(stderr, complaint);
    assert.ok(
      stderr.includes("\nbuild.sh: --package @node-rs/crc32: ") ||
        stderr.startsWith("build.sh: --package @node-rs/crc32: "),
      stderr,
    );
  });
}

// ── Packages that are made up ─────────────────────────────────────────────────────────────────────────────────────────

/** The files of a package. */
function packageFiles(
  place: string,
  manifest: object,
  files: Record<string, string | Uint8Array> = {},
): Record<string, string | Uint8Array> {
  const name = place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length);
  const all = { "package.json": JSON.stringify({ name, version: "1.0.0", ...manifest }), ...files };
  return Object.fromEntries(Object.entries(all).map(([file, content]) => [`${place}/${file}`, content]));
}

const usesBoth =
  'import { json, run } from "./runtime.ts";\nimport a from "a";\nimport b from "b";\nrun(json(() => [a, b]));\n';

test("of what is needed in two versions each dependant finds its own, and what an earlier build has packed is gone", () => {
  const project = createProject({
    "handler.ts": usesBoth,
    ...packageFiles(
      "node_modules/a",
      { dependencies: { b: "^1", c: "^1" } },
      { "index.js": 'module.exports = ["a", require("b"), require("c")];' },
    ),
    ...packageFiles("node_modules/a/node_modules/b", {}, { "index.js": 'module.exports = "b 1";' }),
    ...packageFiles(
      "node_modules/c",
      { dependencies: { b: "^2" } },
      { "index.js": 'module.exports = ["c", require("b")];' },
    ),
    ...packageFiles(
      "node_modules/b",
      { version: "2.0.0", peerDependencies: { peer: "*", none: "*" } },
      { "index.js": 'module.exports = "b 2";' },
    ),
    ...packageFiles("node_modules/peer", {}),
    "dist/x86_64/node_modules/b/old.js": "",
    "dist/arm64/node_modules/b/old.js": "",
  });
  const { status, stderr } = build(project, ["--no-zip", "--package", "a", "--package", "b"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.equal(run(project, architecture, "1").stdout, '[["a","b 1",["c","b 2"]],"b 2"]');
  const packed = filesIn(join(project, "dist/arm64/node_modules")).filter(
    (file) => file.endsWith(".json") || file.endsWith("old.js"),
  );
  assert.deepEqual(packed, [
    "a/node_modules/b/package.json",
    "a/package.json",
    "b/package.json",
    "c/package.json",
    "peer/package.json",
  ]);
});

test("a dependency that is named as a member of every object is packed as any other", () => {
  const project = createProject({
    "handler.ts": usesBoth.replace('import b from "b";\n', "").replace("[a, b]", "a"),
    ...packageFiles(
      "node_modules/a",
      {
        dependencies: { constructor: "*" },
        optionalDependencies: {},
        peerDependencies: { valueOf: "*" },
        peerDependenciesMeta: {},
      },
      { "index.js": 'module.exports = [require("constructor"), require("valueOf")];' },
    ),
    ...packageFiles("node_modules/constructor", {}, { "index.js": 'module.exports = "constructor";' }),
    ...packageFiles("node_modules/valueOf", {}, { "index.js": 'module.exports = "valueOf";' }),
  });
  const { status, stderr } = build(project, ["--no-zip", "--arch", architecture, "--package", "a"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.equal(run(project, architecture, "1").stdout, '["constructor","valueOf"]');
});

test("of packages for one system each, those for musl are left out, though they do not say that they are", () => {
  const platform = { os: ["linux"], cpu: ["arm64"] };
  const project = createProject({
    "handler.ts": usesBoth,
    ...packageFiles(
      "node_modules/a",
      { optionalDependencies: { "a-gnu": "1.0.0", "a-musl": "1.0.0", "a-other": "1.0.0" } },
      { "index.js": "" },
    ),
    ...packageFiles("node_modules/a-gnu", platform, { "a.node": addon(machines.arm64) }),
    ...packageFiles("node_modules/a-musl", platform, {
      "a.node": addon(machines.arm64, { text: "libc.musl-aarch64.so.1" }),
    }),
    ...packageFiles("node_modules/b", {}, { "index.js": "" }),
  });
  const { status, stderr } = build(project, ["--no-zip", "--arch", "arm64", "--package", "a"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.deepEqual(readdirSync(join(project, "dist/arm64/node_modules")).sort(), ["a", "a-gnu"]);
});

test("only native code for Linux with glibc is packed, what was published before what was compiled here, with a warning of a newer glibc", () => {
  const arm = machines.arm64;
  const project = createProject({
    "handler.ts": usesBoth,
    ...packageFiles(
      "node_modules/a",
      {},
      {
        "index.js": "",
        "build/Release/a.node": addon(arm),
        "prebuilds/linux-arm64/a.glibc.node": addon(arm, { text: "GLIBC_2.17\0GLIBC_2.34" }),
        "prebuilds/linux-arm64/a.musl.node": addon(arm),
        "prebuilds/linux-arm64/a.alpine.node": addon(arm, { text: "libc.musl-aarch64.so.1" }),
        "prebuilds/freebsd-arm64/a.node": addon(arm, { system: 9 }),
        "prebuilds/linux-x64/a.node": addon(machines.x86_64),
        "prebuilds/darwin-arm64/a.node": "\xcf\xfa\xed\xfe",
      },
    ),
    ...packageFiles(
      "node_modules/b",
      {},
      { "index.js": "", "build/Release/b.node": addon(arm, { text: "GLIBC_2.17\0GLIBC_2.38" }) },
    ),
  });
  const { status, stderr } = build(project, ["--no-zip", "--arch", "arm64", "--package", "a", "--package", "b"]);
  assert.equal(status, 0, stderr);
  assert.match(
    stderr,
    /^build\.sh: warning: \S.*\/node_modules\/b\/build\/Release\/b\.node needs glibc 2\.38, and Amazon Linux 2023 has 2\.34\n$/,
  );
  assert.deepEqual(addonsIn(join(project, "dist/arm64/node_modules")), [
    "a/prebuilds/linux-arm64/a.glibc.node",
    "b/build/Release/b.node",
  ]);
});

for (const [kind, args, files, expectedStatus, complaint] of [
  [
    "that is not installed",
    ["--package", "a"],
    {},
    1,
    /^build\.sh: --package a is not installed in \/.*: npm install a\n$/,
  ],
  [
    "whose dependency is not installed",
    ["--package", "a"],
    packageFiles("node_modules/a", { dependencies: { b: "^1" } }),
    1,
    /^build\.sh: --package: a needs b, which is not installed: npm install\n$/,
  ],
  ["with a version", ["--package", "a@1.0.0"], {}, 2, /^build\.sh: --package a@1\.0\.0 is not a package name: /],
  [
    "with a path",
    ["--package=./node_modules/a"],
    {},
    2,
    /^build\.sh: --package \.\/node_modules\/a is not a package name: /,
  ],
  ["without a name", ["--package", ""], {}, 2, /^build\.sh: --package needs a value \(/],
  [
    "that was compiled on another machine",
    ["--arch", "arm64", "--package", "a"],
    packageFiles("node_modules/a", {}, { "build/Release/a.node": addon(machines.x86_64) }),
    1,
    /^build\.sh: --package a: a 1\.0\.0 has no binary for arm64 with glibc: /,
  ],
  [
    "that is not published for the architecture",
    ["--arch", "arm64", "--package", "a"],
    {
      ...packageFiles("node_modules/a", { optionalDependencies: { "a-linux-x64": "1.0.0" } }),
      ...packageFiles(
        "node_modules/a-linux-x64",
        { os: ["linux"], cpu: ["x64"] },
        { "a.node": addon(machines.x86_64) },
      ),
    },
    1,
    /^build\.sh: --package a: a 1\.0\.0 has no binary for arm64 with glibc: /,
  ],
] as const) {
  test(`a package ${kind} is refused with a message and status ${expectedStatus}, and leaves no zip`, () => {
    const project = createProject({ "handler.ts": usesBoth, ...files });
    const { status, stdout, stderr } = build(project, [...args]);
    assert.match(stderr, complaint);
    assert.deepEqual({ status, stdout }, { status: expectedStatus, stdout: "" });
    if (existsSync(join(project, "dist"))) assert.deepEqual(readdirSync(join(project, "dist")), []);
  });
}

for (const member of ["dependencies", "optionalDependencies", "peerDependencies"]) {
  test(`a package is refused whose ${member} have a name that leads elsewhere, and nothing is written there`, () => {
    for (const name of ["../../outside", "@scope/../../outside", "/outside", "a/b", "..", ""]) {
      const project = createProject({
        "handler.ts": usesBoth,
        ...packageFiles("node_modules/a", { [member]: { [name]: "1.0.0" } }),
        ...packageFiles("outside", {}, { "index.js": "" }),
      });
      const before = filesIn(project);
      const { status, stdout, stderr } = build(project, ["--no-zip", "--package", "a", "--out", "out/deep"]);
      assert.match(stderr, /^build\.sh: \/.*\/a\/package\.json has ".*" in \w+, which is not a package name\n$/);
      assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
      assert.deepEqual(filesIn(project), [...before, "out", "out/deep"].sort());
    }
  });
}

for (const [kind, text, complaint] of [
  ["empty", "", /^build\.sh: cannot read \S.*\/node_modules\/a\/package\.json: .*JSON.*\n$/],
  ["broken", "{", /^build\.sh: cannot read \S.*\/node_modules\/a\/package\.json: .*JSON.*\n$/],
  ["null", "null", /^build\.sh: cannot read \S.*\/node_modules\/a\/package\.json: it is no object\n$/],
] as const) {
  test(`a package whose package.json is ${kind} is refused with its path`, () => {
    const project = createProject({ "handler.ts": usesBoth, "node_modules/a/package.json": text });
    const { status, stderr } = build(project, ["--no-zip", "--package", "a"]);
    assert.match(stderr, complaint);
    assert.equal(status, 1);
  });
}

test("a package.json may begin with a byte order mark, and have null where an object goes", () => {
  const project = createProject({
    "handler.ts": usesBoth.replace('import b from "b";\n', "").replace("[a, b]", "a"),
    "node_modules/a/package.json": '\ufeff{"version":"1.0.0","dependencies":null,"peerDependencies":null,"os":null}',
    "node_modules/a/index.js": "module.exports = 'a';",
  });
  const { status, stderr } = build(project, ["--no-zip", "--arch", architecture, "--package", "a"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.equal(run(project, architecture, "1").stdout, '"a"');
});

// ── Bundles ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test("native code that goes into a bundle is named once, with the option that is for it", () => {
  const project = createProject({
    "handler.ts":
      'import { json, run } from "./runtime.ts";\nimport a from "@scope/a";\nimport b from "b";\nimport own from "./own.node";\nrun(json(() => [a, b, own]));\n',
    ...packageFiles("node_modules/@scope/a", {}, { "index.js": 'exports.a = require("a-linux-x64");' }),
    ...packageFiles("node_modules/b", {}, { "index.js": 'module.exports = require("a-linux-x64");' }),
    ...packageFiles("node_modules/a-linux-x64", { main: "a.node" }, { "a.node": addon(62) }),
    "own.node": addon(62),
  });
  const { status, stderr } = build(project, ["--no-zip"]);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stderr.split("\n").sort(), [
    "",
    "build.sh: warning: node_modules/a-linux-x64/a.node is native code for one architecture, but goes into bootstrap for both: use --package @scope/a",
    "build.sh: warning: node_modules/a-linux-x64/a.node is native code for one architecture, but goes into bootstrap for both: use --package b",
    "build.sh: warning: own.node is native code for one architecture, but goes into bootstrap for both",
  ]);
});

test("a package that does not work in a bundle is named once, with the option that is for it", () => {
  const project = createProject({
    "handler.ts": `import { json, run } from "./runtime.ts";
import sharp from "sharp";
import pdfkit from "pdfkit";
import typeorm from "@scope/inner";
run(json(() => [sharp, pdfkit, typeorm]));
`,
    ...packageFiles(
      "node_modules/sharp",
      { main: "lib/sharp.js", optionalDependencies: { "@img/sharp-linux-x64": "1.0.0" } },
      { "lib/sharp.js": "module.exports = __dirname + require('./other.js');", "lib/other.js": "module.exports = 1;" },
    ),
    ...packageFiles("node_modules/pdfkit", { main: "js/pdfkit.js" }, { "js/pdfkit.js": "module.exports = __dirname;" }),
    ...packageFiles("node_modules/@scope/inner", {}, { "index.js": 'module.exports = require("typeorm");' }),
    ...packageFiles("node_modules/@scope/inner/node_modules/typeorm", { main: "index.js" }, { "index.js": "" }),
  });
  const { status, stderr } = build(project, ["--no-zip", "--arch", architecture]);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stderr.split("\n").sort(), [
    "",
    "build.sh: warning: pdfkit reads files of its own: use --package pdfkit",
    "build.sh: warning: sharp loads native code, which a bundle does not have: use --package sharp",
    "build.sh: warning: typeorm loads a database driver, which needs --package as well: use --package typeorm",
  ]);
});

test("where packages import what is not installed, bun's message is followed by what to do", () => {
  const project = createProject({
    "handler.ts": 'import { json, run } from "./runtime.ts";\nimport a from "a";\nrun(json(() => a));\n',
    ...packageFiles("node_modules/a", {}, { "index.js": 'require("mysql2");\nrequire("tedious");' }),
  });
  const { status, stderr } = build(project, ["--no-zip"]);
  assert.equal(status, 1);
  const advice = "install what is missing, leave it out (-- --external mysql2 --external tedious), or use --package a";
  assert.ok(stderr.endsWith(`\nbuild.sh: bun build failed for ${join(project, "handler.ts")}: ${advice}\n`), stderr);
});

for (const [kind, args, files] of [
  [
    "a package that is not where the executable runs",
    ["--package", "a"],
    packageFiles("node_modules/a", {}, { "index.js": "" }),
  ],
  ["what --external leaves out", ["--", "--external", "a"], {}],
] as const) {
  test(`${kind} is an initialization error that names it`, async () => {
    const project = createProject({
      "src/handler.ts": 'import { json, run } from "../runtime.ts";\nimport a from "a";\nrun(json(() => a));\n',
      ...files,
    });
    const PATH = [bunDirectory, process.env.PATH].join(delimiter);
    const built = spawnSync(
      join(project, "build.sh"),
      ["src/handler.ts", "--no-zip", "--arch", architecture, ...args],
      {
        cwd: project,
        encoding: "utf8",
        env: { ...process.env, PATH },
      },
    );
    assert.equal(built.status, 0, built.stderr);
    const bootstrap = join(project, "dist", architecture, "bootstrap"); // run in the current directory of the tests
    await using sandbox = await Sandbox.start(bootstrap);
    const report = await sandbox.api.request("POST", "/init/error");
    await report.send(accepted);
    const { errorType, errorMessage } = JSON.parse(report.body.toString());
    assert.equal(errorType, "Runtime.ImportModuleError");
    assert.match(errorMessage, /^Cannot find package 'a' /);
    const { status, stderr } = await sandbox.exited;
    assert.equal(status, 1);
    assert.ok(stderr.includes("Cannot find package 'a' "), stderr);
  });
}

test("what the handler itself throws while it loads is still reported by the runtime, with its place", () => {
  const project = createProject({
    "handler.ts":
      'import { json, run } from "./runtime.ts";\nimport a from "a";\nif (a) throw new RangeError("here");\nrun(json(() => a));\n',
    ...packageFiles("node_modules/a", {}, { "index.js": "module.exports = 1;" }),
  });
  const built = build(project, ["--no-zip", "--arch", architecture, "--package", "a"]);
  assert.equal(built.status, 0, built.stderr);
  const { status, stderr } = run(project, architecture, "1");
  assert.equal(status, 1);
  const { errorType, errorMessage, stackTrace } = JSON.parse(stderr);
  assert.deepEqual({ errorType, errorMessage }, { errorType: "RangeError", errorMessage: "here" });
  assert.match(stackTrace[0], /\(?handler\.ts:3:\d+\)?$/);
});
