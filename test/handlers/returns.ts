import { run, type Bytes } from "../../runtime.ts";

/** A module that exports a memory of one page, which can grow. */
const module = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 109, 2, 0));

function grown(): Uint8Array {
  const memory = new WebAssembly.Instance(module).exports["m"] as WebAssembly.Memory;
  const view = new Uint8Array(memory.buffer, 0, 100);
  memory.grow(1);
  return view;
}

function transferred(): Uint8Array {
  const bytes = new Uint8Array(100);
  bytes.buffer.transfer();
  return bytes;
}

function shrunk(): Uint8Array {
  const buffer = new ArrayBuffer(100, { maxByteLength: 100 });
  const bytes = new Uint8Array(buffer, 50, 50);
  buffer.resize(60);
  return bytes;
}

/** Bytes that are gone so many turns of the queue of microtasks after they were returned. */
function goneAfter(turns: number): Uint8Array {
  const bytes = new Uint8Array(100).fill(0x78);
  const goOn = (): unknown => (turns-- > 0 ? queueMicrotask(goOn) : bytes.buffer.transfer());
  goOn();
  return bytes;
}

/** Fit for use, though it cannot be copied by `slice`. */
class Packet extends Uint8Array {
  constructor(text: string) {
    super(Array.from(text.toUpperCase(), (letter) => letter.charCodeAt(0)));
  }
}

const values: Record<string, () => unknown> = {
  grown,
  transferred,
  shrunk,
  number: () => 42,
  "typed array": () => new Uint16Array(100),
  "array buffer": () => new ArrayBuffer(100),

  packet: () => new Packet("packet"),
  "large packet": () => new Packet("packet".repeat(20_000)),
  buffer: () => Buffer.from("a Buffer"),
  shared: () => new Uint8Array(new SharedArrayBuffer(3)).fill(0x78),
  resizable: () => new Uint8Array(new ArrayBuffer(3, { maxByteLength: 100 })).fill(0x78),
  part: () => new Uint8Array(200_000).fill(0x78).subarray(50_000, 150_000),
};

async function* stream(...chunks: unknown[]): AsyncGenerator<Bytes> {
  yield* chunks as Bytes[];
}

const ways: Record<string, (value: () => unknown) => unknown> = {
  "a reply": (value) => value(),
  "a promised reply": async (value) => value(),
  "a first chunk": (value) => stream(value()),
  "a later chunk": (value) => stream("first", value()),
};

// The event says what is returned, and how.
run(((_headers: Uint8Array, body: Uint8Array) => {
  const [what, way, turns] = JSON.parse(new TextDecoder().decode(body)) as [string, string, number?];
  return ways[way]?.(what === "gone after" ? () => goneAfter(turns ?? 0) : (values[what] ?? (() => what)));
}) as Parameters<typeof run>[0]);
