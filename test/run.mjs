// npm test: installs what is missing, then runs the three rings of tests on Node 24 (test/run.ts).
import { launch } from "../installer/launch.mjs";

await launch("test/run.ts", process.argv.slice(2));
