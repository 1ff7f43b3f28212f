/** build.sh --locales: what is kept says what it always said, what is dropped neither fails nor crashes, and the table holds. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { architecture, buildWithoutZip, isLong, root, workspace } from "./sandbox.ts";

const handler = join(root, "test/handlers/intl.ts");

/** Builds test/handlers/intl.ts: the folder with what was built. */
function build(...options: string[]): string {
  const out = mkdtempSync(join(workspace, "locales-"));
  const { status, stderr } = buildWithoutZip(["--out", out, ...options, handler]);
  assert.equal(status, 0, stderr);
  return out;
}

interface Answer {
  supported: string[];
  unlocalized: unknown[];
  said: Record<string, Record<string, unknown>>;
}

/** What an executable of this machine's architecture says in these locales. */
function ask(out: string, locales: string[], env: Record<string, string> = {}): Answer {
  const { status, signal, stdout, stderr } = spawnSync(join(out, architecture, "bootstrap"), [], {
    input: JSON.stringify({ locales }),
    encoding: "utf8",
    env,
    maxBuffer: 2 ** 30,
  });
  assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: "" });
  return JSON.parse(stdout);
}

/** Where the items of the ICU data in an executable begin and end, by their names; the last one's end is not known. */
function items(bytes: Buffer): Map<string, [start: number, end: number]> {
  const header = bytes.indexOf(Buffer.from("\xda\x27\x14\0\0\0\0\0\x02\0CmnD", "latin1")) - 2;
  const table = header + bytes.readUInt16LE(header);
  const lines = Array.from({ length: bytes.readUInt32LE(table) }, (_, index) => {
    const [name = 0, start = 0] = [0, 4].map((offset) => table + bytes.readUInt32LE(table + 4 + 8 * index + offset));
    return { name: bytes.toString("latin1", name, bytes.indexOf(0, name)), start };
  });
  return new Map(lines.map(({ name, start }, index) => [name, [start, lines[index + 1]?.start ?? start]]));
}

const localeOfItem = (name: string) =>
  /^icudt\d+l\/(?:[a-z]+\/)?([a-z]{2,3}(?:_[A-Z][a-z]{3})?(?:_(?:[A-Z]{2}|\d{3}))?)\.res$/
    .exec(name)?.[1]
    ?.replaceAll("_", "-");

let full: string;
/** Every locale that the data has something of. */
let locales: string[];

before(() => {
  full = build();
  const names = [...items(readFileSync(join(full, architecture, "bootstrap"))).keys()];
  locales = [...new Set(names.map(localeOfItem).filter((locale) => locale !== undefined))].sort();
  assert.ok(locales.length > 900, `${locales.length} locales`);
});

const localesOf = (...languages: string[]) =>
  locales.filter((locale) => languages.includes(locale.split("-")[0] ?? ""));

for (const [list, kept, sample] of [
  ["en", ["en"], "en-IN"],
  ["en,de,ja", ["de", "ja"], "de-AT"],
  ["zh", ["zh"], "zh-Hant-HK"], // whose dictionary is that of Japanese
  ["nb,yue,ars", ["nb", "no", "yue", "ars"], "nb-NO"], // whose data is that of other languages
  ["iw,th,sr,hi", ["he", "th", "sr", "hi"], "sr-Latn-BA"], // another name, a dictionary, scripts, a parent in English
] as const) {
  test(`with --locales ${list} all that is kept says what it says without, byte for byte`, () => {
    const some = localesOf(...kept);
    assert.ok(some.includes(sample));
    const expected = ask(full, some);
    const { supported, unlocalized, said } = ask(build("--arch", architecture, "--locales", list), some);
    for (const locale of some)
      assert.equal(JSON.stringify(said[locale]), JSON.stringify(expected.said[locale]), locale);
    assert.deepEqual({ supported, unlocalized }, { supported: expected.supported, unlocalized: expected.unlocalized });
  });
}

test("a dropped locale falls back, whatever the locale of the process is, and nothing throws that did not throw before", () => {
  const out = build("--arch", architecture, "--locales", "en");
  for (const [LANG, some] of [
    ["C", isLong ? locales : locales.filter((locale, index) => locale === "de" || index % 10 === 0)],
    ["de_DE.UTF-8", localesOf("ar", "de", "ja", "zh")],
  ] as const) {
    const { supported, said } = ask(out, some, { LANG });
    const failed = some.filter((locale) => JSON.stringify(said[locale]).includes('"failed:'));
    const expected = ask(full, ["de", ...failed], { LANG });
    for (const locale of failed) assert.deepEqual(said[locale], expected.said[locale], locale);
    assert.deepEqual(supported, Intl.NumberFormat.supportedLocalesOf(some), "as the Bun that runs this test has it");
    for (const name of ["NumberFormat", "DateTimeFormat", "DisplayNames"])
      assert.notDeepEqual(said.de?.[name], expected.said.de?.[name], name);
  }
});

