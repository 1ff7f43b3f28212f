/** runtime.ts as it lives on in other projects: a copy that has to type-check with their settings, with the types of Bun and nothing else. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { root, workspace } from "./sandbox.ts";

/** A handler that has something of each layer. */
const handlerSource = `import { header, http, json, run } from "./runtime.ts";

run({
  raw: (headers, body) => header(headers, "Lambda-Runtime-Aws-Request-Id") ?? body,
  json: json(async (event: { name: string }, context) => ({ message: \`Hello, \${event.name}!\`, id: context.awsRequestId })),
  web: http((request) => Response.json({ url: request.url })),
  stream: async function* () {
    yield "chunk";
  },
});
`;

/** The packages that a project has which has installed one package: that, and what it depends on. */
function withDependencies(name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"));
  for (const dependency of Object.keys(dependencies)) withDependencies(dependency, found);
  return found;
}

function createProject(compilerOptions: Record<string, unknown>, handler = handlerSource): string {
  const project = mkdtempSync(join(workspace, "copy-"));
  copyFileSync(join(root, "runtime.ts"), join(project, "runtime.ts"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" })); // without it tsc takes the files for CommonJS
  writeFileSync(join(project, "handler.ts"), handler);
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["handler.ts"] }));
  for (const name of withDependencies("bun-types")) {
    const link = join(project, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, "node_modules", name), link);
  }
  return project;
}

function typeCheck(project: string): { status: number | null; stdout: string } {
  // Links keep their place, so that nothing is found but what this project has.
  return spawnSync(join(root, "node_modules/.bin/tsc"), ["--project", project, "--preserveSymlinks"], {
    encoding: "utf8",
  });
}

/** What every project needs that imports runtime.ts by its name, and has Bun's types and no output of tsc. */
const necessary = { types: ["bun-types"], allowImportingTsExtensions: true, noEmit: true };

const strict = {
  ...necessary,
  target: "esnext",
  module: "preserve",
  lib: ["esnext"],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noFallthroughCasesInSwitch: true,
  noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  noUncheckedSideEffectImports: true,
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  erasableSyntaxOnly: true,
  moduleDetection: "force",
};

const loose = { ...necessary, target: "es2022", module: "esnext", moduleResolution: "bundler", strict: false };

const settings = {
  "every strict one": strict,
  "none of the strict ones, and a target of 2022": loose,
  "none of the strict ones, and a library of 2022": { ...loose, lib: ["es2022"] },
  "those that bun init writes": {
    ...necessary,
    lib: ["ESNext"],
    target: "ESNext",
    module: "Preserve",
    moduleDetection: "force",
    jsx: "react-jsx",
    allowJs: true,
    moduleResolution: "bundler",
    verbatimModuleSyntax: true,
    strict: true,
    skipLibCheck: true,
    noFallthroughCasesInSwitch: true,
    noUncheckedIndexedAccess: true,
    noImplicitOverride: true,
    noUnusedLocals: false,
    noUnusedParameters: false,
    noPropertyAccessFromIndexSignature: false,
  },
  "those that tsc --init writes": {
    ...necessary,
    module: "nodenext",
    target: "esnext",
    sourceMap: true,
    declaration: true,
    declarationMap: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    strict: true,
    jsx: "react-jsx",
    verbatimModuleSyntax: true,
    isolatedModules: true,
    noUncheckedSideEffectImports: true,
    moduleDetection: "force",
    skipLibCheck: true,
  },
  "a target of 2018, and strict": { ...loose, target: "es2018", strict: true, skipLibCheck: true },
  "those of a web application, with the types of the DOM": {
    ...loose,
    lib: ["es2022", "dom", "dom.iterable"],
    strict: true,
    skipLibCheck: true,
  },
};

for (const [name, compilerOptions] of Object.entries(settings)) {
  test(`the copy type-checks with these settings: ${name}`, () => {
    const { status, stdout } = typeCheck(createProject(compilerOptions));
    assert.equal(status, 0, stdout);
  });
}

