/**
 * A relay's certificate service in a temporary folder, with a real authority (Pebble), a real name server (Knot) and a
 * web server that serves the challenges; each look with a clock of its own. For the tests of services/certificates.
 */
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Agent } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { axios } from "acme-client";
import { type CertificateChain, parseCertificateChain } from "../../../appliance/certificate-chain.ts";
import type { CertificateReport } from "../../../appliance/certificate-report.ts";
import { zoneValues } from "../../../appliance/dns/one-value.ts";
import { rfc2136Provider } from "../../../appliance/dns/rfc2136.ts";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { dnsChallenges, httpChallenges } from "../../../services/certificates/challenges.ts";
import type { LookOptions } from "../../../services/certificates/context.ts";
import { lookAfterCertificate } from "../../../services/certificates/look.ts";
import { createPatience } from "../../../services/certificates/pending.ts";
import { openProofNotes } from "../../../services/certificates/proofs.ts";
import type { CertificateState } from "../../../services/certificates/state.ts";
import { createLog } from "../../../services/lib/log.ts";
import { type Knot, missingKnot, startKnot } from "../../support/knot.ts";
import { missingPebble, type Pebble, type PebbleOptions, startPebble } from "../../support/pebble.ts";

export const missing = missingKnot ?? missingPebble;
export const domain = "c.test";
const tsigKey = { name: "key", algorithm: "hmac-sha256", secret: Buffer.alloc(32, "k") } as const;

const makePem = () =>
  generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  }).privateKey;

export type LookChanges = Partial<Omit<LookOptions, "config">> & { settings?: string };

export type Surroundings = AsyncDisposable &
  Readonly<{
    folder: string;
    pebble: Pebble;
    knot: Knot;
    tlsKey: string;
    log: string[];
    /** `settings`: lines of [certificates]. */
    look: (changes?: LookChanges) => Promise<void>;
    options: (changes?: LookChanges) => Promise<LookOptions>;
    chain: () => Promise<CertificateChain>;
    state: () => Promise<CertificateState>;
    problem: () => Promise<string | undefined>;
    /** What the status page says of names that are left out. */
    refused: () => Promise<string | undefined>;
    /** Milliseconds since 1970. */
    nextLook: () => Promise<number>;
    metrics: () => Promise<string>;
    report: () => Promise<CertificateReport>;
    /** Stops serving challenges. */
    closeWeb: () => Promise<void>;
  }>;

/** `records`: of the zone, as lines of a zone file; the web server is at 127.0.0.1. */
export async function makeSurroundings(
  records: readonly string[] = [`${domain}. 60 A 127.0.0.1`, `www.${domain}. 60 CNAME ${domain}.`],
  options: Partial<PebbleOptions> = {},
): Promise<Surroundings> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "homing-certificates-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const secret = tsigKey.secret.toString("base64");
  const knot = stack.use(await startKnot(folder, domain, records, [{ ...tsigKey, secret }]));
  const challengeFolder = join(folder, "challenges");
  await mkdir(challengeFolder);
  const web = createServer(async (request, response) => {
    const file = join(challengeFolder, basename(request.url ?? ""));
    const content = await readFile(file).catch(() => undefined);
    response.writeHead(content === undefined ? 404 : 200).end(content);
  });
  const closeWeb = () =>
    new Promise<void>((resolve) => {
      web.closeAllConnections();
      web.close(() => resolve());
    });
  const httpPort = await new Promise<number>((resolve) =>
    web.listen(0, "127.0.0.1", () => resolve((web.address() as AddressInfo).port)),
  );
  stack.defer(closeWeb);
  const pebble = stack.use(
    await startPebble({
      ...{ folder, address: "127.0.0.1", host: "localhost", dnsServer: knot.server, httpPort },
      ...options,
    }),
  );
  axios.defaults.httpsAgent = new Agent({ ca: pebble.trusted });

  const [tlsKey, account] = [makePem(), makePem()];
  const paths = {
    state: join(folder, "state.json"),
    next: join(folder, "next"),
    certificate: join(folder, "certificate.pem"),
    problem: join(folder, "problem"),
    refused: join(folder, "refused"),
    report: join(folder, "report.json"),
    metrics: join(folder, "certificates.prom"),
  };
  await writeFile(
    paths.certificate,
    await selfSignedCertificate({ domain, keyPem: tlsKey, now: new Date() }),
  );
  const log: string[] = [];
  const writeLog = createLog((line) => log.push(line), false);

  const lookOptions = async ({ settings = "", ...changes }: LookChanges = {}): Promise<LookOptions> => {
    const dns = settings.includes("dns-01")
      ? `\nrfc2136_server = "${knot.server}"\nrfc2136_zone = "${domain}"\nrfc2136_key_name = "key"\n`
      : "";
    const directory = settings.includes("acme_directory") ? "" : `acme_directory = "${pebble.directory}"\n`;
    const text = `domain = "${domain}"\n[certificates]\n${directory}${settings}${dns}\n`;
    const config = parseRelayConfig(text, "relay.toml");
    const provider = rfc2136Provider({
      ...{ server: { host: "127.0.0.1", port: knot.port }, zone: domain, key: tsigKey },
    });
    return {
      config,
      keys: { tls: tlsKey, account },
      paths,
      challenges:
        dns === ""
          ? await httpChallenges(challengeFolder)
          : dnsChallenges({
              ...{
                values: zoneValues(provider, domain),
                resolvers: knot.resolvers,
                limitMs: 20_000,
                log: writeLog,
              },
              ...{ notes: await openProofNotes(join(folder, "proofs.json"), writeLog) },
              ...(changes.resolvers !== undefined && { resolvers: changes.resolvers }),
            }),
      patience: createPatience(60_000),
      resolvers: knot.resolvers,
      clockIsSynced: true,
      isFirstSinceBoot: false,
      now: Date.now,
      random: () => 0.5,
      log: writeLog,
      ...changes,
    };
  };
  const kept = stack.move();
  return {
    ...{ folder, pebble, knot, tlsKey, log, closeWeb },
    options: lookOptions,
    look: async (changes) => lookAfterCertificate(await lookOptions(changes)),
    chain: async () => parseCertificateChain(await readFile(paths.certificate, "utf8")),
    state: async () => JSON.parse(await readFile(paths.state, "utf8")) as CertificateState,
    refused: async () => (existsSync(paths.refused) ? await readFile(paths.refused, "utf8") : undefined),
    problem: async () => (existsSync(paths.problem) ? await readFile(paths.problem, "utf8") : undefined),
    nextLook: async () => Number(await readFile(paths.next, "utf8")) * 1000,
    metrics: () => readFile(paths.metrics, "utf8"),
    report: async () => JSON.parse(await readFile(paths.report, "utf8")) as CertificateReport,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
