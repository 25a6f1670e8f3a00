/**
 * Demands of incoming mail a valid DKIM signature by exactly the From domain (RFC 6376; strict alignment as in
 * RFC 7489 §3.1.1). Other signatures cannot help: they cost no look-up and no hash. The body streams by, so memory
 * does not grow with it. Judged in the tests by mailauth, dkimpy and OpenDKIM. Called by incoming.ts.
 */
import { createHash, verify } from "node:crypto";
import { promisify } from "node:util";
import { type BodyHash, createBodyHash } from "./body-hash.ts";
import { relaxField } from "./dkim-sign.ts";
import { type Canonicalization, type DkimTags, parseDkimTags } from "./dkim-tags.ts";
import type { HeaderField } from "./header-field.ts";
import type { KeyAnswer, KeyLookup } from "./key-lookup.ts";

export type DkimResult = Readonly<{
  /**
   * "none": no signature at all; "unavailable": the key could not be looked up just now; "early": the signature is
   * of a time to come, by our clock or theirs. The detail is for the log.
   */
  kind: "valid" | "none" | "invalid" | "unavailable" | "early";
  detail: string;
}>;

export type DkimVerifier = Readonly<{
  write(piece: Buffer): void;
  end(): Promise<DkimResult>;
}>;

export type DkimVerifierOptions = Readonly<{
  fields: readonly HeaderField[];
  /** In lower case and A-labels. */
  fromDomain: string;
  lookUpKey: KeyLookup;
  /** Whose limits the look-ups count for; null when nobody knows it. */
  clientAddress: string | null;
  /** Now, in milliseconds since 1970. */
  date(): number;
  waits?: KeyWaits;
}>;

/** In milliseconds. */
export type KeyWaits = Readonly<Record<keyof typeof keyWaits, number>>;

/** How long the keys of one message are waited for, in milliseconds. */
export const keyWaits = {
  /**
   * For one key, before the next signature's is asked for as well: selectors that are delegated (CNAME) live on name
   * servers of their own, so one that is silent says nothing about the next. The DNS usually takes a tenth of it.
   */
  each: 2000,
  /**
   * For all of them together: the last one asked for may take its whole time (service.ts), and it is half of
   * Postfix's milter_content_timeout (appliance/files/postfix-main.ts).
   */
  all: 30_000,
} as const;

/**
 * Signatures of the From domain that are tried, first to last. A domain that changes keys or tries another algorithm
 * signs twice; mailing lists leave what was there. RFC 6376 §6.1 leaves the number to the verifier.
 */
export const MAX_TRIED = 4;
/** Fields that are parsed at all. */
const MAX_FIELDS = 50;
/** How far the sender's clock may be ahead of ours, in seconds: generous, as t= proves nothing. */
const CLOCK_SKEW = 3600;

const verifyAsync = promisify(verify);

export function createDkimVerifier(options: DkimVerifierOptions): DkimVerifier {
  const { fields, fromDomain, lookUpKey, clientAddress, date, waits = keyWaits } = options;
  const now = Math.floor(date() / 1000);
  const signatures = fields.filter(isSignature);
  const details: string[] = [];
  const candidates: Candidate[] = [];
  for (const field of signatures.slice(0, MAX_FIELDS)) {
    const tags = parseDkimTags(field.value, now);
    if (typeof tags === "string") details.push(tags);
    else if (tags.domain !== fromDomain) details.push(`signed by ${tags.domain}`);
    else if (candidates.length < MAX_TRIED) candidates.push({ field, tags });
  }
  /** One for each canonicalization that a signature to be tried uses. */
  const bodyHashes = new Map<Canonicalization, BodyHash>();
  for (const { tags } of candidates) {
    const kind = tags.bodyCanonicalization;
    if (!bodyHashes.has(kind)) bodyHashes.set(kind, createBodyHash(kind));
  }

  /** What a signature is worth by its key; null when it is valid. */
  const problemOf = async ({ field, tags }: Candidate, answer: KeyAnswer): Promise<Problem | null> => {
    const { selector } = tags;
    const invalid = (detail: string): Problem => ({ kind: "invalid", detail: `${selector}: ${detail}` });
    if (answer.kind === "none") return invalid(answer.detail);
    if (answer.kind === "unavailable")
      return { kind: "unavailable", detail: `${selector}: ${answer.detail}` };
    const { record } = answer;
    if (record.algorithm !== tags.algorithm) return invalid("the key is for another algorithm");
    if (record.sameDomain && tags.identityDomain !== tags.domain) return invalid("i= is not d= (t=s)");
    if (!(await isSigned(fields, field, tags, record.key))) return invalid("the signature does not match");
    // RFC 6376 §3.6.1: mail signed by a key under test counts as unsigned.
    if (record.testing) return invalid("the key is under test (t=y)");
    // §3.5: "Signatures MAY be considered invalid if the verification time [...] is before". It may as well be our
    // clock, right after a start without one: such mail shall come again.
    if (tags.signedAt !== null && tags.signedAt > now + CLOCK_SKEW) {
      return { kind: "early", detail: `${selector}: signed in the future (t=)` };
    }
    return null;
  };

  return {
    write(piece) {
      for (const hash of bodyHashes.values()) hash.write(piece);
    },
    async end() {
      if (signatures.length === 0) return { kind: "none", detail: "no DKIM-Signature field" };
      const digests = new Map([...bodyHashes].map(([kind, hash]) => [kind, hash.digest()]));
      const problems: Problem[] = details.map((detail) => ({ kind: "invalid", detail }));
      /** Notes the problem; true when there is none. */
      const isValid = async (candidate: Candidate, answer: KeyAnswer): Promise<boolean> => {
        const problem = await problemOf(candidate, answer);
        if (problem !== null) problems.push(problem);
        return problem === null;
      };
      const deadline = startWait(waits.all);
      const slow: { candidate: Candidate; answer: Promise<KeyAnswer> }[] = [];
      try {
        for (const candidate of candidates) {
          const { tags } = candidate;
          if (tags.bodyHash !== digests.get(tags.bodyCanonicalization)) {
            problems.push({ kind: "invalid", detail: `${tags.selector}: the body was changed` });
            continue;
          }
          const answer = lookUpKey(tags.selector, tags.domain, clientAddress);
          const soon = await within(answer, startWait(waits.each));
          if (soon === null) slow.push({ candidate, answer });
          else if (await isValid(candidate, soon)) return { kind: "valid", detail: tags.selector };
        }
        for (const { candidate, answer } of slow) {
          const late = await Promise.race([answer, deadline.over]);
          if (await isValid(candidate, late)) return { kind: "valid", detail: candidate.tags.selector };
        }
      } finally {
        deadline.end();
      }
      const kinds = problems.map(({ kind }) => kind);
      const kind = kinds.find((each) => each === "unavailable") ?? kinds.find((each) => each === "early");
      return { kind: kind ?? "invalid", detail: problems.map(({ detail }) => detail).join("; ") };
    },
  };
}

