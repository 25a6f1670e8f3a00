/** Where mail by HTTPS does not go: to this machine, its links and private networks, whatever a name says. */
import { createSecureContext } from "node:tls";
import { afterAll, describe, expect, it } from "vitest";
import { createHttpsPost, isVerified } from "../../../services/transport/https-post.ts";
import { isOfOtherHost, isPublicAddress } from "../../../services/transport/public-address.ts";

/** This machine, its links, groups. */
const ofNoOtherHost = ["0.0.0.0", "127.0.0.2", "169.254.1.1", "224.0.0.1", "255.255.255.255"];
const ofNoOtherHost6 = ["::", "::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1"];
/** Of other hosts, in private networks. */
const privates = ["10.77.0.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1"];
const privates6 = [
  ...["fd00::1", "fc00::1", "fec0::1", "::ffff:192.168.1.1", "::192.168.1.1", "64:ff9b::10.0.0.1"],
  ...["64:ff9b::127.0.0.1", "2002:c0a8:101::1", "2001:0:102:304::1", "4000::1"],
];
const place = { signal: new AbortController().signal, goesTo: () => {} };
const body = { isWhole: true, chunks: [Buffer.from("x")], bytes: 1 } as const;

/** Each address under a name that is made of it; nothing listens at port 9. */
function httpsPost(options: { allowPrivate?: boolean } = {}) {
  const addresses = new Map(
    [...ofNoOtherHost, ...ofNoOtherHost6, ...privates, ...privates6].map((address) => [
      nameOf(address),
      address,
    ]),
  );
  const find = (family: 4 | 6) => async (name: string) => {
    const address = addresses.get(name);
    if (address === undefined || address.includes(":") !== (family === 6)) throw new Error("none");
    return [address];
  };
  const secureContext = createSecureContext();
  const https = createHttpsPost({ secureContext, resolve4: find(4), resolve6: find(6), port: 9, ...options });
  afterAll(() => https.close());
  return (domain: string) => https.post(domain, { from: "", to: [`a@${domain}`] }, body, place);
}

function nameOf(address: string): string {
  return `_${address.replaceAll(/[.:]/g, "-")}.example`;
}

const literalOf = (address: string) => (address.includes(":") ? `[IPv6:${address}]` : `[${address}]`);
const refused = { kind: "failed", reason: expect.stringContaining("not public") };

describe("mail by HTTPS", () => {
  const post = httpsPost();
  const all = [...ofNoOtherHost, ...ofNoOtherHost6, ...privates, ...privates6];

  it.each(all)("does not go to %s by a name", async (address) => {
    expect(await post(nameOf(address))).toMatchObject(refused);
  });

  it.each([...all.map(literalOf), "192.168.1.1", "[IPv6:fe80::1%lo]"])(
    "does not go to %s",
    async (literal) => {
      expect(await post(literal)).toMatchObject(refused);
    },
  );

  it.each(["9.9.9.9", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00::1", "64:ff9b::9.9.9.9"])(
    "may go to %s",
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
    },
  );
});

describe("mail by HTTPS of a relay with a name for tests", () => {
  const post = httpsPost({ allowPrivate: true });

  it.each([...ofNoOtherHost, ...ofNoOtherHost6])("does not go to %s either", async (address) => {
    expect(await post(nameOf(address))).toMatchObject(refused);
  });

  it.each(privates)("may go to %s by a name", (address) => {
    expect(isOfOtherHost(address)).toBe(true);
  });

  it.each([...privates, ...privates6].map(literalOf))("does not go to the address %s", async (literal) => {
    expect(await post(literal)).toMatchObject(refused);
  });
});

it("demands a certificate that can be verified, but of test names and addresses", () => {
  expect(["b.example", "a_b.example", "_b.test", "[192.0.2.1]"].map(isVerified)).toEqual([
    true,
    true,
    false,
    false,
  ]);
});
