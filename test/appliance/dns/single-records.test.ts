/** How providers with single records want values (appliance/dns/single-records.ts). */
import { describe, expect, it } from "vitest";
import { canonicalValue } from "../../../appliance/dns/record-set.ts";
import { allPages, contentOf, keptValue } from "../../../appliance/dns/single-records.ts";

const bare = { finalDot: false, txt: "bare" } as const;

describe("a value in a provider's style", () => {
  it("comes back as it went", () => {
    for (const [type, value] of [
      ["A", "192.0.2.1"],
      ["AAAA", "2001:db8::1"],
      ["MX", "10 mail.c.test."],
      ["SRV", "0 1 443 c.test."],
      ["CNAME", "c.test."],
      ["NS", "ns.c.test."],
      ["CAA", '0 issue "ca.test;accounturi=https://ca.test/1"'],
      ["TXT", '"v=spf1 a -all"'],
      ["TLSA", "3 1 1 00ff"],
    ] as const) {
      for (const style of [bare, { finalDot: true, txt: (text: string) => text }]) {
        const { content, priority } = contentOf({ type, value }, style);
        expect(canonicalValue(type, keptValue(type, content, priority)), value).toBe(value);
      }
    }
  });

  it("has the first number of MX and SRV apart, and dots where they belong", () => {
    const mx = { type: "MX", value: "10 c.test." };
    expect(contentOf(mx, bare)).toEqual({ content: "c.test", priority: 10 });
    expect(contentOf(mx, { ...bare, finalDot: true })).toEqual({ content: "c.test.", priority: 10 });
    const srv = { type: "SRV", value: "0 1 443 c.test." };
    expect(contentOf(srv, bare)).toEqual({ content: "1 443 c.test", priority: 0 });
  });

  it("is refused when it would not come back", () => {
    for (const value of ['"a \\"b\\""', '"a\\\\b"', '"\\195\\164"'])
      expect(() => contentOf({ type: "TXT", value }, bare)).toThrow(/cannot be written/);
  });
});

describe("a list in pages", () => {
  it("is read until it says that it ends, and not for ever", async () => {
    const three = (number: number) => Promise.resolve({ entries: [number], isLast: number === 3 });
    expect(await allPages(three)).toEqual([1, 2, 3]);
    const endless = () => Promise.resolve({ entries: [], isLast: false });
    await expect(allPages(endless)).rejects.toThrow(/more than 1000 pages/);
  });
});
