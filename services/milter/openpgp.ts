/**
 * Says whether bytes are an encrypted OpenPGP message by its packets' frame (RFC 9580 §4.2, §10.3): session
 * keys (PKESK, SKESK), then one encrypted data packet (SEIPD) that ends exactly where the bytes end. Nothing
 * is decrypted and nothing kept: a few numbers whatever the size. Called by judge.ts with what armor.ts decodes.
 */

/** RFC 9580 §5. */
const packetType = { publicKeySession: 1, symmetricKeySession: 3, encryptedData: 18 } as const;

/** RFC 9580 §4.2.1.4: the first partial length is at least 512 octets. */
const MIN_FIRST_PARTIAL = 512;

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

  const enterBody = (): void => {
    remaining = length;
    state = "body";
    if (remaining === 0) leaveBody();
  };
  const leaveBody = (): void => {
    if (isPartial) state = "length";
    else state = type === packetType.encryptedData ? "done" : "tag";
  };

  const tag = (octet: number): string | null => {
    if ((octet & 0x80) === 0) return "no OpenPGP packet where one should begin";
    const isLegacy = (octet & 0x40) === 0;
    type = isLegacy ? (octet >> 2) & 0x0f : octet & 0x3f;
    if (!Object.values<number>(packetType).includes(type)) return `an OpenPGP packet of type ${type}`;
    isPartial = false;
    partials = 0;
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
      enterBody();
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
      enterBody();
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
        if (--moreOctets === 0) {
          length += twoOctetOffset;
          twoOctetOffset = 0;
          enterBody();
        }
        return null;
      default:
        return "data after the encrypted data packet";
    }
  };

  return {
    push(bytes) {
      for (let at = 0; at < bytes.length; ) {
        if (state === "body") {
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
