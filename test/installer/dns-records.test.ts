/** The file dns-records.txt of a relay folder (installer/dns-records.ts). */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  noteAddresses,
  notedAddresses,
  publicationText,
  renewDnsRecords,
  writeDnsRecords,
} from "../../installer/dns-records.ts";

const relay = { domain: "a.example", dkim: [{ selector: "homing1", publicKey: "AAAA" }] };
const two = { ...relay, dkim: [...relay.dkim, { selector: "homing2", publicKey: "BBBB" }] };

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-dns-records-"));
  file = join(folder, "dns-records.txt");
});
afterEach(() => rm(folder, { recursive: true }));

const content = () => readFile(file, "utf8");

describe("renewDnsRecords", () => {
  it("makes the file where there is none", async () => {
    expect(await renewDnsRecords(folder, relay)).toBe(file);
    expect(await content()).toContain(publicationText(relay));
    expect(await readdir(folder)).toEqual(["dns-records.txt"]);
  });

  it("leaves what its owner filled in as long as all records are there", async () => {
    await writeDnsRecords(folder, relay);
    const own = (await content()).replace("192.0.2.1", "203.0.113.9").replaceAll(" IN ", "\tIN\t");
    await writeFile(file, own);
    await renewDnsRecords(folder, relay);
    expect(await content()).toBe(own);
  });

  it.each([
    ["a key was added", relay, two],
    ["a key was withdrawn", two, relay],
    ["the domain changed", relay, { ...relay, domain: "b.example" }],
    ["no authority is named any more", relay, { ...relay, authority: null }],
    ["an authority is named again", { ...relay, authority: null }, relay],
  ])("writes it anew when %s", async (_, before, after) => {
    await writeDnsRecords(folder, before);
    await renewDnsRecords(folder, after);
    expect(await content()).toContain(publicationText(after));
    expect(await readdir(folder)).toEqual(["dns-records.txt"]);
  });

  it("keeps the addresses when it writes the file anew", async () => {
    await noteAddresses(folder, relay, ["203.0.113.9", "2001:db8::9"]);
    expect(await notedAddresses(folder, relay.domain)).toEqual(["203.0.113.9", "2001:db8::9"]);
    await renewDnsRecords(folder, two);
    expect(await notedAddresses(folder, relay.domain)).toEqual(["203.0.113.9", "2001:db8::9"]);
    expect(await notedAddresses(folder, "b.example")).toEqual([]);
  });

  it("takes the line to fill in for no address", async () => {
    expect(await notedAddresses(folder, relay.domain)).toEqual([]);
    await writeDnsRecords(folder, relay);
    expect(await notedAddresses(folder, relay.domain)).toEqual([]);
  });
});
