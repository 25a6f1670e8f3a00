/**
 * What to do about requests that failed, in words for whoever started the build. Called by
 * image/packages/{download,release,npm-command}.ts.
 */
import { proxyText } from "./proxy.ts";

/** OpenSSL's words, as Node names them, for a certificate of an authority that it does not know. */
const UNKNOWN_AUTHORITY =
  /SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT|self[- ]signed certificate|unable to (verify the first|get (local )?issuer) certificate/;

/** Whether a program complains about an authority that Node does not know. */
export function isUnknownAuthority(complaint: string): boolean {
  return UNKNOWN_AUTHORITY.test(complaint);
}

/** One or two sentences. */
export function networkMend(
  problems: readonly Error[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (problems.some(({ message }) => isUnknownAuthority(message))) {
    return (
      "The server's certificate is signed by an authority that Node does not know, as behind a proxy that opens " +
      "encrypted connections. Name the authority's certificate: NODE_EXTRA_CA_CERTS=FILE in the environment."
    );
  }
  const proxy = proxyText(env);
  return proxy === ""
    ? "Check the network connection, then run the same command again."
    : `Check the network connection and the proxy that the environment names (${proxy}), then run the same command again.`;
}
