/** Values of zones as canonical text (appliance/dns/record-set.ts), and names in zones (zone-names.ts). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  canonicalValue,
  groupValues,
  presentation,
  recordData,
  recordSets,
  sameValues,
  txtStrings,
  txtText,
  txtValue,
} from "../../../appliance/dns/record-set.ts";
import { relayRecords } from "../../../appliance/dns/records.ts";
import { absoluteName, relativeName, zoneOf } from "../../../appliance/dns/zone-names.ts";

describe("a value", () => {
  it.each([
    ["A", " 192.0.2.1 ", "192.0.2.1"],
    ["AAAA", "2001:DB8:0:0::1", "2001:db8::1"],
    ["AAAA", "2001:db8::192.0.2.1", "2001:db8::c000:201"],
    ["MX", "10  Mail.Example.org", "10 mail.example.org."],
    ["MX", "0 .", "0 ."],
    ["CNAME", "Example.org", "example.org."],
    ["NS", "ns1.example.org.", "ns1.example.org."],
    ["SRV", "0 1 443 example.org", "0 1 443 example.org."],
    ["CAA", "0 ISSUE letsencrypt.org", '0 issue "letsencrypt.org"'],
    [
      "CAA",
      '128 issue "a.test;accounturi=https://a.test/1"',
      '128 issue "a.test;accounturi=https://a.test/1"',
    ],
    ["TXT", "bare words of a provider ", '"bare words of a provider "'],
    ["TXT", '"in two" " strings"', '"in two strings"'],
    ["TXT", '"in two"" strings"', '"in two strings"'],
    ["TXT", '"a\\"b\\\\c\\065\\195\\188"', '"a\\"b\\\\cA\\195\\188"'],
    ["TXT", '"ü"', '"\\195\\188"'],
    ["TXT", '""', '""'],
    ["TXT", "", '""'],
    ["DS", " 1  2 3   AB", "1 2 3 AB"],
  ])("of type %s, written %j, is %s", (type, text, canonical) => {
    expect(canonicalValue(type, text)).toBe(canonical);
    expect(canonicalValue(type, canonical)).toBe(canonical);
  });

  it.each([
    ["A", "192.0.2"],
    ["AAAA", "fe80::1%eth0"],
    ["MX", "mail.example.org"],
    ["MX", "10 mail.example.org. more"],
    ["MX", "70000 mail.example.org."],
    ["CNAME", ""],
    ["CNAME", "a..b"],
    ["SRV", "0 1 example.org."],
    ["CAA", "0 issue"],
    ["CAA", '256 issue "x"'],
    ["TXT", '"without an end'],
    ["TXT", '"a" b'],
    ["TXT", '"\\999"'],
    ["HINFO", " "],
  ])("of type %s is not %j", (type, text) => {
    expect(() => canonicalValue(type, text)).toThrow(expect.objectContaining({ name: "RecordTextError" }));
    if (type !== "HINFO") expect(() => recordData(type, text)).toThrow(/is no/);
  });

  it("of a text keeps every text, whole and in strings of 255 octets", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 600 }), (text) => {
        fc.pre(text.isWellFormed());
        const value = txtValue(text);
        const strings = txtStrings(value);
        expect(txtText(value)).toBe(text);
        expect(canonicalValue("TXT", strings.join(" "))).toBe(value);
        for (const one of strings) {
          expect(Buffer.byteLength(one.replaceAll(/\\\d{3}|\\./g, "x"))).toBeLessThanOrEqual(255 + 2);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("of every record of a relay is read back as it was", () => {
    const dkim = [{ selector: "opendkim", publicKey: "A".repeat(392) }];
    for (const record of relayRecords({
      domain: "c.example",
      dkim,
      addresses: ["192.0.2.1", "2001:db8::1"],
    })) {
      const data = recordData(record.type, presentation(record));
      expect(record).toMatchObject(data);
      expect(canonicalValue(record.type, presentation(record))).toBe(presentation(record));
    }
  });
});

describe("record sets", () => {
  it("hold the records of one name and type", () => {
    const dkim = [{ selector: "s", publicKey: "A" }];
    const addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
    const sets = recordSets(relayRecords({ domain: "c.example", dkim, addresses }));
    expect(sets).toHaveLength(15);
    expect(sets[0]).toEqual({ name: "c.example", type: "A", ttl: 3600, values: ["192.0.2.1", "192.0.2.2"] });
  });

  it("take a provider's rows as they are, and keep what is no value of its type", () => {
    const row = { name: "C.example.", type: "a", ttl: 600, value: "192.0.2.1" };
    expect(groupValues([row, { ...row, ttl: 300 }, { ...row, type: "MX", value: "to whom?" }])).toEqual([
      { name: "c.example", type: "A", ttl: 300, values: ["192.0.2.1"] },
      { name: "c.example", type: "MX", ttl: 600, values: ["to whom?"] },
    ]);
  });

  it.each([
    ["A", ["192.0.2.1", "192.0.2.2"], ["192.0.2.2", "192.0.2.1", "192.0.2.1"], true],
    ["A", ["192.0.2.1", "192.0.2.2"], ["192.0.2.1"], false],
    ["CAA", ['0 issue "a.test; x=1"'], ['0 issue "a.test;x=1"'], true],
    ["TXT", ['"a; b"'], ['"a;b"'], false],
  ])("of type %s with %j and %j are the same: %s", (type, left, right, same) => {
    const set = (values: string[]) => ({ name: "c.example", type, ttl: values.length, values });
    expect(sameValues(set(left), set(right))).toBe(same);
  });
});

describe("a name in a zone", () => {
  it.each([
    ["c.example", ""],
    ["www.c.example", "www"],
    ["_imaps._tcp.c.example", "_imaps._tcp"],
  ])("%s is %j there, and back", (name, relative) => {
    expect(relativeName(name, "c.example")).toBe(relative);
    expect(absoluteName(relative, "c.example")).toBe(name);
  });

  it("is not one that ends alike", () => {
    expect(() => relativeName("nice.example", "ce.example")).toThrow("not in the zone");
    expect(absoluteName("@", "c.example")).toBe("c.example");
  });

  it("belongs to the closest zone", () => {
    expect(zoneOf("a.chat.c.example", ["c.example", "chat.c.example", "xchat.c.example"])).toBe(
      "chat.c.example",
    );
    expect(zoneOf("c.example", ["d.example"])).toBeUndefined();
  });
});
