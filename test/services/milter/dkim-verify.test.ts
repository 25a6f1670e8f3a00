/**
 * DKIM verification: what is valid, what is not, and what it may cost. The judge of right and wrong is mailauth in
 * its strict mode; where we are stricter than it, the test says so. Beside these: dkim-verify-mailauth.test.ts (changed at
 * random) and dkim-verify-standards.test.ts.
 */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createDkimVerifier, keyWaits, MAX_TRIED } from "../../../services/milter/dkim-verify.ts";
import { createHeaderList } from "../../../services/milter/header-field.ts";
import { createKeyLookup, type TxtResolver } from "../../../services/milter/key-lookup.ts";
import {
  dnsError,
  ed25519Key,
  keyRecord,
  nameServer,
  plainHeader,
  published,
  rsaKey,
  signByHand,
  type TestKey,
} from "./dkim-message.ts";
import { judged, verified } from "./dkim-verdicts.ts";

const now = Date.now();
const seconds = (offset: number) => String(Math.floor(now / 1000) + offset);

const key = rsaKey();
const small = rsaKey(1024);
const edward = ed25519Key();
const name = "s1._domainkey.b.test";
const records = { [name]: [keyRecord(key)] };

const one = (record: string) => nameServer({ [name]: [record] });

describe("a DKIM signature by the From domain", () => {
  it.each<[string, TestKey, Parameters<typeof signByHand>[0]["tags"]]>([
    ["with RSA", key, {}],
    ["with Ed25519 (RFC 8463)", edward, {}],
    ["with a key of 1024 bits", small, {}],
    ["with a key of 4096 bits", rsaKey(4096), {}],
    ["with an identity at the domain", key, { i: "someone@b.test" }],
    ["with an identity below the domain", key, { i: "n=65ws@sub.b.test" }],
    ["that will expire", key, { t: seconds(-5), x: seconds(600) }],
    ["that names the way to the key", key, { q: "dns/txt" }],
    ["with the domain in upper case", key, { d: "B.TEST" }],
    ["with tags nobody knows", key, { zz: "a=b", z: "From:x" }],
    ["over fields that are not there", key, { h: "from:from:to:to:cc:subject" }],
    ["with space in its lists", key, { h: "from : to : subject" }],
  ])("is valid %s", async (_what, signing, tags) => {
    const { resolveTxt } = one(keyRecord(signing));
    const source = signByHand({ key: signing, tags });
    expect(await verified(source, { resolveTxt })).toMatchObject({ kind: "valid" });
    expect(await judged(source, resolveTxt)).toEqual(["pass"]);
  });

  it.each<[string, Parameters<typeof signByHand>[0]["tags"], string?]>([
    ["has expired", { t: seconds(-9), x: seconds(-5) }],
    ["expired before it began", { t: seconds(900), x: seconds(600) }],
    ["limits the length of the body, even to all of it", { l: "7" }],
    ["has an identity of another domain", { i: "bobby1234@c.test" }],
    ["has an identity that only ends alike", { i: "bobby1234@xb.test" }],
    ["has an identity above the domain", { i: "bobby1234@test" }],
    ["has an identity without a domain", { i: "bobby1234" }],
    ["is of another domain", { d: "c.test" }],
    ["is of a domain below", { d: "sub.b.test" }],
    ["is of a domain above", { d: "test" }],
    ["uses SHA-1", { a: "rsa-sha1" }],
    ["uses an unknown algorithm", { a: "rsa-md5" }],
    ["uses an unknown canonicalization", { c: "relaxed/nowsp" }],
    ["does not sign From", { h: "to:subject" }],
    ["signs nothing", { h: "" }],
    ["is of another version", { v: "2" }],
    ["has no version", { v: null }],
    ["has no body hash", { bh: null }],
    ["asks for its key elsewhere", { q: "http/get" }],
    ["has no time in t=", { t: "soon" }],
    ["has a time of too many digits", { x: "9".repeat(13) }],
    ["has a negative time", { x: `-${seconds(0)}` }],
    ["has no domain name in d=", { d: "b..test" }],
    ["has no domain name in s=", { s: "s1/../s2" }],
    ["has a final dot in d=", { d: "b.test." }],
    ["has another body hash", { bh: createHash("sha256").update("x").digest("base64") }],
  ])("is not valid when it %s, and asks nobody for the key", async (_what, tags) => {
    const { asked, resolveTxt } = nameServer({ ...records, "s1._domainkey.c.test": [keyRecord(key)] });
    expect(await verified(signByHand({ key, tags }), { resolveTxt })).toMatchObject({ kind: "invalid" });
    expect(asked).toEqual([]);
  });

  it.each(["v=1", "a=rsa-sha256", "d=b.test", "h=from", "b=", "x-x=1", "zz", "=1", " ;"])(
    "is not valid with %j in the list of tags once more",
    async (tag) => {
      const { resolveTxt } = nameServer(records);
      const source = signByHand({ key, tags: { zz: "1" }, extra: ` ${tag};` });
      expect(await verified(source, { resolveTxt })).toMatchObject({ kind: "invalid" });
      expect(await judged(source, resolveTxt)).not.toContain("pass");
    },
  );

  it("waits with one of a time to come, which may be our clock's mistake", async () => {
    const { resolveTxt } = nameServer(records);
    const source = signByHand({ key, tags: { t: seconds(2 * 3600) } });
    expect(await verified(source, { resolveTxt })).toMatchObject({ kind: "early" });
    expect(await verified(source, { resolveTxt, date: now + 2 * 3600_000 })).toMatchObject({ kind: "valid" });
    const soon = signByHand({ key, tags: { t: seconds(60) } });
    expect(await verified(soon, { resolveTxt })).toMatchObject({ kind: "valid" });
    const forged = source.replace("Subject: [...]", "Subject: hi");
    expect(await verified(forged, { resolveTxt })).toMatchObject({ kind: "invalid" });
  });

  it("is found where there is none, and counts as such", async () => {
    const { asked, resolveTxt } = nameServer(records);
    const source = `${plainHeader.join("\r\n")}\r\n\r\nhello\r\n`;
    expect(await verified(source, { resolveTxt })).toMatchObject({ kind: "none" });
    expect(asked).toEqual([]);
  });

  it("may name a domain in its own script or as A-labels (RFC 8616)", async () => {
    const domain = "xn--bcher-kva.test";
    const { resolveTxt, asked } = nameServer({ [`s1._domainkey.${domain}`]: [keyRecord(key)] });
    for (const d of ["bücher.test", "BÜCHER.test", domain]) {
      const source = signByHand({ key, tags: { d, i: `x@${d}` } });
      expect(await verified(source, { resolveTxt, domain }), d).toMatchObject({ kind: "valid" });
    }
    expect(new Set(asked)).toEqual(new Set([`s1._domainkey.${domain}`]));
  });
});

