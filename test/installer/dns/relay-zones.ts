/**
 * Zones with a relay's records for the tests of checks (installer/dns/check.ts): the whole set, or without some of it,
 * and how a report of one is read.
 */
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { recordSets, txtStrings } from "../../../appliance/dns/record-set.ts";
import { dkimPublicKey, relayRecords } from "../../../appliance/dns/records.ts";
import type { DnsReport } from "../../../installer/dns/report.ts";
import { type SmallInternet, startSmallInternet, type TestZone } from "./name-servers.ts";

const key = () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
export const publicKey = dkimPublicKey(key().export({ type: "pkcs8", format: "pem" }) as string);
export const otherKey = dkimPublicKey(key().export({ type: "pkcs8", format: "pem" }) as string);
export const address = "11.22.33.44";

export const desired = (domain: string) => ({
  domain,
  records: relayRecords({ domain, dkim: [{ selector: "homing1", publicKey }], addresses: [address] }),
});

/** The whole set as lines of a zone file; those whose “NAME TYPE” begins so are left out. */
export function lines(domain: string, ...without: string[]): string[] {
  return recordSets(desired(domain).records)
    .filter(({ name, type }) => !without.some((each) => `${name} ${type}`.startsWith(each)))
    .flatMap(({ name, type, values }) =>
      values.map((value) => `${name}. 300 ${type} ${type === "TXT" ? txtStrings(value).join(" ") : value}`),
    );
}

export const whole = (name: string): TestZone => ({ name, records: lines(name) });
export const withOut = (name: string, without: string[], ...records: string[]): TestZone => ({
  name,
  records: [...lines(name, ...without.map((each) => each.replace("@", name))), ...records],
});

export const record = (report: DnsReport, name: string, type: string) => {
  const found = report.records.find((each) => each.name === name && each.type === type);
  if (found === undefined) throw new Error(`no ${name} ${type} in the report`);
  return found;
};
export const codes = (report: DnsReport) =>
  report.findings.map(({ code, severity }) => `${severity} ${code}`);
export const bad = (report: DnsReport) =>
  report.records
    .filter(({ state }) => state !== "ok")
    .map(({ name, type, state }) => `${name} ${type} ${state}`);

const START_LIMIT_MS = 60_000;

/** A small Internet with these zones for the tests of one suite; there from its first test on. */
export function internetOf(zones: readonly TestZone[]): () => SmallInternet {
  let folder = "";
  let internet: SmallInternet | undefined;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-dns-"));
    internet = await startSmallInternet(folder, zones);
  }, START_LIMIT_MS);
  afterAll(async () => {
    await internet?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  return () => {
    if (internet === undefined) throw new Error("the small Internet has not started");
    return internet;
  };
}
