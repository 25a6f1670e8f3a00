/**
 * Gets and renews the relay's certificate: started by homing-certificates.timer when it is time, ends when that is
 * done. Holds the TLS key (for the request) and the account key, both handed over by systemd.
 */
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { realResolvers } from "../../appliance/dns/published.ts";
import {
  certificateLookedPath,
  certificateNextPath,
  certificateStatePath,
  clockSyncedPath,
  runPaths,
  tlsCertificatePath,
} from "../../appliance/layout.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import { createLog } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { type Challenges, dnsChallenges, httpChallenges } from "./challenges.ts";
import { openDns } from "./dns.ts";
import { lookAfterCertificate } from "./look.ts";

/** systemd's folder of what LoadCredential= brings (systemd.exec(5)). */
const credentials = process.env.CREDENTIALS_DIRECTORY ?? "";
const credential = (name: string) => readFile(join(credentials, name), "utf8");
const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

const log = createLog();
const resolvers = realResolvers();
const config = await loadRelayConfig();

async function challengesOf({ certificates }: RelayConfig): Promise<Challenges> {
  if (certificates.challenge === "http-01") return await httpChallenges(runPaths.acmeChallenges);
  return dnsChallenges(openDns(certificates, await credential("dns-update.key")), resolvers, log);
}

const isFirstSinceBoot = !(await exists(certificateLookedPath));
await writeFile(certificateLookedPath, "");
await lookAfterCertificate({
  config,
  keys: { tls: await credential("tls.pem"), account: await credential("account.pem") },
  paths: {
    state: certificateStatePath,
    next: certificateNextPath,
    certificate: tlsCertificatePath,
    problem: runPaths.certificateProblem,
    refused: runPaths.certificateRefused,
    report: runPaths.certificateReport,
    metrics: join(runPaths.metrics, "certificates.prom"),
  },
  challenges: await challengesOf(config),
  resolvers,
  clockIsSynced: await exists(clockSyncedPath),
  isFirstSinceBoot,
  now: Date.now,
  random: Math.random,
  log,
});
