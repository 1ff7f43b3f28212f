import "../../runtime.ts";

process.exit(0);
