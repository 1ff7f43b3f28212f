import { json, run } from "../../runtime.ts";
import type { Handler } from "aws-lambda";

const handler: Handler<string, string> = (_event, _context, callback) => {
  callback(null, "result");
};

run(json(handler));
