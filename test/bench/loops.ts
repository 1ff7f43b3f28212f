/** How many invocations a process serves that serves several at a time, as on Lambda Managed Instances. */
import { jsonEvent } from "./events.ts";
import { measureRates, type Subjects } from "./measure.ts";
import { mapValues, pick, progress } from "./report.ts";
import { echoingJson, waiting, type Guests } from "./subjects.ts";
import type { Row, Table } from "./table.ts";

const concurrencies = [1, 2, 4, 8, 16, 32, 64];

export async function measureLoops(guests: Guests, runs: number): Promise<Table[]> {
  const echoes = await rates("200 B JSON echo", echoingJson(guests), runs, () => 5_000);
  const waits = await rates("a handler that waits 10 ms", waiting(guests), runs, (concurrency) => 50 * concurrency);
  return [
    { title: "200 B JSON echo, invocations per second", rows: echoes.perSecond },
    { title: "resident after that, MB", rows: echoes.resident },
    { title: "200 B JSON echo that waits 10 ms, invocations per second", rows: waits.perSecond },
  ];
}

/** @param invocations How many to send before the measurement, and in it. */
async function rates(what: string, subjects: Subjects, runs: number, invocations: (concurrency: number) => number) {
  const perSecond: Row[] = [];
  const resident: Row[] = [];
  for (const concurrency of concurrencies) {
    const name = `${concurrency} at a time`;
    progress(`${what}, ${name}`);
    const variables = concurrency === 1 ? {} : { AWS_LAMBDA_MAX_CONCURRENCY: String(concurrency) };
    const concurrent = mapValues(subjects, (subject) => ({
      ...subject,
      environment: { ...subject.environment, ...variables },
    }));
    const block = invocations(concurrency);
    const measured = await measureRates(concurrent, runs, { event: jsonEvent(200), warmUp: block, block, concurrency });
    perSecond.push({ what: name, figures: pick(measured, (rate) => rate.perSecond), digits: 0 });
    resident.push({ what: name, figures: pick(measured, (rate) => rate.resident), digits: 1 });
  }
  return { perSecond, resident };
}
