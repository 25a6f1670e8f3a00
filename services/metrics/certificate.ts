/** From when until when the certificate is good that mail and web show, whoever made it. Called by scrape.ts. */
import { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { gauge } from "./families.ts";
import type { Family } from "./text-format.ts";

/** Reads it again only when the file was replaced. Nothing when there is none, or none that can be read. */
export function createCertificateLook(path: string): () => Promise<readonly Family[]> {
  let known = "";
  let families: readonly Family[] = [];
  return async () => {
    const status = await stat(path).catch(() => undefined);
    const version = status === undefined ? "" : `${status.ino} ${status.mtimeMs} ${status.size}`;
    if (version === known) return families;
    known = version;
    families = status === undefined ? [] : readTimes(await readFile(path, "latin1").catch(() => ""));
    return families;
  };
}

function readTimes(pem: string): readonly Family[] {
  try {
    const { validFromDate, validToDate } = new X509Certificate(pem);
    const seconds = (date: Date) => Math.floor(date.getTime() / 1000);
    return [
      gauge(
        "homing_certificate_not_before_seconds",
        "Beginning of the certificate in use, in seconds since 1970.",
        [[seconds(validFromDate)]],
      )!,
      gauge("homing_certificate_not_after_seconds", "End of the certificate in use, in seconds since 1970.", [
        [seconds(validToDate)],
      ])!,
    ];
  } catch {
    return []; // half a file, while it is replaced by hand
  }
}
