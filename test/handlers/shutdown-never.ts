import { run } from "../../runtime.ts";

run(() => new Promise(() => {}), { onShutdown() {} });
