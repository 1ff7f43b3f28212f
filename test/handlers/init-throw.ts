import { json, run } from "../../runtime.ts";

function loadConfiguration(): never {
  throw new RangeError("no configuration");
}

loadConfiguration();
run(json(() => "never"));
