/**
 * Requests to a name server over TCP, signed by TSIG (RFC 8945), and what comes back: one message, or all those of a
 * zone's transfer (RFC 5936). Errors are in words. Called by rfc2136.ts. I/O by one connection for each request.
 */
import { randomInt } from "node:crypto";
import { connect } from "node:net";
import { DnsProviderError } from "./provider.ts";
import type { DnsServerAddress } from "./server-address.ts";
import { signMessage, TsigError, type TsigKey, verifyAnswer, verifyNext } from "./tsig.ts";
import {
  DnsFormatError,
  type DnsMessage,
  dnsClasses,
  dnsTypes,
  messageBytes,
  parseMessage,
  type ResourceRecord,
  type UpdateSections,
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
/** Of a whole transfer. In milliseconds. */
const TRANSFER_TIMEOUT_MS = 60_000;
/** A zone of some hundred thousand records; zones of relays have some dozen. In bytes. */
const MAX_TRANSFER_BYTES = 32 * 1024 * 1024;
/** RFC 8945 §5.3.1: at most 99 messages go by without a signature. */
const MAX_UNSIGNED = 99;
/** RFC 1035 §4.1.1, RFC 2136 §2.2: what the server may say, in words. */
const outcomes: Readonly<Record<number, string>> = {
  1: "FORMERR: it did not understand the request",
  2: "SERVFAIL: it has a trouble of its own; see its log",
  4: "NOTIMP: it takes no changes by RFC 2136",
  5: "REFUSED: it does not have the zone (rfc2136_zone), or its settings do not let this key at it",
  7: "YXRRSET: somebody else changes it at the same time",
  8: "NXRRSET: somebody else changes it at the same time",
  9: "NOTAUTH: it is not in charge of the zone (rfc2136_zone), or does not know the key",
  10: "NOTZONE: the name is outside the zone (rfc2136_zone)",
};

const tsigMends = {
  badsig: "the secret in keys/dns-update.key or rfc2136_algorithm is not what the server has",
  badkey: "it does not know the key that rfc2136_key_name and rfc2136_algorithm name",
  badtime: "its clock or the relay's is wrong",
  forged: "somebody else may answer in its place",
} as const;

export type DnsAnswer = Readonly<{ bytes: Buffer; message: DnsMessage; outcome: number }>;

/** What was not done and why, by the outcome in the answer (RCODE). */
export function refused(options: Rfc2136Options, what: string, outcome: number): DnsProviderError {
  const words = outcomes[outcome] ?? `error ${outcome}`;
  const problem = [5, 9].includes(outcome) ? "credentials" : "refused";
  return new DnsProviderError(
    `${place(options)} did not ${what} in the zone ${options.zone}: ${words}`,
    problem,
  );
}

const place = ({ server: { host, port } }: Rfc2136Options) => `the name server ${host}, port ${port},`;

/** `kind`: the field of flags. Throws DnsProviderError. */
export async function askServer(
  options: Rfc2136Options,
  kind: number,
  question: DnsMessage["questions"][number],
  sections: UpdateSections = {},
): Promise<DnsAnswer> {
  return await inWords(options, async () => {
    const { id, signed, mac } = sign(options, kind, question, sections);
    const [bytes] = await exchange(options.server, signed, ANSWER_TIMEOUT_MS, () => true);
    const answer = parseAnswer(options, bytes!, id, question.name);
    verifyAnswer(answer.bytes, answer.message, options.key, mac, secondsOf(options));
    return answer;
  });
}

/** All records of the zone, in the server's order; the SOA is at both ends (RFC 5936 §2.2). Throws DnsProviderError. */
export async function transferZone(
  options: Rfc2136Options,
): Promise<{ bytes: Buffer; record: ResourceRecord }[]> {
  return await inWords(options, async () => {
    const question = { name: options.zone, type: dnsTypes.AXFR, class: dnsClasses.IN };
    const { id, signed, mac } = sign(options, 0, question, {});
    const records: { bytes: Buffer; record: ResourceRecord }[] = [];
    let lastMac = mac;
    let isFirst = true;
    let between: Buffer[] = [];
    const take = (bytes: Buffer): boolean => {
      const { message, outcome } = parseAnswer(options, bytes, id, options.zone);
      if (message.sections[2].at(-1)?.type !== dnsTypes.TSIG && !isFirst) {
        between.push(bytes);
        if (between.length > MAX_UNSIGNED) throw new TsigError("forged", "its answer is not signed");
      } else {
        const [key, now] = [options.key, secondsOf(options)];
        lastMac = isFirst
          ? verifyAnswer(bytes, message, key, lastMac, now)
          : verifyNext(bytes, message, key, lastMac, between, now);
        [isFirst, between] = [false, []];
      }
      if (outcome !== 0) throw refused(options, "transfer the records", outcome);
      records.push(...message.sections[0].map((record) => ({ bytes, record })));
      const isEnd = records.length > 1 && records.at(-1)?.record.type === dnsTypes.SOA;
      if (records[0]?.record.type !== dnsTypes.SOA) throw new DnsFormatError("no transfer of a zone");
      // RFC 8945 §5.3.1: the last one must be signed.
      if (isEnd && between.length > 0) throw new TsigError("forged", "the end of its answer is not signed");
      return isEnd;
    };
    await exchange(options.server, signed, TRANSFER_TIMEOUT_MS, take);
    return records;
  });
}

const secondsOf = ({ now = Date.now }: Rfc2136Options) => Math.floor(now() / 1000);

function sign(
  options: Rfc2136Options,
  kind: number,
  question: DnsMessage["questions"][number],
  sections: UpdateSections,
) {
  const id = randomInt(0x1_0000);
  return {
    id,
    ...signMessage(messageBytes(id, kind, [question], sections), options.key, secondsOf(options)),
  };
}

function parseAnswer(options: Rfc2136Options, bytes: Buffer, id: number, name: string): DnsAnswer {
  const message = parseMessage(bytes);
  if (message.id !== id || (message.flags & 0x8000) === 0)
    throw new DnsFormatError("no answer to the request");
  const outcome = message.flags & 0xf;
  // Servers sign no refusal of a zone that they do not have; it is a failure either way.
  if (outcome !== 0 && message.sections[2].at(-1)?.type !== dnsTypes.TSIG) {
    throw refused(options, `answer for ${name}`, outcome);
  }
  return { bytes, message, outcome };
}

async function inWords<T>(options: Rfc2136Options, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof DnsProviderError) throw error;
    if (error instanceof TsigError) {
      const problem = error.code === "forged" ? "unreachable" : "credentials";
      throw new DnsProviderError(
        `${place(options)} cannot be used: ${error.message}: ${tsigMends[error.code]}`,
        problem,
      );
    }
    if (error instanceof DnsFormatError) {
      throw new DnsProviderError(`${place(options)} does not speak DNS: ${error.message}`, "unreachable");
    }
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new DnsProviderError(`${place(options)} does not answer over TCP: ${message}`, "unreachable");
  }
}

