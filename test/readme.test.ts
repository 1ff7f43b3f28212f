/** The README: every snippet in it is run or type-checked, in a project that has only copied runtime.ts and build.sh. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { blocks, commands, createProject, readme } from "./readme.ts";
import { architecture, root } from "./sandbox.ts";

const { directory, path, sh } = createProject();

test("every TypeScript snippet type-checks", () => {
  writeFileSync(
    join(directory, "tsconfig.json"),
    readFileSync(join(root, "tsconfig.json"), "utf8").replace(/"include": .*/, '"include": ["*.ts"]'),
  );
  const { status, stdout } = sh("tsc");
  assert.equal(status, 0, stdout);
  assert.ok(blocks("ts").length >= 4);
});

test("every command that is shown with its output prints that output", () => {
  const withoutSizes = (text: string) => text.replaceAll(/\d+\.\d MB/g, "… MB").trimEnd();
  const sizes = (text: string) => [...text.matchAll(/(\d+\.\d) MB/g)].map(([, size]) => Number(size));
  for (const { command, output } of commands()) {
    const { status, stdout, stderr } = sh(command);
    assert.equal(status, 0, `${command}\n${stderr}`);
    assert.equal(withoutSizes(stdout), withoutSizes(output), command);
    for (const [index, size] of sizes(output).entries())
      assert.ok(Math.abs(size - (sizes(stdout)[index] ?? 0)) < 0.5, `${command}: ${size} MB`);
  }
});

test("the first handler runs from source as the README says", () => {
  const [, command = ""] = /`(bun handler\.ts '.*?')`/.exec(readme) ?? [];
  assert.equal(sh(command).stdout, '{"message":"Hello, Ada!"}');
});

