/**
 * The certificate that a relay shows from its start on, and the key that belongs to it: the owner's own, or what an
 * authority issued before, or one that the relay signs itself. Called by configure.ts at every boot; later ones come
 * from services/certificates.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import {
  type CertificateChain,
  CertificateChainError,
  covers,
  fitsKey,
  parseCertificateChain,
} from "../certificate-chain.ts";
import { dataPaths, runPaths, tlsCertificatePath } from "../layout.ts";
import { checkOwnerFiles, OwnerFileError } from "../owner-files.ts";
import type { RelayConfig } from "../relay-config.ts";
import { certificateSource, ownerFilePaths, relayFilePaths } from "../relay-files.ts";
import { certificateServes, selfSignedCertificate } from "./certificate.ts";
import { type Disk, readIfReadable } from "./disk.ts";

type Device = Readonly<{ at(path: string): string; say(text: string): void; disk: Disk; now: Date }>;

/** The owner is told so long before his own certificate ends. */
const REMIND_DAYS = 21;

/** Puts the certificate in its place and returns the key for it. The mail servers begin with this one. */
export async function keepCertificate(device: Device, config: RelayConfig): Promise<{ keyPem: string }> {
  const kept = await chooseCertificate(device, config);
  const { at, disk } = device;
  const hash = createHash("sha256").update(await readFile(at(tlsCertificatePath)));
  await mkdir(dirname(at(runPaths.certificateLoaded)), { recursive: true });
  await disk.put(at(runPaths.certificateLoaded), `${hash.digest("hex")}  -\n`, { mode: 0o644 });
  return kept;
}

async function chooseCertificate(device: Device, config: RelayConfig): Promise<{ keyPem: string }> {
  for (const path of [runPaths.certificateProblem, runPaths.certificateRefused])
    await rm(device.at(path), { force: true });
  const own = certificateSource(config) === "files" ? await ownCertificate(device, config) : undefined;
  if (own !== undefined) {
    await show(device, own.chain.pem);
    return { keyPem: own.keyPem };
  }
  const { at, say, now } = device;
  const keyPem = await readFile(at(`${dataPaths.relay}/${relayFilePaths(config).tlsKey}`), "utf8");
  const present = (await readIfReadable(at(tlsCertificatePath), say))?.toString();
  const input = { domain: config.domain, keyPem, now };
  const mayStay =
    present !== undefined && (isAuthoritys(present, config, keyPem) || certificateServes(present, input));
  if (!mayStay) {
    await show(device, selfSignedCertificate(input));
    say("made a self-signed certificate");
  }
  return { keyPem };
}

async function show({ at, disk, say }: Device, pem: string): Promise<void> {
  if ((await readIfReadable(at(tlsCertificatePath), say))?.toString() === pem) return;
  await disk.put(at(tlsCertificatePath), pem, { mode: 0o644 });
}

/** Undefined when it cannot be used, which does not stop a relay. It may have expired: the clock is not set yet. */
async function ownCertificate(
  device: Device,
  config: RelayConfig,
): Promise<{ chain: CertificateChain; keyPem: string } | undefined> {
  const contents = new Map<string, string>();
  for (const path of ownerFilePaths(config)) {
    const content = await readIfReadable(device.at(`${dataPaths.relay}/${path}`), device.say);
    if (content !== undefined) contents.set(path, content.toString());
  }
  try {
    checkOwnerFiles(config, (path) => contents.get(path));
  } catch (error) {
    if (!(error instanceof OwnerFileError)) throw error;
    await tell(device, `${error.message}. The relay shows a self-signed certificate instead.`);
    return undefined;
  }
  const paths = relayFilePaths(config);
  const chain = parseCertificateChain(contents.get(paths.ownCertificate!)!);
  if (chain.notAfter.getTime() < device.now.getTime() + REMIND_DAYS * 86_400_000) {
    const end = chain.notAfter.toISOString().slice(0, 10);
    await tell(
      device,
      `the certificate in ${paths.ownCertificate} ends on ${end}: put a new one into the relay folder.`,
    );
  }
  return { chain, keyPem: contents.get(paths.ownCertificateKey!)! };
}

/** On the console now, and on the status page. */
async function tell({ at, say }: Device, problem: string): Promise<void> {
  say(problem);
  await mkdir(dirname(at(runPaths.certificateProblem)), { recursive: true });
  // In a folder of homing-certs: what was there is removed, and a link that came since leads root nowhere.
  await writeFile(at(runPaths.certificateProblem), `${problem}\n`, { mode: 0o644, flag: "wx" });
}

/**
 * Whether an authority made it for this relay. Then it stays even when it has expired: clients that know its key go on,
 * and others would take a self-signed one as little.
 */
function isAuthoritys(pem: string, config: RelayConfig, keyPem: string): boolean {
  if (certificateSource(config) !== "acme") return false;
  try {
    const chain = parseCertificateChain(pem);
    return !chain.isSelfSigned && fitsKey(chain, keyPem) && covers(chain, config.domain);
  } catch (error) {
    if (!(error instanceof CertificateChainError)) throw error;
    return false;
  }
}
