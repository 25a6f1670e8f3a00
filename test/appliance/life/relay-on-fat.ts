/**
 * A boot partition and a data partition as temporary folders, for the tests of the first boot.
 */
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Disk } from "../../../appliance/life/disk.ts";

export const domain = "chat.example.org";

/** An RSA key is slow to make and only has to parse here: one for all tests of a file. */
export const dkimPem = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
}).privateKey;

export function makeTlsPem(): string {
  return generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  }).privateKey;
}

/** Content by path in the relay folder. */
export type RelayFiles = Readonly<Record<string, string>>;

export const relayFiles: RelayFiles = {
  "relay.toml": `domain = "${domain}"\n`,
  "keys/dkim-homing1.pem": dkimPem,
  "keys/tls.pem": makeTlsPem(),
  "keys/acme-account.pem": makeTlsPem(),
};

export type Partitions = AsyncDisposable & Readonly<{ folder: string; from: string; to: string }>;

/** Temporary folders; what lies in `from` is given. */
export async function makePartitions(files: RelayFiles = relayFiles): Promise<Partitions> {
  const folder = await mkdtemp(join(tmpdir(), "homing-life-"));
  const from = join(folder, "boot", "relay");
  const to = join(folder, "data", "relay");
  await mkdir(to, { recursive: true });
  await putFiles(from, files);
  return { folder, from, to, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

export async function putFiles(folder: string, files: RelayFiles): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, ".."), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

/** The file's text, or undefined when there is none. */
export async function textOf(path: string): Promise<string | undefined> {
  return existsSync(path) ? readFile(path, "latin1") : undefined;
}

export class PowerCut extends Error {
  override name = "PowerCut";
}

/**
 * A disk whose power goes at the given operation (from 0): "before" it, "within" it (half of its work is
 * done) or "after" it.
 */
export function disconnectedDisk(disk: Disk, operation: number, when: "before" | "within" | "after"): Disk {
  let count = 0;
  const wrap =
    <Arguments extends unknown[]>(
      whole: (...args: Arguments) => Promise<void>,
      half: (...args: Arguments) => Promise<void>,
    ) =>
    async (...args: Arguments): Promise<void> => {
      if (count++ !== operation) return whole(...args);
      if (when === "within") await half(...args);
      if (when === "after") await whole(...args);
      throw new PowerCut();
    };
  return {
    put: wrap(disk.put, async (path, content) => {
      await writeFile(`${path}.new`, content.slice(0, content.length / 2));
    }),
    makeDirectory: wrap(disk.makeDirectory, disk.makeDirectory),
    wipe: wrap(disk.wipe, async (path) => {
      const content = await readFile(path);
      await writeFile(path, content.fill(0, 0, content.length >> 1));
    }),
    removeDirectory: wrap(disk.removeDirectory, disk.removeDirectory),
  };
}
