/** What the CPU is called, so that a reader can tell which one it is. */
import { readFileSync } from "node:fs";

/** The model's name, with what else the system knows where that name has no number, or there is none. */
export function cpuName(): string {
  const text = readFileSync("/proc/cpuinfo", "utf8");
  const field = (name: string) => new RegExp(`^${name}\\s*: (.*)$`, "mi").exec(text)?.[1];
  const model = field("model name")?.replace(/\s+/g, " ");
  if (model && /\d/.test(model)) return model;
  const details = ["cpu family", "model", "cpu implementer", "cpu part"].flatMap((name) =>
    field(name) ? `${name} ${field(name)}` : [],
  );
  return `${model ?? "a CPU without a name"} (${details.join(", ")})`;
}
