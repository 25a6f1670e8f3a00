/** Our signatures are judged by mailauth and, where Debian's packages are installed, by OpenDKIM and dkimpy. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import fc from "fast-check";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { describe, expect, it } from "vitest";
import { createBodyHash } from "../../../services/milter/body-hash.ts";
import { dkimSignature, relaxField } from "../../../services/milter/dkim-sign.ts";
import type { HeaderField } from "../../../services/milter/header-field.ts";
import { dkimJudges } from "../../support/dkim-judges.ts";
import { makeSigningKey } from "../../support/mail.ts";

const { privateKeyPem } = makeSigningKey("_a.test", "homing1");
const signingKey = { domain: "_a.test", selector: "homing1", key: createPrivateKey(privateKeyPem) };
const record = `v=DKIM1;k=rsa;p=${createPublicKey(privateKeyPem).export({ type: "spki", format: "der" }).toString("base64")}`;

function bodyHash(body: Buffer, cuts: readonly number[] = []): string {
  const hash = createBodyHash();
  let start = 0;
  for (const end of [...cuts, body.length]) {
    hash.write(Buffer.from(body.subarray(start, end)));
    start = end;
  }
  return hash.digest();
}

async function signed(
  fields: readonly HeaderField[],
  body: Buffer,
  cuts: readonly number[] = [],
): Promise<Buffer> {
  const value = await dkimSignature(fields, bodyHash(body, cuts), signingKey);
  const header = [{ name: "DKIM-Signature", value }, ...fields]
    .map((field) => `${field.name}:${field.value.replace(/\n/g, "\r\n")}\r\n`)
    .join("");
  return Buffer.concat([Buffer.from(`${header}\r\n`, "latin1"), body]);
}

async function verdict(message: Buffer): Promise<string> {
  const { results } = await dkimVerify(message, { resolver: async () => [[record]] });
  return results
    .map(({ status }) => `${status.result}${status.comment ? ` (${status.comment})` : ""}`)
    .join();
}

const fields: HeaderField[] = [
  { name: "From", value: " Alice <alice1234@_a.test>" },
  { name: "To", value: " a@b.test,\n\tc@d.test" },
  { name: "Subject", value: " [...]" },
  { name: "X-Unsigned", value: " x" },
];

const hardBodies: [string, string][] = [
  ["empty", ""],
  ["of one empty line", "\r\n"],
  ["of many empty lines", "\r\n".repeat(10_000)],
  ["with empty lines inside and at the end", `a${"\r\n".repeat(9000)}b\r\n\r\n\r\n`],
  ["without final line end", "hello"],
  ["with white space everywhere", "  a \t b  \r\n \t \r\n\tc\t\r\n \r\n"],
  ["in eight bits", "Gr\xc3\xbc\xc3\x9fe\r\n"],
  ["with bare returns", "a\rb\r\rc \r\r\n"],
  ["with dots", ".\r\n..\r\n...\r\n"],
  ["with a line beyond 998 bytes", `${"x".repeat(5000)}\r\n`],
];

const hardFields: [string, HeaderField[]][] = [
  ["folded in strange ways", [{ name: "References", value: "\n <a@b>\n\t \t<c@d>  \n " }]],
  ["with odd white space around the name", [{ name: "SUBJECT", value: " \t x \t y  " }]],
  [
    "empty",
    [
      { name: "Cc", value: "" },
      { name: "In-Reply-To", value: " " },
    ],
  ],
  [
    "several of one name",
    ["1", "2", "3"].map((number) => ({ name: "Chat-Group-Member", value: ` ${number}` })),
  ],
  ["in eight bits", [{ name: "Subject", value: " Gr\xc3\xbc\xc3\x9fe" }]],
  [
    // A field by itself fits a packet of the milter protocol (64 kB).
    "of 120 kB",
    [
      { name: "Autocrypt", value: ` addr=a@b; keydata=${"\n  QUJD".repeat(9000)}` },
      { name: "References", value: "\n\t<0123456789abcdef@b.test>".repeat(2300) },
    ],
  ],
];

describe("a DKIM signature", () => {
  it.each(hardBodies)("verifies over a body %s", async (_name, body) => {
    expect(await verdict(await signed(fields, Buffer.from(body, "latin1")))).toBe("pass");
  });

  it.each(hardFields)("verifies over fields %s", async (_name, more) => {
    expect(await verdict(await signed([...fields, ...more], Buffer.from("hello\r\n")))).toBe("pass");
  });

  it("names no field in h= whose name would end the tag", async () => {
    const odd = { name: "Chat-a;l=0;z", value: " x" };
    const mail = await signed([...fields, odd], Buffer.from("hello\r\n"));
    expect(/\bh=([^;]*);/.exec(mail.toString("latin1"))?.[1]).not.toContain("chat-a");
    expect(await verdict(mail)).toBe("pass");
  });

  it("verifies over any body, however it comes in pieces", async () => {
    const text = fc
      .array(fc.constantFrom("\r\n", "\r\n", " ", "\t", "a", "bc", "\r", "\xff", "\r\n\r\n"), {
        maxLength: 60,
      })
      .map((list) => `${list.join("")}\r\n`);
    await fc.assert(
      fc.asyncProperty(text, fc.array(fc.nat(60), { maxLength: 4 }), async (body, cuts) => {
        const bytes = Buffer.from(body, "latin1");
        const places = cuts.filter((cut) => cut <= bytes.length).sort((a, b) => a - b);
        expect(await verdict(await signed(fields, bytes, places))).toBe("pass");
      }),
      { numRuns: 150 },
    );
  });

  it("breaks when a signed field, the body or the number of From fields changes", async () => {
    const message = (await signed(fields, Buffer.from("hello\r\n"))).toString("latin1");
    expect(await verdict(Buffer.from(message.replace("X-Unsigned: x", "X-Unsigned: y")))).toBe("pass");
    expect(await verdict(Buffer.from(message.replace("[...]", "Hi")))).toMatch(/^fail/);
    expect(await verdict(Buffer.from(message.replace("hello", "hallo")))).toMatch(/^neutral/);
    expect(await verdict(Buffer.from(message.replace("X-Unsigned: x", "From: <x@y.test>")))).toMatch(/^fail/);
  });

  it("takes no longer for hostile bodies than for any", () => {
    for (const line of ["a b\r\n", "a\n", "a\rb\r\n", "\t", "\r\n", "a \n\t\r", "ab"]) {
      const start = process.cpuUsage();
      const hash = createBodyHash();
      const piece = Buffer.from(line.repeat(Math.floor(65535 / line.length)));
      for (let written = 0; written < 30; written++) hash.write(piece);
      hash.digest();
      expect(process.cpuUsage(start).user / 1000, "milliseconds of CPU").toBeLessThan(1000);
    }
  });

  it("stands in lines of at most 78 characters", async () => {
    const value = await dkimSignature(
      [...fields, ...hardFields[3]![1]],
      bodyHash(Buffer.from("")),
      signingKey,
    );
    for (const line of value.split("\n")) expect(line.length).toBeLessThanOrEqual(78);
    expect(value.replace(/\s/g, "")).toContain(":subject:to:from:from;");
  });

  it("relaxes a field as RFC 6376 §3.4.5 shows", () => {
    expect(relaxField({ name: "A", value: " X" })).toBe("a:X");
    expect(relaxField({ name: "B ", value: " Y\t\n\tZ  " })).toBe("b:Y Z");
  });
});

/** Up to the size that a relay takes; with every octet but line ends in it. */
const largeBody = Buffer.alloc(18 * 1_666_667, Buffer.from("Gr\xfc\xdfe an alle \t \r\n", "latin1"));

