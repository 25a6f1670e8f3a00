import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  canonicalIp,
  formatAddress,
  literalAddress,
  parseEnvelope,
  parseFrom,
  sameAddress,
} from "../../../services/milter/address.ts";
import { MAX_CASE_MILLISECONDS } from "./cpu-limit.ts";

describe("the From field", () => {
  it.each([
    ["a@b.test", "a@b.test"],
    ["<a@b.test>", "a@b.test"],
    [" Alice <a@B.Test> ", "a@b.test"],
    ['"Doe, Alice" <a@b.test>', "a@b.test"],
    ["Alice Q. Public <a@b.test>", "a@b.test"],
    ["=?utf-8?q?Al=C3=AFce?= <a@b.test>", "a@b.test"],
    ["Алиса <a@b.test>", "a@b.test"],
    ["a@b.test (Alice in Wonderland)", "a@b.test"],
    ["Alice\n <a@b.test>", "a@b.test"],
    ['"a b"@b.test', '"a b"@b.test'],
    ["a..b.@b.test", "a..b.@b.test"],
    ["a@_b.test", "a@_b.test"],
    ["a@b.test.", null],
    ["a@bücher.test", "a@xn--bcher-kva.test"],
    ["a@[192.0.2.1]", "a@[192.0.2.1]"],
    ["a@[IPv6:2001:db8::1]", "a@[ipv6:2001:db8::1]"],
  ])("%j is the address %j", (field, address) => {
    const parsed = parseFrom(field);
    expect(parsed === null ? null : formatAddress(parsed)).toBe(address);
  });

  it.each([
    "",
    "Alice",
    "<>",
    "a@",
    "@b.test",
    "a@b.test, c@d.test",
    "<a@b.test>, <c@d.test>",
    "<a@b.test> <c@d.test>",
    "a@b.test <c@d.test>",
    "<a@b.test> c@d.test",
    "group: a@b.test;",
    "<@relay.test:a@b.test>",
    "a @b.test",
    "<a@b.test",
    "a@b.test>",
    "a@b@c.test",
    '"a@b.test',
    "(a@b.test",
    "a\0@b.test",
    "a@b.test\r\nX: y",
    "a@[192.0.2.1",
    "a@[,]",
    "a@b.test (Alice (in Wonderland))",
    "(c@d.test) a@b.test",
    '"Doe"a@b.test',
    'a"b"@c.test',
    "a@b!c.test",
    "a@b%2etest",
    "a@-b.test",
    `a@${"b".repeat(64)}.test`,
    "=?utf-8?q?a?=@b.test",
    "a@=?utf-8?q?b=2Etest?=",
    "\ufffd@b.test",
    "a\r@b.test",
    `${"x".repeat(5000)} <a@b.test>`,
  ])("%j is not one address", (field) => {
    expect(parseFrom(field)).toBeNull();
  });

  it("never takes long to read", () => {
    const nasty = fc.constantFrom("(", '"', "\\", " ", "\n ", "<", "@", ".", "a", "[", "]", ")", ",");
    fc.assert(
      fc.property(fc.array(nasty, { maxLength: 6, minLength: 1 }), (list) => {
        const before = process.cpuUsage();
        parseFrom(list.join("").repeat(Math.floor(4096 / list.join("").length)));
        const { user, system } = process.cpuUsage(before);
        expect((user + system) / 1000).toBeLessThan(MAX_CASE_MILLISECONDS);
      }),
    );
  });
});

describe("addresses", () => {
  it("are the same whatever their case and brackets", () => {
    expect(sameAddress(parseEnvelope("<Alice@B.test>"), parseEnvelope("alice@b.TEST"))).toBe(true);
    expect(sameAddress(parseEnvelope("<alice@b.test>"), parseEnvelope("alice@c.test"))).toBe(false);
    expect(sameAddress(parseEnvelope("<>"), parseEnvelope("<alice@b.test>"))).toBe(false);
    // The Kelvin sign is no "k", although Unicode's lower case of it is.
    expect(sameAddress(parseEnvelope("<\u212aelvin@b.test>"), parseEnvelope("<kelvin@b.test>"))).toBe(false);
  });

  it("of clients are compared by meaning", () => {
    expect(canonicalIp("2001:DB8:0:0:0:0:0:1")).toBe("2001:db8::1");
    expect(canonicalIp("::ffff:192.0.2.1")).toBe("192.0.2.1");
    expect(literalAddress("[ipv6:2001:db8:0::1]")).toBe("2001:db8::1");
    expect(literalAddress("[192.0.2.1]")).toBe("192.0.2.1");
    expect(literalAddress("[192.0.2.256]")).toBeNull();
    expect(literalAddress("b.test")).toBeNull();
  });
});
