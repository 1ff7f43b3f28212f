/** A handler that only computes, byte by byte: FNV-1a of 32 bits, http://www.isthe.com/chongo/tech/comp/fnv/ */
import { run } from "../../runtime.ts";

run((_headers, body) => {
  let hash = 0x811c9dc5;
  for (let at = 0; at < body.length; at++) hash = Math.imul(hash ^ body[at]!, 0x01000193);
  return (hash >>> 0).toString(16);
});
