/** The prefetch that build.sh adds to an executable, read from the executable and from build.sh. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { architecture, buildWithoutZip, root, workspace } from "./sandbox.ts";

const folder = join(workspace, "prefetch");
const script = readFileSync(join(root, "build.sh"), "utf8");

const architectures = {
  x86_64: { machine: "x64", command: [], assembler: ["as"], objcopy: "objcopy" },
  arm64: {
    machine: "arm64",
    command: ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"],
    assembler: ["aarch64-linux-gnu-as"],
    objcopy: "aarch64-linux-gnu-objcopy",
  },
} as const;
type Architecture = keyof typeof architectures;

const pageSize = 4096;
const PT_LOAD = 1;
const PT_NOTE = 4;

function build(name: string, args: string[]): { status: number | null; stderr: string } {
  const result = buildWithoutZip(["--out", join(folder, name), ...args]);
  assert.equal(result.status, 0, result.stderr);
  return result;
}

before(
  () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "usual.ts"),
      `import { json, run } from ${JSON.stringify(join(root, "runtime.ts"))};
     run(json(async (event) => { console.log(await Promise.resolve("logged")); return event; }));`,
    );
    for (const handler of ["json-echo", "usual"]) {
      const file = handler === "usual" ? join(folder, "usual.ts") : join(root, "test/handlers/json-echo.ts");
      build(handler, [file]);
      build(`${handler}-without`, ["--no-prefetch", file]);
    }
  },
  { timeout: 300_000 },
);

const executable = (name: string, arch: Architecture) => join(folder, name, arch, "bootstrap");

interface Segment {
  at: number;
  type: number;
  flags: number;
  offset: number;
  address: number;
  fileSize: number;
  memorySize: number;
  alignment: number;
}

function segmentsOf(bytes: Buffer): Segment[] {
  const number = (at: number) => Number(bytes.readBigUInt64LE(at));
  return Array.from({ length: bytes.readUInt16LE(56) }, (_, index) => {
    const at = number(32) + 56 * index;
    const [offset, address, fileSize, memorySize, alignment] = [8, 16, 32, 40, 48].map((field) => number(at + field));
    const [type, flags] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    return { at, type, flags, offset, address, fileSize, memorySize, alignment } as Segment;
  });
}

/** The prefetch of an executable: its code up to the old entry point, that, and the ranges that it asks for. */
function prefetchOf(bytes: Buffer) {
  const entry = Number(bytes.readBigUInt64LE(24));
  const segment = segmentsOf(bytes).findLast(({ type }) => type === PT_LOAD)!;
  assert.equal(segment.address, entry, "the entry point is not the start of the last segment");
  const code = bytes.subarray(segment.offset, segment.offset + segment.fileSize);
  const ranges: { address: number; length: number }[] = [];
  for (let at = 72; code.readUInt32LE(at) !== 0; at += 8) {
    ranges.push({ address: code.readUInt32LE(at), length: code.readUInt32LE(at + 4) });
  }
  assert.equal(code.length, 72 + 8 * ranges.length + 8, "something follows the table");
  return { segment, code: code.subarray(0, 64), oldEntry: Number(code.readBigUInt64LE(64)), ranges };
}

function runs(arch: Architecture): boolean {
  const [emulator] = architectures[arch].command;
  return arch === architecture || (emulator !== undefined && Bun.which(emulator) !== null);
}

function invoke(file: string, arch: Architecture, argument = '{"order":1}') {
  const command = arch === architecture ? [file] : [...architectures[arch].command, file];
  const [program = "", ...args] = [...command, argument];
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return { status, stdout, stderr };
}