/** One message there, and those that come back until `isLast`; over TCP each is led by its length (RFC 1035 §4.2.2). */
function exchange(
  { host, port }: DnsServerAddress,
  request: Buffer,
  timeoutMs: number,
  isLast: (message: Buffer) => boolean,
): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const messages: Buffer[] = [];
    let received = Buffer.alloc(0);
    let total = 0;
    const end = (error?: unknown) => {
      clearTimeout(timer);
      socket.destroy();
      if (error === undefined) resolve(messages);
      else reject(error);
    };
    const fail = (code: string, text: string) => end(Object.assign(new Error(text), { code }));
    const timer = setTimeout(
      () => fail("ETIMEDOUT", `no answer within ${timeoutMs / 1000} seconds`),
      timeoutMs,
    );
    socket.once("error", (error) => end(error));
    socket.once("close", () => fail("ECONNRESET", "the connection ended before the answer"));
    socket.on("data", (chunk: Buffer) => {
      total += chunk.length;
      if (total > MAX_TRANSFER_BYTES)
        return fail("E2BIG", `its answer has more than ${MAX_TRANSFER_BYTES} bytes`);
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const message = received.subarray(2, 2 + received.readUInt16BE(0));
        received = received.subarray(2 + message.length);
        messages.push(message);
        try {
          if (isLast(message)) return end();
        } catch (error) {
          return end(error);
        }
      }
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(request.length);
    socket.write(Buffer.concat([length, request]));
  });
}
