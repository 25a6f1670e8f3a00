import { createPublicKey } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  createDkimVerifier,
  type DkimResult,
  type TxtResolver,
} from "../../../services/milter/dkim-verify.ts";
import { createHeaderList } from "../../../services/milter/header-field.ts";
import { makeSigningKey, plainMail, type SigningKey, signMail } from "../../support/mail.ts";

const bob = "bobby1234@b.test";
const ours = makeSigningKey("b.test", "s1");
const second = makeSigningKey("b.test", "s2");
const others = makeSigningKey("list.test", "s1");

function dkimRecord({ privateKeyPem }: SigningKey): string {
  const key = createPublicKey(privateKeyPem).export({ type: "spki", format: "der" });
  return `v=DKIM1;k=rsa;p=${key.toString("base64")}`;
}

/** A name server that knows all keys and notes what it is asked; names in `broken` get the error code instead. */
function nameServer(broken: Readonly<Record<string, string>> = {}) {
  const asked: string[] = [];
  const resolveTxt: TxtResolver = async (name) => {
    asked.push(name);
    const key = [ours, second, others].find(
      ({ selector, domain }) => name === `${selector}._domainkey.${domain}`,
    );
    const code = broken[name] ?? (key === undefined ? "ENOTFOUND" : undefined);
    if (code !== undefined) throw Object.assign(new Error(code), { code });
    return [[dkimRecord(key!)]];
  };
  return { asked, resolveTxt };
}

async function verified(source: string, resolveTxt: TxtResolver, domain = "b.test"): Promise<DkimResult> {
  const [head, ...rest] = source.split("\r\n\r\n");
  const header = createHeaderList();
  for (const line of head!.replace(/\r\n(?=[ \t])/g, "\n").split("\r\n")) {
    const colon = line.indexOf(":");
    header.add(line.slice(0, colon), line.slice(colon + 1));
  }
  const verifier = createDkimVerifier(header.fields, domain, resolveTxt);
  const body = Buffer.from(rest.join("\r\n\r\n"), "latin1");
  for (let at = 0; at < body.length; at += 65535) await verifier.write(body.subarray(at, at + 65535));
  return verifier.end();
}

const text = plainMail({ from: bob, to: "alice1234@a.test" });

describe("DKIM verification", () => {
  it("accepts a valid signature of the From domain", async () => {
    const { asked, resolveTxt } = nameServer();
    expect((await verified(await signMail(text, ours), resolveTxt)).kind).toBe("valid");
    expect(asked).toEqual(["s1._domainkey.b.test"]);
  });

  it("asks for no keys of other domains, subdomains and superdomains included", async () => {
    const { asked, resolveTxt } = nameServer();
    const signed = await signMail(text, others);
    expect((await verified(signed, resolveTxt)).kind).toBe("invalid");
    expect((await verified(await signMail(text, ours), resolveTxt, "sub.b.test")).kind).toBe("invalid");
    expect((await verified(await signMail(text, ours), resolveTxt, "test")).kind).toBe("invalid");
    expect(asked).toEqual([]);
  });

  it("takes mail for unsigned whose key is under test (t=y)", async () => {
    const resolveTxt: TxtResolver = async () => [[`${dkimRecord(ours)};t=y`]];
    expect((await verified(await signMail(text, ours), resolveTxt)).kind).toBe("invalid");
  });

  it("is content with one valid signature among others", async () => {
    const signed = await signMail(await signMail(await signMail(text, others), ours), second);
    const broken = { "s2._domainkey.b.test": "ENOTFOUND" };
    expect((await verified(signed, nameServer(broken).resolveTxt)).kind).toBe("valid");
  });

  it.each(["ETIMEOUT", "ESERVFAIL", "ECONNREFUSED"])(
    "is unavailable when the name server says %s, asked once",
    async (code) => {
      const { asked, resolveTxt } = nameServer({
        "s1._domainkey.b.test": code,
        "s2._domainkey.b.test": code,
      });
      expect((await verified(await signMail(await signMail(text, ours), second), resolveTxt)).kind).toBe(
        "unavailable",
      );
      expect(asked).toHaveLength(1);
    },
  );

  it.each(["ENOTFOUND", "ENODATA", "EBADNAME"])("is invalid when the name server says %s", async (code) => {
    const { resolveTxt } = nameServer({ "s1._domainkey.b.test": code });
    expect((await verified(await signMail(text, ours), resolveTxt)).kind).toBe("invalid");
  });

  it("finds no signature where there is none", async () => {
    expect((await verified(text, nameServer().resolveTxt)).kind).toBe("none");
  });

  it("refuses what stands behind the length a signature covers", async () => {
    const { dkimSign } = await import("mailauth/lib/dkim/sign.js");
    const key = { signingDomain: "b.test", selector: "s1", privateKey: Buffer.from(ours.privateKeyPem) };
    const limited = { ...key, maxBodyLength: 5 };
    const { signatures } = await dkimSign(text, { ...limited, signatureData: [limited] });
    expect(signatures).toContain("l=5");
    const result = await verified(`${signatures}${text}`, nameServer().resolveTxt);
    expect(result.detail).toContain("pass");
    expect(result.kind).toBe("invalid");
  });

  it("refuses a flood of signatures and a signature of endless length unread", async () => {
    const { asked, resolveTxt } = nameServer();
    const signature = (await signMail(text, ours)).slice(0, -text.length);
    expect((await verified(signature.repeat(9) + text, resolveTxt)).kind).toBe("invalid");
    expect(
      (await verified(signature.replace("\r\n", `${" ".repeat(9000)}\r\n`) + text, resolveTxt)).kind,
    ).toBe("invalid");
    expect(asked).toEqual([]);
  });

  it("refuses a body of one endless line without holding it", async () => {
    const signed = await signMail(text, ours);
    const before = process.memoryUsage().arrayBuffers;
    const result = await verified(signed + "x".repeat(20_000_000), nameServer().resolveTxt);
    expect(result.detail).toContain("line longer");
    // The test's own message is 20 MB, once as a string and once as a buffer.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(45_000_000);
  });

  it("takes its time for neither many folded lines nor many names in h=", async () => {
    const signed = (await signMail(text, ours)).replace(/h=[^;]*;/, `h=${"a:".repeat(3000)}from;`);
    const start = performance.now();
    await verified(signed.replace("To: ", `To: ${"x\r\n ".repeat(9000)}`), nameServer().resolveTxt);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
