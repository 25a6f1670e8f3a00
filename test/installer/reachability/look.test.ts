/** The probes of a line (installer/reachability/), against servers on loopback that answer, lie, or say nothing. */
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { briefFetch } from "../../../installer/dns/brief-fetch.ts";
import type { ServerPlace } from "../../../installer/dns/exchange.ts";
import type { LineWorld } from "../../../installer/reachability/line-world.ts";
import { lookAtLine } from "../../../installer/reachability/look.ts";
import type { RouterPlaces } from "../../../installer/reachability/router.ts";
import { runHoming } from "../../support/command-io.ts";
import { startHttpsFront } from "../dns/https-front.ts";
import { type Servers, startServers } from "./line-servers.ts";

const seen = "198.35.26.96";
const never = new AbortController().signal;
/** Long enough for a loaded machine to answer from loopback; only silence lasts so long. */
const PATIENT = { host: 20_000, whole: 60_000 };
/** Where silence is what is tested. */
const HASTY = { host: 300, whole: 60_000 };

const natPmp = (address: string, result = 0) =>
  Buffer.from([0, 128, 0, result, 0, 0, 0, 9, ...address.split(".").map(Number)]);

/** One that speaks NAT-PMP, and nothing else. */
const routerAt = (mapping: ServerPlace): RouterPlaces => ({ address: "127.0.0.1", mapping, search: [] });

/** A line on which everything works; tests change what they are about. */
async function goodLine(servers: Servers): Promise<LineWorld> {
  const web = await servers.tls("web.test");
  const mail = await servers.greeting("220 mail.test ESMTP\r\n");
  const resolver = await servers.resolver(["web.test", "mail.test"], "line.example.org");
  const tells = await servers.http((_, response) => void response.end(`h=x\nip=${seen}\nts=1\n`));
  return {
    dns: { resolvers: [resolver], https: [], roots: [], port: await servers.nobody(), nowhere: "127.0.0.1" },
    addressServices: { 4: [tells], 6: [] },
    hosts: {
      25: [{ host: "mail.test", port: mail }],
      443: [{ host: "web.test", port: web.port }],
      465: [{ host: "web.test", port: web.port }],
      587: [{ host: "mail.test", port: mail }],
    },
    routes: { 4: "127.0.0.1", 6: "::1" },
    router: routerAt(await servers.router(natPmp(seen))),
    firstHopHas: null,
    authorities: web.root,
    limits: PATIENT,
    now: Date.now,
  };
}

const place = { directory: tmpdir(), domain: null, callPorts: null };
const look = (world: LineWorld) => lookAtLine(world, place, never);
const statesOf = ({ facts }: Awaited<ReturnType<typeof look>>) => facts.ports.map(({ state }) => state);

