import { json, run } from "./runtime.ts"; // first: what fails to load after it is reported

interface Greeting {
  name?: string;
}

async function greet(event: Greeting | null): Promise<{ message: string }> {
  return { message: `Hello, ${event?.name ?? "world"}!` };
}

run(json(greet));
