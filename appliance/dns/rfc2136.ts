/**
 * A zone on a name server that takes changes over the DNS itself (RFC 2136), signed by TSIG (RFC 8945), over TCP: a
 * DnsProvider for BIND, Knot, PowerDNS and those registrars that offer it. I/O by one connection for each request.
 */
import { randomInt } from "node:crypto";
import { connect } from "node:net";
import { type DnsProvider, DnsProviderError, type SetName } from "./provider.ts";
import {
  groupValues,
  isSameName,
  presentation,
  type RecordSet,
  recordData,
  sameValues,
} from "./record-set.ts";
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
  type UpdateSections,
} from "./wire.ts";
import { isInZone } from "./zone-names.ts";

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
  5: "REFUSED: it does not have the zone (rfc2136_zone), or its settings do not let this key at it",
  7: "YXRRSET: somebody else changes it at the same time",
  8: "NXRRSET: somebody else changes it at the same time",
  9: "NOTAUTH: it is not in charge of the zone (rfc2136_zone), or does not know the key",
  10: "NOTZONE: the name is outside the zone (rfc2136_zone)",
};
const NAME_ERROR = 3;
const NOT_ZONE = 10;
/** Outcomes of a prerequisite that no longer holds (RFC 2136 §3.2). */
const SOMEBODY_ELSE = [7, 8];
/** Each one reads what there is anew; more changes in between are no coincidence. */
const MAX_ATTEMPTS = 4;

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
  const readSet = async ({ name, type }: SetName): Promise<RecordSet | undefined> => {
    if (!isInZone(name, options.zone)) throw refused(options, `show ${name} ${type}`, NOT_ZONE);
    const question = { name, type: typeNumber(type), class: dnsClasses.IN };
    const { bytes, message, outcome } = await ask(options, QUERY, question);
    if (outcome === NAME_ERROR) return undefined;
    if (outcome !== 0) throw refused(options, `show ${name} ${type}`, outcome);
    return groupValues(
      message.sections[0].flatMap((record) => {
        if (record.name !== name || record.type !== question.type) return [];
        const data = readData(bytes, record);
        return data === undefined ? [] : [{ name, type, ttl: record.ttl, value: presentation(data) }];
      }),
    )[0];
  };
  const read = async (zone: string, wanted: readonly SetName[] = []) => {
    requireZone(options, zone);
    const sets: RecordSet[] = [];
    for (const one of wanted) {
      const set = await readSet(one);
      if (set !== undefined) sets.push(set);
    }
    return sets;
  };
  const change = async (zone: string, sets: readonly RecordSet[]) => {
    for (let attempt = 1; ; attempt++) {
      const before = await read(zone, sets);
      const pairs = sets.map((set) => ({ set, old: before.find((one) => isSameName(one, set)) }));
      const changed = pairs.filter(({ set, old }) => !isSameSet(set, old));
      if (changed.length === 0) return;
      const question = { name: zone, type: dnsTypes.SOA, class: dnsClasses.IN };
      const { outcome } = await ask(options, UPDATE, question, {
        prerequisites: changed.flatMap(({ set, old }) => unchanged(set, old)),
        // RFC 2136 §3.4.2.2: a CNAME is not added beside anything else, so what goes comes first.
        updates: [
          ...changed.map(({ set }) => removal(set)),
          ...changed.flatMap(({ set }) => set.values.map((value) => rr(set, dnsClasses.IN, set.ttl, value))),
        ],
      });
      if (outcome === 0) return;
      const what = `change ${changed.map(({ set: { name, type } }) => `${name} ${type}`).join(", ")}`;
      if (!SOMEBODY_ELSE.includes(outcome) || attempt === MAX_ATTEMPTS) throw refused(options, what, outcome);
    }
  };
  return {
    zones: async () => [options.zone],
    read,
    change,
    check: async (zone) => void (await read(zone, [{ name: zone, type: "SOA" }])),
  };
}

function requireZone({ zone }: Rfc2136Options, asked: string) {
  if (asked === zone) return;
  throw new DnsProviderError(`the key is for changes of the zone ${zone}, not ${asked}`, "credentials");
}

function isSameSet(set: RecordSet, old: RecordSet | undefined): boolean {
  if (old === undefined) return set.values.length === 0;
  return set.ttl === old.ttl && sameValues(set, old);
}

/** RFC 2136 §2.4.2, §2.4.3: the set is still what was read. */
function unchanged(set: RecordSet, old: RecordSet | undefined): Buffer[] {
  if (old === undefined) return [rr(set, dnsClasses.NONE, 0)];
  return old.values.map((value) => rr(set, dnsClasses.IN, 0, value));
}

/** RFC 2136 §2.5.2. */
const removal = (set: SetName) => rr(set, dnsClasses.ANY, 0);

function rr({ name, type }: SetName, of: number, ttl: number, value?: string): Buffer {
  const data = value === undefined ? Buffer.alloc(0) : dataBytes(recordData(type, value));
  return recordBytes({ name, type: typeNumber(type), class: of, ttl, data });
}

function typeNumber(type: string): number {
  const number = Object.entries(dnsTypes).find(([name]) => name === type)?.[1];
  if (number === undefined) throw new DnsProviderError(`records of type ${type} cannot be changed`);
  return number;
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
  sections: UpdateSections = {},
): Promise<Answer> {
  const { key, now = Date.now } = options;
  const id = randomInt(0x1_0000);
  const seconds = () => Math.floor(now() / 1000);
  const { signed, mac } = signMessage(messageBytes(id, kind, [question], sections), key, seconds());
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
