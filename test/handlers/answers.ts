import { run, type Bytes } from "../../runtime.ts";

async function* stream(text: string, fails = false): AsyncGenerator<Bytes> {
  yield text;
  await Bun.sleep(1);
  if (fails) throw new RangeError(text);
  yield new Uint8Array(100_000).fill(0x78);
  yield text;
}

function fail(text: string): never {
  throw new RangeError(text);
}

/** How an invocation can go. */
const ways: Record<string, (text: string) => Bytes | AsyncIterable<Bytes> | Promise<Bytes>> = {
  small: (text) => text,
  promised: async (text) => text,
  slow: (text) => Bun.sleep(2).then(() => text),
  large: (text) => text.padEnd(300_000, "x"),
  huge: (text) => Buffer.from(text.padEnd(5_000_000, "x")),
  stream,
  throws: fail,
  rejects: async (text) => fail(text),
  "fails in its stream": (text) => stream(text, true),
  "escapes from a timer": (text) => new Promise(() => setTimeout(fail, 1, `secret ${text}`)),
  "escapes as a rejection": (text) =>
    new Promise(() => setTimeout(() => void Promise.reject(new RangeError(`secret ${text}`)), 1)),
};

// The event says how it goes, and its number.
run((_headers, body) => {
  const text = new TextDecoder().decode(body);
  return ways[text.slice(0, text.indexOf(":"))]!(text);
});
