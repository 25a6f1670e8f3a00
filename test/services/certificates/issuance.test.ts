/** Getting a certificate from a real authority (services/certificates): which names, by which proof, kept where. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { covers, fitsKey } from "../../../appliance/certificate-chain.ts";
import { ORDER_PATH } from "../../support/pebble.ts";
import { domain, makeSurroundings, missing, type Surroundings } from "./surroundings.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe.skipIf(missing !== undefined)(`the certificate service (${missing ?? "here"})`, () => {
  let place: Surroundings;
  const start = async (...args: Parameters<typeof makeSurroundings>) => {
    place = await makeSurroundings(...args);
    return place;
  };
  afterEach(() => place[Symbol.asyncDispose]());

  it("gets one for the domain first, then with the names that lead here, by http-01, with bad nonces", async () => {
    await start(undefined, { badNonces: 20 });
    await place.look();
    const chain = await place.chain();
    expect(chain.isSelfSigned).toBe(false);
    expect(fitsKey(chain, place.tlsKey)).toBe(true);
    expect([domain, `www.${domain}`, `mta-sts.${domain}`].map((name) => covers(chain, name))).toEqual([
      ...[true, true, false],
    ]);
    expect((await stat(join(place.folder, "certificate.pem"))).mode & 0o777).toBe(0o644);
    const { issued, account, order, failure, totals } = await place.state();
    expect(issued.map(({ names }) => names)).toEqual([[domain], [domain, `www.${domain}`]]);
    expect({ order, failure, totals }).toEqual({ totals: { issued: 2, failed: 0 } });
    expect(account?.url).toMatch(/^https:\/\/localhost:\d+\/my-account\//);
    expect(await place.problem()).toBeUndefined();
    expect(await place.metrics()).toMatch(/^homing_certificate_from_authority 1$/m);
    expect(await place.report()).toMatchObject({
      ...{ authority: place.pebble.directory, account: account?.url, names: [domain, `www.${domain}`] },
      ...{ notAfter: chain.notAfter.getTime(), failures: 0, refused: {}, problem: null },
    });
    // A name is missing: it is looked for in an hour, and nothing is asked of the authority for it.
    expect((await place.nextLook()) - Date.now()).toBeGreaterThan(0.9 * HOUR);
    expect((await place.nextLook()) - Date.now()).toBeLessThan(1.1 * HOUR);
    const before = place.pebble.count(ORDER_PATH);
    await place.look();
    expect(place.pebble.count(ORDER_PATH)).toBe(before);
    expect((await place.chain()).pem).toBe(chain.pem);
  });

  it("gets one by dns-01 for all names, and leaves the zone as it was", async () => {
    await start([
      `${domain}. 60 A 192.0.2.1`,
      `_acme-challenge.www.${domain}. 60 CNAME elsewhere.${domain}.`,
    ]);
    await place.look({ settings: 'challenge = "dns-01"' });
    const chain = await place.chain();
    for (const name of [domain, `www.${domain}`, `mta-sts.${domain}`])
      expect(covers(chain, name), name).toBe(true);
    for (const name of [`_acme-challenge.${domain}`, `elsewhere.${domain}`])
      await expect(place.knot.lookups.resolveTxt(name)).rejects.toThrow(/ENODATA|ENOTFOUND/);
    // All names are there: the next is the renewal, and what the longest plan allows.
    expect((await place.nextLook()) - Date.now()).toBeGreaterThan(8 * DAY);
  });

  it("comes back to name servers that are slow, with the same order and the records that it made", async () => {
    await start([`${domain}. 60 A 192.0.2.1`]);
    const settings = 'challenge = "dns-01"';
    const { system } = place.knot.resolvers;
    const hidden = {
      resolveNs: (name: string) => place.knot.lookups.resolveNs(name),
      resolve4: (name: string) => place.knot.lookups.resolve4(name),
      resolve6: (name: string) => place.knot.lookups.resolve6(name),
      resolveCname: (name: string) => place.knot.lookups.resolveCname(name),
      resolveTxt: () => Promise.reject(Object.assign(new Error("hidden"), { code: "ENOTFOUND" })),
    };
    await place.look({ settings, patience: () => 0, resolvers: { system, at: () => hidden } });
    expect(await place.problem()).toMatch(
      /^the record _acme-challenge\.c\.test was made, but these name servers do not show it yet: .* looked for again\./,
    );
    const { order } = await place.state();
    expect(order?.names).toEqual([domain]);
    const records = await place.knot.lookups.resolveTxt(`_acme-challenge.${domain}`);
    expect(records).toHaveLength(1);
    const next = await place.nextLook();
    expect(next - Date.now()).toBeLessThan(20 * 60_000);
    await place.look({ settings, now: () => next });
    expect(covers(await place.chain(), `mta-sts.${domain}`)).toBe(true);
    // The order that was begun, and the one for all names.
    expect(place.pebble.count(ORDER_PATH)).toBe(2);
    expect((await place.state()).order).toBeUndefined();
    for (const name of [domain, `www.${domain}`, `mta-sts.${domain}`])
      await expect(place.knot.lookups.resolveTxt(`_acme-challenge.${name}`)).rejects.toThrow(
        /ENODATA|ENOTFOUND/,
      );
  });

  it("asks nothing before the domain has an address, and looks often whether it has one", async () => {
    await start([]);
    await place.look();
    expect(place.pebble.requests.filter((line) => line !== "GET /dir")).toEqual([]);
    expect(await place.problem()).toMatch(
      /^The name c\.test has no address in the DNS yet: publish .* self-signed/,
    );
    expect((await place.nextLook()) - Date.now()).toBeLessThan(3 * 60_000);
    expect((await place.chain()).isSelfSigned).toBe(true);
  });

  it("leaves out a name that is refused, tries it again much later, and keeps the domain's", async () => {
    // CAA of www.c.test: nobody; it leads here all the same.
    await start([
      `${domain}. 60 A 127.0.0.1`,
      `www.${domain}. 60 A 127.0.0.1`,
      `www.${domain}. 60 AAAA ::1`,
      `mta-sts.${domain}. 60 CNAME ${domain}.`,
    ]);
    await place.look();
    const chain = await place.chain();
    expect([`www.${domain}`, `mta-sts.${domain}`].map((name) => covers(chain, name))).toEqual([false, true]);
    const { refused, failure } = await place.state();
    expect(failure).toBeUndefined();
    expect(refused[`www.${domain}`]?.text).toMatch(
      /cannot reach http:\/\/www\.c\.test\/: forward TCP port 80/,
    );
    expect(refused[`www.${domain}`]!.retryAt - Date.now()).toBeGreaterThan(HOUR);
    expect(await place.problem()).toBeUndefined();
    expect(await place.refused()).toBe(`${refused[`www.${domain}`]?.text}\n`);
  });

  it("says what to do when nothing answers on port 80, and leaves the authority alone for ever longer", async () => {
    await start();
    await place.closeWeb();
    let now = Date.now();
    const waits: number[] = [];
    for (let attempt = 0; attempt < 9; attempt++) {
      await place.look({ now: () => now });
      expect(await place.problem()).toMatch(/cannot reach http:\/\/c\.test\/: forward TCP port 80/);
      const next = await place.nextLook();
      waits.push(Math.round((next - now) / 60_000));
      const before = place.pebble.requests.length;
      await place.look({ now: () => next - 2000 });
      expect(place.pebble.requests.length).toBe(before);
      now = next;
    }
    expect(waits).toEqual([17, 34, 68, 135, 270, 540, 810, 810, 810]);
    expect((await place.state()).failure?.count).toBe(9);
    expect(await place.metrics()).toMatch(/^homing_certificate_failures_total 9$/m);
    expect(place.pebble.count(ORDER_PATH)).toBe(9);
    // Who starts the relay again has mended something, and waits a quarter of an hour at most.
    const { at } = (await place.state()).failure!;
    await place.look({ now: () => at + 15 * 60_000, isFirstSinceBoot: true });
    expect(place.pebble.count(ORDER_PATH)).toBe(9);
    await place.look({ now: () => at + 19 * 60_000, isFirstSinceBoot: true });
    expect(place.pebble.count(ORDER_PATH)).toBe(10);
  });

  it("says so when another web server answers for the name", async () => {
    await start();
    const { challenges } = await place.options();
    await place.look({ challenges: { ...challenges, present: async () => {} } });
    expect(await place.problem()).toMatch(
      /^Another web server than this device answers for http:\/\/c\.test\//,
    );
  });

  it.each([
    ["seconds", "7200", 7200],
    ["a date", new Date(Date.now() + 3 * HOUR).toUTCString(), 3 * 3600],
    ["a very long time", "99999999", 9 * 24 * 3600],
  ])("waits as long as the authority says in %s", async (_what, retryAfter, seconds) => {
    await start();
    let refusals = 0;
    place.pebble.intercept((request, response) => {
      if (request.url !== ORDER_PATH) return false;
      refusals++;
      const headers = { "content-type": "application/problem+json", "retry-after": retryAfter };
      // As Let's Encrypt writes it.
      const problem = {
        type: "urn:ietf:params:acme:error:rateLimited",
        detail: "too many new orders (300) from this account in the last 3h0m0s\u001b[31m",
      };
      response.writeHead(429, headers).end(JSON.stringify(problem));
      return true;
    });
    await place.look();
    expect(refusals).toBe(1);
    expect(await place.problem()).toMatch(/limits .* are used up.*too many new orders \(300\)/);
    expect(await place.problem()).not.toContain("\u001b");
    const wait = ((await place.nextLook()) - Date.now()) / 1000;
    expect(wait).toBeGreaterThan(seconds - 120);
    expect(wait).toBeLessThan(seconds + 120);
    await place.look({ isFirstSinceBoot: true });
    expect(refusals).toBe(1);
  });

  it("asks nothing while the clock is wrong", async () => {
    await start();
    const later = Date.now() + 3 * HOUR;
    await place.look({ now: () => later, clockIsSynced: false });
    expect(await place.problem()).toMatch(
      /clock of this device is wrong; the certificate authority's says 20/,
    );
    expect(place.pebble.count(ORDER_PATH)).toBe(0);
    expect((await place.nextLook()) - later).toBeLessThan(3 * 60_000);
    await place.look({ clockIsSynced: false });
    expect((await place.chain()).isSelfSigned).toBe(false);
  });

  it("does not wait for a time that the clock was once ahead to", async () => {
    await start();
    place.pebble.intercept((request, response) => {
      if (request.url !== ORDER_PATH) return false;
      response.writeHead(503).end();
      return true;
    });
    const ahead = Date.now() + 400 * 24 * HOUR;
    await place.look({ now: () => ahead });
    expect((await place.state()).failure?.at).toBe(ahead);
    place.pebble.intercept(() => false);
    await place.look();
    expect((await place.chain()).isSelfSigned).toBe(false);
    expect((await place.state()).failure).toBeUndefined();
  });

  it("tells of an authority that cannot be reached, and of one that is none", async () => {
    await start();
    await place.look({ settings: 'acme_directory = "https://localhost:1/dir"' });
    expect(await place.problem()).toMatch(/localhost:1 cannot be reached \(ECONNREFUSED\)/);
    const none = place.pebble.directory.replace("/dir", "/nonsense");
    await place.look({ settings: `acme_directory = "${none}"` });
    expect(await place.problem()).toMatch(/^The certificate authority localhost:\d+ refused\..*HTTP 404/);
  });

  it("asks no public authority for a name that no public DNS has", async () => {
    await start();
    await place.look({ settings: 'acme_directory = "https://acme-v02.api.letsencrypt.org/directory"' });
    expect(await place.problem()).toMatch(
      /^No public certificate authority certifies names that end in \.test/,
    );
    expect((await place.nextLook()) - Date.now()).toBeGreaterThan(8 * DAY);
  });

  it("wants a kind of certificate that the authority has", async () => {
    await start();
    place.pebble.changeDirectory((directory) => {
      (directory.meta as Record<string, unknown>).profiles = { classic: "the usual one" };
    });
    await place.look({ settings: 'profile = "shortlived"' });
    expect(await place.problem()).toMatch(/no such kind of certificate: .*shortlived; known: classic/);
    expect(place.pebble.count(ORDER_PATH)).toBe(0);
    const later = Date.now() + HOUR;
    await place.look({ settings: 'profile = "classic"', now: () => later });
    expect((await place.state()).installed?.profile).toBe("classic");
    expect(place.pebble.orders.map(({ profile }) => profile)).toEqual(["classic", "classic"]);
    const orders = place.pebble.count(ORDER_PATH);
    await place.look({ now: () => later });
    expect(place.pebble.count(ORDER_PATH)).toBe(orders + 1);
    expect((await place.state()).installed?.profile).toBe("");
    expect(place.pebble.orders.at(-1)).not.toHaveProperty("profile");
  });

  it("certifies addresses beside the names", async () => {
    await start();
    place.pebble.changeDirectory((directory) => {
      (directory.meta as Record<string, unknown>).profiles = { shortlived: "for days" };
    });
    await place.look({ settings: 'profile = "shortlived"\nalso_for_ip = ["127.0.0.1"]' });
    expect(await place.problem()).toBeUndefined();
    expect(place.pebble.orders.at(-1)).toEqual({
      identifiers: [
        ...[domain, `www.${domain}`].map((value) => ({ type: "dns", value })),
        { type: "ip", value: "127.0.0.1" },
      ],
      profile: "shortlived",
    });
    expect((await place.chain()).leaf.checkIP("127.0.0.1")).toBe("127.0.0.1");
    expect(covers(await place.chain(), `www.${domain}`)).toBe(true);
  });
});