describe("a DKIM key", () => {
  const p = published(key);
  it.each<[string, string]>([
    ["with its version", `v=DKIM1; p=${p}`],
    ["without version and type", `p=${p}`],
    ["for email among others", `v=DKIM1; s=other : email; p=${p}`],
    ["for everything", `v=DKIM1; s=*; p=${p}`],
    ["for SHA-256 among others", `v=DKIM1; h=sha1:sha256; p=${p}`],
    ["with notes and unknown tags", `v=DKIM1; n=a=note; zz=1; p=${p};`],
    ["with space in it", `v=DKIM1; p=${p.slice(0, 100)} ${p.slice(100)}`],
    ["for the domain itself alone", `v=DKIM1; t=s; p=${p}`],
  ])("is taken %s", async (_what, record) => {
    expect(await verified(signByHand({ key }), one(record))).toMatchObject({ kind: "valid" });
  });

  it.each<[string, string]>([
    ["was revoked", "v=DKIM1; p="],
    ["is under test", `v=DKIM1; t=y:s; p=${p}`],
    ["is for another service", `v=DKIM1; s=tlsrpt; p=${p}`],
    ["is for SHA-1 only", `v=DKIM1; h=sha1; p=${p}`],
    ["is of another version", `v=DKIM2; p=${p}`],
    ["names its version in lower case", `v=dkim1; p=${p}`],
    ["names its version late", `p=${p}; v=DKIM1`],
    ["claims to be of another type", `v=DKIM1; k=ed25519; p=${p}`],
    ["is of an unknown type", `v=DKIM1; k=dsa; p=${p}`],
    ["stands there twice", `v=DKIM1; p=${p}; p=${p}`],
    ["is no Base64", "v=DKIM1; p=???"],
    ["is cut", `v=DKIM1; p=${p.slice(0, 100)}`],
    ["is another one", keyRecord(rsaKey())],
    ["is of endless length", `v=DKIM1; p=${p}; n=${"x".repeat(5000)}`],
  ])("is refused when it %s", async (_what, record) => {
    expect(await verified(signByHand({ key }), one(record))).toMatchObject({ kind: "invalid" });
  });

  it.each<[string, TestKey]>([
    ["of 768 bits", rsaKey(768)],
    ["of 1016 bits", rsaKey(1016)],
    ["beyond 4096 bits, which would cost time", rsaKey(4104)],
    ["with a long exponent, which would cost time", rsaKey(1024, 2 ** 32 - 5)],
  ])("is refused %s", async (_what, signing) => {
    expect(await verified(signByHand({ key: signing }), one(keyRecord(signing)))).toMatchObject({
      kind: "invalid",
    });
  });

  it("for the domain itself alone (t=s) is refused for an identity below", async () => {
    const { resolveTxt } = one(`v=DKIM1; t=s; p=${p}`);
    const source = signByHand({ key, tags: { i: "x@sub.b.test" } });
    expect(await verified(source, { resolveTxt })).toMatchObject({ kind: "invalid" });
    expect(await judged(source, resolveTxt)).not.toContain("pass");
  });

  it("may come in several strings, and as the bare key RFC 6376 calls for", async () => {
    const bare = key.publicKey.export({ type: "pkcs1", format: "der" }).toString("base64");
    for (const record of [keyRecord(key), `v=DKIM1;p=${bare}`]) {
      const { resolveTxt } = nameServer({ [name]: [[record.slice(0, 99), record.slice(99)]] });
      expect(await verified(signByHand({ key }), { resolveTxt })).toMatchObject({ kind: "valid" });
    }
  });

  it("is found beside records of a wildcard, and refused beside another key", async () => {
    const beside = (...more: string[]) => nameServer({ [name]: [...more, keyRecord(key)] }).resolveTxt;
    const source = signByHand({ key });
    expect(await verified(source, { resolveTxt: beside("v=spf1 -all", "hello") })).toMatchObject({
      kind: "valid",
    });
    const others: string[] = [keyRecord(small), "v=DKIM1;p="];
    for (const other of others) {
      expect(await verified(source, { resolveTxt: beside(other) })).toMatchObject({ kind: "invalid" });
    }
    const flood = Array.from({ length: 20 }, () => "hello");
    expect(await verified(source, { resolveTxt: beside(...flood) })).toMatchObject({ kind: "invalid" });
  });
});

