/**
 * Decompresses one .xz file on the calling thread, by xz-embedded compiled to WebAssembly. Called by
 * image/formats/xz.ts and its worker. Layout: "The .xz File Format" 1.2.1, tukaani.org/xz/xz-file-format.txt.
 */
import xz from "xz-decompress"; // CommonJS without named exports

/** The bytes are not one whole, sound .xz stream. */
export class XzError extends Error {
  override name = "XzError";
}

/** What the largest package of a Debian release unpacks to is far below this; more is hostile, in bytes. */
const MAX_CONTENT_BYTES = 1 << 30;

const HEADER_MAGIC = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);
const FOOTER_MAGIC = Buffer.from("YZ", "latin1");
const FOOTER_BYTES = 12;
/** How the package ends its message for XZ_OPTIONS_ERROR (xz.h): it is compiled without the filters for code. */
const OPTIONS_ERROR = "error code 6";

/**
 * The length of the uncompressed content, in bytes, from the index at the end of the file (§4): the memory
 * is allocated once and its amount is known before any work is done. Only files of one stream, without padding
 * behind it, are taken, because no others occur in Debian.
 */
export function xzContentBytes(bytes: Uint8Array): number {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!file.subarray(0, 6).equals(HEADER_MAGIC)) throw new XzError("not an .xz file: the magic is missing");
  const footer = file.length - FOOTER_BYTES;
  if (footer < FOOTER_BYTES || !file.subarray(-2).equals(FOOTER_MAGIC)) {
    throw new XzError("the .xz file is cut off: its footer is missing");
  }
  const backwardSize = (file.readUInt32LE(footer + 4) + 1) * 4; // §2.1.2.2: counts from the index's start
  let at = footer - backwardSize;
  if (at < FOOTER_BYTES || file[at] !== 0x00) throw new XzError("the index of the .xz file is malformed");
  at++;
  const integer = () => {
    // §1.2: seven bits a byte, the lowest first, the highest bit says that more follow
    let value = 0;
    for (let shift = 0; shift < 9; shift++) {
      const byte = file[at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (!(byte & 0x80)) return value;
    }
    throw new XzError("a number in the index of the .xz file is malformed");
  };
  let total = 0;
  for (let records = integer(); records > 0; records--) {
    integer(); // unpadded size: the size of the compressed block
    total += integer();
    if (at > footer) throw new XzError("the index of the .xz file is malformed");
    if (total > MAX_CONTENT_BYTES) throw new XzError(`more than ${MAX_CONTENT_BYTES} bytes are refused`);
  }
  return total;
}

/** The content of an .xz file. Throws XzError when it is damaged, cut off or of more than one stream. */
export async function decompressXzHere(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const content = new Uint8Array(xzContentBytes(bytes));
  // The queue holds no chunk unread, so that the decoder never runs ahead of this loop.
  const compressed = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        controller.enqueue(bytes);
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  let length = 0;
  try {
    for await (const chunk of new xz.XzReadableStream(compressed)) {
      if (length + chunk.length > content.length)
        throw new XzError(
          "the .xz file holds more than its last index tells: damaged, or of several streams",
        );
      content.set(chunk, length);
      length += chunk.length;
    }
  } catch (error) {
    if (error instanceof XzError) throw error;
    const problem = error instanceof Error ? error.message : String(error);
    if (problem.endsWith(OPTIONS_ERROR)) throw new XzError("the .xz file uses filters other than LZMA2");
    throw new XzError(`the .xz file is damaged (${problem})`);
  }
  if (length !== content.length) {
    throw new XzError(`the .xz file holds ${length} bytes where its index tells ${content.length}`);
  }
  return content;
}
