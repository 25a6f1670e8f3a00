/**
 * The body hash of a DKIM signature (RFC 6376 §3.7) in the relaxed and the simple canonicalization (§3.4.4 and
 * §3.4.3), taken as the body streams by: a few numbers are kept from piece to piece, whatever the size. Called by
 * outgoing.ts and dkim-verify.ts.
 */
import { createHash, type Hash } from "node:crypto";

export type BodyHash = Readonly<{
  write(piece: Buffer): void;
  /** The hash in base64; call once, after the last piece. */
  digest(): string;
}>;

const space = 0x20;
const tab = 0x09;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;
/** Empty lines are hashed in blocks of this many once a line with content follows them. */
const emptyLines = Buffer.from("\r\n".repeat(4096));

/** A hash by SHA-256 for one body, in the canonicalization of our own signatures unless another is given. */
export function createBodyHash(canonicalization: "relaxed" | "simple" = "relaxed"): BodyHash {
  return canonicalization === "relaxed" ? createRelaxedBodyHash() : createSimpleBodyHash();
}

/** RFC 6376 §3.4.3: the body as it is, with one line end for all that stand at its end, or for an empty one. */
function createSimpleBodyHash(): BodyHash {
  const hash = createHash("sha256");
  /** Line ends seen and not hashed yet, and a return after them that may begin one more. */
  let lineEnds = 0;
  let isReturnPending = false;
  const content = (octets: Uint8Array): void => {
    hashEmptyLines(hash, lineEnds);
    lineEnds = 0;
    hash.update(octets);
  };
  const endPendingReturn = (): void => {
    if (isReturnPending) content(Buffer.of(carriageReturn));
    isReturnPending = false;
  };
  return {
    write(piece) {
      if (piece.length === 0) return;
      let start = 0;
      if (isReturnPending && piece[0] === lineFeed) {
        lineEnds++;
        isReturnPending = false;
        start = 1;
      }
      if (start === piece.length) return;
      endPendingReturn();
      let end = piece.length;
      if (piece[end - 1] === carriageReturn) {
        isReturnPending = true;
        end--;
      }
      let last = end;
      while (last - start >= 2 && piece[last - 1] === lineFeed && piece[last - 2] === carriageReturn)
        last -= 2;
      if (last > start) content(piece.subarray(start, last));
      lineEnds += (end - last) / 2;
    },
    digest() {
      endPendingReturn();
      hashEmptyLines(hash, 1);
      return hash.digest("base64");
    },
  };
}

function hashEmptyLines(hash: Hash, count: number): void {
  for (let bytes = count * 2; bytes > 0; bytes -= emptyLines.length) {
    hash.update(emptyLines.subarray(0, Math.min(bytes, emptyLines.length)));
  }
}

/** RFC 6376 §3.4.4. */
function createRelaxedBodyHash(): BodyHash {
  const hash = createHash("sha256");
  let output = Buffer.alloc(0);
  let length = 0;
  /** Line ends seen and not hashed yet: those at the very end count as one. */
  let lineEnds = 0;
  let isSpacePending = false;
  let isReturnPending = false;
  let hasContent = false;

  const flush = (): void => {
    if (length > 0) hash.update(output.subarray(0, length));
    length = 0;
  };
  const writeLineEnds = (): void => {
    if (lineEnds === 1) {
      output[length++] = carriageReturn;
      output[length++] = lineFeed;
    } else if (lineEnds > 1) {
      flush();
      hashEmptyLines(hash, lineEnds);
    }
    lineEnds = 0;
  };
  const content = (octet: number): void => {
    if (lineEnds > 0) writeLineEnds();
    if (isSpacePending) {
      output[length++] = space;
      isSpacePending = false;
    }
    output[length++] = octet;
    hasContent = true;
  };

  /** Hashes whole lines that are canonical as they stand, all but the last line end; returns where they end. */
  const plainLines = (piece: Buffer, start: number, whiteSpace: number): number => {
    let at = start;
    for (;;) {
      const end = piece.indexOf(lineFeed, at) - 1;
      if (end <= at || end >= whiteSpace || piece[end] !== carriageReturn) break;
      // A return inside the line is content, and rare.
      if (piece.indexOf(carriageReturn, at) !== end) break;
      at = end + 2;
    }
    if (at === start) return start;
    if (lineEnds > 0) writeLineEnds();
    flush();
    hash.update(piece.subarray(start, at - 2));
    lineEnds = 1;
    hasContent = true;
    return at;
  };

  /** Takes octets one by one up to the end of the line; returns where it ends. */
  const anyLine = (piece: Buffer, start: number): number => {
    for (let at = start; at < piece.length; at++) {
      const octet = piece[at]!;
      if (octet === lineFeed) {
        lineEnds++;
        isReturnPending = false;
        isSpacePending = false;
        return at + 1;
      }
      if (isReturnPending) {
        // A return that ends no line is content like any other.
        isReturnPending = false;
        content(carriageReturn);
      }
      if (octet === carriageReturn) isReturnPending = true;
      else if (octet === space || octet === tab) isSpacePending = true;
      else content(octet);
    }
    return piece.length;
  };

  return {
    write(piece) {
      // A bare line feed becomes two octets; before the first octet may come a held line end, space and return.
      if (output.length < piece.length * 2 + 8) output = Buffer.alloc(piece.length * 2 + 8);
      let nextSpace = indexOrEnd(piece, space, 0);
      let nextTab = indexOrEnd(piece, tab, 0);
      for (let at = 0; at < piece.length; ) {
        const isLineStart = (lineEnds > 0 || !hasContent) && !isSpacePending && !isReturnPending;
        // Encrypted mail is nearly all such lines: this makes it several times faster.
        if (isLineStart) at = plainLines(piece, at, Math.min(nextSpace, nextTab));
        at = anyLine(piece, at);
        // Each searched for only when passed, so that no piece is searched again and again.
        if (nextSpace < at) nextSpace = indexOrEnd(piece, space, at);
        if (nextTab < at) nextTab = indexOrEnd(piece, tab, at);
      }
      flush();
    },
    digest() {
      if (isReturnPending) content(carriageReturn);
      // Empty lines at the end do not count; a body with content ends with one line end.
      if (hasContent) {
        lineEnds = 1;
        writeLineEnds();
      }
      flush();
      return hash.digest("base64");
    },
  };
}

function indexOrEnd(piece: Buffer, octet: number, start: number): number {
  const found = piece.indexOf(octet, start);
  return found < 0 ? piece.length : found;
}