for (const arch of ["x86_64", "arm64"]) {
  test(`the ${arch} executable has the items of no locale and of what --locales names, as they were, and zeros for the others`, () => {
    const [before, after] = [full, build("--arch", arch, "--locales", "de,th")].map((out) =>
      readFileSync(join(out, arch, "bootstrap")),
    );
    assert.ok(before && after);
    const stays = (name: string) => {
      const [, language] = /^icudt\d+l\/(?:[a-z]+\/)?([a-z]{2,3})(?:_(?!index)\w*)?\.res$/.exec(name) ?? [];
      return language
        ? ["en", "de", "th"].includes(language)
        : !name.endsWith(".dict") || name.endsWith("/thaidict.dict");
    };
    const originals = items(before);
    const left = [...items(after).keys()];
    assert.deepEqual(left, [...originals.keys()].filter(stays));
    for (const name of [
      "root.res",
      "en_GB.res",
      "de_AT.res",
      "coll/de__PHONEBOOK.res",
      "zone/tzdbNames.res",
      "brkitr/res_index.res",
    ]) {
      assert.ok(
        left.some((item) => item.endsWith(`/${name}`)),
        name,
      );
    }
    for (const [name, [start, end]] of originals) {
      assert.ok(
        after.subarray(start, end).equals(stays(name) ? before.subarray(start, end) : Buffer.alloc(end - start)),
        name,
      );
    }
    const firstItem = Math.min(...[...originals.values()].map(([start]) => start));
    const lastItem = Math.max(...[...originals.values()].map(([start]) => start));
    assert.equal(after.length, before.length);
    assert.ok(after.subarray(lastItem).equals(before.subarray(lastItem)));
    const table = before.lastIndexOf("CmnD", firstItem);
    assert.ok(after.subarray(0, table).equals(before.subarray(0, table)));
  });
}

test("with --locales en a zip has less than 30 MB, and the same bytes wherever it is made", () => {
  const zips = ["first", "second"].map((name) => {
    const out = join(mkdtempSync(join(workspace, "locales-")), name);
    const args = ["--out", out, "--locales", "en", join(root, "handler.example.ts")];
    const { status, stderr } = spawnSync(join(root, "build.sh"), args, { encoding: "utf8", cwd: workspace });
    assert.equal(status, 0, stderr);
    return ["x86_64", "arm64"].map((arch) => readFileSync(join(out, `bootstrap-${arch}.zip`)));
  });
  for (const index of [0, 1]) {
    const [first, second] = zips.map((pair) => pair[index]);
    assert.ok(first && second?.equals(first));
    assert.ok(first.length < 30e6, `${first.length} bytes`);
  }
});

for (const [kind, list, expectedStatus, complaint] of [
  ["empty", "", 2, /^build\.sh: --locales needs a value \(/],
  [
    "with an empty member",
    "en,,de",
    2,
    /^build\.sh: --locales has "", which is not a language code: write en,de,ja \(/,
  ],
  ["with a space", "en, de", 2, /^build\.sh: --locales has " de", which is not a language code: /],
  ["with a locale as in POSIX", "de_AT", 2, /^build\.sh: --locales has "de_AT", which is not a language code: /],
  ["with a region", "en,de-AT", 2, /^build\.sh: --locales has de-AT: name the language alone, /],
  ["with a language that nobody speaks", "en,xx", 1, /^build\.sh: --locales has xx, for which Bun \S+ has no data\n$/],
] as const) {
  test(`a list ${kind} is refused with status ${expectedStatus}, and leaves no zip`, () => {
    const out = join(mkdtempSync(join(workspace, "locales-")), "out");
    const { status, stderr } = spawnSync(join(root, "build.sh"), ["--out", out, `--locales=${list}`, handler], {
      encoding: "utf8",
    });
    assert.match(stderr, complaint);
    assert.equal(status, expectedStatus);
    assert.deepEqual(existsSync(out) ? readdirSync(out) : [], []);
  });
}

const mark = Buffer.from("\0\x02\0CmnD", "latin1");

for (const [kind, tamper, complaint] of [
  ["without ICU data", (bytes: Buffer) => bytes.write("XmnD", bytes.indexOf(mark) + 3), /there is none$/],
  ["with big-endian data", (bytes: Buffer) => bytes.writeUInt8(1, bytes.indexOf(mark) - 1), /there is none$/],
  [
    "with two tables",
    (bytes: Buffer) => bytes.copy(bytes, bytes.indexOf(mark) + 100, bytes.indexOf(mark) - 9, bytes.indexOf(mark) + 7),
    /there is more than one$/,
  ],
  [
    "with items in another order",
    (bytes: Buffer) => bytes.fill("zz", bytes.indexOf("/af.res") + 1, bytes.indexOf("/af.res") + 3),
    /af_NA\.res comes after zz\.res$/,
  ],
  [
    "without a dictionary",
    (bytes: Buffer) => bytes.write("/cjdicu.dict", bytes.indexOf("/cjdict.dict")),
    /no brkitr\/cjdict\.dict$/,
  ],
] as const) {
  test(`a Bun ${kind} is refused, and leaves no zip`, () => {
    const out = mkdtempSync(join(workspace, "locales-"));
    const bun = join(out, "bun");
    const bytes = readFileSync(join(root, "node_modules/bun/bin/bun.exe"));
    tamper(bytes);
    writeFileSync(bun, bytes, { mode: 0o755 });
    const args = [
      "--arch",
      architecture,
      "--out",
      join(out, "dist"),
      "--locales",
      "en",
      handler,
      "--",
      `--compile-executable-path=${bun}`,
    ];
    const { status, stderr } = spawnSync(join(root, "build.sh"), args, { encoding: "utf8" });
    assert.match(stderr.trimEnd(), /^build\.sh: --locales does not know the ICU data of Bun \S+: [^\n]*$/);
    assert.match(stderr.trimEnd(), complaint);
    assert.equal(status, 1);
    assert.deepEqual(readdirSync(join(out, "dist")), []);
  });
}
