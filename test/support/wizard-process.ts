/**
 * The wizard as `./homing` starts it, but in the world of wizard-world.ts: other name servers, another deSEC. Started in
 * a terminal by tests and benches, with the path of a WizardSurroundings file.
 */
import { readFile } from "node:fs/promises";
import { readLock } from "../../image/packages/lock.ts";
import { runProcess, wizard } from "../../installer/main.ts";
import type { WizardSurroundings } from "./wizard-world.ts";

const { dns, providerUrl, lockFile }: WizardSurroundings = JSON.parse(
  await readFile(process.argv[2]!, "utf8"),
);
await runProcess((io) => wizard(io, { dns, connect: { baseUrl: providerUrl }, lock: readLock(lockFile) }));
