/** Until when the certificate is good that mail and web show, whoever made it. Called by scrape.ts. */
import { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { gauge } from "./families.ts";
import type { Family } from "./text-format.ts";

/** Reads it again only when the file was replaced. No family when there is none, or none that can be read. */
export function createCertificateLook(path: string): () => Promise<Family | undefined> {
  let known = "";
  let family: Family | undefined;
  return async () => {
    const status = await stat(path).catch(() => undefined);
    const version = status === undefined ? "" : `${status.ino} ${status.mtimeMs} ${status.size}`;
    if (version === known) return family;
    known = version;
    family = status === undefined ? undefined : readEnd(await readFile(path, "latin1").catch(() => ""));
    return family;
  };
}

function readEnd(pem: string): Family | undefined {
  try {
    const { validToDate } = new X509Certificate(pem);
    return gauge(
      "homing_certificate_not_after_seconds",
      "End of the certificate in use, in seconds since 1970.",
      [[Math.floor(validToDate.getTime() / 1000)]],
    );
  } catch {
    return undefined; // half a file, while it is replaced by hand
  }
}
