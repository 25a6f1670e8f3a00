/**
 * Gets and renews the relay's certificate: started by homing-certificates.timer when it is time, ends when that is
 * done. Holds the TLS key (for the request) and the account key, both handed over by systemd.
 */
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { zoneValues } from "../../appliance/dns/one-value.ts";
import { realResolvers } from "../../appliance/dns/published.ts";
import { parseTsigSecret, rfc2136Provider } from "../../appliance/dns/rfc2136.ts";
import { parseDnsServer } from "../../appliance/dns/server-address.ts";
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
  const secret = parseTsigSecret(await credential("dns-update.key"));
  const server = parseDnsServer(certificates.rfc2136Server);
  // Both were checked when the relay folder was taken over.
  if (secret === undefined || server === undefined)
    throw new Error("keys/dns-update.key or rfc2136_server is damaged");
  const key = { name: certificates.rfc2136KeyName, algorithm: certificates.rfc2136Algorithm, secret };
  const zone = certificates.rfc2136Zone;
  return dnsChallenges(zoneValues(rfc2136Provider({ server, zone, key }), zone), resolvers, log);
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
