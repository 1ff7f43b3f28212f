/** What a benchmark does to the machine, and undoes: at the latest when it ends, also by an error or a signal. */
const pending = new Set<() => void>();

process.prependListener("exit", () => [...pending].toReversed().forEach(run));
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1)); // not without "exit"

/** Undoes something when it is disposed, or when the process ends: then what was done last is undone first. */
export function undoAtExit(undo: () => void): Disposable {
  pending.add(undo);
  return { [Symbol.dispose]: () => run(undo) };
}

function run(undo: () => void): void {
  if (!pending.delete(undo)) return;
  try {
    undo();
  } catch (error) {
    console.error(`bench: the machine is not as it was: ${(error as Error).message}`);
  }
}

/** How long the last process may take to end that keeps something from being undone, in ms. */
const patience = 2_000;

/** Tries until it succeeds. @throws what it last threw, when the patience is over */
export function retry(attempt: () => void): void {
  for (const begun = performance.now(); ; Bun.sleepSync(10)) {
    try {
      return attempt();
    } catch (error) {
      if (performance.now() - begun > patience) throw error;
    }
  }
}
