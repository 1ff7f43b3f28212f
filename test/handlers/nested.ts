import { json, run } from "../../runtime.ts";
import { heapStats } from "bun:jsc";

/** Makes a handler in each event, as a program does that picks one by the event. */
run((headers, body) => {
  const large = new Array(10_000).fill(0);
  return json((event) => {
    Bun.gc(true);
    return [event, large.length, heapStats().heapSize];
  })(headers, body);
});
