import { writeSync } from "node:fs";
import { json, run } from "../../runtime.ts";

console.log("loading");
run(
  json(() => {
    console.log("log");
    console.info("info");
    console.debug("debug");
    console.table([{ column: "cell" }]);
    process.stdout.write("write\n");
    writeSync(1, "descriptor\n");
    return "reply";
  }),
);
