/** Forms of modules and imports, in modules.txt: what is built has the same result as its source. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { architecture, buildWithoutZip, root, workspace } from "./sandbox.ts";

interface Form {
  name: string;
  files: [path: string, text: string][];
  /** What it returns once it is built, if that differs from its source. */
  built: unknown;
}

function readForms(): Form[] {
  const [, ...sections] = readFileSync(join(import.meta.dir, "modules.txt"), "utf8").split(/^== /m);
  return sections.map((section) => {
    const [name = "", ...entries] = section.trimEnd().split(/\n(?! {2})/);
    const files = entries.map((entry): [string, string] => {
      const [, path = "", text = ""] = /^(\S+): ([^]*)$/.exec(entry) ?? [];
      return [path, text.replaceAll("\n  ", "\n")];
    });
    const built = files.find(([path]) => path === "built")?.[1];
    return { name, files: files.filter(([path]) => path !== "built"), built: built && JSON.parse(built) };
  });
}

const forms = readForms();
const named = (pattern: RegExp) => forms.filter(({ name }) => pattern.test(name));

function createProject(some: Form[], more: string): string {
  const project = mkdtempSync(join(workspace, "modules-"));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), text);
  };
  copyFileSync(join(root, "runtime.ts"), join(project, "runtime.ts"));
  for (const { name, files } of some) for (const [path, text] of files) write(`forms/${name}/${path}`, text);
  write("package.json", "{}");
  write("node_modules/outside/index.js", "module.exports = 'outside';");
  write("node_modules/outside/package.json", '{"name":"outside","version":"1.0.0"}');
  const imports = some.map(({ name }, index) => `import form${index} from "./forms/${name}/index.ts";\n`);
  const entries = some.map(({ name }, index) => `  ["${name}", form${index}],\n`);
  const source = `import { json, run } from "./runtime.ts";
${imports.join("")}${more}
const forms: [string, () => unknown][] = [
  ["main module", () => import.meta.main],
${entries.join("")}];
run(json(async () => {
  const results: [string, unknown][] = [];
  for (const [name, form] of forms) results.push([name, (await form()) ?? null]);
  return results;
}));
`;
  write("handler.ts", source);
  return project;
}

function results(command: string[], cwd: string): Map<string, unknown> {
  const [program = "", ...args] = [...command, "1"];
  const env = { NODE_ENV: "production", SOME: "thing" };
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: "utf8", env });
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  return new Map(JSON.parse(stdout));
}

for (const [kind, some, more, args] of [
  ["all forms", forms, "", []],
  ["forms in a program that never waits while it loads", named(/^(?!tla)/), "", []],
  ["modules that wait, of a program that does not wait itself", named(/^tla-(?!top).*dyn/), "", []],
  [
    "modules that wait, beside a package that is not bundled",
    named(/^tla-(?!top).*dyn/),
    'import outside from "outside";\nif (outside !== "outside") throw new Error(outside);\n',
    ["--package", "outside"],
  ],
] as const) {
  test(`built, ${kind} have the results of their source`, () => {
    const project = createProject([...some], more);
    const built = buildWithoutZip(["--arch", architecture, "handler.ts", ...args], project);
    assert.equal(built.status, 0, built.stderr);
    const ofSource = results([process.execPath, "handler.ts"], project);
    const ofBuilt = results([join(project, "dist", architecture, "bootstrap")], join(project, "dist", architecture));
    for (const { name, built } of some) {
      assert.deepEqual(ofBuilt.get(name), built === undefined ? ofSource.get(name) : built, name);
    }
    assert.deepEqual([...ofBuilt.keys()], [...ofSource.keys()]);
    assert.deepEqual([ofSource.get("main module"), ofBuilt.get("main module")], [true, true]);
  });
}
