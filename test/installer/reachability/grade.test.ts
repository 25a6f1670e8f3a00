/** What is said of a line (installer/reachability/grade.ts, report-text.ts), from what the probes found. */
import { describe, expect, it } from "vitest";
import { painterFor } from "../../../installer/dns/painter.ts";
import type { LineFacts, PortFact, ProbedPort, RouterFact } from "../../../installer/reachability/facts.ts";
import { judgeLine } from "../../../installer/reachability/grade.ts";
import { reportText, routerSteps } from "../../../installer/reachability/report-text.ts";
import { wizardFindings } from "../../../installer/reachability/wizard-findings.ts";

const port = (
  number: ProbedPort,
  state: PortFact["state"],
  families: PortFact["families"] = [4],
): PortFact => ({
  ...{ port: number, state, tried: [] },
  families: state === "open" ? families : [],
});
const allOpen = [port(25, "open", [4, 6]), port(443, "open"), port(465, "open"), port(587, "open")];
const seen = "198.35.26.96";
const routerOf = (outerAddress: string | null): RouterFact => ({
  ...{ address: "192.168.1.1", outerAddress, forwarding: [] },
});
const home: LineFacts = {
  ipv4: { local: "192.168.1.20", tunnel: null, seen, reason: "" },
  ipv6: { local: "2620:0:861::20", tunnel: null, seen: "2620:0:861::20", reason: "" },
  ...{ router: routerOf(seen), firstHopHasAddress: null, ports: allOpen },
  ...{ names: "resolver", namesIntercepted: false, reverse: "line.example.org", clockOffset: 0.4 },
  ...{ freeBytes: 1e11, domain: null, callPorts: null, asked: ["https://address.example"] },
};
const noWay = { local: null, tunnel: null, seen: null, reason: "" };
const without25 = (state: PortFact["state"]) => [port(25, state), ...allOpen.slice(1)];

function judged(change: Partial<LineFacts>) {
  const { grade, translation, addresses, findings } = judgeLine({ ...home, ...change });
  const worries = findings.filter(({ mark }) => mark === "bad" || mark === "warning");
  return { grade, translation, addresses, worries: worries.map(({ text, mend }) => `${text}. ${mend}`) };
}

