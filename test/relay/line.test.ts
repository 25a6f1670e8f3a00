/**
 * ./homing doctor as it is called, on lines as they are: behind routers and providers that translate, block, redirect and
 * swallow, and beside a router's real daemon for forwarding (test/support/small-internet.ts).
 */
import { spawnSync } from "node:child_process";
import { mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ForwardingReport } from "../../installer/reachability/forward.ts";
import type { LineReport } from "../../installer/reachability/look.ts";
import { currentNamespace } from "../support/namespace.ts";
import {
  computerAddress,
  deviceAddress,
  type LineOptions,
  routerAddress,
  type SmallInternet,
  startSmallInternet,
} from "../support/small-internet.ts";

const missing = missingForLines();
function missingForLines(): string | undefined {
  if (currentNamespace() === undefined) return "runs in its own namespace: npm test -- relay";
  return ["miniupnpd", "ping", "nft", "dnsmasq"]
    .filter((program) => spawnSync("which", [program]).status !== 0)
    .map((program) => `needs ${program}`)[0];
}

describe.skipIf(missing !== undefined)(missing === undefined ? "a line" : `a line (${missing})`, () => {
  let internet: SmallInternet;
  beforeAll(async () => {
    internet = await startSmallInternet();
  });
  afterAll(() => internet?.[Symbol.asyncDispose]());

  it.concurrent("has its router forward the relay's ports to another device, and take that back", async () => {
    const daemon = "enable_natpmp=yes\nenable_upnp=yes\nsecure_mode=no";
    const { doctor, serve, knock, outerAddress } = await internet.line("upnp", { daemon });
    await serve(deviceAddress, 25, "relay");
    await using folder = await mkdtempDisposable(join(tmpdir(), "homing-line-"));
    const turn = "[turn]\nenabled = true\nfirst_port = 50_000\nlast_port = 50_001\n";
    await writeFile(join(folder.path, "relay.toml"), `domain = "_line.test"\n${turn}`);
    const [looked, before] = await Promise.all([doctor(folder.path, "--json"), knock(25)]);
    const { router, callPorts } = (JSON.parse(looked.stdout) as LineReport).facts;
    expect(callPorts).toEqual({ turn: 3478, first: 50_000, last: 50_001 });
    expect(router).toEqual({ address: routerAddress, outerAddress, forwarding: ["upnp", "pcp", "nat-pmp"] });
    expect(before).toBe("");
    const mapped = await doctor(folder.path, "--map", "--yes", "--to", deviceAddress);
    expect(mapped).toMatchObject({ code: 0, stderr: "" });
    expect(mapped.stdout).toMatch(
      /^OK +25, 80, .*993, UDP 3478, 50000 to 50001: go to 192\.168\.1\.30, by UPnP, for 7 days$/m,
    );
    expect(await knock(25)).toBe("relay");
    // Another device's ports stay as they are, when forwarded and when taken back.
    const held = await doctor("--map", "--yes");
    expect(held.code).toBe(1);
    expect(held.stdout).toMatch(/^TAKEN +25: goes to 192\.168\.1\.30 port 25 \(“Homing”\)$/m);
    const spared = await doctor("--unmap");
    expect(spared).toMatchObject({ code: 0, stderr: "" });
    expect(spared.stdout).toMatch(
      /^NOTHING +25: goes to 192\.168\.1\.30 port 25 \(“Homing”\): name it by --to$/m,
    );
    expect(await knock(25)).toBe("relay");
    const closed = await doctor(folder.path, "--unmap", "--to", deviceAddress);
    expect(closed).toMatchObject({ code: 0, stderr: "" });
    expect(closed.stdout).toMatch(/^REMOVED +25, .*993, UDP 3478, 50000 to 50001: no longer forwarded/m);
    expect(await knock(25)).toBe("");
  });

  it.concurrent("asks first, and says what to enter by hand where the router forwards to the asking device alone", async () => {
    const { doctor } = await internet.line("secure", {
      daemon: "enable_natpmp=yes\nenable_upnp=yes\nsecure_mode=yes",
    });
    const asked = await doctor("--map");
    expect(asked.stderr).toContain("no terminal is there to answer; say --yes");
    const { code, stdout } = await doctor("--map", "--yes", "--to", deviceAddress);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^REFUSED +25, .*993: by UPnP: .*; by PCP: .*; by NAT-PMP: only a device itself/m);
    expect(stdout).toMatch(
      /By hand: .*forward the TCP ports 25, 80, 143, 443, 465, 587, 993, .* of 192\.168\.1\.30\./,
    );
  });

  it.concurrent("forwards by PCP where that is all, and says for how long", async () => {
    const { doctor, serve, knock } = await internet.line("pcp", {
      daemon: "enable_natpmp=yes\nenable_upnp=no",
    });
    await serve(computerAddress, 443, "relay");
    const { code, stdout } = await doctor("--map", "--yes", "--json");
    const report = JSON.parse(stdout) as ForwardingReport;
    expect(report.ports.filter(({ state }) => state !== "forwarded")).toEqual([]);
    expect({ code, target: report.target }).toEqual({ code: 0, target: computerAddress });
    expect(report.ports).toHaveLength(7);
    expect(report.ports[3]).toMatchObject({ port: 443, state: "forwarded", way: "pcp" });
    expect(report.ports[3]?.seconds).toBeGreaterThan(0);
    expect(await knock(443)).toBe("relay");
    // Only the nonce of before takes it back.
    expect((await doctor("--unmap")).stdout).toMatch(
      /^REMOVED +25, .*443.*: no longer forwarded, by PCP, if it was there$/m,
    );
    expect(await knock(443)).toBe("");
  });

  const toResolver =
    "iifname lan udp dport 53 dnat ip to 10.77.0.254; iifname lan tcp dport 53 dnat ip to 10.77.0.254";
  // The longest first, for some run at once.
  const lines: [name: string, options: LineOptions, code: number, expected: object, worries: RegExp][] = [
    [
      "swallowed",
      { passing: "drop" },
      1,
      { grade: "local", facts: { names: "none" } },
      /Nothing could be reached by HTTPS/,
    ],
    ["home", {}, 0, { grade: "full", translation: "router" }, /^$/],
    ["cgnat", { shared: true }, 1, { grade: "local", translation: "shared" }, /^The IPv4 address.*CGNAT/],
    [
      "ds-lite",
      { shared: true, ipv6: true },
      1,
      { grade: "ipv6", translation: "shared" },
      /^The IPv4 address.*CGNAT/,
    ],
    ["no-25", { passing: "oifname wan tcp dport 25 drop" }, 0, { grade: "https" }, /^Port 25 is closed/],
    [
      "captive",
      { redirecting: toResolver },
      0,
      { grade: "full", facts: { namesIntercepted: true } },
      /^Somebody on the way .*port 53/,
    ],
    [
      "portal",
      { redirecting: `${toResolver}; iifname lan tcp dport 1-65535 dnat ip to 1.1.1.2:80` },
      ...([1, { grade: "local", facts: { ipv4: { seen: null } } }, /somebody on the way answers/] as const),
    ],
    [
      "offline",
      { unplugged: true },
      3,
      { grade: "unknown", addresses: [] },
      /^This computer is connected to no network$/,
    ],
  ];
  it.concurrent.for(lines)("is judged as it is: %s", async ([name, options, code, expected, words]) => {
    const { doctor, outerAddress } = await internet.line(name, options);
    const result = await doctor("--json");
    expect(result.stderr).toBe("");
    const report = JSON.parse(result.stdout) as LineReport;
    const worries = report.findings.filter(({ mark }) => mark === "bad" || mark === "warning");
    const seen = { worries: worries.map(({ text }) => text).join("\n"), code: result.code, ...report };
    expect(seen).toMatchObject({ ...expected, code });
    expect(seen.worries).toMatch(words);
    if (report.grade === "full" || report.grade === "https") expect(report.addresses).toEqual([outerAddress]);
  });
});
