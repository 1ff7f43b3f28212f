import { json, run } from "../../runtime.ts";

// The event is how long the handler does not let go of the event loop, in ms.
run(json((duration: number) => Bun.sleepSync(duration)));
