import { json, run } from "../../runtime.ts";

// The event is how long to wait, in ms.
run(json((duration: number) => Bun.sleep(duration)));
