import { run } from "../../runtime.ts";

// The event says how to answer.
run((_headers, body) => {
  const how = new TextDecoder().decode(body);
  if (how === "throw") throw new RangeError("as the event says");
  return how === "large" ? new Uint8Array(300_000) : how;
});
