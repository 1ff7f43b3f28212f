/** The README: every snippet in it is run or type-checked, in a project that has only copied runtime.ts and build.sh. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { before, test } from "node:test";
import { root, workspace } from "./sandbox.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");

/** The texts of the code blocks in one language. */
const blocks = (language: string) => [...readme.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "gm"))].map(([, text = ""]) => text);

const project = mkdtempSync(join(workspace, "readme-"));
const bin = join(project, "bin");
/** What the stand-in for the AWS CLI was called with, a line each. */
const awsCalls = join(project, "aws-calls");

before(() => {
  for (const file of ["runtime.ts", "build.sh"]) copyFileSync(join(root, file), join(project, file));
  symlinkSync(join(root, "node_modules"), join(project, "node_modules"));
  for (const [index, text] of blocks("ts").entries()) writeFileSync(join(project, index === 0 ? "handler.ts" : `snippet-${index}.ts`), text);
  mkdirSync(bin);
  writeFileSync(join(bin, "aws"), '#!/bin/sh\nprintf "%s\\n" "$*" >>aws-calls\n', { mode: 0o755 });
});

const PATH = [bin, join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);
const sh = (command: string) => spawnSync("sh", ["-c", command], { cwd: project, encoding: "utf8", env: { ...process.env, PATH } });

test("every TypeScript snippet type-checks", () => {
  writeFileSync(join(project, "tsconfig.json"), readFileSync(join(root, "tsconfig.json"), "utf8").replace(/"include": .*/, '"include": ["*.ts"]'));
  const { status, stdout } = sh("tsc");
  assert.equal(status, 0, stdout);
  assert.ok(blocks("ts").length >= 4);
});

test("every command that is shown with its output prints that output", () => {
  const withoutSizes = (text: string) => text.replaceAll(/\d+\.\d MB/g, "… MB").trimEnd();
  for (const block of blocks("console")) {
    for (const [, command = "", output = ""] of block.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)) {
      const { status, stdout, stderr } = sh(command);
      assert.equal(status, 0, `${command}\n${stderr}`);
      assert.equal(withoutSizes(stdout), withoutSizes(output), command);
    }
  }
});

test("every AWS command names the runtime, an architecture, and the zip that the build writes for it", () => {
  const calls = readFileSync(awsCalls, "utf8").trimEnd().split("\n");
  assert.equal(calls.length, 2);
  for (const call of calls) {
    const [, architecture] = / --architectures (\S+)/.exec(call) ?? [];
    const [, zip] = / --zip-file fileb:\/\/(\S+)/.exec(call) ?? [];
    assert.equal(zip, `dist/bootstrap-${architecture}.zip`);
    assert.ok(existsSync(join(project, zip ?? "")), zip);
    if (call.includes("create-function")) assert.match(call, / --runtime provided\.al2023 /);
  }
});

test("the first handler runs from source as the README says", () => {
  const [, command = ""] = /`(bun handler\.ts '.*?')`/.exec(readme) ?? [];
  assert.equal(sh(command).stdout, '{"message":"Hello, Ada!"}');
});

test("every snippet serves the event that its text or its types name", () => {
  for (const [file, event, reply] of [
    ["snippet-1.ts", "any bytes", "any bytes"],
    ["snippet-3.ts", "GET /?name=Ada", '"body":"{\\"message\\":\\"Hello, Ada!\\"}"'],
    ["snippet-4.ts", '{"from":2}', "2\n1\n"],
  ] as const) {
    const { status, stdout, stderr } = sh(`bun ${file} '${event}'`);
    assert.equal(status, 0, stderr);
    assert.ok(stdout.includes(reply), `${file}: ${stdout}`);
  }
  const several = sh("_HANDLER=list bun snippet-5.ts '{}'");
  assert.equal(several.stdout, "[1,2,3]");
});

test("the two commands are there, and .ci/run calls the second", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const [, name = ""] of (blocks("sh")[0] ?? "").matchAll(/^npm (?:run )?(\w+)/gm)) assert.ok(scripts[name], name);
  assert.match(readFileSync(join(root, ".ci/run"), "utf8"), /^npm test$/m);
});
