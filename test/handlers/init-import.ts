import { json, run } from "../../runtime.ts";
import "./imported/throws.ts";

run(json(() => "never"));
