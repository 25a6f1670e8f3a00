/** What is said of a line (installer/reachability/grade.ts, report-text.ts), from what the probes found. */
import { describe, expect, it } from "vitest";
import { painterFor } from "../../../installer/dns/painter.ts";
import type { LineFacts, PortFact, ProbedPort } from "../../../installer/reachability/facts.ts";
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
const home: LineFacts = {
  ipv4: { local: "192.168.1.20", seen, reason: "" },
  ipv6: { local: "2620:0:861::20", seen: "2620:0:861::20", reason: "" },
  ...{ routerAddress: seen, ports: allOpen, names: "resolver", namesIntercepted: false },
  ...{ reverse: "line.example.org", clockOffset: 0.4, freeBytes: 1e11, asked: ["https://address.example"] },
};
const noIpv6 = { local: null, seen: null, reason: "" };
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
    const shared = { ipv6: noIpv6, routerAddress: "100.72.3.4" };
    const { grade, translation, addresses, worries } = judged(shared);
    expect({ grade, translation, addresses }).toEqual({
      grade: "local",
      translation: "shared",
      addresses: [],
    });
    expect(worries.join()).toMatch(/it has 100\.72\.3\.4\).*Ask the provider for a public IPv4 address/);
  });

  it("keeps its grade with IPv6 beside a shared address, with a warning", () => {
    expect(judged({ routerAddress: "10.4.0.2" })).toMatchObject({ grade: "full", translation: "shared" });
    expect(judged({ routerAddress: "10.4.0.2" }).worries).toHaveLength(1);
  });

  it("is local without a way out by HTTPS, as in a guest network that wants a log-in", () => {
    const ports = [25, 443, 465, 587].map((each) => port(each as ProbedPort, "intercepted"));
    const ipv4 = { ...home.ipv4, seen: null, reason: "somebody else's certificate" };
    const { grade, worries } = judged({ ports, ipv4, ipv6: noIpv6, routerAddress: null });
    expect(grade).toBe("local");
    expect(worries.join()).toMatch(/somebody on the way answers. Log in to this network first/);
  });

  it("is local offline, and says that alone", () => {
    const nowhere = { local: null, seen: null, reason: "" };
    const ports = [25, 443, 465, 587].map((each) => port(each as ProbedPort, "closed"));
    const offline = { ipv4: nowhere, ipv6: nowhere, routerAddress: null, ports, names: "none" as const };
    const { grade, addresses, worries } = judged({ ...offline, reverse: null, clockOffset: null });
    expect({ grade, addresses }).toEqual({ grade: "local", addresses: [] });
    expect(worries).toEqual([expect.stringMatching(/^This computer is connected to no network\. Connect/)]);
  });
});

describe("how IPv4 gets in", () => {
  const of = (local: string | null, routerAddress: string | null, toldAddress: string | null = seen) =>
    judgeLine({ ...home, ipv4: { local, seen: toldAddress, reason: "" }, routerAddress }).translation;

  it.each([
    ["direct", seen, null],
    ["direct", seen, "10.0.0.1"],
    ["router", "192.168.1.2", null],
    ["router", "192.168.1.2", seen],
    ["shared", "192.168.1.2", "192.168.0.3"],
    ["shared", "192.168.1.2", "100.127.255.255"],
    ["shared", "192.168.1.2", "1.2.3.4"],
    ["shared", "100.64.0.9", null],
    ["router", "100.128.0.9", null],
  ] as const)("is %s for %s behind %s", (expected, local, routerAddress) => {
    expect(of(local, routerAddress)).toBe(expected);
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
    [{ ipv4: { local: null, seen: null, reason: "" } }, /no way out by IPv4/],
  ])("warns of %j", (change, words) => {
    const { worries } = judged(change);
    expect(worries).toHaveLength(1);
    expect(worries[0]).toMatch(words);
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
    expect(text).toMatch(/^Asked: https:\/\/address\.example$/m);
  });

  it("is told by the wizard in short: the grade, what stands in the way, who was asked", () => {
    const facts = { ...home, ports: without25("closed") };
    const { addresses, findings } = wizardFindings({ facts, ...judgeLine(facts) });
    expect(addresses).toEqual([seen]);
    expect(findings.map(({ mark }) => mark)).toEqual(["warning", "warning", "note"]);
    expect(findings.map(({ text }) => text).join("\n")).toMatch(/HTTPS-only.*Port 25.*Asked: https:/s);
  });

  it("tells nobody to forward where that cannot help", () => {
    const facts = { ...home, routerAddress: "100.72.3.4", ipv6: noIpv6 };
    expect(routerSteps({ facts, ...judgeLine(facts) })).toEqual([]);
  });
});
