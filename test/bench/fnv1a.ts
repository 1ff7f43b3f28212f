/** A handler that does nothing but compute, byte by byte: FNV-1a of 32 bits, http://www.isthe.com/chongo/tech/comp/fnv/ */
import { run } from "../../runtime.ts";

run((_headers, body) => {
  let hash = 0x811c9dc5;
  for (const byte of body) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16);
});
