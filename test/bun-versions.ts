/**
 * Tells whether the version of Bun that build.sh is pinned to is still the best one for this job: builds the example with
 * each version, and compares start (in turn), memory, and size. Versions come from npm; nothing of them stays.
 *
 *     bun test/bun-versions.ts [VERSION …]     every released version from 1.4.0 on unless given; takes some minutes
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { measureMemory, measureStarts, type Subjects } from "./bench/measure.ts";
import { pinToOneCpu } from "./bench/process.ts";
import { machine, markdownTable, pick, progress, ratios, spread } from "./bench/report.ts";
import packageJson from "../package.json" with { type: "json" };
import { architecture, root, workspace } from "./sandbox.ts";

const oldest = "1.4.0";
const runs = 40;

const pinned = packageJson.devDependencies.bun;
const wanted = process.argv.length > 2 ? process.argv.slice(2) : releasedVersions();
const malformed = wanted.find((version) => !/^\d+\.\d+\.\d+$/.test(version));
if (malformed !== undefined) {
  console.error(`bun-versions: ${JSON.stringify(malformed)} is no version of Bun, such as ${pinned}`);
  process.exit(2);
}
const versions = [...new Set([...wanted, pinned])].sort(Bun.semver.order); // the pinned one is what all are held against

const project = join(workspace, "project"); // a copy, so that what build.sh installs does not stay
mkdirSync(project);
for (const file of ["runtime.ts", "build.sh", "handler.example.ts"])
  copyFileSync(join(root, file), join(project, file));

const subjects: Subjects = {};
for (const version of versions) {
  progress(`building with Bun ${version}`);
  const failure = build(version);
  if (failure === undefined) subjects[version] = { command: [join(project, version, architecture, "bootstrap")] };
  else console.error(failure);
}

const cpu = pinToOneCpu();
progress("start");
const starts = pick(await measureStarts(subjects, runs, undefined, []), ({ firstRequest }) => firstRequest);
progress("memory");
const memory = await measureMemory(subjects, 5);

const head = [
  "Bun",
  "exec to first `GET /next`, ms",
  `÷ ${pinned}`,
  "resident after start, MB",
  "of that anonymous, MB",
  "executable, MB",
  "zip, MB",
];
const megabytes = (file: string) => (statSync(join(project, file)).size / 1e6).toFixed(1);
const rows = versions.map((version) => {
  if (!subjects[version]) return [version, "does not build", "", "", "", "", ""];
  return [
    version === pinned ? `**${version}**` : version,
    spread(starts[version], 2),
    spread(ratios(starts[version], starts[pinned]), 2),
    spread(pick(memory, ({ resident }) => resident)[version], 1),
    spread(pick(memory, ({ anonymous }) => anonymous)[version], 1),
    megabytes(join(version, architecture, "bootstrap")),
    megabytes(join(version, `bootstrap-${architecture}.zip`)),
  ];
});
console.log(`${machine(cpu)} ${runs} runs in turn: medians (and quartiles).\n\n${markdownTable(head, rows)}`);

function releasedVersions(): string[] {
  const { status, stdout, stderr } = spawnSync("npm", ["view", "bun", "versions", "--json"], { encoding: "utf8" });
  if (status !== 0) throw new Error(`npm does not tell the versions of Bun: ${stderr}`);
  const all = JSON.parse(stdout) as string[];
  return all.filter((version) => !version.includes("-") && Bun.semver.order(version, oldest) >= 0);
}

/** Builds the example with a version of Bun, into a directory named after it. Returns why that failed, if it did. */
function build(version: string): string | undefined {
  const args = ["--arch", architecture, "--out", join(project, version)];
  const { status, stderr } = spawnSync(join(project, "build.sh"), args, {
    encoding: "utf8",
    env: { ...process.env, BUN_VERSION: version },
  });
  return status === 0 ? undefined : stderr;
}