describe("the grade of a line", () => {
  it("is full where a router translates and port 25 leads out", () => {
    expect(judged({})).toEqual({ grade: "full", translation: "router", addresses: [seen], worries: [] });
  });

  it.each(["closed", "intercepted", "unknown"] as const)("is HTTPS-only where port 25 is %s", (state) => {
    const { grade, worries } = judged({ ports: without25(state) });
    expect(grade).toBe("https");
    expect(worries).toHaveLength(1);
    expect(worries[0]).toMatch(/^Port 25 .*Not reached: older relays/);
  });

  it("is local where several customers share the address, and no IPv6 leads in", () => {
    const shared = { ipv6: noWay, router: routerOf("100.72.3.4") };
    const { grade, translation, addresses, worries } = judged(shared);
    expect({ grade, translation, addresses }).toEqual({
      grade: "local",
      translation: "shared",
      addresses: [],
    });
    expect(worries.join()).toMatch(/it has 100\.72\.3\.4\).*Ask the provider for a public IPv4 address/);
  });

  it("is of IPv6 alone where the IPv4 address is shared or there is none", () => {
    const shared = judged({ router: routerOf("10.4.0.2") });
    expect(shared).toMatchObject({ grade: "ipv6", translation: "shared", addresses: [] });
    expect(shared.worries).toHaveLength(1);
    expect(judged({ ipv4: noWay, router: null })).toMatchObject({ grade: "ipv6", translation: "none" });
  });

  it("is not known behind a router that tells nothing, and says how to find out", () => {
    const { grade, translation, addresses, worries } = judged({ router: routerOf(null) });
    expect({ grade, translation, addresses }).toEqual({
      ...{ grade: "unknown", translation: "unknown", addresses: [seen] },
    });
    expect(worries).toEqual([
      expect.stringMatching(/not known: .*router's page.*With 198\.35\.26\.96 there, forwarding works/),
    ]);
  });

  it("is not known through a VPN, whose other end is no address of the line", () => {
    const ipv4 = { ...home.ipv4, tunnel: "wg0" };
    const { grade, addresses, worries } = judged({ ipv4 });
    expect({ grade, addresses }).toEqual({ grade: "unknown", addresses: [] });
    expect(worries.join()).toMatch(/out through wg0, a VPN.*Switch the VPN off/);
    const own = judged({ ipv4: { ...ipv4, local: seen } });
    expect(own.grade).toBe("unknown");
    // IPv6 through the VPN is none of the line's either.
    const shared = { router: routerOf("10.4.0.2"), ipv6: { ...home.ipv6, tunnel: "wg0" } };
    expect(judged(shared).grade).toBe("unknown");
  });

  it("is not known where nothing could be tried by HTTPS", () => {
    const ports = [port(25, "unknown"), port(443, "unknown"), port(465, "unknown"), port(587, "unknown")];
    expect(judged({ ports }).grade).toBe("unknown");
  });

  it("is HTTPS-only where port 25 leads out by IPv6 alone", () => {
    const { grade, worries } = judged({ ports: [port(25, "open", [6]), ...allOpen.slice(1)] });
    expect(grade).toBe("https");
    expect(worries).toEqual([expect.stringMatching(/\(port 25\) by IPv6 alone.*without IPv6/)]);
  });

  it("is full without any IPv6, and says no word against that", () => {
    const ports = [port(25, "open", [4]), ...allOpen.slice(1)];
    expect(judged({ ipv6: noWay, ports })).toMatchObject({ grade: "full", worries: [] });
  });

  it("does not take a translated IPv6 address for a way in", () => {
    const ipv6 = { ...home.ipv6, local: "fd00::20" };
    expect(judged({ ipv6, router: routerOf("10.4.0.2") }).grade).toBe("local");
  });

  it("is local without a way out by HTTPS, as in a guest network that wants a log-in", () => {
    const ports = [25, 443, 465, 587].map((each) => port(each as ProbedPort, "intercepted"));
    const ipv4 = { ...home.ipv4, seen: null, reason: "somebody else's certificate" };
    const { grade, worries } = judged({ ports, ipv4, ipv6: noWay, router: null });
    expect(grade).toBe("local");
    expect(worries.join()).toMatch(/somebody on the way answers. Log in to this network first/);
  });

  it("is not known offline, and says that alone", () => {
    const ports = [25, 443, 465, 587].map((each) => port(each as ProbedPort, "closed"));
    const offline = { ipv4: noWay, ipv6: noWay, router: null, ports, names: "none" as const };
    const { grade, addresses, worries } = judged({ ...offline, reverse: null, clockOffset: null });
    expect({ grade, addresses }).toEqual({ grade: "unknown", addresses: [] });
    expect(worries).toEqual([expect.stringMatching(/^This computer is connected to no network\. Connect/)]);
  });
});

describe("how IPv4 gets in", () => {
  const of = (
    local: string | null,
    outerAddress: string | null,
    toldAddress: string | null = seen,
    firstHopHasAddress: boolean | null = null,
  ) =>
    judgeLine({
      ...{ ...home, ipv4: { local, tunnel: null, seen: toldAddress, reason: "" }, firstHopHasAddress },
      router: routerOf(outerAddress),
    }).translation;

  it.each([
    ["direct", seen, null],
    ["direct", seen, "10.0.0.1"],
    ["unknown", "192.168.1.2", null],
    ["router", "192.168.1.2", seen],
    ["shared", "192.168.1.2", "192.168.0.3"],
    ["shared", "192.168.1.2", "100.127.255.255"],
    ["shared", "192.168.1.2", "1.2.3.4"],
    ["shared", "100.64.0.9", null],
    ["unknown", "100.128.0.9", null],
  ] as const)("is %s for %s behind %s", (expected, local, outerAddress) => {
    expect(of(local, outerAddress)).toBe(expected);
  });

  it("shows in how far a packet goes, where the router tells nothing", () => {
    expect(of("192.168.1.2", null, seen, true)).toBe("router");
    expect(of("192.168.1.2", null, seen, false)).toBe("shared");
    expect(of("192.168.1.2", "10.0.0.1", seen, true)).toBe("shared");
  });

  it("is not known where nobody tells the address", () => {
    expect(of("192.168.1.2", null, null)).toBe("unknown");
    expect(of("192.168.1.2", "1.2.3.4", null)).toBe("unknown");
    expect(of("192.168.1.2", "10.1.1.1", null)).toBe("shared");
  });
});

