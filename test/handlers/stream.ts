import { json, run, type Bytes } from "../../runtime.ts";

async function* numbers(count: number, pause = 0): AsyncGenerator<Bytes> {
  try {
    for (let number = 1; number <= count; number++) {
      if (pause > 0) await Bun.sleep(pause);
      yield `${number}\n`;
    }
  } finally {
    console.log("finally");
  }
}

async function* failing(before: number): AsyncGenerator<Bytes> {
  yield* numbers(before);
  throw Object.assign(new Error("in the stream: é\r\n"), { name: "StreamFailure" });
}

async function* large(megabytes: number): AsyncGenerator<Bytes> {
  const chunk = new Uint8Array(1 << 20).fill(0x78);
  for (let count = 0; count < megabytes; count++) yield chunk;
}

/** Web streams are pulled as they are read. */
function readable(count: number): ReadableStream<string> {
  let number = 0;
  return new ReadableStream({
    pull(controller) {
      if (number === count) controller.close();
      else controller.enqueue(`${++number}\n`);
    },
    cancel() {
      console.log("cancelled");
    },
  });
}

const streams: Record<string, (argument: number) => unknown> = {
  numbers: (count) => numbers(count),
  slow: (count) => numbers(count, 30),
  slower: (count) => numbers(count, 300),
  failing,
  large,
  readable,
  typed: (count) => ({ contentType: "text/plain; charset=utf-8", body: numbers(count) }),
  "bad type": () => ({ contentType: "text/plain\r\nX-Injected: 1", body: numbers(1) }),
  "bad chunk": (before) =>
    (async function* () {
      yield* numbers(before);
      yield 42 as unknown as Bytes;
    })(),
  "empty chunks": () =>
    (async function* () {
      yield "";
      yield new Uint8Array(0);
      yield "a";
      yield "";
      yield Uint8Array.of(0, 255);
    })(),
  empty: () => numbers(0),
  stuck: (before) =>
    (async function* () {
      yield* numbers(before);
      await new Promise(() => {});
    })(),
  "escapes in the middle": () =>
    (async function* () {
      yield "1\n";
      setTimeout(() => {
        throw new RangeError("from a timer");
      }, 10);
      await Bun.sleep(10_000);
      yield "2\n";
    })(),
  "one buffer": () =>
    (async function* () {
      const buffer = Buffer.alloc(100_000); // whose slice is no copy
      for (const letter of "AB") {
        buffer.fill(letter.charCodeAt(0));
        yield buffer;
        buffer.fill(0);
        await Bun.sleep(50);
      }
    })(),
  "second chunk is transferred": () =>
    (async function* () {
      yield new Uint8Array(20_000_000).fill(0x41);
      await Bun.sleep(400);
      const second = new Uint8Array(1_000).fill(0x42);
      setTimeout(() => second.buffer.transfer(), 100);
      yield second;
    })(),
  "throws later": (before) =>
    (async function* () {
      yield* numbers(before);
      await Bun.sleep(100);
      throw new RangeError("after it was refused");
    })(),
  "escapes while nobody reads": () =>
    (async function* () {
      setTimeout(() => {
        throw new RangeError("from a timer");
      }, 50);
      yield* large(100);
    })(),
  "never waits": (count) =>
    (async function* () {
      let timers = 0;
      const timer = setInterval(() => timers++, 1);
      for (let row = 0; row < count; row++) yield `${"x".repeat(200)}\n`;
      clearInterval(timer);
      yield `${timers} timers`;
    })(),
  "not a stream": () => ({ body: "text" }),
};

// The event names the stream, and gives its argument.
run(
  json(([name, argument]: [string, number], context) => {
    if (name === "bad type") context.signal.throwIfAborted(); // reading it starts its timer
    return streams[name]?.(argument);
  }),
);
