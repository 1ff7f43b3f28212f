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

const subclasses = {
  length: class extends Uint8Array {
    override get length() {
      return 3;
    }
  },
  byteLength: class extends Uint8Array {
    override get byteLength() {
      return 3;
    }
  },
  buffer: class extends Uint8Array {
    // @ts-ignore: that it is no ArrayBuffer is the point
    override get buffer() {
      return "none";
    }
  },
  throwing: class extends Uint8Array {
    override get length(): number {
      throw new RangeError("it is not to be looked at");
    }
  },
  /** Fit for use, though it cannot be copied by `slice`. */
  constructor: class Packet extends Uint8Array {
    constructor(text: string) {
      super(Array.from(text.toUpperCase(), (letter) => letter.charCodeAt(0)));
    }
  },
};

const values: Record<string, () => unknown> = {
  grown,
  transferred,
  shrunk,
  proxy: () => new Proxy(new Uint8Array(100), {}),
  prototype: () => Object.create(Uint8Array.prototype),
  "own length": () => new subclasses.length(100),
  "own byteLength": () => new subclasses.byteLength(100),
  "own buffer": () => new subclasses.buffer(100),
  "throwing length": () => new subclasses.throwing(100),
  number: () => 42,
  "typed array": () => new Uint16Array(100),
  "array buffer": () => new ArrayBuffer(100),

  packet: () => new subclasses.constructor("packet"),
  "large packet": () => new subclasses.constructor("packet".repeat(20_000)),
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
