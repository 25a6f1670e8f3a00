/**
 * The certificate that the web service shows, and its key. The chain is watched: a new one counts for the next
 * connection, and those that are there go on. Called by service.ts.
 */
import { constants } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Log } from "../lib/log.ts";

/** TLS 1.3 (RFC 8446), and of 1.2 only what RFC 9325 §4.2 recommends: fresh keys, authenticated encryption. */
const ciphers =
  "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE+AESGCM:ECDHE+CHACHA20";

export type ShownCertificate = Readonly<{
  /** For a new connection. */
  context(): SecureContext;
  stop(): void;
}>;

/** Throws the errors of the file system and of OpenSSL when chain and key cannot be used now. */
export async function watchCertificate(
  paths: Readonly<{ chain: string; key: string }>,
  log: Log,
): Promise<ShownCertificate> {
  const read = async (): Promise<SecureContext> => {
    const [cert, key] = await Promise.all([readFile(paths.chain), readFile(paths.key)]);
    return createSecureContext({
      cert,
      key,
      minVersion: "TLSv1.2",
      ciphers,
      honorCipherOrder: true,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
  };
  // Before the first look, so that no change is missed. The file is replaced by another of its name.
  let change: () => void = () => {};
  const watcher: FSWatcher = watch(dirname(paths.chain), (_event, name) => {
    if (name === basename(paths.chain)) change();
  });
  let shown = await read().catch((error: unknown) => {
    watcher.close();
    throw error;
  });
  change = () => {
    read().then(
      (context) => {
        shown = context;
        log.info("showing a new certificate");
      },
      (cause) => log.error("the new certificate cannot be used, showing the old one", {}, cause),
    );
  };
  return { context: () => shown, stop: () => watcher.close() };
}