/**
 * Bodies that SMTP does not carry, and about which OpenDKIM is of another opinion than RFC 6376 §3.4.4, mailauth and
 * dkimpy: it adds no final line end, and takes a bare return for one.
 */
const notForOpenDkim = ["without final line end", "with bare returns"];

describe.each(dkimJudges)("a DKIM signature, judged by $name", ({ name, missing, judge }) => {
  const keys = { "homing1._domainkey._a.test": record };

  it.skipIf(missing !== undefined)(`verifies in every hard case (${missing ?? "is here"})`, async () => {
    const cases: [string, Buffer][] = [];
    for (const [what, body] of hardBodies) {
      if (name === "OpenDKIM" && notForOpenDkim.includes(what)) continue;
      cases.push([`a body ${what}`, await signed(fields, Buffer.from(body, "latin1"))]);
    }
    for (const [what, more] of hardFields) {
      cases.push([`fields ${what}`, await signed([...fields, ...more], Buffer.from("hello\r\n"))]);
    }
    cases.push(["a body of 30 MB", await signed(fields, largeBody)]);
    const verdicts = await judge(
      cases.map(([, message]) => message),
      keys,
    );
    expect(cases.map(([what], index) => [what, verdicts[index]])).toEqual(
      cases.map(([what]) => [what, true]),
    );
  });

  it.skipIf(missing !== undefined)(
    `does not when something was changed (${missing ?? "is here"})`,
    async () => {
      const message = (await signed(fields, Buffer.from("hello\r\n"))).toString("latin1");
      const changed = [
        message.replace("hello", "hallo"),
        message.replace("[...]", "Hi"),
        message.replace("X-Unsigned: x", "From: <x@y.test>"),
        message.slice(message.indexOf("From:")),
      ];
      const verdicts = await judge(
        changed.map((text) => Buffer.from(text, "latin1")),
        keys,
      );
      expect(verdicts, name).toEqual([false, false, false, false]);
    },
  );
});
