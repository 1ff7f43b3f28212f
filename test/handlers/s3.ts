import { json, run } from "../../runtime.ts";
import { s3 } from "bun";

run(
  json(async ({ key, text }: { key: string; text?: string }) => {
    if (text !== undefined) return s3.write(key, text);
    return s3.file(key).text();
  }),
);
