import { run } from "../../runtime.ts";

run(() => "Grüße 🌍");
