/**
 * A message as it goes over the wire after DATA: every line ends in CRLF, a line that begins with a dot gets another
 * one, and a line with a dot alone ends it all (RFC 5321 §2.3.8, §4.5.2). Bytes in, bytes out, nothing kept of either.
 * Called by smtp-client.ts.
 */

const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
const CRLF = Buffer.from("\r\n");

export type DotStuffer = Readonly<{
  /** The next bytes of the message, as they are to be written; views into `chunk` where nothing changes. */
  next: (chunk: Buffer) => Buffer[];
  /** What ends the message. */
  end: () => Buffer;
}>;

/**
 * A bare line feed becomes CRLF, as Postfix makes of it ("normalize"): which bytes are a line's end must not depend on
 * who reads, or a second message could be smuggled. A bare CR stays; the mail policy refuses it.
 */
export function createDotStuffer(): DotStuffer {
  // A line begins here.
  let last = LF;
  const dot = Buffer.of(DOT);
  return {
    next: (chunk) => {
      const pieces: Buffer[] = [];
      let from = 0;
      if (chunk.length > 0 && last === LF && chunk[0] === DOT) pieces.push(dot);
      for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, at + 1)) {
        const before = at === 0 ? last : chunk[at - 1];
        if (before !== CR) {
          pieces.push(chunk.subarray(from, at), CRLF);
          from = at + 1;
        }
        if (chunk[at + 1] === DOT) {
          pieces.push(chunk.subarray(from, at + 1), dot);
          from = at + 1;
        }
      }
      if (chunk.length > 0) {
        pieces.push(chunk.subarray(from));
        last = chunk[chunk.length - 1]!;
      }
      return pieces.filter((piece) => piece.length > 0);
    },
    end: () => Buffer.from(last === LF ? ".\r\n" : "\r\n.\r\n"),
  };
}
