/**
 * The OpenPGP keys that sign Debian 13 ("trixie") archives, pinned: the files in keys/ are those of Debian's
 * package debian-archive-keyring, and each must have the fingerprint that stands here, as published on
 * https://ftp-master.debian.org/keys.html. Called by image/packages/release.ts.
 */
import { readFile } from "node:fs/promises";
import { type PublicKey, readKey } from "openpgp";
import type { ArchiveKind } from "./lock.ts";

type PinnedKey = Readonly<{ file: string; fingerprint: string; signs: ArchiveKind }>;

export const pinnedKeys: readonly PinnedKey[] = [
  {
    // Debian Archive Automatic Signing Key (13/trixie): every suite of the main archive, backports too
    file: "debian-archive-trixie-automatic.asc",
    fingerprint: "04b54c3cdca79751b16bc6b5225629df75b188bd",
    signs: "debian",
  },
  {
    // Debian Stable Release Key (13/trixie): the releases of stable itself, by hand
    file: "debian-archive-trixie-stable.asc",
    fingerprint: "41587f7db8c774bccf131416762f67a0b2c39de4",
    signs: "debian",
  },
  {
    // Debian Security Archive Automatic Signing Key (13/trixie)
    file: "debian-archive-trixie-security-automatic.asc",
    fingerprint: "5e04a1e3223a19a20706e20f9904613d4cce68c6",
    signs: "security",
  },
];

/** The keys that may sign an archive. Throws when a key file is not the key that is pinned. */
export async function archiveKeys(archive: ArchiveKind): Promise<PublicKey[]> {
  const keys = pinnedKeys.filter(({ signs }) => signs === archive);
  return Promise.all(
    keys.map(async ({ file, fingerprint }) => {
      const armoredKey = await readFile(new URL(`keys/${file}`, import.meta.url), "utf8");
      const key = await readKey({ armoredKey });
      if (key.getFingerprint() !== fingerprint) {
        throw new Error(`image/packages/keys/${file} is not the key ${fingerprint}: restore the file`);
      }
      return key;
    }),
  );
}
