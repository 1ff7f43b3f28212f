import { run } from "../../runtime.ts";

// Returns the body, and destroys what it was given once it has.
run((headers, body) => {
  const reply = body.slice();
  headers.fill(0);
  body.fill(0);
  return reply;
});