describe("looking at a line", () => {
  it("finds the address, the router's account of it, its name, the ports, the time and the space", async () => {
    await using servers = startServers();
    const report = await look(await goodLine(servers));
    const { facts } = report;
    expect(report).toMatchObject({ grade: "full", translation: "router", addresses: [seen] });
    expect(facts.ipv4).toEqual({ local: "127.0.0.1", tunnel: null, seen, reason: "" });
    expect(facts).toMatchObject({
      router: { outerAddress: seen },
      reverse: "line.example.org",
      names: "resolver",
    });
    expect(facts.namesIntercepted).toBe(false);
    expect(facts.ports).toMatchObject([
      { port: 25, state: "open", families: [4] },
      { port: 443, state: "open" },
      { port: 465, state: "open" },
      { port: 587, state: "open" },
    ]);
    expect(Math.abs(facts.clockOffset ?? Number.NaN)).toBeLessThan(60);
    expect(facts.freeBytes).toBeGreaterThan(0);
    expect(facts.asked).toContain(`mail.test:${facts.ports[0]?.tried[0]?.match(/port (\d+)/)?.[1]}`);
  });

  it("is told to programs under names that stay", async () => {
    await using servers = startServers();
    const { facts, ...verdict } = await look(await goodLine(servers));
    expect(Object.keys(verdict)).toEqual(["grade", "translation", "addresses", "findings"]);
    expect(Object.keys(facts).toSorted()).toEqual([
      ...[
        "asked",
        "callPorts",
        "clockOffset",
        "domain",
        "firstHopHasAddress",
        "freeBytes",
        "ipv4",
        "ipv6",
        "names",
      ],
      ...["namesIntercepted", "ports", "reverse", "router"],
    ]);
    expect(Object.keys(facts.ipv4)).toEqual(["local", "tunnel", "seen", "reason"]);
    expect(Object.keys(facts.router ?? {})).toEqual(["address", "outerAddress", "forwarding"]);
  });

  it("looks where the relay's domain leads", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    const at = (domain: string) => lookAtLine(line, { ...place, domain }, never);
    const [known, unknown] = await Promise.all([at("mail.test"), at("nobody.test")]);
    expect(known.facts.domain).toEqual({ name: "mail.test", addresses: ["127.0.0.1"] });
    expect(unknown.facts.domain).toEqual({ name: "nobody.test", addresses: [] });
  });

  it("tells closed ports from those that somebody takes over", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    const closed = { host: "mail.test", port: await servers.nobody() };
    const silent = { host: "mail.test", port: await servers.greeting(undefined) };
    const page = { host: "mail.test", port: await servers.greeting("HTTP/1.1 302 Found\r\n") };
    const other = { host: "mail.test", port: line.hosts[443][0]!.port };
    const hosts = { 25: [closed], 443: [other], 465: [silent], 587: [page] };
    const report = await look({ ...line, hosts, limits: HASTY, addressServices: { 4: [], 6: [] } });
    expect(statesOf(report)).toEqual(["closed", "intercepted", "intercepted", "intercepted"]);
    expect(report.facts.ports[0]?.tried).toEqual([`mail.test port ${closed.port} (127.0.0.1): ECONNREFUSED`]);
    expect(report.facts.ports[1]?.tried.join()).toContain("ERR_TLS_CERT_ALTNAME_INVALID");
  });

  it("takes one server that answers for an open port, and a refusal by a mail server too", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    const refuses = { host: "mail.test", port: await servers.greeting("554 no\r\n") };
    const hosts = { ...line.hosts, 25: [{ host: "mail.test", port: await servers.nobody() }, refuses] };
    expect(statesOf(await look({ ...line, hosts }))[0]).toBe("open");
  });

  it("asks the next service where one answers nonsense, too much, or an error", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    const bad = await Promise.all([
      servers.http((_, response) => void response.end("2001:db8::1")),
      servers.http((_, response) => void response.end("x".repeat(100_000))),
      servers.http((_, response) => void response.writeHead(503).end()),
    ]);
    const good = line.addressServices[4];
    const all = await look({ ...line, addressServices: { 4: [...bad, ...good], 6: [] } });
    expect(all.facts.ipv4.seen).toBe(seen);
    expect(all.facts.asked).toEqual(expect.arrayContaining([...bad, ...good]));
    const none = await look({ ...line, addressServices: { 4: bad, 6: [] } });
    expect(none.facts.ipv4).toMatchObject({ seen: null });
    expect(none.facts.ipv4.reason).toMatch(/tells no IPv4 address.*more than 4096 bytes.*answers 503/);
    expect(none.translation).toBe("unknown");
  });

  it("sees a wrong clock by the service's date", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    const { facts, findings } = await look({ ...line, now: () => Date.now() - 7_200_000 });
    expect(Math.round((facts.clockOffset ?? 0) / 600)).toBe(-12);
    expect(findings.map(({ text }) => text).join()).toMatch(/clock is 7\d\d\d s slow/);
  });

  it("believes a router only in whole answers of the protocol", async () => {
    await using servers = startServers();
    const line = { ...(await goodLine(servers)), limits: HASTY };
    const outer = async (answer: Buffer) =>
      (await look({ ...line, router: routerAt(await servers.router(answer)) })).facts.router?.outerAddress;
    const all = [
      natPmp("100.65.1.2"),
      natPmp("100.65.1.2", 3),
      natPmp(seen).subarray(0, 8),
      natPmp("0.0.0.0"),
    ];
    expect(await Promise.all(all.map(outer))).toEqual(["100.65.1.2", null, null, null]);
  });

  it("sees somebody who answers questions to the DNS at nobody's address", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    const captive = await servers.resolver([]);
    const { facts } = await look({ ...line, dns: { ...line.dns, port: captive.port } });
    expect(facts.namesIntercepted).toBe(true);
  });

  it("finds names by HTTPS where the computer's resolver does not answer", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    await using front = await startHttpsFront(line.dns.resolvers[0]!);
    const silent = { address: "127.0.0.1", port: await servers.nobody() };
    const dns = { ...line.dns, resolvers: [silent], https: [front.url], fetch: briefFetch };
    const report = await look({ ...line, dns });
    expect(report).toMatchObject({ grade: "full", facts: { names: "https", reverse: "line.example.org" } });
    expect(report.facts.asked).toContain(front.url);
  });

  it("ends in time where nobody answers at all", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    const mute = { host: "127.0.0.1", port: await servers.greeting(undefined) };
    const hosts = { 25: [mute], 443: [mute], 465: [mute], 587: [mute] };
    const silent = await servers.http(() => {});
    const named = { ...hosts, 587: [{ host: "mail.test", port: mute.port }] };
    const report = await look({
      ...{ ...line, hosts: named, router: null, addressServices: { 4: [silent, silent], 6: [] } },
      dns: { ...line.dns, resolvers: [] },
      limits: { host: 60_000, whole: 1_000 },
    });
    expect(report.grade).toBe("local");
    expect(report.facts).toMatchObject({ names: "none", reverse: null, clockOffset: null });
    expect(statesOf(report)).toEqual(["intercepted", "intercepted", "intercepted", "unknown"]);
  });

  it("stops when it is told to", async () => {
    await using servers = startServers();
    const line = await goodLine(servers);
    const stop = new AbortController();
    const silent = await servers.http(() => stop.abort(new Error("stopped by the test")));
    const looked = lookAtLine({ ...line, addressServices: { 4: [silent], 6: [] } }, place, stop.signal);
    await expect(looked).rejects.toThrow("stopped by the test");
  });
});

describe("./homing doctor", () => {
  it.each([
    [["--probe", "26=a.example"], /--probe needs a port \(25, 443, 465, 587\) and a host/],
    [["--probe", "25=a b"], /--probe needs/],
    [["--ipv4", "http://a.example"], /--ipv4 needs a URL that begins with https:\/\//],
    [["--https", "x"], /--https needs a URL/],
    [["a", "b"], /takes one folder/],
    [["/nowhere/at/all"], /there is no folder/],
    [["--map", "--unmap"], /two things/],
    [["--map", "a"], /there is no folder a/],
    [["--unmap", "."], /there is no relay\.toml in \./],
    [["--map", "--to", "127.0.0.1"], /--to needs the IPv4 address of a device/],
    [["--map", "--to", "fe80::1"], /--to needs the IPv4 address of a device/],
    [["--yes"], /belong to --map/],
  ])("refuses %j", async (args, words) => {
    const { code, stderr } = await runHoming(["doctor", ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(words);
  });
});
