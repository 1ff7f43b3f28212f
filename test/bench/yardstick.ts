/** Echoes JSON as test/handlers/json-echo.ts does; asked for the yardstick, answers how long JSON alone takes. */
import { header, json, run } from "../../runtime.ts";

const echo = json((event) => event);

/** The time of `JSON.parse` and `JSON.stringify` alone, in ms. */
function yardstick(text: string): string {
  const begun = performance.now();
  JSON.stringify(JSON.parse(text));
  return String(performance.now() - begun);
}

run((headers, body) =>
  header(headers, "Bench-Yardstick") ? yardstick(new TextDecoder().decode(body)) : echo(headers, body),
);