for (const arch of Object.keys(architectures) as Architecture[]) {
  const skip = runs(arch) ? false : `there is nothing to run executables for ${arch} with`;

  for (const handler of ["json-echo", "usual"]) {
    test(`${handler} answers alike with and without the prefetch on ${arch}`, { skip }, () => {
      const [with_, without] = [executable(handler, arch), executable(`${handler}-without`, arch)];
      assert.equal(invoke(with_, arch).stdout, '{"order":1}');
      for (const event of ['{"order":1}', "no JSON"])
        assert.deepEqual(invoke(with_, arch, event), invoke(without, arch, event));
    });

    test(`the prefetch of ${handler} changes no byte of Bun's on ${arch}, but the entry point and one header`, () => {
      const [bytes, without] = ["", "-without"].map((kind) => readFileSync(executable(handler + kind, arch))) as [
        Buffer,
        Buffer,
      ];
      const { segment, oldEntry } = prefetchOf(bytes);
      const { at } = segmentsOf(without).find(({ type }) => type === PT_NOTE)!;
      assert.equal(segment.at, at);
      assert.equal(oldEntry, Number(without.readBigUInt64LE(24)));
      const restored = Buffer.from(bytes.subarray(0, without.length));
      without.copy(restored, 24, 24, 32);
      without.copy(restored, at, at, at + 56);
      assert.ok(restored.equals(without), "other bytes differ");
    });

    test(`the prefetch of ${handler} asks for nothing outside of the program's segments on ${arch}`, () => {
      const { ranges } = prefetchOf(readFileSync(executable(handler, arch)));
      const loaded = segmentsOf(readFileSync(executable(`${handler}-without`, arch))).filter(
        ({ type }) => type === PT_LOAD,
      );
      const page = (address: number) => Math.floor(address / pageSize);
      assert.ok(ranges.length > 100);
      for (const { address, length } of ranges) {
        assert.equal(address % pageSize, 0);
        assert.ok(length <= 128 * 1024, `${length} bytes are more than the kernel reads at once`);
        const isIn = loaded.some(
          (each) =>
            page(address) >= page(each.address) &&
            page(address + length - 1) <= page(each.address + each.memorySize - 1),
        );
        assert.ok(isIn, `${address.toString(16)}, ${length} bytes`);
      }
    });
  }

  test(`the segment of the prefetch is aligned as the others are on ${arch}, may not be written, and overlaps none`, () => {
    const bytes = readFileSync(executable("json-echo", arch));
    const { segment } = prefetchOf(bytes);
    const others = segmentsOf(bytes).filter(({ type, at }) => type === PT_LOAD && at !== segment.at);
    for (const other of others) {
      assert.equal(segment.alignment, other.alignment);
      assert.ok(
        other.address + other.memorySize <= Math.floor(segment.address / segment.alignment) * segment.alignment,
      );
    }
    assert.equal(segment.flags, 5, "not readable and executable alone");
    assert.equal((segment.address - segment.offset) % segment.alignment, 0);
  });

  test(`a function that logs and waits asks for more than an echo on ${arch}`, () => {
    const [echo, usual] = ["json-echo", "usual"].map(
      (name) => prefetchOf(readFileSync(executable(name, arch))).ranges.length,
    );
    assert.ok(usual! > echo!, `${usual} ranges, and ${echo}`);
  });

  test(`a table of nonsense does no harm on ${arch}`, { skip }, () => {
    const bytes = readFileSync(executable("json-echo", arch));
    const { segment, ranges } = prefetchOf(bytes);
    const nonsense = [1, pageSize, 0x7fff_f000, 0xffff_f000, 0xffff_ffff, 0x1000_0001, segment.address + 3];
    for (const index of ranges.keys()) {
      const at = segment.offset + 72 + 8 * index;
      bytes.writeUInt32LE(nonsense[index % nonsense.length]!, at);
      bytes.writeUInt32LE(nonsense[(index * 3 + 1) % nonsense.length]!, at + 4);
    }
    const file = join(folder, `nonsense-${arch}`);
    writeFileSync(file, bytes);
    chmodSync(file, 0o755);
    assert.deepEqual(invoke(file, arch), { status: 0, stdout: '{"order":1}', stderr: "" });
  });

  test(`the code for ${arch} in build.sh is what its assembly says`, (context) => {
    const { assembler, objcopy } = architectures[arch];
    if (!Bun.which(assembler[0]) || !Bun.which(objcopy)) return context.skip(`${assembler[0]} is not installed`);
    const [, listing = ""] = new RegExp(`\\n  ${arch}: \`([^\`]*table:)`).exec(script) ?? [];
    const lines = [...listing.matchAll(/^ *((?:[\da-f]{2} )*) *(.*)$/gm)].map(([, bytes = "", text = ""]) => ({
      bytes,
      text,
    }));
    const stem = join(folder, `code-${arch}`);
    writeFileSync(`${stem}.s`, lines.map(({ text }) => `${text}\n`).join(""));
    for (const [program, ...args] of [
      [assembler[0], "-o", `${stem}.o`, `${stem}.s`],
      [objcopy, "-O", "binary", "-j", ".text", `${stem}.o`, `${stem}.bin`],
    ] as const) {
      const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
      assert.equal(status, 0, stderr);
    }
    const bytes = lines.map(({ bytes }) => bytes.replaceAll(" ", "")).join("");
    assert.equal(readFileSync(`${stem}.bin`, "hex"), bytes);
    assert.equal(prefetchOf(readFileSync(executable("json-echo", arch))).code.toString("hex"), bytes.slice(0, 128));
  });
}

