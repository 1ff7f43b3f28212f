/** What Lambda needs of the executables of both architectures, and of runtime.ts as a file that is copied. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { root, workspace } from "./sandbox.ts";

const out = join(workspace, "both");
const emulator = Bun.which("qemu-aarch64-static");
const armLibraries = "/usr/aarch64-linux-gnu"; // libc6-arm64-cross of Debian

before(() => {
  const { status, stderr } = spawnSync(join(root, "build.sh"), ["--out", out], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
});

const skip = Bun.which("readelf") ? false : "readelf (of binutils) is not installed";

for (const [arch, machine] of [
  ["x86_64", "Advanced Micro Devices X86-64"],
  ["arm64", "AArch64"],
] as const) {
  const readelf = (option: string) =>
    spawnSync("readelf", ["-W", option, join(out, arch, "bootstrap")], { encoding: "utf8" }).stdout;

  test(`the ${arch} executable is an ELF file for ${machine}`, { skip }, () => {
    assert.match(readelf("-h"), new RegExp(`Class: +ELF64\n[^]*Machine: +${machine}\n`));
  });

  test(`the ${arch} executable needs no library but those of glibc`, { skip }, () => {
    const needed = [...readelf("-d").matchAll(/\(NEEDED\) +Shared library: \[(.*)\]/g)].map(([, name]) => name);
    assert.ok(needed.includes("libc.so.6"), needed.join());
    const ofGlibc = [
      "libc.so.6",
      "libpthread.so.0",
      "libdl.so.2",
      "libm.so.6",
      "ld-linux-x86-64.so.2",
      "ld-linux-aarch64.so.1",
    ];
    assert.deepEqual(
      needed.filter((name) => !ofGlibc.includes(name ?? "")),
      [],
    );
  });

  test(`the ${arch} executable runs with glibc 2.34, that of Amazon Linux 2023`, { skip }, () => {
    const minors = [...readelf("-V").matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
    assert.ok(minors.length > 0);
    assert.ok(Math.max(...minors) <= 34, `GLIBC_2.${Math.max(...minors)}`);
  });
}

test(
  "the arm64 executable serves an event",
  { skip: emulator ? false : "qemu-aarch64-static (of qemu-user-static, with libc6-arm64-cross) is not installed" },
  () => {
    const { status, stdout, stderr } = spawnSync(
      emulator ?? "",
      ["-L", armLibraries, join(out, "arm64/bootstrap"), '{"name":"Ada"}'],
      {
        encoding: "utf8",
        env: {},
      },
    );
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '{"message":"Hello, Ada!"}', stderr: "" });
  },
);

test("runtime.ts imports nothing and requires nothing", () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const source = readFileSync(join(root, "runtime.ts"), "utf8");
  assert.deepEqual(transpiler.scanImports(source), []);
  assert.doesNotMatch(source, /\bimport\("/, "not even a type");
});
