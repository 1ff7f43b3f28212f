/** What is measured: bunstrap and what it is held against are built when they are first asked for. */
import { asBunMakesIt, build } from "./build.ts";
import type { Subjects } from "./measure.ts";
import type { NodeClient } from "./node-client.ts";
import type { Subject } from "./process.ts";

/** What is measured only if the reader asks for it. */
export interface Guests {
  /** Other bootstraps, which echo JSON. */
  peers: Subjects;
  /** Bootstraps that are started and sent no event. */
  silent: Subjects;
  node?: NodeClient | undefined;
}

/** Names that no peer can have. */
export const ownNames = ["floor", "bunstrap", "without prefetch", "fetch loop", "Node.js"];

/** The ones that echo JSON of a few bytes, in one piece. */
export function echoingSmallJson(guests: Guests): Subjects {
  return { floor: built("test/bench/floor.ts", asBunMakesIt), ...echoingJson(guests) };
}

/** The same, for a start: with bunstrap without its prefetch, too. */
export function starting(guests: Guests): Subjects {
  const { floor, bunstrap, ...others } = echoingSmallJson(guests);
  return { floor, bunstrap, ...withoutPrefetch("test/handlers/json-echo.ts"), ...others } as Subjects;
}

/** A handler as it would be without the prefetch, unless it has none anyway. */
export function withoutPrefetch(source: string): Subjects {
  return asBunMakesIt.length > 0 ? { "without prefetch": built(source, asBunMakesIt) } : {};
}

/** The ones that echo any JSON. */
export function echoingJson({ peers, node }: Guests): Subjects {
  return {
    bunstrap: built("test/handlers/json-echo.ts"),
    "fetch loop": built("test/bench/fetch-json-echo.ts", asBunMakesIt),
    ...(node && { "Node.js": node.subject("echo") }),
    ...peers,
  };
}

/** The ones that echo any bytes. The official Node.js client takes and sends nothing but JSON. */
export function echoingBytes({ peers }: Guests): Subjects {
  return {
    bunstrap: built("test/handlers/echo.ts"),
    "fetch loop": built("test/bench/fetch-echo.ts", asBunMakesIt),
    ...peers,
  };
}

/** The ones that let 10 ms pass before they reply. */
export function waiting({ node }: Guests): Subjects {
  return {
    bunstrap: built("test/bench/wait.ts"),
    "fetch loop": built("test/bench/fetch-wait.ts", asBunMakesIt),
    ...(node && { "Node.js": node.subject("wait") }),
  };
}

/** A source file, which is named relative to the repository, as an executable. */
export function built(source: string, options?: string[]): Subject {
  return { command: [build(source, options)] };
}
