import { s3 } from "bun";
import { json, run } from "../../runtime.ts";

run(
  json(async ({ key, text }: { key: string; text?: string }) => {
    if (text !== undefined) return s3.write(key, text);
    return s3.file(key).text();
  }),
);
