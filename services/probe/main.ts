/**
 * homing-probe.service: looks at the relay as a client does and ends (appliance/files/probe-units.ts). Exit code 0: it
 * works; 1: it does not, which is what a new version of the system is judged by. What it saw lies in runPaths.canaryVerdict.
 */
import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  clockSyncedPath,
  dataDirectory,
  dataPaths,
  dkimStatePath,
  runPaths,
} from "../../appliance/layout.ts";
import { readIfPresent } from "../../appliance/life/disk.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import { createLog } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { lookAtDns } from "./dns.ts";
import { lookAtDoors } from "./doors.ts";
import { lookUpMs } from "./limits.ts";
import { lookAtClock, lookAtDisk } from "./machine.ts";
import { lookAtMail } from "./mail.ts";
import { verdictOf, writeReport } from "./report.ts";
import { readRouters } from "./routers.ts";
import { createSteps } from "./steps.ts";

/** The relay itself: from inside, many routers lead nowhere when its public address is asked for. */
const host = "127.0.0.1";

const log = createLog();
const { domain, dkim } = await loadRelayConfig();
const secrets: string[] = [];
const steps = createSteps(() => secrets);

// Whatever happens there is a verdict: without one nobody would hear of it for half an hour.
await steps.guard("submission", () =>
  lookAtMail({
    ...{ domain, host, steps },
    folder: dataPaths.canary,
    accountSocket: runPaths.canarySocket,
    onAddress: (address) => secrets.push(address, address.slice(0, address.indexOf("@"))),
  }),
);
const shown = await steps.guard("port-443", () => lookAtDoors({ domain, host }, steps));
const names = new Resolver({ timeout: lookUpMs, tries: 1 });
await steps.guard("dns", async () =>
  lookAtDns({
    ...{ domain, names, shown, steps },
    dkim: await signingKey(dkim),
    routers: await readRouters(),
  }),
);
await steps.guard("clock", () => lookAtClock({ domain, syncedPath: clockSyncedPath }, steps));
await steps.guard("disk", () =>
  lookAtDisk({ data: dataDirectory, writable: dataPaths.canary, room: runPaths.room }, steps),
);

const failed = steps.done.filter(({ ok }) => !ok);
const verdict = verdictOf(steps, Math.floor(Date.now() / 1000));
await writeReport(
  {
    verdict: runPaths.canaryVerdict,
    problem: runPaths.canaryProblem,
    history: runPaths.canaryHistory,
    metrics: join(runPaths.metrics, "canary.prom"),
  },
  verdict,
  log,
);
for (const { name, detail } of failed) log.warn("the canary found something wrong", { step: name, detail });
process.exitCode = verdict.works ? 0 : 1;

/** The key that took over, if one did (services/dkim). */
async function signingKey({ selector, nextSelector }: RelayConfig["dkim"]) {
  const hasChanged =
    nextSelector !== "" && (await readIfPresent(dkimStatePath))?.toString().trim() === nextSelector;
  const path = hasChanged ? runPaths.dkimNextPublicKey : runPaths.dkimPublicKey;
  return { selector: hasChanged ? nextSelector : selector, publicPem: await readFile(path, "utf8") };
}
