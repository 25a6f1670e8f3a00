/**
 * Says whether bytes are an encrypted OpenPGP message by its packets' frame (RFC 9580 §4.2, §10.3): session
 * keys (PKESK, SKESK), then one encrypted data packet (SEIPD) that ends exactly where the bytes end, each of a
 * known version and a possible size. Nothing is decrypted and nothing kept: a few numbers whatever the size.
 * Called by judge.ts with what armor.ts decodes.
 */

/** RFC 9580 §5. */
const packetType = { publicKeySession: 1, symmetricKeySession: 3, encryptedData: 18 } as const;

type Kind = Readonly<{ versions: readonly number[]; minBytes: number; maxBytes: number }>;

/** What is in no way a session key must not pass as one: the largest are of RSA-16384 and ML-KEM-1024, 2 kB. */
const MAX_SESSION_KEY_BYTES = 4096;

const kinds: ReadonlyMap<number, Kind> = new Map([
  // RFC 9580 §5.1. The least: version, key id, algorithm and one empty number.
  [packetType.publicKeySession, { versions: [3, 6], minBytes: 12, maxBytes: MAX_SESSION_KEY_BYTES }],
  // RFC 9580 §5.3. The least: version, cipher and a simple S2K with its hash.
  [packetType.symmetricKeySession, { versions: [4, 6], minBytes: 4, maxBytes: MAX_SESSION_KEY_BYTES }],
  // RFC 9580 §5.13.1. The least: version, a block of 8 octets and two more, an empty packet, the hash packet.
  [packetType.encryptedData, { versions: [1, 2], minBytes: 35, maxBytes: Number.POSITIVE_INFINITY }],
]);

/** RFC 9580 §5.13.2: version, cipher, AEAD mode, chunk size, salt of 32; an empty packet; two tags of 16. */
const MIN_AEAD_BYTES = 70;
const AEAD_VERSION = 2;
/** RFC 9580 §9.3 (AES, Twofish, Camellia), §9.6, §5.13.2: the octets at 1, 2 and 3 of version 2, lowest and highest. */
const aeadOctets = [
  [7, 13],
  [1, 3],
  [0, 16],
] as const;

/** RFC 9580 §4.2.1.4: the first partial length is at least 512 octets. */
const MIN_FIRST_PARTIAL = 512;

const INSPECTED_OCTETS = 1 + aeadOctets.length;

export type PacketSequence = Readonly<{
  /** Takes the next bytes; returns why they are no encrypted message, or null. */
  push(bytes: Uint8Array): string | null;
  /** At the end of the bytes: why they are no encrypted message, or null when they are one. */
  end(): string | null;
}>;

export function createPacketSequence(): PacketSequence {
  /** What the next byte is; `more` is a following octet of a length. */
  let state: "tag" | "length" | "more" | "body" | "done" = "tag";
  let type = 0;
  let moreOctets = 0;
  /** Added to a two-octet length when its second octet is there (§4.2.1.2). */
  let twoOctetOffset = 0;
  let length = 0;
  let remaining = 0;
  let isPartial = false;
  let partials = 0;
  let kind: Kind = kinds.get(packetType.encryptedData)!;
  let version = 0;
  /** Of this packet's body: announced so far, and seen of its first octets. */
  let bodyBytes = 0;
  let seen = 0;

  const enterBody = (): string | null => {
    remaining = length;
    bodyBytes += length;
    if (bodyBytes > kind.maxBytes) return "an OpenPGP packet too large for a session key";
    if (!isPartial && bodyBytes < leastBytes()) return "an OpenPGP packet too small for what it should hold";
    state = "body";
    return remaining === 0 ? leaveBody() : null;
  };
  const leaveBody = (): null => {
    if (isPartial) state = "length";
    else state = type === packetType.encryptedData ? "done" : "tag";
    return null;
  };
  const leastBytes = (): number =>
    type === packetType.encryptedData && version === AEAD_VERSION ? MIN_AEAD_BYTES : kind.minBytes;

  /** The octets at the beginning of a body that say how the rest is made. */
  const bodyOctet = (octet: number): string | null => {
    const at = seen++;
    if (at === 0) {
      version = octet;
      if (!kind.versions.includes(octet)) return `an OpenPGP packet of type ${type} in version ${octet}`;
      if (!isPartial && bodyBytes < leastBytes())
        return "an OpenPGP packet too small for what it should hold";
    } else if (type === packetType.encryptedData && version === AEAD_VERSION) {
      const [lowest, highest] = aeadOctets[at - 1]!;
      if (octet < lowest || octet > highest) return "encrypted data in a way unknown to OpenPGP";
    }
    return null;
  };

  const tag = (octet: number): string | null => {
    if ((octet & 0x80) === 0) return "no OpenPGP packet where one should begin";
    const isLegacy = (octet & 0x40) === 0;
    type = isLegacy ? (octet >> 2) & 0x0f : octet & 0x3f;
    const found = kinds.get(type);
    if (found === undefined) return `an OpenPGP packet of type ${type}`;
    kind = found;
    isPartial = false;
    partials = 0;
    version = 0;
    bodyBytes = 0;
    seen = 0;
    length = 0;
    if (!isLegacy) {
      state = "length";
      return null;
    }
    // RFC 9580 §4.2.2: 1, 2 or 4 octets; type 3 is "until the end", which would hide that bytes are missing.
    if ((octet & 3) === 3) return "an OpenPGP packet of indeterminate length";
    moreOctets = 1 << (octet & 3);
    state = "more";
    return null;
  };

  const firstLengthOctet = (octet: number): string | null => {
    isPartial = false;
    if (octet < 192) {
      length = octet;
      return enterBody();
    } else if (octet < 224) {
      length = octet - 192;
      moreOctets = 1;
      state = "more";
      twoOctetOffset = 192;
    } else if (octet === 255) {
      length = 0;
      moreOctets = 4;
      state = "more";
    } else {
      if (type !== packetType.encryptedData) return "a partial length in a session key packet";
      length = 2 ** (octet & 0x1f);
      if (partials++ === 0 && length < MIN_FIRST_PARTIAL) return "a first partial length below 512";
      isPartial = true;
      return enterBody();
    }
    return null;
  };

  const nextOctet = (octet: number): string | null => {
    switch (state) {
      case "tag":
        return tag(octet);
      case "length":
        return firstLengthOctet(octet);
      case "more":
        length = length * 256 + octet;
        if (--moreOctets > 0) return null;
        length += twoOctetOffset;
        twoOctetOffset = 0;
        return enterBody();
      default:
        return "data after the encrypted data packet";
    }
  };

  return {
    push(bytes) {
      for (let at = 0; at < bytes.length; ) {
        if (state === "body") {
          // The first octets one by one; they never reach over a partial length, whose first is at least 512.
          for (
            let most = Math.min(remaining, bytes.length - at);
            seen < INSPECTED_OCTETS && most > 0;
            most--
          ) {
            const problem = bodyOctet(bytes[at++]!);
            if (problem !== null) return problem;
            remaining--;
          }
          const taken = Math.min(remaining, bytes.length - at);
          remaining -= taken;
          at += taken;
          if (remaining === 0) leaveBody();
          continue;
        }
        const problem = nextOctet(bytes[at++]!);
        if (problem !== null) return problem;
      }
      return null;
    },
    end: () => (state === "done" ? null : "the OpenPGP data is incomplete"),
  };
}
