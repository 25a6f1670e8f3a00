/**
 * What the fuzzer feeds, and what has to be true of it: each target gives the outcome of an input in one line,
 * and the contradiction between the product and its reference when there is one. Inputs are binary strings.
 * Used by run.ts and, for every case that is kept in test/corpus, by ring 1.
 */

import { formatAddress, parseFrom } from "../../services/milter/address.ts";
import { createArmorReader } from "../../services/milter/armor.ts";
import { fromBinary } from "../../services/milter/header-field.ts";
import { boundaryOf, parseContentType } from "../../services/milter/mime-header.ts";
import { createMultipartReader } from "../../services/milter/multipart.ts";
import { readDelivery, readSubmission } from "../services/milter/envelopes.ts";
import { type Handled, handleDelivery, handleSubmission } from "../services/milter/handled-message.ts";
import { isMessage } from "../services/milter/packets.ts";
import {
  coveredFields,
  expectedOfDelivery,
  expectedOfSubmission,
} from "../services/milter/reference-handlers.ts";
import { mailparserContentType, mailparserFrom } from "../services/milter/reference-header.ts";
import { divide, referenceVerdict } from "../services/milter/reference-judge.ts";
import { armoredBytes, isEncryptedMessage } from "../services/milter/reference-openpgp.ts";
import { judgeWhole, takeApart } from "../services/milter/whole-message.ts";
import { dictOutcome, newsOutcome } from "./metadata-targets.ts";
import { protocolOutcome } from "./protocol-target.ts";

export type Outcome = Readonly<{
  /** What the product says of the input, in one line. */
  outcome: string;
  /** What is wrong with it, or null. */
  contradiction: string | null;
}>;

export type Target = Readonly<{
  name: string;
  judge(input: string): Promise<Outcome>;
}>;

export const targets: readonly Target[] = [
  { name: "submission", judge: submissionOutcome },
  { name: "delivery", judge: deliveryOutcome },
  { name: "outgoing message", judge: (input) => messageOutcome(input, false) },
  { name: "incoming message", judge: (input) => messageOutcome(input, true) },
  { name: "multipart", judge: async (input) => multipartOutcome(input) },
  { name: "armor", judge: async (input) => armorOutcome(input) },
  { name: "packets", judge: async (input) => packetsOutcome(Buffer.from(input, "latin1")) },
  { name: "from", judge: fromOutcome },
  { name: "content type", judge: contentTypeOutcome },
  { name: "milter packets", judge: protocolOutcome },
  { name: "dict conversation", judge: dictOutcome },
  { name: "news", judge: newsOutcome },
];

async function messageOutcome(input: string, allowArmorVersion: boolean): Promise<Outcome> {
  const message = takeApart(Buffer.from(input, "latin1"));
  const { verdict } = judgeWhole(message, allowArmorVersion);
  const cuts = cutsFor(message.body.length);
  const cut = judgeWhole(message, allowArmorVersion, cuts);
  const reference = await referenceVerdict(message, allowArmorVersion);
  let contradiction: string | null = null;
  if (verdict.kind !== reference)
    contradiction = `the judge says ${verdict.kind}, the reference ${reference}`;
  else if (cut.verdict.kind !== verdict.kind) contradiction = "the verdict depends on the pieces";
  else if (cut.hopelessAfter !== null && verdict.kind !== "unencrypted")
    contradiction = "a hopeless message was accepted";
  return { outcome: verdict.kind, contradiction };
}

async function submissionOutcome(input: string): Promise<Outcome> {
  const submission = readSubmission(input);
  const expected = await expectedOfSubmission(submission);
  const cuts = cutsFor(submission.message.body.length);
  const [whole, cut] = [await handleSubmission(submission), await handleSubmission(submission, cuts)];
  const { outcome, contradiction } = handledOutcome(whole, cut, expected);
  const sent = whole.fields?.slice(1).map(([name, value]) => [name.trimEnd(), value]);
  const isCovered =
    !sent || JSON.stringify(sent) === JSON.stringify(coveredFields(submission.message.fields));
  return {
    outcome,
    contradiction: contradiction ?? (isCovered ? null : "the header that goes on is another"),
  };
}

async function deliveryOutcome(input: string): Promise<Outcome> {
  const delivery = readDelivery(input);
  const expected = await expectedOfDelivery(delivery);
  const cuts = cutsFor(delivery.message.body.length);
  return handledOutcome(await handleDelivery(delivery), await handleDelivery(delivery, cuts), expected);
}

