/** What the README says of deployment: each template is parsed, and the names in it are compared with what build.sh writes. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { before, test } from "node:test";
import { blocks, commands, createProject } from "./readme.ts";

const { directory, sh, calls } = createProject();

/** The architectures that were built, by the path of the executable: told by the executable itself. */
const executables = new Map<string, string>();
/** The architectures that were built, by the path of the zip. */
const zips = new Map<string, string>();

const architectureOfMachine: Record<number, string> = { 62: "x86_64", 183: "arm64" };

before(() => {
  const { status, stderr } = sh("./build.sh handler.ts");
  assert.equal(status, 0, stderr);
  for (const name of readdirSync(join(directory, "dist"))) {
    if (name.endsWith(".zip")) continue;
    const architecture =
      architectureOfMachine[readFileSync(join(directory, "dist", name, "bootstrap")).readUInt16LE(18)] ?? "";
    executables.set(`dist/${name}/bootstrap`, architecture);
    const zip = `dist/bootstrap-${name}.zip`;
    assert.ok(existsSync(join(directory, zip)), zip);
    zips.set(zip, architecture);
  }
  assert.deepEqual([...zips.values()].sort(), ["arm64", "x86_64"]);
  for (const { command } of commands()) if (/\b(?:aws|sam|docker|curl) /.test(command)) sh(command);
});

interface ZipFunction {
  name: unknown;
  runtime: unknown;
  handler: unknown;
  architectures: unknown;
  zip: unknown;
  environment: unknown;
}

/** Every template deploys the same function. */
function assertDeploys({ name, runtime, handler, architectures, zip, environment }: ZipFunction): void {
  assert.deepEqual(environment, { MIMALLOC_SCAVENGER: "0" });
  assert.equal(name, "hello");
  assert.equal(runtime, "provided.al2023");
  assert.equal(handler, "bootstrap");
  const architecture = zips.get(String(zip));
  assert.ok(architecture, `there is no ${zip}`);
  assert.deepEqual(architectures, [architecture]);
}

/** The only block in a language, or the only one of several that has this text in it. */
function blockOf(language: string, text = ""): string {
  const [block, ...more] = blocks(language).filter((candidate) => candidate.includes(text));
  assert.ok(block !== undefined && more.length === 0, `one block in ${language}`);
  return block;
}

const callsOf = (command: string) => calls().filter((call) => call.startsWith(command));

/** The values of options, by their names without the dashes. */
function optionsOf(call: string): Record<string, string | undefined> {
  return Object.fromEntries(
    [...call.matchAll(/ --?([\w-]+)(?:[ =]([^-\s]\S*))?/g)].map(([, name = "", value]) => [name, value]),
  );
}

/** What is wanted of a call that gives Lambda a zip. */
function assertGivesZip(options: Record<string, string | undefined>): void {
  assert.equal(options["function-name"], "hello");
  const [, zip = ""] = /^fileb:\/\/(.*)$/.exec(options["zip-file"] ?? "") ?? [];
  assert.ok(zips.has(zip), `--zip-file ${options["zip-file"]}`);
  assert.equal(options.architectures, zips.get(zip));
}