test("a word that is no import, and another name of runtime.ts, make the prefetch ask for no more", () => {
  writeFileSync(join(folder, "lambda.ts"), readFileSync(join(root, "runtime.ts")));
  writeFileSync(
    join(folder, "words.ts"),
    `import { json, run } from "./lambda.ts";
     run(json((event) => (event === "https" || event === "tls" ? "http" : event)));`,
  );
  build("words", ["--arch", architecture, join(folder, "words.ts")]);
  const [echo, words, usual] = ["json-echo", "words", "usual"].map((name) => {
    const { ranges } = prefetchOf(readFileSync(executable(name, architecture)));
    return ranges.reduce((sum, { length }) => sum + length, 0);
  }) as [number, number, number];
  assert.ok(words < echo + 100_000, `${words} bytes, and ${echo} for an echo`);
  assert.ok(usual > echo + 1_000_000, `${usual} bytes, and ${echo} for an echo`);
});

test("with a Bun that there is no table for, build.sh says so in a line, and builds without a prefetch", () => {
  const bun = readFileSync(process.execPath);
  const note = Buffer.from("040000001400000003000000474e5500", "hex"); // of the build ID, which follows
  bun[bun.indexOf(note) + note.length]! ^= 0xff;
  const other = join(folder, "other-bun");
  writeFileSync(other, bun);
  chmodSync(other, 0o755);
  const handler = join(root, "test/handlers/json-echo.ts");
  const { stderr } = build("other", ["--arch", architecture, handler, "--", `--compile-executable-path=${other}`]);
  assert.match(stderr, new RegExp(`^build.sh: ${architecture} has no prefetch, .*\\n$`));
  const bytes = readFileSync(executable("other", architecture));
  assert.ok(segmentsOf(bytes).some(({ type }) => type === PT_NOTE));
  assert.equal(invoke(executable("other", architecture), architecture).stdout, '{"order":1}');
});

test("--no-prefetch says nothing", () => {
  const { stderr } = build("quiet", [
    "--no-prefetch",
    "--arch",
    architecture,
    join(root, "test/handlers/json-echo.ts"),
  ]);
  assert.equal(stderr, "");
});

test("the same source makes the same executable with a prefetch", () => {
  const copy = join(folder, "first");
  copyFileSync(executable("json-echo", architecture), copy);
  build("json-echo", ["--arch", architecture, join(root, "test/handlers/json-echo.ts")]);
  assert.ok(readFileSync(copy).equals(readFileSync(executable("json-echo", architecture))));
});
