/** What is measured beside bunstrap, which is built when it is first asked for. */
import { build } from "./build.ts";
import type { Subjects } from "./measure.ts";

/** What the reader brings along. */
export interface Guests {
  /** Other bootstraps, which echo JSON. */
  peers: Subjects;
  /** Bootstraps that are started and sent no event. */
  silent: Subjects;
}

/** Names that no guest can have. */
export const ownNames = ["floor", "bunstrap", "fetch loop"];

/** The ones that echo JSON of a few bytes. */
export function echoingSmallJson(guests: Guests): Subjects {
  const { bunstrap, ...others } = echoingJson(guests);
  return { floor: [build("test/bench/floor.ts")], bunstrap: bunstrap!, ...others };
}

/** The ones that echo any JSON. */
export function echoingJson({ peers }: Guests): Subjects {
  return { bunstrap: [build("test/handlers/json-echo.ts")], "fetch loop": [build("test/bench/fetch-json-echo.ts")], ...peers };
}

/** The ones that echo any bytes. */
export function echoingBytes({ peers }: Guests): Subjects {
  return { bunstrap: [build("test/handlers/echo.ts")], "fetch loop": [build("test/bench/fetch-echo.ts")], ...peers };
}
