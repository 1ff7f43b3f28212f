import { run } from "../../runtime.ts";

// The event is the size of the reply in bytes.
run((_headers, body) => new Uint8Array(Number(new TextDecoder().decode(body))).fill(0x78));
