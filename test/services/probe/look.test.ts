/** What the canary makes of the DNS and of certificates. */
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { type DnsParts, lookAtDns, type Names } from "../../../services/probe/dns.ts";
import { judgeCertificate } from "../../../services/probe/doors.ts";
import { routersIn } from "../../../services/probe/routers.ts";
import { createSteps } from "../../../services/probe/steps.ts";

const domain = "chat.example.org";
const newKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const certificateOf = async (name: string) => {
  const keyPem = newKey().export({ type: "pkcs8", format: "pem" }).toString();
  return new X509Certificate(await selfSignedCertificate({ domain: name, keyPem, now: new Date() }));
};
const dkim = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
const recordOf = (key = dkim) =>
  `v=DKIM1;k=rsa;p=${key.export({ type: "spki", format: "der" }).toString("base64")}`;

let own: X509Certificate;
let other: X509Certificate;
beforeAll(async () => {
  [own, other] = await Promise.all([certificateOf(domain), certificateOf(domain)]);
});

const missing = () => Promise.reject(Object.assign(new Error("no such record"), { code: "ENODATA" }));
const right: Names = {
  resolve4: async () => ["192.0.2.5"],
  resolve6: async () => ["2001:db8::5"],
  resolveMx: async () => [{ exchange: domain, priority: 10 }],
  resolveTxt: async () => [[recordOf()]],
};

async function look(change: Partial<DnsParts> = {}) {
  const steps = createSteps();
  await lookAtDns({
    domain,
    names: right,
    dkim: { selector: "homing1", publicPem: dkim.export({ type: "spki", format: "pem" }).toString() },
    shown: own,
    certificateAt: async () => own,
    routers: ["192.168.1.1"],
    steps,
    ...change,
  });
  return steps.done[0]!;
}

describe("the canary's look at the DNS", () => {
  it("is content when all of it leads to the relay", async () => {
    expect(await look()).toMatchObject({
      ok: true,
      detail:
        "A 192.0.2.5 leads here; AAAA 2001:db8::5 leads here; mail comes here; the DKIM key is the one that signs",
    });
  });

  it("takes an IPv4 address that nobody answers at for a router that does not lead back, not so an IPv6 address", async () => {
    const step = await look({ certificateAt: async () => undefined });
    expect(step).toMatchObject({ ok: false, detail: "AAAA 2001:db8::5 does not lead here" });
    const names = { ...right, resolve6: missing };
    expect(await look({ names, certificateAt: async () => undefined })).toMatchObject({ ok: true });
  });

  it.each<[string, Partial<Names>, RegExp]>([
    ["no address", { resolve4: missing, resolve6: missing }, /has no address/],
    [
      "mail that goes elsewhere",
      { resolveMx: async () => [{ exchange: "mx.example.net", priority: 1 }] },
      /mx\.example\.net/,
    ],
    ["no DKIM key", { resolveTxt: missing }, /no key record/],
    [
      "another DKIM key",
      { resolveTxt: async () => [[recordOf(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey)]] },
      /another DKIM key/,
    ],
    [
      "a resolver without an answer",
      { resolve4: () => Promise.reject(Object.assign(new Error("x"), { code: "ETIMEOUT" })) },
      /ETIMEOUT/,
    ],
  ])("finds %s", async (_what, change, words) => {
    const step = await look({ names: { ...right, ...change } });
    expect(step).toMatchObject({
      ok: false,
      detail: expect.stringMatching(words),
      mend: expect.stringMatching(/homing dns check/),
    });
    // Nobody has test names in the DNS.
    expect(await look({ domain: "_a.test", names: { ...right, ...change } })).toMatchObject({ ok: true });
  });

  it("knows a router that shows its own page instead of leading back, for IPv4 alone", async () => {
    const names = { ...right, resolve6: missing };
    expect(await look({ names, certificateAt: async () => other })).toMatchObject({
      ok: true,
      detail: expect.stringMatching(/^A 192\.0\.2\.5, where from inside the router itself answers; /),
    });
    expect(await look({ certificateAt: async () => other })).toMatchObject({
      ok: false,
      detail: "AAAA 2001:db8::5 leads to another machine",
    });
    const without = { names, certificateAt: async () => other, routers: [] };
    expect(await look(without)).toMatchObject({ ok: false, detail: "A 192.0.2.5 leads to another machine" });
  });

  it("finds the default routers in the kernel's table", () => {
    const table = [
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
      "eth0\t00000000\t0101A8C0\t0003\t0\t0\t1024\t00000000\t0\t0\t0",
      "eth0\t0001A8C0\t00000000\t0001\t0\t0\t1024\t00FFFFFF\t0\t0\t0",
      "wg0\t00000000\t00000000\t0001\t0\t0\t2000\t00000000\t0\t0\t0",
      "wlan0\t00000000\tFE0AA8C0\t0003\t0\t0\t3024\t00000000\t0\t0\t0",
      "",
    ].join("\n");
    expect(routersIn(table)).toEqual(["192.168.1.1", "192.168.10.254"]);
    expect(routersIn("")).toEqual([]);
  });

  it("finds an address at which another machine answers", async () => {
    const third = await certificateOf(domain);
    const certificateAt = async ({ host }: { host: string }) => (host === "192.168.1.1" ? third : other);
    expect(await look({ certificateAt })).toMatchObject({
      ok: false,
      detail: "A 192.0.2.5 leads to another machine; AAAA 2001:db8::5 leads to another machine",
    });
  });
});

describe("the canary's look at the certificate", () => {
  const wrong = (certificate: X509Certificate, name: string) => () =>
    judgeCertificate(certificate, name, Date.now());

  it("accepts a self-signed one for a test name alone", async () => {
    expect(wrong(own, domain)).toThrow(/signed by the relay itself/);
    expect(judgeCertificate(await certificateOf("_a.test"), "_a.test", Date.now())).toMatch(/self-signed/);
  });

  it("finds one for another name", () => {
    expect(wrong(own, "chat.example.net")).toThrow(/not for chat\.example\.net/);
  });
});

describe("a step of the canary", () => {
  it("tells neither the canary's name nor what a terminal would obey", async () => {
    const steps = createSteps(() => ["homing-canary-x"]);
    await steps.take("login", () => Promise.reject(new Error("<homing-canary-x@a> said \u001b[2J\nno")));
    expect(steps.done[0]).toMatchObject({ ok: false, detail: "<…@a> said  [2J no" });
  });
});
