import { run } from "../../runtime.ts";

// The event is a text, and how often to repeat it.
run((_headers, body) => {
  const [text, count] = JSON.parse(new TextDecoder().decode(body)) as [string, number];
  return text.repeat(count);
});
