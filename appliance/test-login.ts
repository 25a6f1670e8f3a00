/**
 * How Delta Chat logs in at a relay that it cannot find by its name: a link that holds the address and the ports
 * (https://github.com/deltachat/interface/blob/main/uri-schemes.md#dclogin). Called by the page on the console for
 * relays with a test domain (life/status.ts) and by `./homing vm`. Pure.
 */

/** IPv4 address of the relay, and the TCP ports of IMAP and SMTP submission over TLS there. */
export type LoginServer = Readonly<{ host: string; imapsPort: number; submissionsPort: number }>;

/** `mailAddress` may be a new one; `password` in letters and digits, or percent-encoded. */
export function loginLink(
  mailAddress: string,
  password: string,
  { host, imapsPort, submissionsPort }: LoginServer,
): string {
  const query = [
    `p=${password}&v=1`,
    `ih=${host}&ip=${imapsPort}&is=ssl`,
    `sh=${host}&sp=${submissionsPort}&ss=ssl`,
    "ic=3", // accept any certificate: nobody can have one for such an address
  ].join("&");
  return `dclogin:${mailAddress}?${query}`;
}
