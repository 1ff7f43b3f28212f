import { run } from "../../runtime.ts";
import { dlopen, ptr, toArrayBuffer } from "bun:ffi";
import { dirname } from "node:path";

const { symbols: library } = dlopen(`${dirname(process.execPath)}/libbytes.so`, {
  upper_case: { args: ["ptr", "usize"], returns: "ptr" },
  reverse: { args: ["ptr", "usize"], returns: "ptr" },
});

/** A view of what the library returns: its own memory, which it uses again in the next call. */
function reverse(bytes: Uint8Array): Uint8Array {
  const address = library.reverse(bytes, bytes.length);
  if (address === null) throw new RangeError(`no memory for ${bytes.length} bytes`);
  return new Uint8Array(toArrayBuffer(address, 0, bytes.length));
}

run({
  // No bytes have no address: bun:ffi refuses to pass an empty array.
  inPlace(_headers, body) {
    if (body.length > 0) library.upper_case(body, body.length);
    return body;
  },
  memoryOfTheLibrary(_headers, body) {
    return body.length > 0 ? reverse(body) : body;
  },
  // Whether the library was given the bytes that the handler was, and whether the view is of what the library returned.
  addresses(_headers, body) {
    const given = library.upper_case(body, body.length) === ptr(body);
    const returned = ptr(reverse(body)) === library.reverse(body, body.length);
    return JSON.stringify({ given, returned });
  },
});
