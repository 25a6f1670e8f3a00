/**
 * Where mail by HTTPS does not go: to this machine, its links and private networks, whatever a name says; and that it
 * shows whether a large one goes on.
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createSecureContext } from "node:tls";
import { afterAll, describe, expect, it } from "vitest";
import { createHttpsPost, isVerified } from "../../../services/transport/https-post.ts";
import { isOfOtherHost, isPublicAddress } from "../../../services/transport/public-address.ts";
import { makeEcPem, makeTestAuthority } from "../../support/test-authority.ts";
import { waitFor } from "../../support/wait.ts";

/** This machine, its links, groups. */
const ofNoOtherHost = ["0.0.0.0", "127.0.0.2", "169.254.1.1", "224.0.0.1", "255.255.255.255"];
const ofNoOtherHost6 = ["::", "::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1"];
/** Of other hosts, in private networks. */
const privates = ["10.77.0.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1"];
const privates6 = [
  ...["fd00::1", "fc00::1", "fec0::1", "::ffff:192.168.1.1", "::192.168.1.1", "64:ff9b::10.0.0.1"],
  ...["64:ff9b::127.0.0.1", "2002:c0a8:101::1", "2001:0:102:304::1", "4000::1"],
];
const place = { signal: new AbortController().signal, goesTo: () => {}, moved: () => {} };
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

describe("a large message", () => {
  const pieces = Array.from({ length: 256 }, () => Buffer.alloc(65_536, "x"));
  const bytes = 256 * 65_536;

  /** A server that does with a request what `answer` says, and a message under way to it. */
  const send = async (
    isWhole: boolean,
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ) => {
    await using stack = new AsyncDisposableStack();
    const key = makeEcPem();
    const authority = await makeTestAuthority();
    const server = createServer({ key, cert: await authority.certify(key, ["_slow.test"]) }, answer);
    await once(server.listen(0, "127.0.0.1"), "listening");
    stack.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    const https = createHttpsPost({
      ...{ secureContext: createSecureContext(), allowLoopback: true },
      ...{ resolve4: async () => ["127.0.0.1"], resolve6: async () => [] },
      port: (server.address() as AddressInfo).port,
    });
    stack.defer(() => https.close());
    let moved = 0;
    const seen = { ...place, moved: (more: number) => (moved += more) };
    const source = (async function* () {
      yield* pieces;
    })();
    const whole = { isWhole: true, chunks: pieces, bytes } as const;
    const outcome = https.post(
      "_slow.test",
      { from: "", to: ["a@_slow.test"] },
      isWhole ? whole : { isWhole: false, source, isTouched: () => true },
      seen,
    );
    const kept = stack.move();
    return { outcome, moved: () => moved, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  };

  it.each([true, false])("is seen to move while it goes out (kept whole: %s)", async (isWhole) => {
    let goOn = () => {};
    await using sent = await send(isWhole, (request, response) => {
      request.on("end", () => response.end("250 OK"));
      goOn = () => request.resume();
    });
    await waitFor("the first of it is out", 10_000, async () => sent.moved() > 0);
    expect(sent.moved()).toBeLessThan(bytes);
    goOn();
    expect(await sent.outcome).toMatchObject({ kind: "answered", status: 200 });
    expect(sent.moved()).toBe(bytes);
  });

  it.each([true, false])("is not written on when the answer has begun (kept whole: %s)", async (isWhole) => {
    await using sent = await send(isWhole, (_request, response) => {
      response.writeHead(413).end("too large");
    });
    expect(await sent.outcome).toEqual({ kind: "answered", status: 413, text: "too large" });
    expect(sent.moved()).toBeLessThan(bytes);
  });
});
