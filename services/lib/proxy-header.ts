/**
 * Tells a server behind us who the client is, by the PROXY protocol, version 2
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, §2.2). The writing side; proxy-protocol.ts reads.
 * Pure. Called by what passes on connections or mail of others: services/mux.
 */
import { isIPv4 } from "node:net";
import { proxySignature } from "./proxy-protocol.ts";

/** An IPv4 or IPv6 address as the kernel writes it, and a port. */
export type Endpoint = Readonly<{ address: string; port: number }>;

/** Version 2, command PROXY. */
const VERSION_AND_COMMAND = 0x21;
/** Family and transport: stream over IPv4, over IPv6. */
const families = { 4: 0x11, 16: 0x21 } as const;
/** Up to here, with the length of what follows. */
const HEAD_BYTES = 16;

/**
 * The header for a connection from `source` to `destination`. IPv4 addresses mapped into IPv6 (RFC 4291 §2.5.5.2)
 * count as IPv4.
 */
export function proxyHeader(source: Endpoint, destination: Endpoint): Buffer {
  const [from, to] = [withoutMapping(source.address), withoutMapping(destination.address)];
  // Both have to be of one family; a dual socket has clients of one and itself an address of the same.
  const size = isIPv4(from) && isIPv4(to) ? 4 : 16;
  const header = Buffer.alloc(HEAD_BYTES + 2 * size + 4);
  proxySignature.copy(header);
  header[12] = VERSION_AND_COMMAND;
  header[13] = families[size];
  header.writeUInt16BE(2 * size + 4, 14);
  writeAddress(header, HEAD_BYTES, from, size);
  writeAddress(header, HEAD_BYTES + size, to, size);
  header.writeUInt16BE(source.port, HEAD_BYTES + 2 * size);
  header.writeUInt16BE(destination.port, HEAD_BYTES + 2 * size + 2);
  return header;
}

function withoutMapping(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** Into zeroed bytes. */
function writeAddress(header: Buffer, at: number, address: string, size: 4 | 16): void {
  if (isIPv4(address)) {
    if (size === 16) header.writeUInt16BE(0xffff, at + 10);
    for (const [i, byte] of address.split(".").entries()) header[at + size - 4 + i] = Number(byte);
    return;
  }
  // RFC 4291 §2.2: "::" stands for as many zeros as are missing. The zone of a link's address has no place here.
  const [head = "", tail = ""] = address.replace(/%.*$/, "").split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  for (const [i, group] of groups(head).entries())
    header.writeUInt16BE(Number.parseInt(group, 16), at + 2 * i);
  const last = groups(tail);
  for (const [i, group] of last.entries()) {
    header.writeUInt16BE(Number.parseInt(group, 16), at + 16 - 2 * (last.length - i));
  }
}
