/**
 * Reads which protocols a TLS client offers (ALPN, RFC 7301) from the first bytes of a connection, however they are
 * split over segments and records (RFC 8446 §4.1.2, §5.1; TLS 1.2 says the same). Pure. Called by connection.ts.
 *
 * Nothing is judged but what has to be read to get there: the back end sees the same bytes and refuses what is wrong.
 */

/**
 * Bytes of a ClientHello with the heads of its records. Hellos have 200 to 2000, of which 1200 are the key share of
 * ML-KEM-768; nginx and HAProxy give 16 KiB as well.
 */
export const MAX_HELLO_BYTES = 16_384;

/** RFC 8446 §5.1: type, version, length; then at most 2^14 bytes. */
const RECORD_HEAD_BYTES = 5;
const MAX_RECORD_BYTES = 16_384;
const HANDSHAKE_RECORD = 22;
const MAJOR_VERSION = 3;
/** RFC 8446 §4: type and a length of 24 bits. */
const MESSAGE_HEAD_BYTES = 4;
const CLIENT_HELLO = 1;
/** RFC 8446 §4.1.2: legacy_version and random, before the first vector. */
const BYTES_BEFORE_SESSION_ID = 34;
/** RFC 7301 §3.1. */
const ALPN_EXTENSION = 16;

export type HelloRead =
  /** So far it may become a ClientHello. */
  | Readonly<{ kind: "more" }>
  | Readonly<{ kind: "refused"; why: "not TLS" | "too long" }>
  /** The names in the client's order; none when it offers none. */
  | Readonly<{ kind: "hello"; protocols: readonly string[] }>;

const more: HelloRead = { kind: "more" };
const notTls: HelloRead = { kind: "refused", why: "not TLS" };
const tooLong: HelloRead = { kind: "refused", why: "too long" };

/**
 * A reader for one connection: it is given all bytes so far, each time they grow, and looks at no record twice. What is
 * refused is refused at the first byte that is wrong, and more bytes never change an answer other than "more".
 */
export function createHelloReader(): (start: Uint8Array) => HelloRead {
  /** Where the first record begins that was not yet there as a whole; offsets and lengths of those before it. */
  let at = 0;
  const fragments: (readonly [offset: number, length: number])[] = [];
  let known = 0;

  return (start) => {
    const bytes = start.subarray(0, MAX_HELLO_BYTES);
    const unfinished = start.length < MAX_HELLO_BYTES ? more : tooLong;
    for (;;) {
      if (isNoRecordHead(bytes, at)) return notTls;
      if (bytes.length < at + RECORD_HEAD_BYTES) return unfinished;
      const length = uint16(bytes, at + 3);
      const offset = at + RECORD_HEAD_BYTES;
      const there = Math.min(length, bytes.length - offset);
      if (known === 0 && there > 0 && bytes[offset] !== CLIENT_HELLO) return notTls;
      fragments.push([offset, there]);
      if (known + there >= MESSAGE_HEAD_BYTES) {
        const head = message(bytes, fragments, MESSAGE_HEAD_BYTES);
        const needed = MESSAGE_HEAD_BYTES + ((head[1]! << 16) | uint16(head, 2));
        if (needed > MAX_HELLO_BYTES - RECORD_HEAD_BYTES) return tooLong;
        if (known + there >= needed) return readMessage(message(bytes, fragments, needed));
      }
      if (there < length) {
        fragments.pop();
        return unfinished;
      }
      known += length;
      at = offset + length;
    }
  };
}

/** The first `length` bytes of the handshake message that the fragments make. */
function message(
  bytes: Uint8Array,
  fragments: readonly (readonly [number, number])[],
  length: number,
): Uint8Array {
  const first = fragments[0]!;
  if (first[1] >= length) return bytes.subarray(first[0], first[0] + length);
  const whole = new Uint8Array(length);
  let filled = 0;
  for (const [offset, size] of fragments) {
    if (filled === length) break;
    const part = bytes.subarray(offset, offset + Math.min(size, length - filled));
    whole.set(part, filled);
    filled += part.length;
  }
  return whole;
}

function readMessage(hello: Uint8Array): HelloRead {
  const protocols = offeredProtocols(hello.subarray(MESSAGE_HEAD_BYTES));
  return protocols === undefined ? notTls : { kind: "hello", protocols };
}

/** Whether what is there of a record's head cannot be one of a handshake. An empty one is forbidden (RFC 8446 §5.1). */
function isNoRecordHead(bytes: Uint8Array, at: number): boolean {
  const [type, major, high, low] = [bytes[at], bytes[at + 1], bytes[at + 3], bytes[at + 4]];
  if (type !== undefined && type !== HANDSHAKE_RECORD) return true;
  if (major !== undefined && major !== MAJOR_VERSION) return true;
  if (high === undefined || low === undefined) return false;
  const length = (high << 8) | low;
  return length === 0 || length > MAX_RECORD_BYTES;
}

/** The names in the ALPN extension; undefined when the message is none that can be read. */
function offeredProtocols(hello: Uint8Array): string[] | undefined {
  let at = BYTES_BEFORE_SESSION_ID;
  // legacy_session_id, cipher_suites, legacy_compression_methods: vectors with a length of 1, 2 and 1 bytes.
  for (const lengthBytes of [1, 2, 1]) {
    if (hello.length < at + lengthBytes) return undefined;
    at += lengthBytes + (lengthBytes === 1 ? hello[at]! : uint16(hello, at));
  }
  // RFC 5246 §7.4.1.2: a client may leave the extensions out.
  if (at === hello.length) return [];
  const extensions = vector(hello, at);
  if (extensions === undefined || at + 2 + extensions.length !== hello.length) return undefined;
  let found: string[] | undefined;
  for (let next = 0; next < extensions.length; ) {
    const data = vector(extensions, next + 2);
    if (data === undefined) return undefined;
    if (uint16(extensions, next) === ALPN_EXTENSION) {
      // RFC 8446 §4.2: none may stand twice; of two, who knows which one the back end reads.
      if (found !== undefined) return undefined;
      found = protocolNames(data);
      if (found === undefined) return undefined;
    }
    next += 4 + data.length;
  }
  return found ?? [];
}

/** RFC 7301 §3.1: a list of names of 1 to 255 bytes each. */
function protocolNames(data: Uint8Array): string[] | undefined {
  const list = vector(data, 0);
  if (list === undefined || list.length + 2 !== data.length || list.length === 0) return undefined;
  const names: string[] = [];
  for (let at = 0; at < list.length; ) {
    const length = list[at]!;
    if (length === 0 || at + 1 + length > list.length) return undefined;
    names.push(String.fromCharCode(...list.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return names;
}

/** The bytes behind a length of 16 bits at `at`; undefined when they are not all there. */
function vector(bytes: Uint8Array, at: number): Uint8Array | undefined {
  if (bytes.length < at + 2) return undefined;
  const length = uint16(bytes, at);
  return bytes.length < at + 2 + length ? undefined : bytes.subarray(at + 2, at + 2 + length);
}

function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
