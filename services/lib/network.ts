/**
 * The network a client comes from, as limits count it: its IPv4 address, or the /48 of its IPv6 address, which
 * is what one site may be given (RFC 6177 §2), or the /64, which is one link (RFC 4291 §2.5.1): whoever has that
 * many addresses still counts once. Pure. Called by services/auth (both) and services/milter (/64).
 */
import { isIPv4, isIPv6 } from "node:net";

/** Whatever comes without an address counts as one network. */
const nowhere = "nowhere";

/** @param address as Dovecot or Postfix writes it; anything else is `nowhere`. */
export function networkOf(address: string, prefix: 48 | 64 = 48): string {
  if (isIPv4(address)) return address;
  if (!isIPv6(address)) return nowhere;
  // RFC 4291 §2.5.5.2: an IPv4 client at a socket for both.
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  return `${groups(address)
    .slice(0, prefix / 16)
    .join(":")}::/${prefix}`;
}

/** The first groups of 16 bits in hexadecimal; those that "::" stands for are zero (RFC 4291 §2.2). */
function groups(address: string): string[] {
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const split = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const before = split(head);
  const after = split(tail ?? "");
  // A dotted end counts as two groups; it never reaches the first four unless there are none before.
  const gap =
    tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length - (tail.includes(".") ? 1 : 0));
  return [...before, ...Array<string>(gap).fill("0"), ...after].map((group) =>
    group.includes(".") ? group : Number.parseInt(group, 16).toString(16),
  );
}
