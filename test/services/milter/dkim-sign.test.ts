/** Our signatures are judged by mailauth and, where Debian's python3-dkim is installed, by dkimpy. */
import { execFile, spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createBodyHash } from "../../../services/milter/body-hash.ts";
import { dkimSignature, relaxField } from "../../../services/milter/dkim-sign.ts";
import type { HeaderField } from "../../../services/milter/header-field.ts";
import { makeSigningKey } from "../../support/mail.ts";

const { privateKeyPem } = makeSigningKey("_a.test", "homing1");
const signingKey = { domain: "_a.test", selector: "homing1", key: createPrivateKey(privateKeyPem) };
const record = `v=DKIM1;k=rsa;p=${createPublicKey(privateKeyPem).export({ type: "spki", format: "der" }).toString("base64")}`;

/** The system's Python, where Debian's python3-dkim is. */
const python = "/usr/bin/python3";
const hasDkimpy = spawnSync(python, ["-c", "import dkim"]).status === 0;

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
  ["of 120 kB", [{ name: "Autocrypt", value: ` addr=a@b; keydata=${"\n  QUJD".repeat(20_000)}` }]],
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
      const start = performance.now();
      const hash = createBodyHash();
      const piece = Buffer.from(line.repeat(Math.floor(65535 / line.length)));
      for (let written = 0; written < 30; written++) hash.write(piece);
      hash.digest();
      expect(performance.now() - start).toBeLessThan(1000);
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

describe.skipIf(!hasDkimpy)(
  `a DKIM signature, judged by dkimpy${hasDkimpy ? "" : " (needs python3-dkim)"}`,
  () => {
    let folder: string;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "homing-dkim-"));
      await writeFile(join(folder, "key.txt"), record);
    });
    afterAll(() => rm(folder, { recursive: true }));

    it("verifies in every hard case", async () => {
      const messages = [
        ...(await Promise.all(hardBodies.map(([, body]) => signed(fields, Buffer.from(body, "latin1"))))),
        ...(await Promise.all(
          hardFields.map(([, more]) => signed([...fields, ...more], Buffer.from("hello\r\n"))),
        )),
      ];
      await Promise.all(messages.map((message, index) => writeFile(join(folder, `${index}.eml`), message)));
      const program = `
import dkim, sys
key = open(sys.argv[1] + "/key.txt", "rb").read()
for index in range(int(sys.argv[2])):
    message = open(f"{sys.argv[1]}/{index}.eml", "rb").read()
    print(dkim.verify(message, dnsfunc=lambda name, timeout=5: key))
`;
      const { stdout } = await promisify(execFile)(python, ["-c", program, folder, String(messages.length)]);
      expect(stdout.trim().split("\n")).toEqual(messages.map(() => "True"));
    });
  },
);
