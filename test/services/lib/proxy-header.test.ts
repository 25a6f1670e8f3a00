import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { proxyHeader } from "../../../services/lib/proxy-header.ts";
import { parseProxyHeader } from "../../../services/lib/proxy-protocol.ts";

const local = { address: "192.0.2.1", port: 443 };

describe("a PROXY header", () => {
  it("is what the specification shows, for IPv4", () => {
    expect(proxyHeader({ address: "198.51.100.7", port: 258 }, local).toString("hex")).toBe(
      `0d0a0d0a000d0a515549540a${"21"}${"11"}${"000c"}${"c6336407"}${"c0000201"}${"0102"}${"01bb"}`,
    );
  });

  it("is what the specification shows, for IPv6", () => {
    const header = proxyHeader({ address: "2001:db8::7:0:1", port: 1 }, { address: "2001:db8::", port: 443 });
    expect(header.toString("hex")).toBe(
      "0d0a0d0a000d0a515549540a21210024" +
        "20010db8000000000000000700000001" +
        "20010db8000000000000000000000000" +
        "000101bb",
    );
  });

  it.each([
    ["::ffff:198.51.100.7", "198.51.100.7"],
    ["fe80::1%eth0", "fe80::1"],
    ["::", "::"],
    ["::1", "::1"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ])("names %s as %s", (address, read) => {
    const header = proxyHeader(
      { address, port: 5 },
      { address: address.includes(".") ? "::ffff:192.0.2.1" : "::1", port: 6 },
    );
    expect(parseProxyHeader(header)).toEqual({
      kind: "complete",
      length: header.length,
      source: { address: read, port: 5 },
    });
  });

  it("is read by our own reader as it was written", () => {
    const port = fc.integer({ min: 0, max: 65_535 });
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), port, (address, port) => {
        const header = proxyHeader({ address, port }, local);
        const read = parseProxyHeader(Buffer.concat([header, Buffer.from("more")]));
        if (read.kind !== "complete" || read.source === null) throw new Error(JSON.stringify(read));
        expect(read.length).toBe(header.length);
        expect(read.source.port).toBe(port);
        // Two spellings of one address are the same bytes.
        expect(proxyHeader(read.source, local)).toEqual(header);
      }),
    );
  });
});