test("the copy type-checks with a library of 2022 and the types of Node.js 20", () => {
  const project = createProject({ ...strict, target: "es2022", lib: ["es2022"], skipLibCheck: true });
  for (const [name, source] of [
    ["@types/node", "types-node-20"],
    ["undici-types", "types-node-20/node_modules/undici-types"],
  ] as const) {
    rmSync(join(project, "node_modules", name));
    symlinkSync(join(root, "node_modules", source), join(project, "node_modules", name));
  }
  const { status, stdout } = typeCheck(project);
  assert.equal(status, 0, stdout);
});

test("the version stands in the second line, and is that of the code and of package.json; linters pass over the file", () => {
  const [, line = "", ...lines] = readFileSync(join(root, "runtime.ts"), "utf8").split("\n");
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.ok(line.startsWith(` * bunstrap ${version}: `), line);
  assert.ok(lines.includes(`const version = "${version}";`));
  const code = lines.findIndex((line) => line.startsWith("const "));
  const head = lines.slice(0, code).join("\n");
  for (const linter of ["\n/* eslint-disable ", "\n/* biome-ignore-all lint format assist: "])
    assert.ok(head.includes(linter));
});

test("a handler that is wrong is refused, so the settings above are really those that were checked", () => {
  const source = handlerSource.replace('=> header(headers, "Lambda-Runtime-Aws-Request-Id") ?? body', "=> body.length");
  for (const compilerOptions of Object.values(settings)) {
    const { status, stdout } = typeCheck(createProject(compilerOptions, source));
    assert.notEqual(status, 0);
    assert.match(stdout, /handler\.ts\(4,\d+\): error TS2322: Type 'number' is not assignable/);
  }
});

const source = readFileSync(join(root, "runtime.ts"), "utf8");

/** The file without what stands from one text up to another. */
function without(text: string, from: string, to: string): string {
  const [start, end] = [text.indexOf(from), text.indexOf(to)];
  assert.ok(start >= 0 && start < end, `${from} … ${to}`);
  return text.slice(0, start) + text.slice(end);
}

test("the HTTP client can be lifted out as it is: it needs nothing of what is above it", () => {
  const client = source.slice(source.indexOf("// ── An HTTP/1.1 client"));
  const project = createProject(strict, `${client}\nexport { createHttpClient, fieldLines, fieldValue, decode };\n`);
  const { status, stdout } = typeCheck(project);
  assert.equal(status, 0, stdout);
});

test("http can be deleted from a copy, with its section, and nothing else misses it or was there for it alone", () => {
  const withoutAdapter = without(
    source,
    "/**\n * Makes a raw handler of one for web requests",
    "/**\n * The value of a header.",
  );
  const withoutSection = without(withoutAdapter, "// ── Web events", "// ── The context of an invocation");
  const project = createProject(strict, withoutSection);
  const { status, stdout } = typeCheck(project);
  assert.equal(status, 0, stdout);
});

test("every example in a doc comment type-checks, and every export has one", () => {
  const examples = [...source.matchAll(/@example (.+?)(?: \*\/)?$/gm)].map(([, example = ""]) => example);
  const exported = [...source.matchAll(/^export (?:interface|type|function) (\w+)/gm)].map(([, name = ""]) => name);
  const without = exported.filter(
    (name) => !new RegExp(`@example [^\\n]*\\n(?: \\*\\/\\n)?export \\w+ ${name}\\b`).test(source),
  );
  assert.deepEqual(without, ["CognitoIdentity", "ClientContext"], "which only describe members of Context");
  const program = `import { header, http, json, listen, run, type RawHandler } from "./runtime.ts";
declare const handler: RawHandler;
declare const headers: Uint8Array;
declare const database: { close(): Promise<void> };
declare function create(event: { id: number }): string;
declare function list(): number[];
${examples.map((example) => `export function example${examples.indexOf(example)}() {\n  ${example}\n}`).join("\n")}
void [header, http, json, listen, run, handler, headers, database, create, list];
`;
  const { status, stdout } = typeCheck(createProject(necessary, program));
  assert.equal(status, 0, stdout);
});
