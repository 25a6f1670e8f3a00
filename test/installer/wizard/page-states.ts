/** A state for every page of the wizard, as full as real ones get, for what is drawn of it. */
import { providersByHand } from "../../../appliance/dns/by-hand.ts";
import type { Page } from "../../../installer/wizard/answers.ts";
import type { State } from "../../../installer/wizard/state.ts";
import { domain, facts, walk } from "./imagined-world.ts";

/** A state that can show any page, with the longest that real providers and plans have to say. */
export function stateOn(page: Page): State {
  const state = walk([{ choose: 0 }, { text: domain }, { choose: 0 }, { text: "198.35.26.96" }]);
  const key = `"v=DKIM1;k=rsa;p=${"MIIBIjANBgkqhkiG9w0BAQEF".repeat(16)};s=email;t=s"`;
  return {
    ...state,
    page,
    answers: { ...state.answers, provider: "slow", image: `${domain}-pi.img` },
    found: Array.from({ length: 3 }, (_, index) => ({
      mark: "warning" as const,
      text: `The name server ns${index}.fleet.net answers otherwise than the others do; wait an hour, then look again.`,
    })),
    known: {
      ...state.known,
      relays: Array.from({ length: 9 }, (_, index) => ({
        folder: `relay${index}`,
        domain: `relay${index}.net`,
        kept: undefined,
      })),
      facts: { ...facts, mailServers: ["mx.fleet.net"], pathByHand: providersByHand[0]!.path },
      plan: {
        changes: Array.from({ length: 14 }, () => `+ homing1._domainkey.${domain} TXT ${key}`),
        findings: [],
        blocked: undefined,
      },
      cutOff: {
        ...{ why: "Fleet did not change the records: ".repeat(4), isKnown: true },
        written: Array.from({ length: 4 }, () => `_mta-sts.${domain} TXT`),
        missing: Array.from({ length: 9 }, () => `_submissions._tcp.${domain} SRV`),
        backup: `${domain}/dns-backup-2026-01-01T00-00-00.000Z.json`,
      },
      taken: { path: `${domain}-vm.qcow2`, isRelay: true, free: `${domain}-vm-2.qcow2` },
      disks: [{ path: "/dev/sdq", label: "SanDisk Ultra, 31.9 GB", isRelay: true }],
      disk: { path: "/dev/sdq", label: "SanDisk Ultra, 31.9 GB", isRelay: true },
    },
    failed: {
      task: { kind: "disks", image: "" },
      message: "chat.rosegarden.net/relay.toml has one mistake:\n  line 3",
    },
    history: ["welcome"],
  };
}
