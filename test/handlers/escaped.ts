import { json, run } from "../../runtime.ts";

const escapes: Record<string, () => void> = {
  timer: () => void setTimeout(() => fail("from a timer"), 1),
  rejection: () => void Promise.reject(new RangeError("from a promise")),
  "a timer, later": () => void setTimeout(() => fail("between invocations"), 50),
  "a promise, later": () => void Bun.sleep(50).then(() => fail("between invocations")),
};

function fail(message: string): never {
  throw new RangeError(message);
}

// The event is how the error escapes.
run(
  json(async (how: string) => {
    escapes[how]?.();
    if (!how.endsWith("later")) await Bun.sleep(5_000);
  }),
);