test("AWS CLI: the function is created from, and updated with, a zip that the build writes, for its architecture", () => {
  const [create = "", ...images] = callsOf("aws lambda create-function");
  const [update = "", throughBucket = "", ...more] = callsOf("aws lambda update-function-code");
  assert.deepEqual([images.length, more.length], [1, 0]);
  const { runtime, handler, role, environment, ...options } = optionsOf(create);
  assert.equal(environment, "Variables={MIMALLOC_SCAVENGER=0}");
  assertGivesZip(options);
  assertGivesZip(optionsOf(update));
  assert.equal(runtime, "provided.al2023");
  assert.equal(handler, "bootstrap");
  assert.match(role ?? "", /^arn:aws:iam::\d{12}:role\//);

  const [, zip = "", bucket = ""] = /^aws s3 cp (\S+) s3:\/\/(\S+)\/$/.exec(callsOf("aws s3")[0] ?? "") ?? [];
  const { "s3-bucket": from, "s3-key": key, ...others } = optionsOf(throughBucket);
  assertGivesZip({ ...others, "zip-file": `fileb://${zip}` });
  assert.deepEqual([from, key], [bucket, basename(zip)]);
});

interface SamTemplate {
  Transform: string;
  Resources: Record<string, { Type: string; Properties: Record<string, unknown> }>;
}

test("SAM: the template is YAML, and names what the build writes; the local invocation names the template's function", () => {
  const { Transform, Resources } = Bun.YAML.parse(blockOf("yaml", "Transform:")) as SamTemplate;
  assert.equal(Transform, "AWS::Serverless-2016-10-31");
  const [[id, resource] = ["", undefined], ...more] = Object.entries(Resources);
  assert.deepEqual(more, []);
  assert.equal(resource?.Type, "AWS::Serverless::Function");
  const { FunctionName, Runtime, Handler, Architectures, CodeUri, MemorySize, Timeout, Environment, ...unknown } =
    resource.Properties;
  const { Variables: environment } = Environment as { Variables: unknown };
  assertDeploys({
    name: FunctionName,
    runtime: Runtime,
    handler: Handler,
    architectures: Architectures,
    zip: CodeUri,
    environment,
  });
  assert.deepEqual([typeof MemorySize, typeof Timeout, unknown], ["number", "number", {}]);
  assert.deepEqual(callsOf("sam"), ["sam deploy --guided", `sam local invoke ${id} --event -`]);
});

test("CDK: the program runs, with a stand-in for the library, and makes a function of what the build writes", () => {
  const library = join(directory, "cdk/node_modules/aws-cdk-lib");
  mkdirSync(library, { recursive: true });
  writeFileSync(
    join(library, "package.json"),
    '{"type": "module", "exports": {".": "./index.js", "./aws-lambda": "./aws-lambda.js"}}',
  );
  writeFileSync(
    join(library, "index.js"),
    "export class App {}\nexport class Stack { constructor(app) { if (!(app instanceof App)) throw new TypeError() } }\nexport const Duration = { seconds: (count) => count };\n",
  );
  writeFileSync(
    join(library, "aws-lambda.js"),
    `import { Stack } from "./index.js";
export const Runtime = { PROVIDED_AL2023: "provided.al2023" };
export const Architecture = { ARM_64: "arm64", X86_64: "x86_64" };
export const Code = { fromAsset: (path) => path };
export class Function {
  constructor(stack, id, properties) {
    if (!(stack instanceof Stack)) throw new TypeError();
    console.log(JSON.stringify(properties));
  }
}
`,
  );
  writeFileSync(join(directory, "cdk/app.ts"), blockOf("typescript", "new Function"));
  const { status, stdout, stderr } = sh("bun cdk/app.ts");
  assert.equal(status, 0, stderr);
  const { functionName, runtime, handler, architecture, code, memorySize, timeout, environment, ...unknown } =
    JSON.parse(stdout);
  assertDeploys({ name: functionName, runtime, handler, architectures: [architecture], zip: code, environment });
  assert.deepEqual([typeof memorySize, typeof timeout, unknown], ["number", "number", {}]);
});

test("sam build and CDK's bundling: the recipes put the executable where they are asked to", () => {
  writeFileSync(join(directory, "Makefile"), blockOf("make"));
  const standIns = `import { execSync } from "node:child_process";
const DockerImage = { fromRegistry() {} };
const Code = { fromAsset: (_path: string, { bundling }: any) => bundling.local.tryBundle("bundled") };
`;
  writeFileSync(join(directory, "bundling.ts"), `${standIns}${blockOf("typescript", "tryBundle")}`);
  for (const [output, command] of [
    ["made", "make build-Hello ARTIFACTS_DIR=made"],
    ["bundled", "bun bundling.ts"],
  ] as const) {
    mkdirSync(join(directory, output));
    const { status, stderr } = sh(command);
    assert.equal(status, 0, stderr);
    const machine = readFileSync(join(directory, output, "bootstrap")).readUInt16LE(18);
    assert.equal(architectureOfMachine[machine], "arm64");
  }
});

/** Reads one flat block of HCL: strings, lists of strings, numbers, and calls of functions, which stay as they are. */
function parseHcl(text: string): { header: string; values: Record<string, unknown> } {
  const [header = "", ...lines] = text.trimEnd().split("\n");
  assert.equal(lines.pop(), "}");
  const entries = lines.map((line) => {
    const [, name = "", string, json, call] =
      /^ {2}(\w+) += (?:"([^"\\$]*)"|(\[(?:"[^"\\$]*"(?:, )?)*\]|\d+)|(\w+\("[^"\\$]*"\)))$/.exec(line) ?? [];
    assert.ok(name, `line of HCL: ${line}`);
    return [name, string ?? call ?? JSON.parse(json ?? "")] as const;
  });
  return { header, values: Object.fromEntries(entries) };
}