describe("several DKIM signatures", () => {
  const field = (source: string) => source.slice(0, source.indexOf("\r\n") + 2);
  const good = signByHand({ key });
  const by = (selector: string) => field(signByHand({ key: small, tags: { s: selector } }));

  it("are valid when one of them is", async () => {
    const { asked, resolveTxt } = nameServer(records);
    const foreign = field(signByHand({ key, tags: { d: "list.test" } }));
    const source = `${foreign}${field(signByHand({ key, tags: { l: "1" } }))}${by("s1")}${good}`;
    expect(await verified(source, { resolveTxt })).toMatchObject({ kind: "valid" });
    expect(asked).toEqual([name]);
  });

  it("are tried up to a number, and a flood of them costs no more questions", async () => {
    const { asked, resolveTxt } = nameServer(records);
    const bad = (count: number) => Array.from({ length: count }, (_, index) => by(`x${index}`)).join("");
    expect(await verified(bad(MAX_TRIED - 1) + good, { resolveTxt })).toMatchObject({ kind: "valid" });
    asked.length = 0;
    expect(await verified(bad(300) + good, { resolveTxt })).toMatchObject({ kind: "invalid" });
    expect(asked).toHaveLength(MAX_TRIED);
  });

  describe.each(["ETIMEOUT", "ESERVFAIL", "ECONNREFUSED", "EREFUSED"])(
    "of which one's name server says %s",
    (code) => {
      const error = dnsError(code);

      it("are valid when another one is, as its selector may live on other servers", async () => {
        const server = nameServer({ ...records, "s2._domainkey.b.test": error });
        expect(await verified(by("s2") + good, server)).toMatchObject({ kind: "valid", detail: "s1" });
        expect(server.asked).toEqual(["s2._domainkey.b.test", name]);
      });

      it("are unavailable when no other one is valid, in whatever order", async () => {
        const server = nameServer({ "s2._domainkey.b.test": error });
        for (const source of [by("s2") + good, by("s1") + by("s2") + good]) {
          expect(await verified(source, server)).toMatchObject({ kind: "unavailable" });
        }
      });
    },
  );

  describe("of which one's name server is silent", () => {
    const waits = { each: 1, all: 20 };
    const silent = (answering: TxtResolver): TxtResolver => {
      return (asked) => (asked.startsWith("s2.") ? new Promise(() => {}) : answering(asked));
    };

    it("are valid when another one is, which is asked for meanwhile", async () => {
      const resolveTxt = silent(nameServer(records).resolveTxt);
      const all = keyWaits.all;
      expect(await verified(by("s2") + good, { resolveTxt, waits: { each: 1, all } })).toMatchObject({
        kind: "valid",
        detail: "s1",
      });
    });

    it("are unavailable at last when no other one is valid", async () => {
      const resolveTxt = silent(nameServer({}).resolveTxt);
      expect(await verified(by("s2") + good, { resolveTxt, waits })).toEqual({
        kind: "unavailable",
        detail: "s1: no key record; s2: no answer in time",
      });
    });

    it("are valid when it answers late after all", async () => {
      const both = Promise.withResolvers<void>();
      const resolveTxt: TxtResolver = async (asked) => {
        if (asked === name) await both.promise;
        // The other one is asked for once this one has been waited for: then both answer.
        else both.resolve();
        return nameServer(records).resolveTxt(asked);
      };
      const source = good.replace(/(?=From:)/, by("s3"));
      expect(await verified(source, { resolveTxt, waits: { each: 1, all: keyWaits.all } })).toMatchObject({
        kind: "valid",
        detail: "s1",
      });
    });
  });

  it.each(["ENOTFOUND", "ENODATA", "EBADNAME"])("are not valid when it says %s", async (code) => {
    expect(await verified(good, nameServer({ [name]: dnsError(code) }))).toMatchObject({ kind: "invalid" });
  });
});

