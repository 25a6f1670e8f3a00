/** The rules for incoming mail as a table; conversations are in conversation.test.ts. */
import { describe, expect, it } from "vitest";
import { parseEnvelope } from "../../../services/milter/address.ts";
import type { DkimResult } from "../../../services/milter/dkim-verify.ts";
import { fromAddress, incomingRefusal } from "../../../services/milter/incoming.ts";
import type { Verdict } from "../../../services/milter/judge.ts";
import { replyLine } from "../../../services/milter/refusal.ts";

const encrypted: Verdict = { kind: "encrypted" };
const unencrypted: Verdict = { kind: "unencrypted", reason: "the message is multipart/report" };
const need = "523 Encryption Needed: Invalid Unencrypted Mail";
const report = {
  from: ["Mail Delivery System <MAILER-DAEMON@b.test>"],
  "auto-submitted": ["auto-replied"],
  "content-type": ['multipart/report; report-type=delivery-status; boundary="x"'],
};

type Case = Readonly<{
  verdict?: Verdict;
  sender?: string;
  fields?: Record<string, string[]>;
  dkim?: DkimResult["kind"] | null;
  client?: string | null;
}>;

function decided(given: Case): string | null {
  const {
    verdict = encrypted,
    sender = "<bob@b.test>",
    fields = {},
    dkim = "valid",
    client = "192.0.2.1",
  } = given;
  const all: Record<string, string[]> = { from: ["Bob <bob@b.test>"], ...fields };
  const values = (name: string) => all[name] ?? [];
  const refusal = incomingRefusal({
    sender: parseEnvelope(sender),
    from: fromAddress(values),
    values,
    verdict,
    dkim: dkim === null ? null : { kind: dkim, detail: "" },
    clientAddress: client,
  });
  return refusal === null ? null : replyLine(refusal);
}

const literal = { from: ["<bob@[192.0.2.1]>"] };

describe("incoming mail", () => {
  it.each<[string, Case, string | null]>([
    ["encrypted and signed", {}, null],
    ["a secure-join request", { verdict: { kind: "secure-join request" } }, null],
    ["from another envelope sender", { sender: "<list@c.test>" }, null],
    ["unencrypted", { verdict: unencrypted }, need],
    ["unencrypted and unsigned", { verdict: unencrypted, dkim: null }, need],
    ["unsigned", { dkim: "none" }, "554 5.7.1 No DKIM signature found"],
    ["wrongly signed", { dkim: "invalid" }, "554 5.7.1 No valid DKIM signature found"],
    [
      "signed at a time to come",
      { dkim: "early" },
      "451 4.7.1 DKIM signature is of a time to come, try again later",
    ],
    ["never checked", { dkim: null }, "554 5.7.1 No valid DKIM signature found"],
    [
      "with a key that cannot be looked up",
      { dkim: "unavailable" },
      "451 4.4.3 DKIM key lookup failed, try again later",
    ],
    ["no From", { fields: { from: [] } }, "500 Invalid FROM <> for <bob@b.test>"],
    [
      "two From fields",
      { fields: { from: ["<bob@b.test>", "<bob@b.test>"] } },
      "500 Invalid FROM <> for <bob@b.test>",
    ],
    [
      "a list as From",
      { fields: { from: ["<bob@b.test>, <eve@b.test>"] } },
      "500 Invalid FROM <> for <bob@b.test>",
    ],
    ["a delivery report", { verdict: unencrypted, sender: "<>", fields: report }, null],
    [
      "an unsigned delivery report",
      { verdict: unencrypted, fields: report, dkim: "none" },
      "554 5.7.1 No DKIM signature found",
    ],
    [
      "a delivery report from a person",
      { verdict: unencrypted, fields: { ...report, from: ["<bob@b.test>"] } },
      need,
    ],
    [
      "a delivery report without mark",
      { verdict: unencrypted, fields: { ...report, "auto-submitted": [] } },
      need,
    ],
    [
      "a delivery report with an empty mark",
      { verdict: unencrypted, fields: { ...report, "auto-submitted": [""] } },
      need,
    ],
    [
      "a delivery report of another type",
      { verdict: unencrypted, fields: { ...report, "content-type": ["text/plain"] } },
      need,
    ],
    ["an address literal that is the client", { fields: literal, dkim: null }, null],
    [
      "an address literal that is not the client",
      { fields: literal, dkim: null, client: "192.0.2.2" },
      "554 5.7.1 Address literal is not the client's address",
    ],
    [
      "an address literal from nowhere",
      { fields: literal, dkim: null, client: null },
      "554 5.7.1 Address literal is not the client's address",
    ],
    [
      "an address literal that is none",
      { fields: { from: ["<bob@[nonsense]>"] }, dkim: "valid" },
      "554 5.7.1 Address literal is not the client's address",
    ],
    ["unencrypted from an address literal", { verdict: unencrypted, fields: literal, dkim: null }, need],
  ])("%s", (_name, given, expected) => {
    expect(decided(given)).toBe(expected);
  });
});