test("Terraform: the resource names what the build writes, and is updated when its bytes change", () => {
  const [block = "", name = "", value] =
    /\n {2}environment \{\n {4}variables = \{ (\w+) = "(.*?)" \}\n {2}\}\n/.exec(blockOf("hcl")) ?? [];
  const { header, values } = parseHcl(blockOf("hcl").replace(block, ""));
  assert.equal(header, 'resource "aws_lambda_function" "hello" {');
  const {
    function_name,
    runtime,
    handler,
    architectures,
    filename,
    source_code_hash,
    memory_size,
    timeout,
    role,
    ...unknown
  } = values;
  assertDeploys({
    name: function_name,
    runtime,
    handler,
    architectures,
    zip: filename,
    environment: { [name]: value },
  });
  assert.equal(source_code_hash, `filebase64sha256("${filename}")`);
  assert.match(String(role), /^arn:aws:iam::\d{12}:role\//);
  assert.deepEqual([typeof memory_size, typeof timeout, unknown], ["number", "number", {}]);
});

test("container image: the executable that the build writes goes where the base image looks for it, on its platform", () => {
  const instructions = blockOf("dockerfile")
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" "));
  const [[from, base], [copy, source = "", target], env, [cmd, handler]] = instructions as [
    string[],
    string[],
    string[],
    string[],
  ];
  assert.equal(instructions.length, 4);
  assert.deepEqual([from, copy, env, cmd], ["FROM", "COPY", ["ENV", "MIMALLOC_SCAVENGER=0"], "CMD"]);
  assert.equal(base, "public.ecr.aws/lambda/provided:al2023");
  assert.equal(target, "/var/runtime/bootstrap");
  assert.deepEqual(JSON.parse(handler ?? ""), ["bootstrap"]);

  const [build = "", run = "", ...more] = callsOf("docker");
  assert.deepEqual(more, []);
  const { platform, t: image } = optionsOf(build);
  assert.ok(build.startsWith("docker buildx build ") && build.endsWith(" ."), build);
  assert.equal(platform, `linux/${executables.get(source)}`);
  const create = optionsOf(callsOf("aws lambda create-function")[1] ?? "");
  assert.equal(create["package-type"], "Image");
  assert.equal(create.code, `ImageUri=${image}`);
  assert.equal(create.architectures, executables.get(source));

  const [, port] = / -p (\d+):8080 /.exec(run) ?? [];
  assert.ok(port && run.endsWith(` ${image}`), run);
  const [invocation = ""] = callsOf("curl");
  assert.ok(invocation.endsWith(` http://localhost:${port}/2015-03-31/functions/function/invocations`), invocation);
});

interface Workflow {
  on: { push: { branches: string[] } };
  permissions: Record<string, string>;
  jobs: Record<string, { "runs-on": string; steps: { uses?: string; run?: string; with?: Record<string, string> }[] }>;
}

test("GitHub Actions: the steps of the workflow build the zip, and give it to Lambda with credentials of a role", () => {
  const { on, permissions, jobs } = Bun.YAML.parse(blockOf("yaml", "jobs:")) as Workflow;
  assert.deepEqual(on, { push: { branches: ["main"] } });
  assert.deepEqual(permissions, { "id-token": "write", contents: "read" });
  const [job, ...more] = Object.values(jobs);
  assert.ok(job && more.length === 0);
  assert.equal(job["runs-on"], "ubuntu-latest");

  const project = createProject(); // as it was checked out
  const done: string[] = [];
  for (const { uses, run, with: inputs } of job.steps) {
    if (uses === undefined) {
      const { status, stderr } = project.sh(run ?? "");
      assert.equal(status, 0, `${run}\n${stderr}`);
    } else {
      assert.match(uses, /^(?:actions\/checkout|aws-actions\/configure-aws-credentials)@v\d+$/);
    }
    if (uses?.startsWith("aws-actions/")) {
      assert.match(inputs?.["role-to-assume"] ?? "", /^arn:aws:iam::\d{12}:role\//);
      assert.match(inputs?.["aws-region"] ?? "", /^[a-z]+-[a-z]+-\d$/);
    }
    done.push(uses?.replace(/@.*/, "") ?? run?.replace(/ .*/, "") ?? "");
  }
  assert.deepEqual(done, ["actions/checkout", "./build.sh", "aws-actions/configure-aws-credentials", "aws"]);
  assert.ok(job.steps[1]?.run?.startsWith(`${commands()[0]?.command} `), "the handler is that of the first command");
  const [update = "", ...others] = project.calls();
  assert.deepEqual(others, []);
  assert.ok(update.startsWith("aws lambda update-function-code "));
  assertGivesZip(optionsOf(update));
  const [, zip = ""] = /fileb:\/\/(\S+)/.exec(update) ?? [];
  assert.ok(existsSync(join(project.directory, zip)), `${zip}: not what the workflow builds`);
});
