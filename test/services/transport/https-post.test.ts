/** Where mail by HTTPS does not go: to this machine and its links, whatever a name says. */
import { createSecureContext } from "node:tls";
import { afterAll, describe, expect, it } from "vitest";
import { createHttpsPost, isVerified } from "../../../services/transport/https-post.ts";

describe("a domain", () => {
  const addresses: Record<string, string> = {
    "loopback.example": "127.0.0.2",
    "any.example": "0.0.0.0",
    "link.example": "169.254.1.1",
    "group.example": "224.0.0.1",
    "six.example": "::1",
    "link6.example": "fe80::1",
    "mapped.example": "::ffff:127.0.0.1",
  };
  const find = (family: 4 | 6) => async (name: string) => {
    const address = addresses[name];
    if (address === undefined || address.includes(":") !== (family === 6)) throw new Error("none");
    return [address];
  };
  const https = createHttpsPost({
    secureContext: createSecureContext(),
    resolve4: find(4),
    resolve6: find(6),
    port: 9,
  });
  afterAll(() => https.close());

  it.each([...Object.keys(addresses), "[127.0.0.1]", "[IPv6:::1]", "[IPv6:::ffff:127.0.0.1]"])(
    "%s gets no connection",
    async (domain) => {
      const body = { isWhole: true, chunks: [Buffer.from("x")], bytes: 1 } as const;
      expect(await https.post(domain, { from: "", to: [`a@${domain}`] }, body)).toMatchObject({
        kind: "failed",
        reason: expect.stringContaining("of no other host"),
      });
    },
  );

  it("has a certificate that is verified, but for test names and addresses", () => {
    expect(["b.example", "a_b.example", "_b.test", "[192.0.2.1]"].map(isVerified)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});
