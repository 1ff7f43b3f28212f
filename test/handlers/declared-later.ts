import { json, run } from "../../runtime.ts";

run(json(() => later));

const later = "declared below";
