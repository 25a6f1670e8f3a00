/**
 * Gets and renews the relay's certificate: started by homing-certificates.timer when it is time, ends when that is
 * done. Holds the TLS key (for the request) and the account key, both handed over by systemd.
 */
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { realResolvers } from "../../appliance/dns/published.ts";
import { LONGEST_LOOK_MINUTES } from "../../appliance/files/certificates.ts";
import {
  certificateLookedPath,
  certificateNextPath,
  certificateProofsPath,
  certificateStatePath,
  clockSyncedPath,
  runPaths,
  tlsCertificatePath,
} from "../../appliance/layout.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import { createLog } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { type Challenges, dnsChallenges, httpChallenges } from "./challenges.ts";
import { openDns, publicationLimitMs } from "./dns.ts";
import { lookAfterCertificate } from "./look.ts";
import { createPatience } from "./pending.ts";
import { openProofNotes } from "./proofs.ts";

/** What requests and name servers without an answer may take besides, before systemd ends the look. In minutes. */
const FOR_REQUESTS = 5;

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
  return dnsChallenges({
    values: openDns(certificates, await credential("dns-update.key")),
    notes: await openProofNotes(certificateProofsPath, log),
    limitMs: publicationLimitMs(certificates),
    ...{ resolvers, log },
  });
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
  patience: createPatience((LONGEST_LOOK_MINUTES - FOR_REQUESTS) * 60_000),
  resolvers,
  clockIsSynced: await exists(clockSyncedPath),
  isFirstSinceBoot,
  now: Date.now,
  random: Math.random,
  log,
});
