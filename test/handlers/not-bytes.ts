import { run, type RawHandler } from "../../runtime.ts";

run((() => ({ statusCode: 200 })) as unknown as RawHandler);
