/**
 * The wizard as `./homing` starts it, but in the world of wizard-world.ts: other name servers, another deSEC. Started in
 * a terminal by tests and benches, with the path of a WizardSurroundings file.
 */
import { readFile } from "node:fs/promises";
import { readLock } from "../../image/packages/lock.ts";
import { runProcess, wizard } from "../../installer/main.ts";
import type { LineWorld } from "../../installer/reachability/line-world.ts";
import type { WizardSurroundings } from "./wizard-world.ts";

const { dns, providerUrl, lockFile }: WizardSurroundings = JSON.parse(
  await readFile(process.argv[2]!, "utf8"),
);
/** Nobody is asked about the line: what comes of that depends on the computer. */
const line: LineWorld = {
  ...{ dns, addressServices: { 4: [], 6: [] }, hosts: { 25: [], 443: [], 465: [], 587: [] } },
  ...{
    routes: { 4: "127.0.0.1", 6: "::1" },
    router: null,
    firstHopHas: null,
    limits: { host: 5_000, whole: 10_000 },
  },
  now: Date.now,
};
await runProcess((io) =>
  wizard(io, { line, dns, connect: { baseUrl: providerUrl }, lock: readLock(lockFile) }),
);
