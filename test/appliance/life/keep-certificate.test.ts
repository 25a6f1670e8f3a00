/** Which certificate a relay shows from its start on (appliance/life/keep-certificate.ts), and the owner's own. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseCertificateChain } from "../../../appliance/certificate-chain.ts";
import { dataPaths, runPaths, tlsCertificatePath } from "../../../appliance/layout.ts";
import { realDisk } from "../../../appliance/life/disk.ts";
import { importRelay } from "../../../appliance/life/import-relay.ts";
import { keepCertificate } from "../../../appliance/life/keep-certificate.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { makeEcPem, makeTestAuthority } from "../../support/test-authority.ts";
import { domain, makePartitions, putFiles, relayFiles, textOf } from "./relay-on-fat.ts";

const now = new Date("2026-11-21T12:00:00Z");
const authority = await makeTestAuthority(now);
const tlsKey = relayFiles["keys/tls.pem"]!;
const ownKey = makeEcPem();
const own = (await authority.certify(ownKey, [domain])) + authority.intermediate;

const settings = (certificates = "", name = domain) =>
  `domain = "${name}"\n[certificates]\n${certificates}\n`;
const ownFiles = { "keys/certificate.pem": own, "keys/certificate-key.pem": ownKey };

describe("the certificate at the start", () => {
  let root: string;
  let said: string[];
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "homing-keep-"));
    said = [];
  });
  afterEach(() => rm(root, { recursive: true }));
  const at = (path: string) => join(root, path);
  const start = async (toml: string, files: Readonly<Record<string, string>> = {}) => {
    await putFiles(at(dataPaths.relay), { ...relayFiles, ...files });
    await mkdir(dirname(at(tlsCertificatePath)), { recursive: true });
    const device = { at, disk: realDisk, now, say: (text: string) => said.push(text) };
    const { keyPem } = await keepCertificate(device, parseRelayConfig(toml, "relay.toml"));
    const chain = parseCertificateChain(await readFile(at(tlsCertificatePath), "utf8"));
    expect(chain.leaf.checkPrivateKey((await import("node:crypto")).createPrivateKey(keyPem))).toBe(true);
    return { chain, keyPem };
  };
  const put = async (pem: string) => {
    await mkdir(dirname(at(tlsCertificatePath)), { recursive: true });
    await writeFile(at(tlsCertificatePath), pem);
  };

  it.each([
    ["that is valid", {}],
    ["that has expired", { from: new Date("2026-01-01"), until: new Date("2026-04-01") }],
    ["that the clock is too early for", { from: new Date("2027-01-01"), until: new Date("2027-04-01") }],
  ])("is still the authority's %s", async (_what, dates) => {
    const pem = await authority.certify(tlsKey, [domain], dates);
    await put(pem);
    expect((await start(settings())).chain.pem).toBe(pem);
    expect(said).toEqual([]);
  });

  it.each([
    ["another key", settings(), () => authority.certify(makeEcPem(), [domain])],
    ["another name", settings(), () => authority.certify(tlsKey, ["other.example.org"])],
    [
      "an authority that is not wanted any more",
      settings('source = "self-signed"'),
      () => authority.certify(tlsKey, [domain]),
    ],
  ])("is made anew instead of one of %s", async (_what, toml, make) => {
    await put(await make());
    expect((await start(toml)).chain.isSelfSigned).toBe(true);
  });

  it("is always self-signed for a test domain", async () => {
    const { chain } = await start(settings('source = "files"', "_a.test"), ownFiles);
    expect(chain.isSelfSigned).toBe(true);
    expect(said).toEqual(["made a self-signed certificate"]);
  });

  it("is the owner's own where the settings say so, with its key, also a self-signed one", async () => {
    const { chain, keyPem } = await start(settings('source = "files"'), ownFiles);
    expect(chain.pem).toBe(parseCertificateChain(own).pem);
    expect(keyPem).toBe(ownKey);
    const { chain: before, keyPem: key } = await start(settings('source = "self-signed"'));
    expect(before.isSelfSigned).toBe(true);
    const files = { "keys/certificate.pem": before.pem, "keys/certificate-key.pem": key };
    expect((await start(settings('source = "files"'), files)).chain.pem).toBe(before.pem);
  });

  it("reminds the owner before his own ends", async () => {
    const until = new Date("2026-12-01");
    const files = {
      ...ownFiles,
      "keys/certificate.pem": await authority.certify(ownKey, [domain], { until }),
    };
    expect((await start(settings('source = "files"'), files)).chain.isSelfSigned).toBe(false);
    expect(await textOf(at(runPaths.certificateProblem))).toMatch(/ends on 2026-12-01: put a new one/);
    await start(settings('source = "files"'), ownFiles);
    expect(await textOf(at(runPaths.certificateProblem))).toBeUndefined();
  });

  it("is self-signed when the owner's own cannot be used, and the page says why", async () => {
    const files = { ...ownFiles, "keys/certificate-key.pem": makeEcPem() };
    expect((await start(settings('source = "files"'), files)).chain.isSelfSigned).toBe(true);
    expect(await textOf(at(runPaths.certificateProblem))).toMatch(
      /certificate\.pem was made for another private key\. The relay shows a self-signed/,
    );
  });
});

describe("the import of the owner's files", () => {
  const toml = { "relay.toml": settings('source = "files"') };
  const run = ({ from, to }: { from: string; to: string }) => importRelay({ from, to, disk: realDisk });

  it("takes certificate and key over, and lets them be replaced", async () => {
    await using partitions = await makePartitions({ ...relayFiles, ...toml, ...ownFiles });
    expect(await run(partitions)).toEqual({ kind: "imported", ignored: [] });
    expect(await textOf(join(partitions.to, "keys/certificate.pem"))).toBe(own);
    const key = makeEcPem();
    const renewed = {
      "keys/certificate.pem": await authority.certify(key, [domain]),
      "keys/certificate-key.pem": key,
    };
    await putFiles(partitions.from, { ...toml, ...renewed });
    expect(await run(partitions)).toEqual({ kind: "imported", ignored: [] });
    for (const [path, content] of Object.entries(renewed))
      expect(await textOf(join(partitions.to, path))).toBe(content);
    // Without the setting they go.
    await putFiles(partitions.from, { "relay.toml": settings() });
    await run(partitions);
    for (const path of Object.keys(renewed)) expect(await textOf(join(partitions.to, path))).toBeUndefined();
  });

  it.each<[what: string, files: Readonly<Record<string, string>>, words: RegExp]>([
    [
      "no certificate",
      { "keys/certificate-key.pem": ownKey },
      /keys\/certificate\.pem is missing: source = “files”/,
    ],
    ["no key", { "keys/certificate.pem": own }, /keys\/certificate-key\.pem is missing/],
    [
      "a key that is none",
      { ...ownFiles, "keys/certificate-key.pem": own },
      /holds no private key in PEM form/,
    ],
    ["another key", { ...ownFiles, "keys/certificate-key.pem": tlsKey }, /was made for another private key/],
    [
      "no secret for the DNS",
      {
        "relay.toml": settings(
          'challenge = "dns-01"\nrfc2136_server = "192.0.2.1"\nrfc2136_zone = "x"\nrfc2136_key_name = "k"',
        ),
      },
      /keys\/dns-update\.key is missing: put there the secret of the TSIG key/,
    ],
    [
      "no credentials for the registrar",
      {
        "relay.toml": settings('challenge = "dns-01"\ndns_provider = "porkbun"'),
        "keys/dns-update.key": "api_key = pk1_hidden\n",
      },
      /keys\/dns-update\.key must hold the credentials for porkbun, .*: the line “secret_key = …” is missing\./,
    ],
  ])("refuses %s and changes nothing", async (_what, files, words) => {
    await using partitions = await makePartitions({ ...relayFiles, ...toml, ...files });
    await expect(run(partitions)).rejects.toThrow(words);
    expect(await textOf(join(partitions.to, "relay.toml"))).toBeUndefined();
    expect(await textOf(join(partitions.from, "keys/tls.pem"))).toBe(tlsKey);
  });
});
