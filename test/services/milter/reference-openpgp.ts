/**
 * Armor and OpenPGP packets for the reference judge: read by openpgp, and once more by plain rules of RFC 9580,
 * for openpgp skips what a filter may not skip (text around the armor, padding and marker packets, missing
 * bytes after an indeterminate length). Independent of the product.
 */
import {
  config,
  PacketList,
  PublicKeyEncryptedSessionKeyPacket,
  SymEncryptedIntegrityProtectedDataPacket,
  SymEncryptedSessionKeyPacket,
  unarmor,
} from "openpgp";

type RawPacket = Readonly<{ tag: number; body: Uint8Array }>;

/** Whether the lines are an armored message of session keys and one encrypted data packet. */
export async function readArmoredPackets(lines: readonly string[], allowVersion: boolean): Promise<boolean> {
  const bytes = armoredBytes(lines, allowVersion);
  if (bytes === null || !isEncryptedMessage(bytes)) return false;
  // openpgp must read the very same bytes out of it.
  const { data } = await unarmor(lines.join("\r\n"));
  if (!Buffer.from(data as Uint8Array).equals(bytes)) return false;
  return (
    (await openpgpTags(bytes))?.join() ===
    framed(bytes)!
      .map(({ tag }) => tag)
      .join()
  );
}

/** The bytes in an armor (RFC 9580 §6.2) without anything that is not needed; null when it is none. */
export function armoredBytes(lines: readonly string[], allowVersion: boolean): Buffer | null {
  const found =
    /^-----BEGIN PGP MESSAGE-----\n(Version: [\x20-\x7e]{0,91}\n)?\n+((?:[A-Za-z0-9+/=]+\n)+)-----END PGP MESSAGE-----\n*$/.exec(
      `${lines.join("\n")}\n`,
    );
  if (found === null || (found[1] !== undefined && !allowVersion)) return null;
  const data = found[2]!.split("\n").slice(0, -1);
  // RFC 9580 §6.1: a checksum in whose value nobody may be interested.
  if (/^=[A-Za-z0-9+/]{4}$/.test(data.at(-1)!)) data.pop();
  const base64 = data.join("");
  const bytes = Buffer.from(base64, "base64");
  return base64 !== "" && bytes.toString("base64") === base64 ? bytes : null;
}

/** Session keys, then encrypted data, by the frames and the first octets of the bodies. */
export function isEncryptedMessage(bytes: Uint8Array): boolean {
  const packets = framed(bytes);
  const last = packets?.pop();
  if (packets === null || last === undefined) return false;
  return last.tag === 18 && isPossible(last) && packets.every((one) => one.tag !== 18 && isPossible(one));
}

function isPossible({ tag, body }: RawPacket): boolean {
  const size = body.length;
  const version = body[0]!;
  if (tag === 1) return size >= 12 && size <= 4096 && (version === 3 || version === 6);
  if (tag === 3) return size >= 4 && size <= 4096 && (version === 4 || version === 6);
  if (tag !== 18) return false;
  if (version === 1) return size >= 35;
  const [, cipher, mode, chunk] = body;
  return (
    version === 2 && size >= 70 && cipher! >= 7 && cipher! <= 13 && mode! >= 1 && mode! <= 3 && chunk! <= 16
  );
}

/** The packets (RFC 9580 §4.2), or null when the bytes are not wholly made of them. */
function framed(bytes: Uint8Array): RawPacket[] | null {
  const packets: RawPacket[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  try {
    while (at < bytes.length) {
      const first = view.getUint8(at++);
      if (first < 0x80) return null;
      const isNew = first >= 0xc0;
      const tag = isNew ? first - 0xc0 : (first - 0x80) >> 2;
      const pieces: Uint8Array[] = [];
      for (let isLast = false; !isLast; ) {
        let length: number;
        isLast = true;
        if (!isNew) {
          const width = [1, 2, 4, 0][first & 3];
          if (width === 0) return null;
          length = width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at) : view.getUint32(at);
          at += width!;
        } else {
          const octet = view.getUint8(at++);
          if (octet === 255) {
            length = view.getUint32(at);
            at += 4;
          } else if (octet >= 224) {
            length = 1 << (octet - 224);
            // §4.2.1.4: data packets only, 512 octets first.
            if (tag !== 18 || (pieces.length === 0 && length < 512)) return null;
            isLast = false;
          } else if (octet >= 192) {
            length = (octet - 192) * 256 + view.getUint8(at++) + 192;
          } else length = octet;
        }
        if (length < 0 || at + length > bytes.length) return null;
        pieces.push(bytes.subarray(at, at + length));
        at += length;
      }
      packets.push({ tag, body: Buffer.concat(pieces) });
    }
  } catch (error) {
    // A length that the bytes end in.
    if (error instanceof RangeError) return null;
    throw error;
  }
  return packets;
}

// openpgp's types say a Map, its code reads an object by tag.
const allowed = {
  1: PublicKeyEncryptedSessionKeyPacket,
  3: SymEncryptedSessionKeyPacket,
  18: SymEncryptedIntegrityProtectedDataPacket,
};

/**
 * The types of the packets as openpgp sees them, or null when it refuses the message. A session key that it
 * cannot use (an algorithm it does not know, nonsense inside) counts: it hides nothing.
 */
async function openpgpTags(bytes: Uint8Array): Promise<number[] | null> {
  const lenient = { ...config, ignoreUnsupportedPackets: true, ignoreMalformedPackets: true };
  try {
    const list = await PacketList.fromBinary(bytes, allowed as never, lenient);
    return list.map(
      (packet) => (packet as { tag?: number }).tag ?? (packet.constructor as unknown as { tag: number }).tag,
    );
  } catch {
    return null;
  }
}