function handledOutcome(whole: Handled, cut: Handled, expected: readonly string[]): Outcome {
  const { outcome } = whole;
  let contradiction: string | null = null;
  if (!expected.includes(outcome))
    contradiction = `the handler says ${outcome}, the reference ${expected[0]}`;
  else if (cut.outcome !== outcome) contradiction = "the answer depends on the pieces";
  return { outcome, contradiction };
}

/** Cuts that fall at every kind of place, the same for the same length. */
function cutsFor(length: number): number[] {
  const cuts: number[] = [];
  for (let at = 1, step = 1; at < length; at += step) {
    cuts.push(at);
    step = (step * 7 + length) % 61 || 1;
  }
  return cuts;
}

/** Over a body whose boundary is "b". */
function multipartOutcome(input: string): Outcome {
  const parts: string[][] = [];
  const reader = createMultipartReader("b", (index) => {
    const lines: string[] = [];
    parts[index] = lines;
    const line = (one: { buffer: Buffer; start: number; end: number }) => {
      lines.push(one.buffer.toString("latin1", one.start, one.end));
      return null;
    };
    return { line, end: () => null };
  });
  const problem = reader.write(Buffer.from(input, "latin1")) ?? reader.end();
  // A bare carriage return inside a part is the part's reader's matter.
  const isBare = /\r(?!\n)/.test(input);
  const ours = problem === null && !isBare ? JSON.stringify(parts) : "refused";
  const divided = divide(input, "b");
  const theirs = divided === null ? "refused" : JSON.stringify(divided.map((part) => part.body));
  return {
    outcome: ours === "refused" ? ours : `${parts.length} parts`,
    contradiction: ours === theirs ? null : "the reader and the reference divide it into other parts",
  };
}

function armorOutcome(input: string): Outcome {
  const lines = input.split(/\r?\n/);
  const read = (allowVersion: boolean): Buffer | null => {
    const pieces: Buffer[] = [];
    const reader = createArmorReader({
      allowVersion,
      onBytes: (bytes) => {
        pieces.push(Buffer.from(bytes));
        return null;
      },
    });
    for (const line of lines) {
      const buffer = Buffer.from(line, "latin1");
      if (reader.line({ buffer, start: 0, end: buffer.length }) !== null) return null;
    }
    const bytes = Buffer.concat(pieces);
    return reader.end() === null && bytes.length > 0 ? bytes : null;
  };
  const same = [true, false].every((allow) => {
    const [ours, theirs] = [read(allow), armoredBytes(lines, allow)];
    return ours === null || theirs === null ? ours === theirs : ours.equals(theirs);
  });
  const bytes = read(true);
  return {
    outcome: bytes === null ? "refused" : `${bytes.length} bytes`,
    contradiction: same ? null : "the reader and the reference take other bytes out of it",
  };
}

function packetsOutcome(bytes: Buffer): Outcome {
  const ours = isMessage(bytes);
  let contradiction: string | null = null;
  if (ours !== isEncryptedMessage(bytes)) contradiction = "the packets are judged otherwise by the reference";
  else if (isMessage(bytes, cutsFor(bytes.length)) !== ours)
    contradiction = "the verdict depends on the pieces";
  return { outcome: ours ? "encrypted" : "unencrypted", contradiction };
}

async function fromOutcome(input: string): Promise<Outcome> {
  const address = parseFrom(fromBinary(input));
  if (address === null) return { outcome: "refused", contradiction: null };
  const outcome = formatAddress(address).toLowerCase();
  // A value that mailparser would not see whole, because a line of it begins a new field, is not the header's.
  if (/\n(?![ \t])/.test(input)) return { outcome, contradiction: "an address of two header fields" };
  const theirs = await mailparserFrom(input);
  return { outcome, contradiction: outcome === theirs ? null : `mailparser sees ${theirs}` };
}

async function contentTypeOutcome(input: string): Promise<Outcome> {
  const type = parseContentType(input);
  if (type === null) return { outcome: "refused", contradiction: null };
  const boundary = boundaryOf(type);
  const outcome = `${type.type}${boundary === null ? "" : ` ${boundary}`}`;
  if (/\r(?!\n)|\n(?![ \t]+[^ \t\r\n])/.test(input)) return { outcome, contradiction: null };
  const theirs = await mailparserContentType(input);
  // What has no boundary of ours is no multipart to us, whatever mailparser makes of it.
  const isSame = boundary === null ? theirs?.split(" ")[0] === type.type : theirs === outcome;
  return { outcome, contradiction: isSame ? null : `mailparser sees ${theirs}` };
}