describe("what verification costs", () => {
  it("is no more for a field of endless length, which is not read", async () => {
    const { asked, resolveTxt } = nameServer(records);
    const source = signByHand({ key, extra: `${" ".repeat(9000)}zz=1;` });
    expect(await verified(source, { resolveTxt })).toMatchObject({ kind: "invalid" });
    expect(asked).toEqual([]);
  });

  it("is no memory, for a body of one endless line", async () => {
    const source = signByHand({ key, tags: { c: "relaxed/relaxed" } });
    const header = createHeaderList();
    for (const line of source.slice(0, source.indexOf("\r\n\r\n")).split("\r\n")) {
      header.add(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1));
    }
    const lookUpKey = createKeyLookup({ ...nameServer(records), now: () => 0 });
    const options = {
      fields: header.fields,
      fromDomain: "b.test",
      lookUpKey,
      clientAddress: null,
      date: () => now,
    };
    const verifier = createDkimVerifier(options);
    const before = process.memoryUsage().arrayBuffers;
    const piece = Buffer.from("x y".repeat(21845));
    for (let written = 0; written < 500; written++) verifier.write(piece);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(5_000_000);
    expect(await verifier.end()).toMatchObject({ kind: "invalid" });
  });

  it("is little time for much white space in many fields", async () => {
    const field = `DKIM-Signature: v=1; zz=a${" ".repeat(8000)}b; d=b.test\r\n`;
    const source = `${field.repeat(50)}${plainHeader.join("\r\n")}\r\n\r\nhello\r\n`;
    const start = process.cpuUsage();
    expect(await verified(source, nameServer(records))).toMatchObject({ kind: "invalid" });
    expect(process.cpuUsage(start).user / 1000, "milliseconds of CPU").toBeLessThan(300);
  });

  it("is little time for many folded lines and many names in h=", async () => {
    const header = [...plainHeader, `X-Long: ${"x\r\n ".repeat(9000)}x`];
    const source = signByHand({ key, tags: { h: `${"a:".repeat(490)}x-long:from` }, header });
    const start = process.cpuUsage();
    await verified(source, nameServer(records));
    expect(process.cpuUsage(start).user / 1000, "milliseconds of CPU").toBeLessThan(1000);
    const tooMany = signByHand({ key, tags: { h: `${"a:".repeat(600)}from` } });
    expect(await verified(tooMany, nameServer(records))).toMatchObject({ kind: "invalid" });
  });
});
