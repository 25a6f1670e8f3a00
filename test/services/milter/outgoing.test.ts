/** The rules for outgoing mail as a table; conversations are in conversation.test.ts. */
import { describe, expect, it } from "vitest";
import { parseEnvelope } from "../../../services/milter/address.ts";
import type { Verdict } from "../../../services/milter/judge.ts";
import { coverHeader, outgoingRefusal } from "../../../services/milter/outgoing.ts";
import { replyLine } from "../../../services/milter/refusal.ts";

const alice = "alice1234@a.test";
const encrypted: Verdict = { kind: "encrypted" };
const request: Verdict = { kind: "secure-join request" };
const unencrypted: Verdict = { kind: "unencrypted", reason: "the message is text/plain" };
const need = "523 Encryption Needed: Invalid Unencrypted Mail";

type Case = Readonly<{ verdict?: Verdict; to?: string[]; fields?: Record<string, string[]> }>;

function decided({ verdict = encrypted, to = ["bobby1234@b.test"], fields = {} }: Case): string | null {
  const all: Record<string, string[]> = { from: [`Alice <${alice}>`], ...fields };
  const refusal = outgoingRefusal({
    sender: parseEnvelope(`<${alice}>`)!,
    recipients: to.map((address) => parseEnvelope(`<${address}>`)!),
    values: (name) => all[name] ?? [],
    verdict,
  });
  return refusal === null ? null : replyLine(refusal);
}

const setup = { subject: ["Autocrypt Setup Message"], "content-type": ['multipart/mixed; boundary="x"'] };

describe("outgoing mail", () => {
  it.each<[string, Case, string | null]>([
    ["encrypted", {}, null],
    ["a secure-join request", { verdict: request }, null],
    ["From in another case", { fields: { from: ["<ALICE1234@A.test>"] } }, null],
    ["unencrypted", { verdict: unencrypted }, need],
    ["unencrypted to oneself", { verdict: unencrypted, to: [alice] }, need],
    ["a setup message to oneself", { verdict: unencrypted, to: [alice], fields: setup }, null],
    ["a setup message to somebody else", { verdict: unencrypted, fields: setup }, need],
    [
      "a setup message to oneself and others",
      { verdict: unencrypted, to: [alice, "b@b.test"], fields: setup },
      need,
    ],
    ["a setup message to oneself twice", { verdict: unencrypted, to: [alice, alice], fields: setup }, need],
    [
      "a setup message by another subject",
      { verdict: unencrypted, to: [alice], fields: { ...setup, subject: ["Autocrypt setup message"] } },
      need,
    ],
    [
      "a setup message of another type",
      { verdict: unencrypted, to: [alice], fields: { ...setup, "content-type": ["text/plain"] } },
      need,
    ],
    [
      "somebody else's From",
      { fields: { from: ["<bobby1234@a.test>"] } },
      `500 Invalid FROM <bobby1234@a.test> for <${alice}>`,
    ],
    ["no From", { fields: { from: [] } }, `500 Invalid FROM <> for <${alice}>`],
    [
      "two From fields",
      { fields: { from: [`<${alice}>`, `<${alice}>`] } },
      `500 Invalid FROM <> for <${alice}>`,
    ],
    [
      "two addresses in From",
      { fields: { from: [`<${alice}>, <x@y.test>`] } },
      `500 Invalid FROM <> for <${alice}>`,
    ],
    [
      "a wrong From, unencrypted",
      { verdict: unencrypted, fields: { from: ["x"] } },
      `500 Invalid FROM <> for <${alice}>`,
    ],
  ])("%s", (_name, given, expected) => {
    expect(decided(given)).toBe(expected);
  });

  it("keeps a hostile address from breaking the reply", () => {
    const from = [`<"\u00e9\t%s${"x".repeat(600)}"@b.test>`];
    expect(decided({ fields: { from } })).toMatch(/^500 Invalid FROM <[ -~]*$/);
    expect(decided({ fields: { from } })!.length).toBeLessThanOrEqual(510);
  });
});

describe("the header of outgoing mail", () => {
  it("loses what tells about the sender, last field first, and gets one covered subject", () => {
    const fields = [
      { name: "Received", value: " 1" },
      { name: "SUBJECT", value: " secret" },
      { name: "received", value: " 2" },
      { name: "X-Originating-IP", value: " 3" },
      { name: "Subject", value: " second" },
      { name: "User-agent", value: " 4" },
      { name: "x-mailer", value: " 5" },
      { name: "To", value: " b@b.test" },
    ];
    const covered = coverHeader(fields);
    expect(covered.fields).toEqual([
      { name: "SUBJECT", value: " [...]" },
      { name: "To", value: " b@b.test" },
    ]);
    expect(covered.changes).toEqual([
      { kind: "remove header", index: 1, name: "x-mailer" },
      { kind: "remove header", index: 1, name: "User-agent" },
      { kind: "remove header", index: 2, name: "Subject" },
      { kind: "remove header", index: 1, name: "X-Originating-IP" },
      { kind: "remove header", index: 2, name: "received" },
      { kind: "replace header", index: 1, name: "SUBJECT", value: " [...]" },
      { kind: "remove header", index: 1, name: "Received" },
    ]);
  });
});
