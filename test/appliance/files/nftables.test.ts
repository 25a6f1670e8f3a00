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
    const rules = nftablesConf({ ssh: false, connections: 500 });
    expect(rules).toMatch(/hook input priority filter; policy drop;/);
    expect(rules).toMatch(/hook forward priority filter; policy drop;/);
  });

  it("opens the ports of mail and the web", () => {
    expect(nftablesConf({ ssh: false, connections: 500 })).toContain(
      "tcp dport { 25, 80, 143, 443, 465, 587, 993 } jump relay",
    );
  });

  it("opens SSH only when there is a key, and slowly", () => {
    expect(nftablesConf({ ssh: false, connections: 500 })).not.toMatch(/dport 22\b/);
    expect(nftablesConf({ ssh: true, connections: 500 })).toContain("tcp dport 22 jump ssh");
    // By source: a stranger's attempts must not use up the administrator's.
    expect(nftablesConf({ ssh: true, connections: 500 })).toMatch(
      /add @ssh4 \{ ip saddr limit rate over \S+ burst \d+ packets \} drop/,
    );
  });

  it.skipIf(!nftWorks).each([true, false])(
    "is a rule set that nft and the kernel accept, with SSH: %s (needs nft and user namespaces)",
    (ssh) => {
      const result = nft(nftablesConf({ ssh, connections: 120 }));
      expect(result.stderr).toBe("");
      expect(result.status).toBe(0);
    },
  );
});
