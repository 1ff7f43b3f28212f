/** build.sh: what it makes, from where, and what it says when it cannot. */
import { dlopen } from "bun:ffi";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";
import { architecture, otherBun, root, shareBun, workspace } from "./sandbox.ts";

const packageJson = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const bunVersion: string = packageJson.devDependencies.bun;

const handlerSource = 'import { json, run } from "./runtime.ts";\nrun(json((event) => ({ built: event })));\n';

/** A project that has only copied runtime.ts and build.sh, with a handler of its own, in a directory with a space in its name. */
function createProject(source = handlerSource): string {
  const project = mkdtempSync(join(workspace, "a project "));
  for (const file of ["runtime.ts", "build.sh"]) copyFileSync(join(root, file), join(project, file));
  writeFileSync(join(project, "handler.ts"), source);
  shareBun(project);
  return project;
}

/** The PATH without any Bun, and without what npm adds to it. */
const pathWithoutBun = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((directory) => !existsSync(join(directory, "bun")))
  .join(delimiter);

interface Built {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** The Bun of this repository. */
const bunDirectory = join(root, "node_modules/.bin");

/** Runs a project's build.sh, with Bun on the PATH. */
function build(
  project: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string | undefined>; umask?: string } = {},
): Built {
  const path = [bunDirectory, process.env.PATH].join(delimiter);
  const command = ["-c", `umask ${options.umask ?? "022"}; exec "$0" "$@"`, join(project, "build.sh"), ...args];
  const { status, stdout, stderr } = spawnSync("/bin/sh", command, {
    cwd: options.cwd ?? project,
    env: { ...process.env, PATH: path, ...options.env },
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

function zipEntries(file: string): unknown {
  const script =
    "import json, sys, zipfile; print(json.dumps([[e.filename, oct(e.external_attr >> 16), list(e.date_time), e.extra.hex(), e.file_size]" +
    " for e in zipfile.ZipFile(sys.argv[1]).infolist()]))";
  return JSON.parse(spawnSync("python3", ["-c", script, file], { encoding: "utf8" }).stdout);
}

test("without arguments it builds handler.example.ts for both architectures into dist of the current directory", () => {
  const cwd = mkdtempSync(join(workspace, "cwd-"));
  otherBun();
  const { status, stdout, stderr } = build(root, [], { cwd });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  assert.deepEqual(readdirSync(join(cwd, "dist")).sort(), [
    "arm64",
    "bootstrap-arm64.zip",
    "bootstrap-x86_64.zip",
    "x86_64",
  ]);
  for (const arch of ["x86_64", "arm64"]) {
    assert.deepEqual(readdirSync(join(cwd, "dist", arch)), ["bootstrap"], "and no source map");
    const size = statSync(join(cwd, "dist", arch, "bootstrap")).size;
    assert.deepEqual(zipEntries(join(cwd, "dist", `bootstrap-${arch}.zip`)), [
      ["bootstrap", "0o100755", [1980, 1, 1, 0, 0, 0], "", size],
    ]);
    const zipSize = statSync(join(cwd, "dist", `bootstrap-${arch}.zip`)).size;
    const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
    assert.ok(
      stdout.includes(
        `dist/bootstrap-${arch}.zip  ${megabytes(zipSize)}  (dist/${arch}/bootstrap  ${megabytes(size)})\n`,
      ),
      stdout,
    );
  }
  const { stdout: reply } = spawnSync(join(cwd, "dist", architecture, "bootstrap"), ['{"name":"Ada"}'], {
    encoding: "utf8",
  });
  assert.equal(reply, '{"message":"Hello, Ada!"}');
});

test("the same input gives the same zip, byte for byte, whenever, wherever from and with whatever settings", () => {
  const project = createProject();
  const first = build(project, ["handler.ts", "--arch", "x86_64"]);
  assert.equal(first.status, 0, first.stderr);
  const second = build(project, [join(project, "handler.ts"), "--arch=x86_64", "--out", "other/out"], {
    cwd: workspace,
    env: { TZ: "Asia/Kathmandu", NODE_ENV: "test", LC_ALL: "C", CDPATH: workspace },
  });
  assert.equal(second.status, 0, second.stderr);
  const zips = [join(project, "dist"), join(workspace, "other/out")].map((out) =>
    readFileSync(join(out, "bootstrap-x86_64.zip")),
  );
  assert.ok(zips[0] && zips[1]?.equals(zips[0]));
});

test("an option may come before and after the handler, and what follows -- goes to bun build", () => {
  const project = createProject('import { json, run } from "./runtime.ts";\nrun(json(() => process.env.STAGE));\n');
  const { status, stderr } = build(project, [
    "--out",
    "a",
    "handler.ts",
    "--no-zip",
    "--arch",
    architecture,
    "--",
    "--define",
    'process.env.STAGE="beta"',
  ]);
  assert.equal(status, 0, stderr);
  const reply = spawnSync(join(project, "a", architecture, "bootstrap"), ["1"], { encoding: "utf8" });
  assert.equal(reply.stdout, '"beta"');
});

test("NODE_ENV is production in what is built, whatever it is where it is built", () => {
  const project = createProject('import { json, run } from "./runtime.ts";\nrun(json(() => process.env.NODE_ENV));\n');
  const { status, stderr } = build(project, ["handler.ts", "--no-zip", "--arch", architecture], {
    env: { NODE_ENV: "test" },
  });
  assert.equal(status, 0, stderr);
  assert.equal(
    spawnSync(join(project, "dist", architecture, "bootstrap"), ["1"], { encoding: "utf8" }).stdout,
    '"production"',
  );
});

test(".env and bunfig.toml beside the executable are not read", () => {
  const project = createProject(
    'import { json, run } from "./runtime.ts";\nrun(json(() => process.env.FROM_FILE ?? "not read"));\n',
  );
  const { status, stderr } = build(project, ["handler.ts", "--no-zip", "--arch", architecture]);
  assert.equal(status, 0, stderr);
  const cwd = join(project, "dist", architecture);
  writeFileSync(join(cwd, ".env"), "FROM_FILE=read\n");
  writeFileSync(join(cwd, "bunfig.toml"), 'preload = ["./missing.ts"]\n');
  assert.equal(spawnSync(join(cwd, "bootstrap"), ["1"], { cwd, encoding: "utf8" }).stdout, '"not read"');
});

test("a stack trace names the source file relative to the handler's project", () => {
  const project = createProject();
  writeFileSync(join(project, "package.json"), "{}");
  mkdirSync(join(project, "src"));
  writeFileSync(
    join(project, "src/handler.ts"),
    'import { json, run } from "../runtime.ts";\n\nrun(json(() => {\n  throw new Error("here");\n}));\n',
  );
  const { status, stderr } = build(
    project,
    [join(project, "src/handler.ts"), "--arch", architecture, "--out", join(project, "dist"), "--no-zip"],
    { cwd: workspace },
  );
  assert.equal(status, 0, stderr);
  const failed = spawnSync(join(project, "dist", architecture, "bootstrap"), ["1"], { encoding: "utf8" });
  assert.match(JSON.parse(failed.stderr).stackTrace[0], /\(src\/handler\.ts:4:\d+\)$/);
});

test("paths with a leading dash are paths, an exported CDPATH changes nothing, and the current directory's bunfig.toml is not read", () => {
  const project = createProject();
  write(project, {
    "-in/handler.ts": handlerSource.replace("./", "../"),
    "cwd/bunfig.toml": 'preload = ["./missing.ts"]\n',
  });
  mkdirSync(join(project, "cwd/dist"));
  const { status, stdout, stderr } = build(
    project,
    ["../-in/handler.ts", "--out", "-out", "--no-zip", "--arch", architecture],
    {
      cwd: join(project, "cwd"),
      env: { CDPATH: `${project}:/` },
    },
  );
  assert.equal(stderr, "");
  assert.equal(status, 0);
  assert.match(stdout, new RegExp(`^-out/${architecture}/bootstrap  \\d+\\.\\d MB\n$`));
  assert.deepEqual(readdirSync(join(project, "cwd/-out")), [architecture], "and no zip");
  assert.equal(
    spawnSync(join(project, "cwd/-out", architecture, "bootstrap"), ["1"], { encoding: "utf8" }).stdout,
    '{"built":1}',
  );
});

test("names in the zip are UTF-8, and say so", () => {
  const project = createProject();
  write(project, { "assets/\u{1f600} é\n.txt": "one", "assets/日本.txt": "two" });
  const { status, stderr } = build(project, ["handler.ts", "--arch", "arm64", "--include", "assets"]);
  assert.equal(status, 0, stderr);
  const script =
    "import json, sys, zipfile; z = zipfile.ZipFile(sys.argv[1]);" +
    " print(json.dumps([[e.filename, e.flag_bits, z.read(e).decode()] for e in z.infolist()[1:]]))";
  const { stdout } = spawnSync("python3", ["-c", script, join(project, "dist/bootstrap-arm64.zip")], {
    encoding: "utf8",
  });
  assert.deepEqual(JSON.parse(stdout), [
    ["assets/日本.txt", 0x800, "two"],
    ["assets/\u{1f600} é\n.txt", 0x800, "one"],
  ]);
});

test("a stack trace names the line that failed, not one that a minifier has moved it to", () => {
  const project = createProject(`import { json, run } from "./runtime.ts";
const find = (id: number): any => [{ name: "Ada" }][id];
run(json((id: number) => {
  const user = find(id);
  return [user.name];
}));
`);
  const { status, stderr } = build(project, ["handler.ts", "--no-zip", "--arch", architecture]);
  assert.equal(status, 0, stderr);
  const failed = spawnSync(join(project, "dist", architecture, "bootstrap"), ["1"], { encoding: "utf8" });
  assert.match(JSON.parse(failed.stderr).stackTrace[0], /\(handler\.ts:5:\d+\)$/);
});

test("a zip over 50 MiB is made, with a warning that Lambda takes it only from S3", () => {
  const project = createProject(
    'import { json, run } from "./runtime.ts";\nimport path from "./random.bin" with { type: "file" };\nrun(json(() => path));\n',
  );
  writeFileSync(join(project, "random.bin"), randomBytes(20 << 20));
  const { status, stderr } = build(project, ["handler.ts", "--arch", "arm64"]);
  assert.equal(status, 0, stderr);
  assert.match(
    stderr,
    /^build\.sh: warning: dist\/bootstrap-arm64\.zip is larger than 50 MiB: Lambda takes it only from S3\n$/,
  );
  assert.ok(existsSync(join(project, "dist/bootstrap-arm64.zip")));
});

for (const [kind, args, expectedStatus, complaint] of [
  ["a handler that does not exist", ["missing.ts"], 1, /^build\.sh: there is no handler missing\.ts\n$/],
  ["a directory as handler", ["."], 1, /^build\.sh: \. is a folder: name the file in it that calls run\(\)\n$/],
  ["a handler named as a member of every object", ["constructor"], 1, /^build\.sh: there is no handler constructor\n$/],
  ["two handlers", ["handler.ts", "handler.ts"], 2, /^build\.sh: two handlers, handler\.ts and handler\.ts: /],
  ["an unknown option", ["--fast", "handler.ts"], 2, /^build\.sh: unknown option --fast \(/],
  [
    "a file that looks like an option",
    ["-handler.ts"],
    2,
    /^build\.sh: unknown option -handler\.ts: the file is \.\/-handler\.ts \(/,
  ],
  [
    "a backslash in the handler's path",
    ["a\\b/handler.ts"],
    1,
    /^build\.sh: Bun cannot build .*\/a\\b\/handler\.ts, because of the backslash in its path: /,
  ],
  [
    "a backslash in --out",
    ["handler.ts", "--out", "a\\b"],
    1,
    /^build\.sh: Bun cannot write into \/.*\/a\\b, because of the backslash in its path\n$/,
  ],
  ["--flat for both architectures", ["handler.ts", "--flat"], 2, /^build\.sh: --flat needs --arch: /],
  [
    "--flat into the folder of the handler",
    ["handler.ts", "--flat", "--arch", "arm64", "--out", "."],
    2,
    /^build\.sh: --flat: \. holds more than what is built: /,
  ],
  [
    "an unknown architecture",
    ["--arch", "riscv64", "handler.ts"],
    2,
    /^build\.sh: unknown architecture riscv64: it is x86_64 or arm64 \(/,
  ],
  ["an option without its value", ["handler.ts", "--out"], 2, /^build\.sh: --out needs a value \(/],
  [
    "a default handler that is not there",
    [],
    2,
    /^build\.sh: which handler\? \.\/build\.sh handler\.ts \(\.\/build\.sh --help tells more\)\n$/,
  ],
] as const) {
  test(`${kind} is refused with a message and status ${expectedStatus}`, () => {
    const project = createProject();
    write(project, { "-handler.ts": handlerSource, "a\\b/handler.ts": handlerSource });
    const { status, stdout, stderr } = build(project, [...args]);
    assert.equal(status, expectedStatus);
    assert.match(stderr, complaint);
    assert.equal(stdout, "");
    assert.ok(!existsSync(join(project, "dist")));
  });
}

for (const name of ["handler.txt", "handler"]) {
  test(`a handler in ${name}, which Bun takes for a file that is no code, is refused`, () => {
    const project = createProject();
    write(project, { [name]: handlerSource });
    const { status, stdout, stderr } = build(project, [name, "--arch", architecture]);
    assert.match(
      stderr,
      new RegExp(`^build\\.sh: \\S.*/${name} does not import runtime\\.ts, nor does a file that it imports: `),
    );
    assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
    assert.deepEqual(readdirSync(join(project, "dist")), []);
  });
}

test("paths that are only on this machine are named with their file, once, and nothing is said of a package's computed names", () => {
  const project = createProject();
  write(project, {
    "handler.ts": `import { json, run } from "./runtime.ts";
import "a";
import template from "./é 日本.cjs";
run(json(async (name: string) => [template, await import(\`./\${name}.ts\`), await import(name)]));
`,
    "é 日本.cjs": '/*! © */ module.exports = require("node:fs").readFileSync(__dirname + "/template.html");\n',
    "node_modules/a/index.js": "module.exports = [__filename, (name) => require(name)];\n",
  });
  const { status, stderr } = build(project, ["handler.ts", "--no-zip", "--arch", architecture]);
  assert.equal(status, 0, stderr);
  const advice = 'see "More files in the zip" in the README';
  assert.deepEqual(stderr.split("\n").sort(), [
    "",
    "build.sh: warning: handler.ts has import() of a computed name, which is looked for only when it runs",
    "build.sh: warning: node_modules/a/index.js has __filename, a path of this machine: if it reads files there, use --package a",
    `build.sh: warning: é 日本.cjs has __dirname, a path of this machine: if it reads files there, ${advice}`,
  ]);
});

test("a file named after --, from which a worker is made, is in the executable", () => {
  const project = createProject();
  write(project, {
    "worker.ts": "self.onmessage = ({ data }) => postMessage(data + 1);\n",
    "handler.ts": `import { json, run } from "./runtime.ts";
run(json(async (n) => {
  const worker = new Worker("./worker.ts");
  worker.postMessage(n);
  return await new Promise((resolve) => worker.addEventListener("message", ({ data }) => resolve(data)));
}));
`,
  });
  const { status, stderr } = build(project, ["handler.ts", "--no-zip", "--arch", architecture, "--", "./worker.ts"]);
  assert.equal(status, 0, stderr);
  const bootstrap = join(project, "dist", architecture, "bootstrap");
  assert.equal(spawnSync(bootstrap, ["1"], { encoding: "utf8", cwd: "/" }).stdout, "2");
});

for (const [kind, source, complaint] of [
  ["a syntax error", "run(;\n", /handler\.ts:1:5[^]*build\.sh: bun build failed for .*handler\.ts\n$/],
  [
    "an import that leads nowhere",
    'import "./nowhere.ts";\n',
    /Could not resolve: "\.\/nowhere\.ts"[^]*build\.sh: bun build failed for .*handler\.ts\n$/,
  ],
] as const) {
  test(`${kind} is reported with its place, and leaves what was built before`, () => {
    const project = createProject();
    mkdirSync(join(project, "dist"));
    writeFileSync(join(project, "dist/bootstrap-arm64.zip"), "of the build before");
    writeFileSync(join(project, "handler.ts"), source);
    const { status, stdout, stderr } = build(project, ["handler.ts"]);
    assert.equal(status, 1);
    assert.match(stderr, complaint);
    assert.equal(stdout, "");
    assert.deepEqual(readdirSync(join(project, "dist")), ["bootstrap-arm64.zip"]);
    assert.equal(readFileSync(join(project, "dist/bootstrap-arm64.zip"), "utf8"), "of the build before");
  });
}

/** Writes files, whose names begin with the folders that they are in. */
function write(directory: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
}

/** A project with files to include, of which two are links and one is executable. */
function createProjectWithFiles(): string {
  const project = createProject();
  write(project, {
    "assets/b.txt": "b",
    "assets/B.txt": "B",
    "assets/.hidden/a b.txt": "hidden",
    "assets/run.sh": "#!/bin/sh\n",
    "lib/libx.so": "library",
    "lib/not-included": "",
    "--name": "as an option",
    "elsewhere/target.txt": "target",
  });
  chmodSync(join(project, "assets/run.sh"), 0o744);
  chmodSync(join(project, "assets/b.txt"), 0o600);
  symlinkSync("../elsewhere/target.txt", join(project, "assets/link.txt"));
  symlinkSync("elsewhere", join(project, "folder"));
  return project;
}

const includeAll = [
  "--include",
  "./lib/libx.so",
  "--include=assets",
  "--include",
  "assets//./b.txt",
  "--include",
  "folder/",
  "--include",
  "--name",
];

/** The included files in the order of the zip: name, mode and text. */
const includedFiles = [
  ["--name", 0o644, "as an option"],
  ["assets/.hidden/a b.txt", 0o644, "hidden"],
  ["assets/B.txt", 0o644, "B"],
  ["assets/b.txt", 0o644, "b"],
  ["assets/link.txt", 0o644, "target"],
  ["assets/run.sh", 0o755, "#!/bin/sh\n"],
  ["folder/target.txt", 0o644, "target"],
  ["lib/libx.so", 0o644, "library"],
] as const;

test("what --include names is packed behind bootstrap under its path, once, in a fixed order, with fixed modes and times", () => {
  const project = createProjectWithFiles();
  const { status, stdout, stderr } = build(project, ["handler.ts", "--arch", "x86_64", ...includeAll]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.match(stdout, /^dist\/bootstrap-x86_64\.zip  \d+\.\d MB  \(dist\/x86_64\/bootstrap  \d+\.\d MB\)\n$/);
  const size = statSync(join(project, "dist/x86_64/bootstrap")).size;
  assert.deepEqual(zipEntries(join(project, "dist/bootstrap-x86_64.zip")), [
    ["bootstrap", "0o100755", [1980, 1, 1, 0, 0, 0], "", size],
    ...includedFiles.map(([name, mode, text]) => [
      name,
      `0o100${mode.toString(8)}`,
      [1980, 1, 1, 0, 0, 0],
      "",
      text.length,
    ]),
  ]);
});

test("files that were copied at another time and with another umask, and are named in another order, give the same zip", () => {
  const [first, second] = ["022", "077"].map((umask) => {
    const project = createProjectWithFiles();
    spawnSync(
      "sh",
      ["-c", `umask ${umask}; cp -RL assets copied; rm -r assets; mv copied assets; touch -t 200001010000 assets/*`],
      {
        cwd: project,
      },
    );
    const named =
      umask === "022"
        ? includeAll
        : ["--include", "--name", "--include=folder", "--include=lib/libx.so", "--include=assets"];
    const { status, stderr } = build(project, ["handler.ts", "--arch", "arm64", ...named], { umask });
    assert.equal(status, 0, stderr);
    return readFileSync(join(project, "dist/bootstrap-arm64.zip"));
  });
  assert.ok(first && second?.equals(first));
});

test("what is included is beside the executables of both architectures, as it is in the zip, and what was there stays", () => {
  const project = createProjectWithFiles();
  writeFileSync(
    join(project, "handler.ts"),
    'import { dirname } from "node:path";\nimport { json, run } from "./runtime.ts";\n' +
      "run(json((name) => Bun.file(`${dirname(process.execPath)}/${name}`).text()));\n",
  );
  write(project, { "dist/x86_64/lib/libx.so": "of the build before", "dist/x86_64/lib/mine": "mine" });
  const { status, stderr } = build(project, ["handler.ts", "--no-zip", ...includeAll]);
  assert.equal(status, 0, stderr);
  for (const arch of ["x86_64", "arm64"]) {
    for (const [name, mode, text] of includedFiles) {
      const file = join(project, "dist", arch, name);
      assert.equal(readFileSync(file, "utf8"), text);
      assert.equal(statSync(file).mode & 0o777, mode, name);
    }
  }
  assert.equal(readFileSync(join(project, "dist/x86_64/lib/mine"), "utf8"), "mine");
  const bootstrap = join(project, "dist", architecture, "bootstrap");
  assert.equal(spawnSync(bootstrap, ['"lib/libx.so"'], { encoding: "utf8", cwd: "/" }).stdout, '"library"');
});

test("what --include names is found in the current directory, not beside build.sh or the handler", () => {
  const project = createProject();
  const cwd = mkdtempSync(join(workspace, "cwd-"));
  write(cwd, { "a/file": "of the current directory" });
  const { status, stderr } = build(
    project,
    [join(project, "handler.ts"), "--no-zip", "--arch", architecture, "--include", "a"],
    { cwd },
  );
  assert.equal(status, 0, stderr);
  assert.equal(readFileSync(join(cwd, "dist", architecture, "a/file"), "utf8"), "of the current directory");
});

for (const [kind, args, expectedStatus, complaint] of [
  ["without its value", ["--include"], 2, /^build\.sh: --include needs a value \(/],
  ["with an empty value", ["--include="], 2, /^build\.sh: --include needs a value \(/],
  ["of what does not exist", ["--include", "missing.so"], 1, /^build\.sh: there is no missing\.so to include\n$/],
  ["of an absolute path", ["--include", "/etc/hosts"], 2, /^build\.sh: --include \/etc\/hosts is absolute: /],
  ["of a path with ..", ["--include", "assets/../lib"], 2, /^build\.sh: --include assets\/\.\.\/lib has \.\. in it: /],
  ["of a path that ends with ..", ["--include", ".."], 2, /^build\.sh: --include \.\. has \.\. in it: /],
  [
    "of the current directory",
    ["--include", "."],
    2,
    /^build\.sh: --include \. contains \/.*, where build\.sh writes: /,
  ],
  [
    "of the current directory, spelled otherwise",
    ["--include", ".//./"],
    2,
    /^build\.sh: --include \. contains \/.*, /,
  ],
  [
    "of a link to the current directory",
    ["--include", "odd/here"],
    2,
    /^build\.sh: --include odd\/here contains \/.*, /,
  ],
  [
    "of the folder that is to hold --out",
    ["--include", "assets", "--out", "assets/out"],
    2,
    /^build\.sh: --include assets contains assets\/out, /,
  ],
  [
    "of what was built",
    ["--include", "lib/arm64", "--out=lib"],
    2,
    /^build\.sh: --include lib\/arm64 contains lib\/arm64, /,
  ],
  [
    "of another bootstrap",
    ["--include", "./bootstrap"],
    2,
    /^build\.sh: --include \.\/bootstrap would take the place of bootstrap: /,
  ],
  [
    "of a folder named bootstrap",
    ["--include", "bootstrap//file"],
    2,
    /^build\.sh: --include bootstrap\/\/file would take the place of bootstrap: /,
  ],
  [
    "of a folder without files",
    ["--include", "odd/empty"],
    1,
    /^build\.sh: there is no file in odd\/empty to include\n$/,
  ],
  [
    "of a FIFO",
    ["--include", "odd/fifo"],
    1,
    /^build\.sh: cannot include odd\/fifo: it is neither a file nor a folder, or /,
  ],
  [
    "of a folder with a link that leads nowhere",
    ["--include", "odd/links"],
    1,
    /^build\.sh: cannot include odd\/links\/nowhere: it is neither .* or a link that leads nowhere\n$/,
  ],
  [
    "of a link that leads nowhere",
    ["--include", "odd/links/nowhere"],
    1,
    /^build\.sh: cannot include odd\/links\/nowhere: it is neither .* or a link that leads nowhere\n$/,
  ],
  [
    "of a folder that a link in it leads back to",
    ["--include", "odd/circle"],
    1,
    /^build\.sh: cannot include odd\/circle\/back: it leads back to a folder that it is in\n$/,
  ],
] as const) {
  test(`an --include ${kind} is refused with a message and status ${expectedStatus}`, () => {
    const project = createProjectWithFiles();
    write(project, { "lib/arm64/bootstrap": "" });
    for (const folder of ["odd/empty/empty", "odd/links", "odd/circle"])
      mkdirSync(join(project, folder), { recursive: true });
    for (const [link, target] of [
      ["here", ".."],
      ["links/nowhere", "missing"],
      ["circle/back", "."],
    ] as const)
      symlinkSync(target, join(project, "odd", link));
    spawnSync("mkfifo", [join(project, "odd/fifo")]);
    const { status, stdout, stderr } = build(project, ["handler.ts", ...args]);
    assert.match(stderr, complaint);
    assert.equal(status, expectedStatus);
    assert.equal(stdout, "");
    for (const out of ["dist", "assets/out"]) assert.ok(!existsSync(join(project, out)));
  });
}

test("a folder where an included file goes is named, before anything is built", () => {
  const project = createProjectWithFiles();
  write(project, { "dist/arm64/lib/libx.so/file": "of the build before" });
  const { status, stderr } = build(project, ["handler.ts", "--include", "lib/libx.so"]);
  assert.equal(status, 1);
  assert.equal(stderr, "build.sh: dist/arm64/lib/libx.so is a folder where a file goes: remove it\n");
  assert.deepEqual(readdirSync(join(project, "dist")), ["arm64"]);
});

test("an included file that cannot be read is named, before anything is built", () => {
  const project = createProject();
  symlinkSync("/proc/self/mem", join(project, "memory")); // not even by root, as whom tests may run
  const { status, stderr } = build(project, ["handler.ts", "--include", "memory"]);
  assert.equal(status, 1);
  assert.equal(stderr, "build.sh: cannot read memory, which is to be included\n");
  assert.deepEqual(readdirSync(join(project, "dist")), []);
});

test("what cannot be written is named, and nothing half-made is left behind", () => {
  const project = createProject();
  write(project, { "dist/bootstrap-arm64.zip/file": "in a folder where the zip goes" });
  const { status, stdout, stderr } = build(project, ["handler.ts", "--arch", "arm64"]);
  assert.equal(status, 1);
  assert.match(stderr, /^build\.sh: EISDIR: .*bootstrap-arm64\.zip'\n$/);
  assert.equal(stdout, "");
  assert.deepEqual(
    readdirSync(join(project, "dist")).filter((name) => name.startsWith(".")),
    [],
  );
});

/** What Bun leaves in the project when it is stopped, 80 MB of it. */
const leftover = ".0a500a25190d8c20-00000000.bun-build";
const hidden = (folder: string) => readdirSync(folder).filter((name) => name.startsWith("."));

test("a build that is ended leaves nothing behind, at once", async () => {
  const project = createProject();
  const PATH = [bunDirectory, process.env.PATH].join(delimiter);
  for (const [signal, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    const building = Bun.spawn([join(project, "build.sh"), "handler.ts"], {
      cwd: project,
      env: { ...process.env, PATH },
      stdout: "pipe",
      stderr: "pipe",
    });
    const isCompiling = () => existsSync(join(project, "dist")) && hidden(join(project, "dist")).length > 0;
    while (!isCompiling()) await Bun.sleep(10);
    writeFileSync(join(project, leftover), "");
    building.kill(signal);
    assert.equal(await building.exited, status);
    assert.equal((await new Response(building.stdout).text()) + (await new Response(building.stderr).text()), "");
    assert.deepEqual(readdirSync(join(project, "dist")), []);
    assert.deepEqual(hidden(project), []);
  }
});

/** Locks a folder as another build would, alone or with others: a function that lets it go. */
function lock(folder: string, kind: "alone" | "shared"): () => void {
  const { flock } = dlopen("libc.so.6", { flock: { args: ["int", "int"], returns: "int" } }).symbols;
  const descriptor = openSync(folder, "r");
  assert.equal(flock(descriptor, kind === "alone" ? 2 : 1), 0);
  return () => closeSync(descriptor);
}

test("what killed builds have left is removed by the next, unless another build of the project is alive", () => {
  const project = createProject();
  write(project, { [leftover]: "of a killed build", "dist/.build.x1Y2z3/arm64/bootstrap": "of a killed build" });
  const letGo = lock(project, "shared");
  const args = ["handler.ts", "--no-zip", "--arch", architecture];
  assert.deepEqual(build(project, args).stderr, "");
  assert.deepEqual([hidden(project), hidden(join(project, "dist"))], [[leftover], []]);
  letGo();
  assert.deepEqual(build(project, args).stderr, "");
  assert.deepEqual(hidden(project), []);
});

test("a build waits for another that writes into the same folder, and says so", async () => {
  const project = createProject();
  mkdirSync(join(project, "dist"));
  const letGo = lock(join(project, "dist"), "alone");
  const building = Bun.spawn([join(project, "build.sh"), "handler.ts", "--no-zip", "--arch", architecture], {
    cwd: project,
    env: { ...process.env, PATH: [bunDirectory, process.env.PATH].join(delimiter) },
    stdout: "ignore",
    stderr: "pipe",
  });
  const { value } = await building.stderr.getReader().read();
  assert.equal(Buffer.from(value ?? "").toString(), "build.sh: waiting for another build that writes into dist\n");
  assert.deepEqual(readdirSync(join(project, "dist")), []);
  letGo();
  assert.equal(await building.exited, 0);
  assert.deepEqual(readdirSync(join(project, "dist")), [architecture]);
});

test("--flat puts what is built for one architecture into the folder itself, without a zip", () => {
  const project = createProject();
  write(project, { "assets/a.txt": "a" });
  const args = ["handler.ts", "--arch", architecture, "--flat", "--out", "artifacts", "--include", "assets"];
  const { status, stdout, stderr } = build(project, args);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.match(stdout, /^artifacts\/bootstrap  \d+\.\d MB\n$/);
  assert.deepEqual(readdirSync(join(project, "artifacts"), { recursive: true }).sort(), [
    "assets",
    "assets/a.txt",
    "bootstrap",
  ]);
  const { stdout: reply } = spawnSync(join(project, "artifacts/bootstrap"), ["1"], { encoding: "utf8" });
  assert.equal(reply, '{"built":1}');
});

test("the Bun of a workspace is found in the node_modules above", () => {
  const project = createProject();
  write(project, { "packages/a/handler.ts": handlerSource });
  for (const file of ["runtime.ts", "build.sh"]) copyFileSync(join(root, file), join(project, "packages/a", file));
  mkdirSync(join(project, "node_modules/.bin"));
  symlinkSync(join(bunDirectory, "bun"), join(project, "node_modules/.bin/bun"));
  const { status, stderr } = build(join(project, "packages/a"), ["handler.ts", "--no-zip", "--arch", architecture], {
    env: { PATH: pathWithoutBun },
  });
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

const offline = "registry=http://127.0.0.1:9/\nfetch-retries=0\n";

test("the Bun for the other architecture comes through npm, into node_modules/.cache, once, and it is said so", () => {
  const project = createProject();
  const cache = join(project, "node_modules/.cache");
  rmSync(cache, { recursive: true });
  const home = mkdtempSync(join(workspace, "home-"));
  const npmCache = spawnSync("npm", ["config", "get", "cache"], { encoding: "utf8" }).stdout.trim();
  const [arch, name] = architecture === "arm64" ? ["x86_64", "bun-linux-x64"] : ["arm64", "bun-linux-aarch64"];
  const env = { HOME: home, npm_config_cache: npmCache };
  const first = build(project, ["handler.ts", "--no-zip", "--arch", arch], { env });
  assert.equal(first.status, 0, first.stderr);
  const file = join(cache, `${name}-${bunVersion}`);
  const message = `build.sh: downloading Bun ${bunVersion} for ${arch} through npm, about 40 MB, into ${file}\n`;
  assert.equal(first.stderr, message);
  assert.deepEqual(readdirSync(cache), [`${name}-${bunVersion}`]);
  assert.ok(!existsSync(join(home, ".bun")));
  write(project, { ".npmrc": offline });
  assert.equal(build(project, ["handler.ts", "--no-zip", "--arch", arch], { env }).stderr, "");

  rmSync(file);
  const { status, stderr } = build(project, ["handler.ts", "--no-zip", "--arch", arch], { env });
  assert.equal(status, 1);
  assert.match(stderr, /npm error .*ECONNREFUSED/);
  assert.ok(stderr.endsWith(`\nbuild.sh: npm could not install Bun ${bunVersion} for ${arch}\n`), stderr);
  assert.deepEqual(readdirSync(cache), []);
});

test("--help says how it is called, without a Bun", () => {
  const { status, stdout, stderr } = build(createProject(), ["handler.ts", "--help"], {
    env: { PATH: pathWithoutBun },
  });
  assert.equal(status, 0);
  assert.equal(stderr, "");
  assert.match(stdout, /^Usage: \.\/build\.sh \[OPTION\]\.\.\. \[HANDLER\.ts\] \[-- ARGUMENTS FOR BUN BUILD\]\n/);
});

test("a Bun that is neither in node_modules nor on the PATH is installed through npm, once, and said so", () => {
  const project = createProject();
  const args = ["handler.ts", "--no-zip", "--arch", architecture];
  const first = build(project, args, { env: { PATH: pathWithoutBun } });
  assert.equal(first.status, 0, first.stderr);
  assert.match(
    first.stderr,
    new RegExp(
      `^build\\.sh: installing Bun ${bunVersion} through npm, about 40 MB, into .*/node_modules/\\.cache/bun-${bunVersion}\n`,
    ),
  );
  const second = build(project, args, { env: { PATH: pathWithoutBun } });
  assert.deepEqual({ status: second.status, stderr: second.stderr }, { status: 0, stderr: "" });
  assert.equal(
    spawnSync(join(project, "dist", architecture, "bootstrap"), ["1"], { encoding: "utf8" }).stdout,
    '{"built":1}',
  );
});

test("BUN_VERSION chooses another version", () => {
  const project = createProject('import { json, run } from "./runtime.ts";\nrun(json(() => Bun.version));\n');
  const { status, stderr } = build(project, ["handler.ts", "--no-zip", "--arch", architecture], {
    env: { BUN_VERSION: "1.4.1" },
  });
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^build\.sh: installing Bun 1\.4\.1 through npm, /);
  assert.equal(
    spawnSync(join(project, "dist", architecture, "bootstrap"), ["1"], { encoding: "utf8" }).stdout,
    '"1.4.1"',
  );
});

test("where npm cannot install Bun, what npm says is passed on", () => {
  const project = createProject();
  write(project, { ".npmrc": offline });
  const { status, stderr } = build(project, ["handler.ts"], { env: { PATH: pathWithoutBun } });
  assert.equal(status, 1);
  assert.match(stderr, /npm error .*ECONNREFUSED[^]*\nbuild\.sh: npm could not install Bun \S+\n$/);
});

test("on Windows without WSL it says what to do", () => {
  const project = createProject();
  write(project, { "bin/uname": "#!/bin/sh\necho MINGW64_NT-10.0-26100\n" });
  chmodSync(join(project, "bin/uname"), 0o755);
  const { status, stderr } = build(project, ["handler.ts"], {
    env: { PATH: `${join(project, "bin")}:${process.env.PATH}` },
  });
  assert.equal(stderr, "build.sh: on Windows, run this in WSL: https://learn.microsoft.com/windows/wsl/install\n");
  assert.equal(status, 1);
});

test("files that are larger than Lambda takes are refused before they are copied, but not where no zip is made", () => {
  const project = createProject();
  spawnSync("truncate", ["--size=5G", join(project, "large")]);
  const { status, stderr } = build(project, ["handler.ts", "--arch", architecture, "--include", "large"]);
  assert.equal(
    stderr,
    "build.sh: 5368.7 MB of files beside bootstrap, and Lambda takes 250 MiB of a zip: include less, or make a container image: --no-zip\n",
  );
  assert.equal(status, 1);
  spawnSync("truncate", ["--size=251M", join(project, "large")]);
  const args = ["handler.ts", "--no-zip", "--arch", architecture, "--include", "large"];
  assert.equal(build(project, args).stderr, "");
});

test("a folder with a backslash in its path is refused, whether it is build.sh's or the current one", () => {
  const project = createProject();
  const folder = join(project, "a\\b");
  mkdirSync(folder);
  for (const file of ["runtime.ts", "build.sh"]) copyFileSync(join(root, file), join(folder, file));
  for (const [place, cwd] of [
    [folder, project],
    [project, folder],
  ] as const) {
    const { status, stderr } = build(place, [join(project, "handler.ts")], { cwd });
    assert.equal(stderr, "build.sh: Bun cannot build in a folder with a backslash in its path: rename it\n");
    assert.equal(status, 1);
  }
});

test("a version of Bun that does not exist is refused with a message", () => {
  const project = createProject();
  const { status, stderr } = build(project, ["handler.ts"], { env: { BUN_VERSION: "1.4.999" } });
  assert.equal(status, 1);
  assert.match(stderr, /build\.sh: npm could not install Bun 1\.4\.999\n$/);
  assert.ok(!existsSync(join(project, "dist")));
});

test("build.sh, package.json and the lock file name the same Bun, and runtime.ts and package.json the same version", () => {
  const buildSh = readFileSync(join(root, "build.sh"), "utf8");
  assert.match(bunVersion, /^\d+\.\d+\.\d+$/, "an exact version");
  assert.equal(/^bun_version=\$\{BUN_VERSION:-(.*?)\}/m.exec(buildSh)?.[1], bunVersion);
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  assert.equal(lock.packages["node_modules/bun"].version, bunVersion);
  assert.equal(packageJson.devDependencies["bun-types"], bunVersion);

  const runtime = readFileSync(join(root, "runtime.ts"), "utf8");
  assert.equal(/^ \* bunstrap (\S+):/m.exec(runtime)?.[1], packageJson.version);
  assert.equal(/^const version = "(.*)";$/m.exec(runtime)?.[1], packageJson.version);
});

test("the TypeScript in build.sh is type-checked as strictly as the rest, and formatted as prettier would", () => {
  const directory = mkdtempSync(join(workspace, "types-"));
  const script = readFileSync(join(root, "build.sh"), "utf8");
  const [, source = ""] = /<<'TYPESCRIPT'\n([^]*\n)TYPESCRIPT\n$/.exec(script) ?? [];
  assert.ok(source.includes("function compile("));
  assert.equal(
    script.split("\n").find((line) => line.length > 120),
    undefined,
  );
  const settings = readFileSync(join(root, "tsconfig.json"), "utf8").replace(/"include": .*/, '"include": ["*.ts"]');
  write(directory, { "build.ts": source, "tsconfig.json": settings });
  copyFileSync(join(root, "package.json"), join(directory, "package.json")); // with the options of prettier
  symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  for (const command of ["tsc -p .", "prettier --check build.ts"]) {
    const [program = "", ...args] = command.split(" ");
    const { status, stdout, stderr } = spawnSync(join(bunDirectory, program), args, {
      cwd: directory,
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout + stderr);
  }
});

test(
  "ShellCheck finds nothing in the shell scripts",
  { skip: Bun.which("shellcheck") ? false : "shellcheck is not installed" },
  () => {
    const { status, stdout } = spawnSync("shellcheck", ["build.sh", "test/invoke.sh", ".ci/run"], {
      cwd: root,
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  },
);
