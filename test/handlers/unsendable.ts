import { run, type Bytes } from "../../runtime.ts";

function overwrite(path: string): void {
  const names = path.split(".");
  const owner = names.slice(0, -1).reduce((value: any, name) => value[name], globalThis);
  owner[names.at(-1)!] = () => {
    throw new Error(`${path} was overwritten`);
  };
}

async function* stream(path: string): AsyncGenerator<Bytes> {
  yield "one";
  overwrite(path);
  yield "two";
}

// The event names how it is answered, and what is overwritten before that.
run((_headers, body) => {
  const [how, path = ""] = new TextDecoder().decode(body).split(" ");
  if (how === "stream") return stream(path);
  overwrite(path);
  if (how === "throw") throw new RangeError("thrown");
  return how === "promise" ? Promise.resolve("é") : "é";
});
