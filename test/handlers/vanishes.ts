import { run, type Bytes } from "../../runtime.ts";

const size = 20_000_000;

/** Takes the memory of some bytes away as soon as whoever sends them has begun to. */
const takeAway: Record<string, () => Uint8Array> = {
  transferred() {
    const bytes = new Uint8Array(size).fill(0x78);
    setTimeout(() => bytes.buffer.transfer(), 100);
    return bytes;
  },
  shrunk() {
    const buffer = new ArrayBuffer(size, { maxByteLength: size });
    setTimeout(() => buffer.resize(1_000), 100);
    return new Uint8Array(buffer).fill(0x78);
  },
};

async function* stream(...chunks: Bytes[]): AsyncGenerator<Bytes> {
  yield* chunks;
}

// The event says how the memory vanishes, and of what.
run((_headers, body) => {
  const [how = "", way] = new TextDecoder().decode(body).split(", ");
  const bytes = takeAway[how]?.() ?? "served";
  if (way === "a promised reply") return Bun.sleep(1).then(() => bytes);
  if (way === "a first chunk") return stream(bytes, "later");
  if (way === "a later chunk") return stream("first", bytes, "later");
  return bytes;
});
