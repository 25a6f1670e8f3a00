/**
 * Cuts the byte stream from the mail server into milter packets (layout in protocol.ts). A packet is held until it
 * is whole; only pieces of the body are passed on as they come, so a connection never holds a piece of a message.
 * Called by connection.ts.
 */
import { MilterProtocolError } from "./protocol.ts";

/**
 * Largest packet that has to be held. The longest real ones are header fields: Postfix cuts them at its
 * header_size_limit (102400 octets).
 */
export const MAX_HELD_BYTES = 256 * 1024;

/** Largest piece of the body: libmilter's MILTER_MDS_1M, the most a peer may agree on. Postfix sends 65535. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** A whole packet, or a piece of a body packet. */
export type Packet = Readonly<{
  command: string;
  /** A view of what was received: valid as long as nobody writes to it. */
  data: Buffer;
  /** False while more of this body packet follows; true for all others. */
  isWhole: boolean;
}>;

export type PacketReader = Readonly<{
  /** Takes what was received. Everything before must have been taken out by `next`. */
  push(bytes: Buffer): void;
  /** The next packet or piece, or null when more bytes are needed. Throws MilterProtocolError. */
  next(): Packet | null;
  /** Whether a packet has begun and is not complete. */
  isInside(): boolean;
}>;

const bodyCommand = 0x42;
const nothing = Buffer.alloc(0);

export function createPacketReader(): PacketReader {
  let bytes: Buffer = nothing;
  let at = 0;
  /** u32 length | u8 command of the packet that has begun, and how much of it has come. */
  const head = Buffer.alloc(5);
  let headBytes = 0;
  /** What is still to come of the packet's data once the head is there. */
  let missing = 0;
  /** Gathers a packet that did not come in one piece; grows with what came, not with what was announced. */
  let gathered = nothing;
  let gatheredBytes = 0;

  const readHead = (): boolean => {
    while (headBytes < head.length) {
      if (at === bytes.length) return false;
      head[headBytes++] = bytes[at++]!;
      // Not even a command: nothing more need be awaited.
      if (headBytes === 4 && head.readUInt32BE(0) === 0) throw new MilterProtocolError("a packet of 0 bytes");
    }
    const length = head.readUInt32BE(0);
    const most = head[4] === bodyCommand ? MAX_BODY_BYTES : MAX_HELD_BYTES;
    if (length - 1 > most) {
      throw new MilterProtocolError(`a packet of ${length} bytes; allowed are 1 to ${most + 1}`);
    }
    missing = length - 1;
    return true;
  };

  const take = (): Buffer => {
    const piece = bytes.subarray(at, at + missing);
    at += piece.length;
    missing -= piece.length;
    return piece;
  };

  const gather = (piece: Buffer): void => {
    const needed = gatheredBytes + piece.length;
    if (gathered.length < needed) {
      const larger = Buffer.allocUnsafe(Math.min(needed + missing, needed * 2));
      gathered.copy(larger, 0, 0, gatheredBytes);
      gathered = larger;
    }
    piece.copy(gathered, gatheredBytes);
    gatheredBytes = needed;
  };

  const finish = (data: Buffer): Packet => {
    headBytes = 0;
    gathered = nothing;
    gatheredBytes = 0;
    return { command: String.fromCharCode(head[4]!), data, isWhole: true };
  };

  return {
    push(received) {
      bytes = received;
      at = 0;
    },
    next() {
      // The length of a packet that has begun is known; its head is read once.
      if (headBytes < head.length && !readHead()) return null;
      if (missing > 0 && at === bytes.length) return null;
      const piece = take();
      if (head[4] === bodyCommand) {
        return missing === 0 ? finish(piece) : { command: "B", data: piece, isWhole: false };
      }
      if (missing === 0 && gatheredBytes === 0) return finish(piece);
      gather(piece);
      return missing === 0 ? finish(gathered.subarray(0, gatheredBytes)) : null;
    },
    isInside: () => headBytes > 0,
  };
}
