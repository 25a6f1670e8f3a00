/**
 * A zone on a name server that takes changes over the DNS itself (RFC 2136), signed by TSIG (RFC 8945), over TCP: a
 * DnsProvider for BIND, Knot, PowerDNS and those registrars that offer it. I/O by one connection for each request.
 */
import { randomInt } from "node:crypto";
import { connect } from "node:net";
import { type DnsProvider, DnsProviderError, type ZoneRecord } from "./provider.ts";
import type { DnsServerAddress } from "./server-address.ts";
import { signMessage, TsigError, type TsigKey, verifyAnswer } from "./tsig.ts";
import {
  DnsFormatError,
  type DnsMessage,
  dataBytes,
  dnsClasses,
  dnsTypes,
  messageBytes,
  parseMessage,
  readData,
  recordBytes,
} from "./wire.ts";

export type Rfc2136Options = Readonly<{
  server: DnsServerAddress;
  zone: string;
  key: TsigKey;
  /** The clock, in milliseconds since 1970; signatures carry the time. */
  now?: () => number;
}>;

/** From the connection to the whole answer: a change may wait for the server's disk. In milliseconds. */
const ANSWER_TIMEOUT_MS = 15_000;
/** RFC 1035 §4.1.1, RFC 2136 §2.2: opcodes in the field of flags. */
const QUERY = 0;
const UPDATE = 5 << 11;
/** RFC 1035 §4.1.1, RFC 2136 §2.2: what the server may say, in words. */
const outcomes: Readonly<Record<number, string>> = {
  1: "FORMERR: it did not understand the request",
  2: "SERVFAIL: it has a trouble of its own; see its log",
  4: "NOTIMP: it takes no changes by RFC 2136",
  5: "REFUSED: its settings do not let this key change this zone",
  9: "NOTAUTH: it is not in charge of the zone (rfc2136_zone), or does not know the key",
  10: "NOTZONE: the name is outside the zone (rfc2136_zone)",
};
const NAME_ERROR = 3;

const tsigMends = {
  badsig: "the secret in keys/dns-update.key or rfc2136_algorithm is not what the server has",
  badkey: "it does not know the key that rfc2136_key_name and rfc2136_algorithm name",
  badtime: "its clock or the relay's is wrong",
  forged: "somebody else may answer in its place",
} as const;

/** The secret of a TSIG key file: Base64 in one line. Undefined when it is not. */
export function parseTsigSecret(text: string): Uint8Array | undefined {
  const trimmed = text.trim();
  const secret = Buffer.from(trimmed, "base64");
  const isWhole =
    trimmed !== "" && secret.toString("base64").replace(/=+$/, "") === trimmed.replace(/=+$/, "");
  return isWhole ? secret : undefined;
}

export function rfc2136Provider(options: Rfc2136Options): DnsProvider {
  const change = async (record: ZoneRecord, of: number, ttl: number) => {
    const data = dataBytes(record);
    const update = recordBytes({ name: record.name, type: dnsTypes[record.type], class: of, ttl, data });
    const zone = { name: options.zone, type: dnsTypes.SOA, class: dnsClasses.IN };
    const { outcome } = await ask(options, UPDATE, zone, [update]);
    if (outcome !== 0) throw refused(options, `change ${record.name} ${record.type}`, outcome);
  };
  return {
    list: async (name, type) => {
      const question = { name, type: dnsTypes[type], class: dnsClasses.IN };
      const { bytes, message, outcome } = await ask(options, QUERY, question, []);
      if (outcome === NAME_ERROR) return [];
      if (outcome !== 0) throw refused(options, `show ${name} ${type}`, outcome);
      return message.sections[0].flatMap((record): ZoneRecord[] => {
        if (record.name !== name || record.type !== dnsTypes[type]) return [];
        const data = readData(bytes, record);
        return data === undefined ? [] : [{ ...data, name, ttl: record.ttl }];
      });
    },
    // RFC 2136 §2.5.1 and §2.5.4.
    add: (record) => change(record, dnsClasses.IN, record.ttl),
    remove: (record) => change(record, dnsClasses.NONE, 0),
  };
}

const place = ({ server: { host, port } }: Rfc2136Options) => `the name server ${host}, port ${port},`;

function refused(options: Rfc2136Options, what: string, outcome: number): DnsProviderError {
  const words = outcomes[outcome] ?? `error ${outcome}`;
  return new DnsProviderError(`${place(options)} did not ${what} in the zone ${options.zone}: ${words}`);
}

type Answer = Readonly<{ bytes: Buffer; message: DnsMessage; outcome: number }>;

async function ask(
  options: Rfc2136Options,
  kind: number,
  question: DnsMessage["questions"][number],
  updates: readonly Buffer[],
): Promise<Answer> {
  const { key, now = Date.now } = options;
  const id = randomInt(0x1_0000);
  const seconds = () => Math.floor(now() / 1000);
  const { signed, mac } = signMessage(messageBytes(id, kind, [question], updates), key, seconds());
  try {
    const bytes = await exchange(options.server, signed);
    const message = parseMessage(bytes);
    if (message.id !== id || (message.flags & 0x8000) === 0)
      throw new DnsFormatError("no answer to the request");
    const outcome = message.flags & 0xf;
    // Servers sign no refusal of a zone that they do not have; it is a failure either way.
    if (outcome !== 0 && message.sections[2].at(-1)?.type !== dnsTypes.TSIG) {
      throw refused(options, `answer for ${question.name}`, outcome);
    }
    verifyAnswer(bytes, message, key, mac, seconds());
    return { bytes, message, outcome };
  } catch (error) {
    if (error instanceof DnsProviderError) throw error;
    if (error instanceof TsigError) {
      throw new DnsProviderError(
        `${place(options)} cannot be used: ${error.message}: ${tsigMends[error.code]}`,
      );
    }
    if (error instanceof DnsFormatError) {
      throw new DnsProviderError(`${place(options)} does not speak DNS: ${error.message}`);
    }
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new DnsProviderError(`${place(options)} does not answer over TCP: ${message}`);
  }
}

/** One message there and one back; over TCP each is led by its length (RFC 1035 §4.2.2). */
function exchange({ host, port }: DnsServerAddress, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    let received = Buffer.alloc(0);
    const end = (error: Error | undefined, answer?: Buffer) => {
      clearTimeout(timer);
      socket.destroy();
      if (answer === undefined) reject(error);
      else resolve(answer);
    };
    const fail = (code: string, text: string) => end(Object.assign(new Error(text), { code }));
    const timer = setTimeout(
      () => fail("ETIMEDOUT", `no answer within ${ANSWER_TIMEOUT_MS / 1000} seconds`),
      ANSWER_TIMEOUT_MS,
    );
    socket.once("error", (error) => end(error));
    socket.once("close", () => fail("ECONNRESET", "the connection ended before the answer"));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      end(undefined, received.subarray(2, 2 + received.readUInt16BE(0)));
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(request.length);
    socket.write(Buffer.concat([length, request]));
  });
}
