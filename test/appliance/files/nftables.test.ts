import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { nftablesConf } from "../../../appliance/files/nftables.ts";

/** nft checks a rule set against the kernel, which takes root and a network namespace of its own. */
const nft = (rules: string) =>
  spawnSync("unshare", ["--net", "--map-root-user", "nft", "--check", "--file", "-"], {
    input: rules,
    encoding: "utf8",
  });
const nftWorks = nft("").status === 0;

describe("the firewall", () => {
  it("drops what is not asked for, and forwards nothing", () => {
    const rules = nftablesConf({ ssh: false, metrics: false, connections: 500 });
    expect(rules).toMatch(/hook input priority filter; policy drop;/);
    expect(rules).toMatch(/hook forward priority filter; policy drop;/);
  });

  it("opens the ports of mail and the web", () => {
    expect(nftablesConf({ ssh: false, metrics: false, connections: 500 })).toContain(
      "tcp dport { 25, 80, 143, 443, 465, 587, 993 } jump relay",
    );
  });

  it("lets those at home alone ask where homing.local is, by IPv4, and tells nobody else", () => {
    const rules = nftablesConf({ ssh: false, metrics: false, connections: 500 });
    const home = "{ 10.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16 }";
    expect(rules.match(/^.*(?:dport 5353|sport 5353|224\.0\.0\.251|ff02::fb).*$/gm)).toEqual([
      `    ip saddr ${home} udp dport 5353 limit rate 50/second burst 100 packets accept`,
      `    ip daddr 224.0.0.251 ip saddr != ${home} drop`,
      `    udp sport 5353 ip saddr != ${home} drop`,
      "    ip6 daddr ff02::fb drop",
    ]);
  });

  it("opens SSH only when there is a key, and slowly", () => {
    expect(nftablesConf({ ssh: false, metrics: false, connections: 500 })).not.toMatch(/dport 22\b/);
    expect(nftablesConf({ ssh: true, metrics: false, connections: 500 })).toContain("tcp dport 22 jump ssh");
    // By source: a stranger's attempts must not use up the administrator's.
    expect(nftablesConf({ ssh: true, metrics: false, connections: 500 })).toMatch(
      /add @ssh4 \{ ip saddr limit rate over \S+ burst \d+ packets \} drop/,
    );
  });

  it("opens the port of figures to private sources alone, and only when it shall", () => {
    expect(nftablesConf({ ssh: false, metrics: false, connections: 500 })).not.toContain("9464");
    const rules = nftablesConf({ ssh: false, metrics: true, connections: 500 });
    expect(rules.match(/^.*9464.*$/gm)).toEqual([
      "    tcp dport 9464 ip saddr { 10.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16 } accept",
      "    tcp dport 9464 ip6 saddr { fc00::/7, fe80::/10 } accept",
    ]);
  });

  it("opens the ports of calls only where the relay helps with them", () => {
    const turn = { firstPort: 50_000, lastPort: 50_100, maxMegabits: 20 };
    expect(nftablesConf({ ssh: false, metrics: false, connections: 500 })).not.toContain("udp dport { 3478");
    expect(nftablesConf({ ssh: false, metrics: false, connections: 500, turn })).toContain(
      "udp dport { 3478, 50000-50100 } jump turn",
    );
  });

  it("keeps all calls together to what is set, those that have begun too", () => {
    const turn = { firstPort: 50_000, lastPort: 50_100, maxMegabits: 20 };
    const rules = nftablesConf({ ssh: false, metrics: false, connections: 500, turn });
    const limit = rules.indexOf("udp dport { 3478, 50000-50100 } limit rate over 2500000 bytes/second drop");
    expect(limit).toBeGreaterThan(rules.indexOf('iif "lo" accept'));
    expect(limit).toBeLessThan(rules.indexOf("ct state vmap"));
    expect(nftablesConf({ ssh: false, metrics: false, connections: 500 })).not.toContain("bytes/second");
  });

  it.skipIf(!nftWorks).each([true, false])(
    "is a rule set that nft and the kernel accept, with SSH, figures and calls: %s (needs nft and user namespaces)",
    (ssh) => {
      const result = nft(
        nftablesConf({
          ssh,
          metrics: ssh,
          connections: 120,
          turn: ssh ? { firstPort: 50_000, lastPort: 50_100, maxMegabits: 20 } : undefined,
        }),
      );
      expect(result.stderr).toBe("");
      expect(result.status).toBe(0);
    },
  );
});
