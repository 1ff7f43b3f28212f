/** The official client for Node.js, installed from npm, beside the project and not into it. */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { root, workspace } from "../sandbox.ts";
import type { Subject } from "./process.ts";
import { progress } from "./report.ts";

/** Node.js itself, with the headers that the client is compiled with. */
const nodePackage = `node-linux-${process.arch}`;
const dependencies = { [nodePackage]: "24", "aws-lambda-ric": "4" };

const cache = join(root, "node_modules/.cache");
const home = join(cache, "node-client");
const handlers = "node-handlers";

/** The tools that the client's native part is compiled with, by package: the commands that do. */
const compilers: Record<string, string[]> = {
  autoconf: ["autoconf"],
  automake: ["automake"],
  libtool: ["libtool", "libtoolize"],
  cmake: ["cmake", "cmake3"],
  make: ["make"],
  "g++": ["g++"],
  python3: ["python3"],
  "xz-utils": ["xz"],
};

/** The client, as it is installed. */
export class NodeClient {
  private readonly node = join(home, "node_modules", nodePackage, "bin/node");
  private readonly client = join(home, "node_modules/aws-lambda-ric");
  readonly versions = `Node.js ${versionOf(nodePackage)} with aws-lambda-ric ${versionOf("aws-lambda-ric")}`;

  private constructor() {}

  /**
   * Installs what is not there yet, which takes some minutes.
   *
   * @throws Error with what is missing, or with what npm says
   */
  static installed(): NodeClient {
    if (!existsSync(home)) install();
    return new NodeClient();
  }

  /** One of the handlers in node-handlers.mjs. */
  subject(handler: string): Subject {
    const environment = { _HANDLER: `${handlers}.${handler}`, LAMBDA_TASK_ROOT: import.meta.dir };
    return { command: [this.node, join(this.client, "index.mjs")], environment };
  }

  /** In bytes: Node.js, the client and the handlers, what `provided.al2023` would need, as they are and as a zip. */
  size(): { unpacked: number; zip: number } {
    const directory = mkdtempSync(join(workspace, "node-client-"));
    const client = ["index.mjs", "rapid-client.node"].map((file) => join(this.client, file));
    const files = [this.node, ...client, join(import.meta.dir, `${handlers}.mjs`)];
    const copies = files.map((file) => join(directory, file.split("/").at(-1)!));
    files.forEach((file, at) => copyFileSync(file, copies[at]!));
    const zip = join(directory, "client.zip");
    const { status, stderr } = spawnSync("zip", ["-q", "-9", "-X", "-j", zip, ...copies], { encoding: "utf8" });
    if (status !== 0) throw new Error(`zip failed: ${stderr}`);
    return { unpacked: copies.reduce((sum, file) => sum + statSync(file).size, 0), zip: statSync(zip).size };
  }
}

function install(): void {
  const missing = Object.keys(compilers).filter((name) => !compilers[name]!.some((command) => Bun.which(command)));
  if (missing.length > 0) {
    throw new Error(
      `the official Node.js client has to be compiled, and for that these are missing: ${missing.join(" ")}`,
    );
  }
  if (/\s/.test(cache))
    throw new Error(
      `the official Node.js client cannot be compiled under a path with white space, as libtool has it: ${cache}`,
    );
  progress(
    `installing ${Object.keys(dependencies).join(" and ")} into node_modules/.cache, which compiles for some minutes`,
  );
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "node-client-"));
  try {
    writeFileSync(
      join(work, "package.json"),
      JSON.stringify({ private: true, dependencies, allowScripts: { "aws-lambda-ric": true } }),
    );
    const headers = join(work, "node_modules", nodePackage); // which would otherwise come from nodejs.org
    const env = { ...process.env, npm_config_nodedir: headers };
    const args = ["install", "--prefix", work, "--no-package-lock", "--no-audit", "--no-fund"];
    const { status, error, stdout, stderr } = spawnSync("npm", args, {
      cwd: work,
      env,
      encoding: "utf8",
      maxBuffer: Infinity,
    });
    const output = error?.message ?? (stdout + stderr).slice(-4_000);
    if (status !== 0) throw new Error(`npm could not install the official Node.js client: ${output}`);
    renameSync(work, home);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function versionOf(name: string): string {
  return (JSON.parse(readFileSync(join(home, "node_modules", name, "package.json"), "utf8")) as { version: string })
    .version;
}
