/** The DNS records of a relay and their zone file (appliance/dns/records.ts). */
import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dkimSign } from "mailauth/lib/dkim/sign.js";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { describe, expect, it } from "vitest";
import { dkimPublicKey, mtaStsPolicy, relayRecords, zoneText } from "../../../appliance/dns/records.ts";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const publicKey = dkimPublicKey(privateKey.export({ type: "pkcs8", format: "pem" }) as string);
const dkim = [{ selector: "homing1", publicKey }];
const records = relayRecords({ domain: "chat.example.org", dkim, addresses: ["192.0.2.7", "2001:db8::7"] });

/** Whether ldns-read-zone (Debian package ldnsutils), the judge of zone files, is here. */
function hasZoneReader(): boolean {
  try {
    execFileSync("ldns-read-zone", ["-v"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe("dkimPublicKey", () => {
  it("gives the public half of the private key as Base64 of its DER form", () => {
    const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" });
    expect(key.equals(createPublicKey(privateKey))).toBe(true);
  });

  it("lets a receiver verify what the private key signed, from the published record", async () => {
    const message = "From: a@chat.example.org\r\nTo: b@c.example\r\nSubject: [...]\r\n\r\nhello\r\n";
    const key = {
      signingDomain: "chat.example.org",
      selector: "homing1",
      privateKey: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    };
    // mailauth signs with `signatureData` only; its types ask for the key at the top as well.
    const signed = await dkimSign(message, { ...key, signatureData: [key] });
    const resolver = async (name: string, type: string) =>
      records.flatMap((record) => {
        return record.type === "TXT" && type === "TXT" && record.name === name ? [[record.text]] : [];
      });
    const { results } = await dkimVerify(signed.signatures + message, { resolver });
    expect(results.map((result) => [result.status.result, result.signingDomain])).toEqual([
      ["pass", "chat.example.org"],
    ]);
  });
});

describe("relayRecords", () => {
  it("lists what a relay publishes", () => {
    const shown = zoneText(records)
      .replace(publicKey.slice(0, 239), "KEY-1")
      .replace(publicKey.slice(239), "KEY-2");
    expect(shown.replaceAll(/ +/g, " ").replace(/id=[0-9a-f]{32}"/, 'id=ID"')).toBe(`; required
chat.example.org. 3600 IN A 192.0.2.7
chat.example.org. 3600 IN AAAA 2001:db8::7
chat.example.org. 3600 IN MX 10 chat.example.org.
homing1._domainkey.chat.example.org. 3600 IN TXT "v=DKIM1;k=rsa;p=KEY-1" "KEY-2;s=email;t=s"
www.chat.example.org. 3600 IN CNAME chat.example.org.
mta-sts.chat.example.org. 3600 IN CNAME chat.example.org.

; recommended
chat.example.org. 3600 IN TXT "v=spf1 a ~all"
_dmarc.chat.example.org. 3600 IN TXT "v=DMARC1;p=reject;adkim=s;aspf=s"
_adsp._domainkey.chat.example.org. 3600 IN TXT "dkim=discardable"
chat.example.org. 3600 IN CAA 0 issue "letsencrypt.org"
_submission._tcp.chat.example.org. 3600 IN SRV 0 1 587 chat.example.org.
_submissions._tcp.chat.example.org. 3600 IN SRV 0 1 465 chat.example.org.
_imap._tcp.chat.example.org. 3600 IN SRV 0 1 143 chat.example.org.
_imaps._tcp.chat.example.org. 3600 IN SRV 0 1 993 chat.example.org.
_mta-sts.chat.example.org. 3600 IN TXT "v=STSv1; id=ID"
`);
  });

  it("leaves address records out while the address is unknown, and writes no placeholder", () => {
    const text = zoneText(relayRecords({ domain: "chat.example.org", dkim }));
    expect(text).not.toMatch(/ IN A+ /);
    expect(text).not.toMatch(/[<>]|x\.x|0\.0\.0\.0|192\.0\.2/i);
  });

  it("has no certificate rule for test domains, which nobody certifies", () => {
    expect(relayRecords({ domain: "_a.test", dkim }).filter((record) => record.type === "CAA")).toEqual([]);
  });

  it("publishes every DKIM key, so that a new one can be announced before it signs", () => {
    const two = relayRecords({ domain: "a.example", dkim: [...dkim, { selector: "homing2", publicKey }] });
    expect(
      two.filter((record) => record.name.endsWith("._domainkey.a.example") && record.need === "required"),
    ).toHaveLength(2);
  });

  it("keeps the policy id as long as the policy is the same, and has another one for another policy", () => {
    const id = (domain: string) =>
      relayRecords({ domain, dkim }).find((record) => record.name === `_mta-sts.${domain}`);
    expect(id("a.example")).toEqual(id("a.example"));
    expect(id("a.example")).toMatchObject({ text: expect.stringMatching(/^v=STSv1; id=[a-z0-9]{1,32}$/) });
    expect(JSON.stringify(id("a.example"))).not.toBe(JSON.stringify(id("b.example")));
    expect(mtaStsPolicy("a.example")).toBe(
      "version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 2419200\r\n",
    );
  });
});

describe("zoneText", () => {
  it("cuts long texts into strings of at most 255 bytes that join to the whole", () => {
    const line =
      zoneText(records)
        .split("\n")
        .find((text) => text.includes("_domainkey") && text.includes("DKIM1")) ?? "";
    const strings = [...line.matchAll(/"([^"]*)"/g)].map((match) => match[1] ?? "");
    expect(strings.map((text) => text.length)).toEqual([255, expect.any(Number)]);
    expect(strings.join("")).toBe(`v=DKIM1;k=rsa;p=${publicKey};s=email;t=s`);
  });

  it.skipIf(!hasZoneReader())(
    "is a zone file that a DNS server's own reader accepts (needs ldns-read-zone)",
    () => {
      const directory = mkdtempSync(join(tmpdir(), "homing-zone-"));
      try {
        const file = join(directory, "zone");
        const start = "chat.example.org. 3600 IN SOA chat.example.org. x.chat.example.org. 1 1 1 1 1\n";
        writeFileSync(file, start + zoneText(records));
        const read = execFileSync("ldns-read-zone", [file], { encoding: "utf8" });
        expect(read.trim().split("\n")).toHaveLength(records.length + 1);
        expect(read).toContain('0 issue "letsencrypt.org"');
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
  );
});
