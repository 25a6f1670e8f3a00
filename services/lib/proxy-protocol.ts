/**
 * The PROXY protocol, version 2: who the client behind a connection is, told by the one who passes it on
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, §2.2). The reading side; services that stand behind
 * services/mux call it. Only a trusted neighbour may reach such a socket: the header is believed.
 *
 *   offset 0   signature, 12 bytes
 *         12   version (high half: 2) and command (low half: 0 LOCAL, 1 PROXY)
 *         13   family (high half: 1 IPv4, 2 IPv6, 3 unix) and transport (low half: 1 stream)
 *         14   length of what follows, 16 bits, big-endian
 *         16   source address, destination address, source port, destination port; then TLVs
 */
import type { Socket } from "node:net";

export const proxySignature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

/** Addresses take 36 bytes at most; a neighbour that adds kilobytes of TLVs is none of ours. */
export const maxProxyBodyBytes = 1024;
const headBytes = 16;
const commands = { local: 0x20, proxy: 0x21 } as const;
/** Family and transport, with the bytes of one address. */
const addressBytes: Readonly<Record<number, number>> = { 17: 4, 33: 16 };

/** Where a connection comes from. */
export type ProxySource = Readonly<{
  /** IPv4, or IPv6 as RFC 5952 writes it. */ address: string;
  port: number;
}>;

export type ProxyHeader =
  | Readonly<{ kind: "incomplete" }>
  /** Not a header of version 2, or one that is too long: nothing of the connection can be trusted. */
  | Readonly<{ kind: "malformed" }>
  /** `length`: bytes that the header takes. `source` is null for LOCAL and for families without addresses. */
  | Readonly<{ kind: "complete"; length: number; source: ProxySource | null }>;

const incomplete: ProxyHeader = { kind: "incomplete" };
const malformed: ProxyHeader = { kind: "malformed" };

/** Reads the header at the start of `bytes`; what is wrong is known at the first byte that is wrong. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  const known = Math.min(bytes.length, proxySignature.length);
  if (bytes.compare(proxySignature, 0, known, 0, known) !== 0) return malformed;
  const command = bytes[12];
  if (command !== undefined && command !== commands.local && command !== commands.proxy) return malformed;
  if (bytes.length < headBytes) return incomplete;
  const family = bytes[13]!;
  const bodyLength = bytes.readUInt16BE(14);
  if (bodyLength > maxProxyBodyBytes) return malformed;
  const length = headBytes + bodyLength;
  const size = addressBytes[family];
  if (command === commands.proxy && size !== undefined && bodyLength < 2 * size + 4) return malformed;
  if (bytes.length < length) return incomplete;
  if (command === commands.local || size === undefined) return { kind: "complete", length, source: null };
  const address = bytes.subarray(headBytes, headBytes + size);
  const port = bytes.readUInt16BE(headBytes + 2 * size);
  return { kind: "complete", length, source: { address: addressText(address), port } };
}

/** "192.0.2.1", "2001:db8::1"; an IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is written as IPv4. */
function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return bytes.subarray(12).join(".");
  }
  const [start, length] = longestZeros(groups);
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  // RFC 5952 §4.2.2: a single group of zeros is written out.
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/** The first of the longest runs of zeros (RFC 5952 §4.2.3): where it begins, and its length. */
function longestZeros(groups: readonly number[]): readonly [start: number, length: number] {
  let best: readonly [number, number] = [0, 0];
  for (let start = 0; start < groups.length; start += 1) {
    let end = start;
    while (groups[end] === 0) end += 1;
    if (end - start > best[1]) best = [start, end - start];
  }
  return best;
}

/** The connection did not begin with a header, or not in time. */
export class ProxyHeaderError extends Error {
  override name = "ProxyHeaderError";
}

/**
 * Takes the header off a connection; what follows it stays in the socket to be read. The socket must not have been
 * read from before.
 * @throws ProxyHeaderError; the caller closes the socket then.
 */
export function takeProxyHeader(socket: Socket, limitMs: number): Promise<ProxySource | null> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const timer = setTimeout(() => end(new ProxyHeaderError("no PROXY header in time")), limitMs);
    const end = (outcome: ProxyHeaderError | ProxySource | null): void => {
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
      socket.off("error", onEnd);
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const onEnd = (): void => end(new ProxyHeaderError("the connection ended before its PROXY header"));
    const onReadable = (): void => {
      const piece = socket.read() as Buffer | null;
      if (piece === null) return;
      bytes = bytes.length === 0 ? piece : Buffer.concat([bytes, piece]);
      const header = parseProxyHeader(bytes);
      if (header.kind === "incomplete") return;
      if (header.kind === "malformed") {
        end(new ProxyHeaderError("the connection does not begin with a PROXY header of version 2"));
        return;
      }
      end(header.source);
      if (header.length < bytes.length) socket.unshift(bytes.subarray(header.length));
    };
    socket.on("readable", onReadable);
    socket.once("end", onEnd);
    socket.once("close", onEnd);
    socket.once("error", onEnd);
    onReadable();
  });
}
