import { json, run } from "./runtime.ts"; // first, so that errors in later imports are reported

interface Greeting {
  name?: string;
}

async function greet(event: Greeting | null): Promise<{ message: string }> {
  return { message: `Hello, ${event?.name ?? "world"}!` };
}

run(json(greet));
