import { run } from "../../runtime.ts";

let first: Uint8Array | undefined;

// Keeps the first body, and returns it each time.
run((_headers, body) => (first ??= body));
