/** The README: every snippet in it is run or type-checked, in a project that has only copied runtime.ts and build.sh. */
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
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
  const links = [...readme.matchAll(/\]\(#(.+?)\)/g)].map(([, anchor = ""]) => anchor);
  const titles = [...readme.matchAll(/^## (?!License)(.+)$/gm)].map(([, title = ""]) => title);
  const sections = titles.map((title) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  );
  assert.deepEqual(links.slice(0, sections.length), sections);
  const anchors = [...readme.matchAll(/<a id="(.+?)">/g)].map(([, anchor = ""]) => anchor);
  for (const link of links) assert.ok([...sections, ...anchors].includes(link), link);
});

const batch = JSON.stringify({
  Records: [1, -1, 2].map((id, index) => ({ messageId: "abc"[index], body: JSON.stringify({ id }) })),
});

test("every snippet serves the event that its text or its types name", () => {
  for (const [file, event, reply] of [
    ["snippet-1.ts", "any bytes", "any bytes"],
    ["snippet-3.ts", "GET /?name=Ada", '"body":"{\\"message\\":\\"Hello, Ada!\\"}"'],
    ["snippet-4.ts", '{"from":2}', "2\n1\n"],
    ["main.ts", '{"name":"Ada"}', '{"message":"Hello, Ada!"}'],
    ["server.ts", "GET /path?query", '"body":"You asked for /path?query"'],
    ["batch.ts", batch, '{"batchItemFailures":[{"itemIdentifier":"b"}]}'],
  ] as const) {
    const { status, stdout, stderr } = sh(`bun ${file} '${event}'`);
    assert.equal(status, 0, stderr);
    assert.ok(stdout.includes(reply), `${file}: ${stdout}`);
  }
  const [, post = ""] = /`(\{"rawPath".*\})`/.exec(readme) ?? [];
  assert.match(sh(`bun snippet-3.ts '${post}'`).stdout, /^\{"statusCode":200,/);
  const several = sh("_HANDLER=list bun snippet-5.ts '{}'");
  assert.equal(several.stdout, "[1,2,3]");
});

test("the tests pass as the README shows them, and one that expects something else fails", () => {
  const { status, stderr } = sh("bun test greet.test.ts");
  assert.match(stderr, /\b3 pass\n\s*0 fail\n/);
  assert.equal(status, 0);
  assert.equal(sh("sed 's/Hello, Ada/Goodbye/' greet.test.ts >wrong.test.ts && bun test wrong.test.ts").status, 1);
});

test("the application is served as the README says, by bun --hot and as a function", async () => {
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
  assert.match(sh("bun web.ts 'GET /?name=Ada'").stdout, /Hello, Ada!/);
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
  assert.match(error, /the secret database was answered 401 no token/);
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

test("the WebAssembly module is called as the README says", () => {
  copyFileSync(join(root, "test/native/upper_case.wasm"), join(directory, "upper_case.wasm"));
  const { stdout, stderr } = sh("bun wasm.ts Ada");
  assert.equal(stdout, "ADA", stderr);
});

test("the two commands are there, and .ci/run calls the second", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const [, name = ""] of (blocks("sh")[0] ?? "").matchAll(/^npm (?:run )?(\w+)/gm)) assert.ok(scripts[name], name);
  assert.match(readFileSync(join(root, ".ci/run"), "utf8"), /^npm test$/m);
});
