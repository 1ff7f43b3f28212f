import { json } from "../../runtime.ts";

json(() => "nobody runs this");
