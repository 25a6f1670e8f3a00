/**
 * The secret that PCP's nonces are made of: whoever forwarded a port is known by them when it takes that back, maybe days
 * later (RFC 6887 §11.1). Kept in the cache folder, for a forwarding ends by itself when it is lost. Called by
 * commands/doctor.ts; commands/cache.ts knows the file. I/O: one file.
 */
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../../image/make-folder.ts";

export const SECRET_BYTES = 32;

/** Where it is kept in the cache folder. */
export function nonceSecretPath(directory: string): string {
  return join(directory, "forwarding-secret");
}

/** A folder that cannot be written to gives a secret for once. */
export async function nonceSecret(directory: string): Promise<Buffer> {
  const path = nonceSecretPath(directory);
  const kept = await readFile(path).catch(() => Buffer.alloc(0));
  if (kept.length === SECRET_BYTES) return kept;
  const made = randomBytes(SECRET_BYTES);
  await makeFolder(directory)
    .then(() => writeFile(path, made, { mode: 0o600 }))
    .catch(() => {}); // then what is forwarded ends by its time alone
  return made;
}