type Candidate = Readonly<{ field: HeaderField; tags: DkimTags }>;

type Problem = Readonly<{ kind: "invalid" | "unavailable" | "early"; detail: string }>;

const noAnswer: KeyAnswer = { kind: "unavailable", detail: "no answer in time" };

type Wait = Readonly<{ over: Promise<KeyAnswer>; end(): void }>;

/** Gives `noAnswer` after so many milliseconds, unless it is ended before. */
function startWait(milliseconds: number): Wait {
  const { promise, resolve } = Promise.withResolvers<KeyAnswer>();
  const timer = setTimeout(resolve, milliseconds, noAnswer);
  return { over: promise, end: () => clearTimeout(timer) };
}

/** The answer, or null when the wait is over first. */
async function within(answer: Promise<KeyAnswer>, wait: Wait): Promise<KeyAnswer | null> {
  const first = await Promise.race([answer, wait.over]);
  wait.end();
  return first === noAnswer ? null : first;
}

function isSignature(field: HeaderField): boolean {
  return field.name.toLowerCase() === "dkim-signature";
}

/** Whether the key made the signature over the header (RFC 6376 §3.7, §6.1.3). */
async function isSigned(
  fields: readonly HeaderField[],
  own: HeaderField,
  tags: DkimTags,
  key: Parameters<typeof verify>[2],
): Promise<boolean> {
  const canonical = tags.headerCanonicalization === "relaxed" ? relaxField : simpleField;
  const text = [
    ...signedFields(fields, tags.signedNames).map((field) => `${canonical(field)}\r\n`),
    canonical({ name: own.name, value: withoutSignature(own.value) }),
  ].join("");
  const bytes = Buffer.from(text, "latin1");
  if (tags.algorithm === "rsa") return verifyAsync("sha256", bytes, key, tags.signature);
  // RFC 8463 §3: the SHA-256 hash is what Ed25519 signs.
  return verifyAsync(null, createHash("sha256").update(bytes).digest(), key, tags.signature);
}

/** RFC 6376 §5.4.2: of several fields with one name the last is taken first; a name too many stands for nothing. */
function signedFields(fields: readonly HeaderField[], names: readonly string[]): HeaderField[] {
  const byName = new Map<string, HeaderField[]>();
  for (const field of fields) {
    const name = field.name.toLowerCase();
    const list = byName.get(name);
    if (list === undefined) byName.set(name, [field]);
    else list.push(field);
  }
  return names.flatMap((name) => byName.get(name)?.pop() ?? []);
}

/** RFC 6376 §3.4.1: as it came over the wire. */
function simpleField({ name, value }: HeaderField): string {
  return `${name}:${value.replace(/\r?\n/g, "\r\n")}`;
}

/** The value with an empty b= tag, all else untouched (RFC 6376 §3.7). */
function withoutSignature(value: string): string {
  return value.replace(/((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*/, "$1");
}
