/**
 * Finds the end of a message in what follows DATA (RFC 5321 §4.1.1.4) and takes its fingerprint on the way. All but the
 * last line, the dot alone, is given on as it comes: until that line is written nobody has the message. Called by
 * conversation.ts.
 */
import { createHash } from "node:crypto";

const END = Buffer.from("\r\n.\r\n");
/** What is given on later, and what stands before a message: a line begins there. */
const LINE_END = END.subarray(0, 2);
/** The last line of a message, which the conversation writes. */
export const LAST_LINE = END.subarray(2);

/** So much of a header is kept, in which the Message-ID is looked for: it stands in the first lines of all we know. */
const MAX_HEADER_BYTES = 64 * 1024;

export type MessageReader = Readonly<{
  /** `give`: bytes to write on. `rest`: there once the last line was read; what came after it. */
  next: (chunk: Buffer) => Readonly<{ give: Buffer; rest?: Buffer }>;
  /** SHA-256 of the message as it was written, once `rest` was there. */
  digest: () => Buffer;
  /** With its angle brackets; undefined when there is none that can be searched for. */
  messageId: () => string | undefined;
}>;

export function createMessageReader(): MessageReader {
  const hash = createHash("sha256");
  const header: Buffer[] = [];
  let headerBytes = 0;
  /** The last bytes, which may be the beginning of the end; the first two of all were never read. */
  let held: Buffer = LINE_END;
  let isFirst = true;
  const giving = (bytes: Buffer): Buffer => {
    const give = isFirst ? bytes.subarray(LINE_END.length) : bytes;
    if (bytes.length >= LINE_END.length) isFirst = false;
    hash.update(give);
    if (headerBytes < MAX_HEADER_BYTES) {
      header.push(give);
      headerBytes += give.length;
    }
    return give;
  };
  return {
    next: (chunk) => {
      const bytes = Buffer.concat([held, chunk]);
      const end = bytes.indexOf(END);
      if (end >= 0) {
        const give = giving(bytes.subarray(0, end + LINE_END.length));
        return { give, rest: bytes.subarray(end + END.length) };
      }
      const sure = Math.max(0, bytes.length - (END.length - 1));
      // The line end before the message is given on as nothing, in one piece.
      if (isFirst && sure < LINE_END.length) {
        held = bytes;
        return { give: Buffer.alloc(0) };
      }
      held = bytes.subarray(sure);
      return { give: giving(bytes.subarray(0, sure)) };
    },
    digest: () => hash.digest(),
    messageId: () => {
      const text = Buffer.concat(header).toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      return /^Message-ID:[ \t]*(?:\r\n[ \t]+)?(<[\x21-\x3d\x3f-\x7e]+>)/im.exec(
        end < 0 ? text : text.slice(0, end),
      )?.[1];
    },
  };
}
