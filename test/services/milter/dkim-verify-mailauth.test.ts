import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plainMail, type SigningKey, signMail } from "../../support/mail.ts";
import { keyRecord, nameServer, plainHeader, published, rsaKey, signByHand } from "./dkim-message.ts";
import { judged, verified } from "./dkim-verdicts.ts";

const now = Date.now();
const seconds = (offset: number) => String(Math.floor(now / 1000) + offset);

const key = rsaKey();
const name = "s1._domainkey.b.test";
const records = { [name]: [keyRecord(key)] };

const one = (record: string) => nameServer({ [name]: [record] });

describe("verification beside mailauth", () => {
  const signer: SigningKey = {
    domain: "b.test",
    selector: "s1",
    privateKeyPem: key.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };

  it("takes what mailauth's signer made, in every canonicalization and however it comes in pieces", async () => {
    const { dkimSign } = await import("mailauth/lib/dkim/sign.js");
    const bodies = [
      "",
      "\r\n",
      "hello",
      "a \t b \r\n\r\n\r\n",
      "\r\n\r\nx\r\r\n \t\r\n",
      "Gr\u00fc\u00dfe\r\n",
      "a\r",
    ];
    for (const canonicalization of ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"]) {
      for (const body of bodies) {
        const message = `${plainHeader.join("\r\n")}\r\nX-Odd : \t a  b\r\n\tc\r\n\r\n${body}`;
        const by = {
          signingDomain: "b.test",
          selector: "s1",
          privateKey: signer.privateKeyPem,
          canonicalization,
        };
        const { signatures } = await dkimSign(message, { ...by, signatureData: [by] });
        for (const pieces of [1, 2, 65535]) {
          const result = await verified(signatures + message, { ...nameServer(records), pieces });
          expect(result.kind, `${canonicalization} ${JSON.stringify(body)} ${pieces}`).toBe("valid");
        }
      }
    }
  });

  it("agrees with mailauth about messages that were changed in any way", async () => {
    const sources = [
      await signMail(plainMail({ from: "bobby1234@b.test", to: "alice1234@a.test" }), signer),
      signByHand({
        key,
        tags: { c: "simple/simple".replace("simple/", "relaxed/"), t: seconds(-9), x: seconds(9) },
      }),
    ];
    const pieces = [
      "",
      " ",
      "\t",
      ";",
      "=",
      ":",
      "b",
      "B",
      "\r\n ",
      "\r\n",
      "l=1;",
      "d=b.test;",
      "x",
      "relaxed",
      "From: <x@y.test>\r\n",
    ];
    let agreed = 0;
    const change = fc.record({
      source: fc.constantFrom(...sources),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      cut: fc.constantFrom(0, 0, 1, 2, 9),
      insert: fc.constantFrom(...pieces),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ source, at, cut, insert }) => {
        const place = Math.floor(at * source.length);
        const changed = source.slice(0, place) + insert + source.slice(place + cut);
        // What is no header to us is none to Postfix: it never comes so far.
        const head = changed.slice(0, changed.indexOf("\r\n\r\n"));
        const lines = head.replace(/\r\n(?=[ \t])/g, "").split("\r\n");
        fc.pre(changed.includes("\r\n\r\n") && lines.every((line) => /^[\x21-\x39\x3b-\x7e]+:/.test(line)));
        fc.pre(!/\r(?!\n)/.test(changed));
        const server = nameServer(records);
        const ours = (await verified(changed, server)).kind === "valid";
        const theirs = (await judged(changed, server.resolveTxt)).includes("pass");
        // Stricter than mailauth: any l= at all, and what is no Base64 in b=.
        const isOdd =
          /\bl=\d/.test(head) || /;\s*b\s*=[^;]*[^A-Za-z0-9+/=\s;]/.test(head.split(/\r\nFrom:/)[0]!);
        if (!isOdd) expect(ours, JSON.stringify(changed)).toBe(theirs);
        else expect(theirs || !ours).toBe(true);
        if (ours) agreed++;
      }),
      { numRuns: 400 },
    );
    expect(agreed).toBeGreaterThan(5);
  });
  it("agrees with mailauth about key records that were changed in any way", async () => {
    const source = signByHand({ key });
    const pieces = [
      "",
      " ",
      ";",
      "=",
      "p",
      "v=DKIM1;",
      "p=;",
      "k=rsa;",
      "k=ed25519;",
      "s=email;",
      "s=x;",
      "h=sha1;",
      "t=s;",
      "A",
    ];
    const change = fc.record({
      start: fc.constantFrom("", "v=DKIM1;", "k=rsa;", "v=DKIM1; k=rsa; s=*; h=sha256; t=s; n=x; "),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      // Tags matter more than the long key.
      within: fc.constantFrom(40, 1000),
      cut: fc.constantFrom(0, 0, 1, 3),
      insert: fc.constantFrom(...pieces),
    });
    let agreed = 0;
    await fc.assert(
      fc.asyncProperty(change, async ({ start, at, within, cut, insert }) => {
        const whole = `${start}p=${published(key)}`;
        const place = Math.floor(at * Math.min(within, whole.length));
        const record = whole.slice(0, place) + insert + whole.slice(place + cut);
        const { resolveTxt } = one(record);
        const ours = (await verified(source, { resolveTxt })).kind === "valid";
        const theirs = (await judged(source, resolveTxt)).includes("pass");
        // mailauth takes all white space out before it reads, in names and words as well.
        const isOdd = /[A-Za-z0-9] +[A-Za-z0-9]/.test(record.replace(/p=[^;]*/, ""));
        if (!isOdd) expect(ours, JSON.stringify(record)).toBe(theirs);
        else expect(theirs || !ours).toBe(true);
        if (ours) agreed++;
      }),
      { numRuns: 300 },
    );
    expect(agreed).toBeGreaterThan(10);
  });
});
