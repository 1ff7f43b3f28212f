import { run } from "../../runtime.ts";
// @ts-ignore: TypeScript knows no .wasm. The file goes into the executable, and this is its path.
import path from "../native/upper_case.wasm" with { type: "file" };

const { instance } = await WebAssembly.instantiate(await Bun.file(path).bytes());
const { memory, upper_case } = instance.exports as { memory: WebAssembly.Memory; upper_case: (length: number) => void };

// A module sees only its own memory: the body is copied into it, once, and the reply is a view of it.
run((_headers, body) => {
  const missing = body.length - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65_536)); // detaches every view there was
  const bytes = new Uint8Array(memory.buffer, 0, body.length);
  bytes.set(body);
  upper_case(bytes.length);
  return bytes;
});