describe("smaller findings", () => {
  it.each([
    [{ clockOffset: -3600 }, /clock is 3600 s slow/],
    [{ clockOffset: 61 }, /clock is 61 s fast/],
    [{ freeBytes: 4e8 }, /Only 0\.4 GB are free/],
    [{ names: "https" as const }, /resolver does not answer/],
    [{ namesIntercepted: true }, /port 53/],
    [{ ports: [port(25, "open", [6]), ...allOpen.slice(1)] }, /\(port 25\) by IPv6 alone/],
    [{ ipv4: noWay }, /no way out by IPv4/],
    [{ domain: { name: "a.example", addresses: ["1.2.3.4"] } }, /a\.example leads to 1\.2\.3\.4/],
  ])("warns of %j", (change, words) => {
    const { worries } = judged(change);
    expect(worries).toHaveLength(1);
    expect(worries[0]).toMatch(words);
  });

  it.each([
    [[seen], "good", /a\.example leads to this line/],
    [[], "note", /no address in the DNS yet/],
  ] as const)("says where the relay's domain leads: %j", (addresses, mark, words) => {
    const { findings } = judgeLine({ ...home, domain: { name: "a.example", addresses } });
    const found = findings.find(({ text }) => text.includes("a.example"));
    expect(found?.mark).toBe(mark);
    expect(found?.text).toMatch(words);
  });

  it("offers to have the router forward where it does that, and where that helps", () => {
    const offer = (outerAddress: string) =>
      judgeLine({ ...home, router: { ...routerOf(outerAddress), forwarding: ["upnp", "pcp"] } })
        .findings.map(({ text, mend }) => `${text}: ${mend}`)
        .filter((words) => words.includes("--map"));
    expect(offer(seen)).toEqual([expect.stringMatching(/asks \(UPnP, PCP\): .*--map --to ADDRESS/)]);
    expect(offer("10.4.0.2")).toEqual([]);
  });

  it("only notes that mail programs' ports are closed", () => {
    const ports = [...allOpen.slice(0, 2), port(465, "closed"), port(587, "closed")];
    const { findings } = judgeLine({ ...home, ports });
    expect(findings.find(({ text }) => text.includes("465, 587"))).toMatchObject({ mark: "note" });
  });
});

describe("the report", () => {
  const textOf = (change: Partial<LineFacts>) => {
    const facts = { ...home, ...change };
    return reportText({ facts, ...judgeLine(facts) }, painterFor({}, {}));
  };

  it("names the ports to forward, and everybody who was asked", () => {
    const text = textOf({});
    expect(text).toMatch(/^This line is graded full: /);
    expect(text).toContain("forward the TCP ports 25, 80, 143, 443, 465, 587, 993");
    expect(text).toContain("same network as this computer's 192.168.1.20");
    expect(text).toMatch(/^Asked: https:\/\/address\.example, the router at 192\.168\.1\.1 \(/m);
    expect(text).toMatch(/only from outside.*open its page on a telephone without Wi-Fi/);
    expect(textOf({ router: routerOf(null) })).toContain(
      "If the router has the address that the Internet sees",
    );
  });

  it("names the UDP ports too where the relay helps with calls", () => {
    const text = textOf({ callPorts: { turn: 3478, first: 49_152, last: 49_407 } });
    const words = "TCP ports 25, 80, 143, 443, 465, 587, 993 and the UDP ports 3478, 49152 to 49407";
    expect(text).toContain(`forward the ${words}, each to the same port`);
    expect(text).toContain(`IPv6 firewall, let the ${words} in`);
    expect(textOf({})).not.toContain("UDP");
    const router = { ...routerOf(seen), forwarding: ["upnp"] as const };
    const callPorts = { turn: 3478, first: 50_000, last: 50_001 };
    expect(textOf({ router, callPorts })).toContain("“./homing doctor FOLDER --map --to ADDRESS”");
  });

  it("is told by the wizard in short: the grade, what stands in the way, who was asked", () => {
    const facts = { ...home, ports: without25("closed") };
    const { addresses, findings } = wizardFindings({ facts, ...judgeLine(facts) });
    expect(addresses).toEqual([seen]);
    expect(findings.map(({ mark }) => mark)).toEqual(["warning", "warning", "note"]);
    expect(findings.map(({ text }) => text).join("\n")).toMatch(/HTTPS-only.*Port 25.*Asked: https:/s);
  });

  it("tells in the wizard too that the router forwards when asked", () => {
    const facts = { ...home, router: { ...routerOf(seen), forwarding: ["nat-pmp"] as const } };
    const { findings } = wizardFindings({ facts, ...judgeLine(facts) });
    expect(findings[1]?.text).toMatch(/when a program asks \(NAT-PMP\).*--map --to ADDRESS/);
  });

  it("tells nobody to forward where that cannot help", () => {
    const facts = { ...home, router: routerOf("100.72.3.4"), ipv6: noWay };
    expect(routerSteps({ facts, ...judgeLine(facts) })).toEqual([]);
    expect(textOf(facts)).not.toContain("seen only from outside");
  });
});