test("the contents name every section in its order, and every link within the README leads somewhere", () => {
  const linksOf = (text: string) => [...text.matchAll(/\]\(#(.+?)\)/g)].map(([, anchor = ""]) => anchor);
  const [contents = ""] = /^\*\*Contents:[^]*?\n\n/m.exec(readme) ?? [];
  const titles = [...readme.matchAll(/^## (?!License)(.+)$/gm)].map(([, title = ""]) => title);
  const sections = titles.map((title) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  );
  assert.deepEqual(linksOf(contents), sections);
  const anchors = [...readme.matchAll(/<a id="(.+?)">/g)].map(([, anchor = ""]) => anchor);
  for (const link of linksOf(readme)) assert.ok([...sections, ...anchors].includes(link), link);
  for (const [, file = ""] of readme.matchAll(/\]\(((?!https?:)[^#)]+)/g))
    assert.ok(existsSync(join(root, file)), file);
});

test("the README has at most 500 lines of 120 characters, and what one decides by is in the first 150", () => {
  const lines = readme.trimEnd().split("\n");
  assert.ok(lines.length <= 500, `${lines.length} lines`);
  const [handlers] = lines.flatMap((line, index) => (line === "## Handlers" ? [index] : []));
  assert.ok(handlers && handlers < 150, `line ${handlers}`);
  for (const line of lines) assert.ok(line.length <= 120 || /^(?:\||\$ )/.test(line), line);
});

test("the figures are rows of the benchmark's, and the medians of the first row stand at the top", () => {
  const benchmark = readFileSync(join(root, "test/bench/README.md"), "utf8").split("\n");
  const [, table = ""] = /^## Figures\n[^|]*((?:\|.*\n)+)/m.exec(readme) ?? [];
  const lines = table.trimEnd().split("\n");
  assert.ok(lines.length >= 3 && lines.length <= 2 + 8, `${lines.length} lines`);
  for (const line of lines) assert.ok(benchmark.includes(line), line);

  const [header = [], , first = []] = lines.map((line) => line.split("|").map((cell) => cell.trim()));
  assert.match(first[1] ?? "", /^cold start/);
  const top = readme.slice(0, readme.indexOf("\n## "));
  for (const name of ["bunstrap", "fetch loop"]) {
    const median = /^[\d.]+/.exec(first[header.indexOf(name)] ?? "")?.[0];
    assert.ok(median && top.includes(` ${median} ms`), `${name}: ${median} ms`);
  }
});

test("every snippet serves the event that its text or its types name", () => {
  for (const [file, event, reply] of [
    ["raw.ts", "any bytes", "any bytes"],
    ["web.ts", "GET /?name=Ada", '"body":"{\\"message\\":\\"Hello, Ada!\\"}"'],
    ["countdown.ts", '{"from":2}', "2\n1\n"],
    ["main.ts", '{"name":"Ada"}', '{"message":"Hello, Ada!"}'],
    ["server.ts", "GET /path?query", '"body":"You asked for /path?query"'],
  ] as const) {
    const { status, stdout, stderr } = sh(`bun ${file} '${event}'`);
    assert.equal(status, 0, stderr);
    assert.ok(stdout.includes(reply), `${file}: ${stdout}`);
  }
  const [, post = ""] = /`(\{"rawPath".*\})`/.exec(readme) ?? [];
  assert.match(sh(`bun web.ts '${post}'`).stdout, /^\{"statusCode":200,/);
  const [, several = ""] = /`(run\(\{ create.*?\}\))`/.exec(readme) ?? [];
  const handlers =
    'import { json, run } from "./runtime.ts"; const create = () => "created"; const list = () => [1, 2, 3];';
  writeFileSync(join(directory, "several.ts"), `${handlers}\n${several};`);
  assert.equal(sh("_HANDLER=list bun several.ts '{}'").stdout, "[1,2,3]");
});

test("the tests pass as the README shows them, and one that expects something else fails", () => {
  const { status, stderr } = sh("bun test handler.test.ts");
  assert.match(stderr, /\b3 pass\n\s*0 fail\n/);
  assert.equal(status, 0);
  assert.equal(sh("sed 's/Hello, Ada/Goodbye/' handler.test.ts >wrong.test.ts && bun test wrong.test.ts").status, 1);
});

test("the application is served as the README says, by bun --hot", async () => {
  await using server = Bun.spawn(["bun", "--hot", "app.ts"], {
    cwd: directory,
    env: { PATH: path(), BUN_PORT: "0" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let said = "";
  for await (const bytes of server.stdout) {
    said += new TextDecoder().decode(bytes);
    const [, port] = /http:\/\/\S+:(\d+)/.exec(said) ?? [];
    if (port === undefined) continue;
    const response = await fetch(`http://127.0.0.1:${port}/?name=Ada`);
    assert.deepEqual(await response.json(), { message: "Hello, Ada!" });
    server.kill();
  }
});

test("the secret is asked for as the extension wants it, and what it answers otherwise is an error", async () => {
  await using extension = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch({ url, headers }) {
      const { pathname, searchParams } = new URL(url);
      assert.equal(pathname, "/secretsmanager/get");
      assert.equal(searchParams.get("secretId"), "database");
      if (headers.get("X-Aws-Parameters-Secrets-Token") !== "token") return new Response("no token", { status: 401 });
      return Response.json({ Name: "database", SecretString: "12345678" });
    },
  });
  async function ask(token: string): Promise<string[]> {
    const env = {
      PATH: path(),
      AWS_SESSION_TOKEN: token,
      PARAMETERS_SECRETS_EXTENSION_HTTP_PORT: String(extension.port),
    };
    const { stdout, stderr } = Bun.spawn(["bun", "secret.ts", "{}"], {
      cwd: directory,
      env,
      stdout: "pipe",
      stderr: "pipe",
    });
    return Promise.all([stdout.text(), stderr.text()]);
  }
  assert.deepEqual(await ask("token"), ['"The password has 8 characters."', ""]);
  const [reply, error = ""] = await ask("another");
  assert.equal(reply, "");
  assert.match(error, /the secret was answered 401 no token/);
});

test("the options of bun that the README names are ones that it has", () => {
  for (const [, options = ""] of readme.matchAll(/`bun (--(?:inspect-wait|watch|hot)) /g))
    assert.match(sh("bun --help").stdout, new RegExp(`${options}\\b`));
});

const skip = Bun.which("cc") ? false : "cc (of gcc, with libc6-dev) is not installed";

test("the C library is built, packed and called as the README says", { skip }, () => {
  copyFileSync(join(root, "test/native/bytes.c"), join(directory, "upper.c"));
  const build = blocks("sh").find((block) => block.includes("--include")) ?? "";
  const { status, stdout, stderr } = sh(`set -e\n${build.replace("x86_64", architecture)}`);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^dist\/bootstrap-\w+\.zip /);
  const listed = sh(`python3 -m zipfile -l dist/bootstrap-${architecture}.zip`).stdout;
  assert.deepEqual(
    [...listed.matchAll(/^(\S+) +\d{4}-/gm)].map(([, name]) => name),
    ["bootstrap", "libupper.so"],
  );
  assert.equal(sh(`dist/${architecture}/bootstrap Ada`).stdout, "ADA");
});

test("the two commands are there, and .ci/run calls the second", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const [, name = ""] of (blocks("sh")[0] ?? "").matchAll(/^npm (?:run )?(\w+)/gm)) assert.ok(scripts[name], name);
  assert.match(readFileSync(join(root, ".ci/run"), "utf8"), /^npm test$/m);
});
