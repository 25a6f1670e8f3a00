/**
 * Judges what was seen of a relay: what runs, what needs somebody, and what to do. The one judgement behind the page on the
 * console (status.ts), `homing-ctl status` and the status page at home (services/web/home). Pure.
 */
import type { CanaryStepName, CanaryVerdict } from "../canary.ts";
import type { SignUpMode } from "../sign-up-modes.ts";

/** What was seen. */
export type Status = Readonly<{
  /** Missing when the settings could not be read. */
  relay?: Readonly<{ domain: string; signUp: SignUpMode; network?: string; udpPorts?: string | undefined }>;
  units: readonly Readonly<{ unit: string; state: string }>[];
  addresses: readonly string[];
  room: "enough" | "no-sign-up" | "none";
  /** Why the Wi-Fi network of the settings was not joined; undefined when it was, and where there is none to join. */
  wifi?: WifiTrouble | undefined;
  /** The data partition can be read, but not written. */
  readOnly: boolean;
  /** It was damaged, and repaired at this start. */
  repaired: boolean;
  /** Why this is no relay. */
  configureProblem?: string | undefined;
  /** Why a relay folder on the boot partition was not taken over. */
  importProblem?: string | undefined;
  /** Why there is no certificate that clients accept, or no new one. */
  certificateProblem?: string | undefined;
  /** Names that the certificate lacks, and why; mail works without them. */
  certificateRefused?: string | undefined;
  /** Why push tokens and last logins cannot be kept. */
  metadataProblem?: string | undefined;
  /** Why the TURN server that the settings want helps nobody. */
  turnProblem?: string | undefined;
  /** What the canary saw last; missing before its first run. */
  canary?: CanaryVerdict | undefined;
  /** It has told nothing new for half an hour (canaryPatience), or nothing at all since the start. */
  canaryOld: boolean;
  /** The daily deletion is dead ("old"), or could not work on everything. */
  reaper?: ReaperTrouble | undefined;
}>;

export const wifiTroubles = ["no-card", "out-of-reach", "refused"] as const;
export type WifiTrouble = (typeof wifiTroubles)[number];

export const reaperTroubles = ["old", "failed"] as const;
export type ReaperTrouble = (typeof reaperTroubles)[number];

/** What a finding is about; for a unit the rest is its name, for the canary its step. */
export type About =
  | "settings"
  | "network"
  | "wifi"
  | "disk-full"
  | "disk-nearly-full"
  | "disk-read-only"
  | "disk-repaired"
  | "import"
  | "certificate"
  | "metadata"
  | "turn"
  | `unit ${string}`
  | `reaper-${ReaperTrouble}`
  | "canary-old"
  | `canary ${CanaryStepName}`;

/** Something that needs somebody, in words for the owner: what is wrong and how to mend it. */
export type Finding = Readonly<{ about: About; lines: readonly string[] }>;

export type Judgement = Readonly<{
  /** It is a relay, and everything of it runs. */
  isReady: boolean;
  /** And nothing needs anybody. */
  isHealthy: boolean;
  findings: readonly Finding[];
}>;

/** As `homing-ctl status` and the page at home read it from runPaths.statusFacts. */
export type StatusFacts = Omit<Judgement, "findings"> &
  Readonly<{
    findings: readonly Readonly<{ about: string; lines: readonly string[] }>[];
    domain: string | null;
    signUp: SignUpMode | null;
    addresses: readonly string[];
    /** How many units must run. */
    units: number;
  }>;

/** What people know the units by. */
const unitNames: Readonly<Record<string, string>> = {
  "homing-configure.service": "settings",
  "nftables.service": "firewall",
  "homing-firewall.service": "firewall of the settings",
  "homing-auth.service": "accounts",
  "homing-milter.service": "mail policy",
  "homing-web.service": "web pages",
  "homing-courier.service": "delivery of mail and push notifications",
  "homing-mux.service": "port 443",
  "dovecot.service": "mailboxes",
  "postfix.service": "mail transport",
};

const wifiWords: Readonly<Record<WifiTrouble, string>> = {
  "no-card": "this machine has no radio that works here. A network cable does.",
  "out-of-reach":
    "not found. Is its name in relay.toml right, in small and capital letters? Is it in reach, with WPA2, or open = true " +
    "when it has no password? Does “hidden” fit?",
  refused: "it does not let the relay in. Is the password in keys/wifi-password.txt right?",
};

const reaperWords: Readonly<Record<ReaperTrouble, string>> = {
  old:
    "nothing old was deleted for three days, or ever: the disk fills up. See `journalctl -t homing-reaper`; " +
    "`homing-ctl expire` tries it now",
  failed: "what is old could not be deleted everywhere. See `journalctl -t homing-reaper`",
};

export function judge(status: Status): Judgement {
  const down = downFindings(status);
  const isReady = status.relay !== undefined && down.length === 0;
  const findings = [...networkFindings(status), ...down, ...troubles(status)];
  return { isReady, isHealthy: isReady && findings.length === 0, findings };
}

export function statusFacts(status: Status): StatusFacts {
  return {
    ...judge(status),
    domain: status.relay?.domain ?? null,
    signUp: status.relay?.signUp ?? null,
    addresses: status.addresses,
    units: status.units.length,
  };
}

function networkFindings({ addresses, relay }: Status): Finding[] {
  if (addresses.length > 0) return [];
  const text = relay?.network ? "no address yet" : "no address yet; is the network cable plugged in?";
  return [{ about: "network", lines: [text] }];
}

/** What does not run. Without settings nothing can, and only their problem is of interest. */
function downFindings({ units, configureProblem }: Status): Finding[] {
  if (configureProblem !== undefined)
    return [{ about: "settings", lines: linesOf(`mail is off: ${configureProblem}`) }];
  return units
    .filter(({ state }) => state !== "active")
    .map(({ unit, state }) => ({
      about: `unit ${unit}`,
      lines: [`${unit} (${unitNames[unit] ?? unit}) is ${state || "unknown"}`],
    }));
}

function troubles(status: Status): Finding[] {
  const {
    relay,
    room,
    wifi,
    readOnly,
    repaired,
    importProblem,
    certificateProblem,
    metadataProblem,
    turnProblem,
  } = status;
  const findings: Finding[] = [];
  const add = (about: About, text: string) => findings.push({ about, lines: linesOf(text) });
  if (wifi !== undefined) add("wifi", `Wi-Fi network “${relay?.network ?? ""}”: ${wifiWords[wifi]}`);
  if (room === "none") {
    add(
      "disk-full",
      "the disk is full: mail is refused until there is room again (452, senders try later); mailboxes can be read " +
        "and emptied. A larger card or disk with a copy of this one is taken as it is.",
    );
  }
  if (room === "no-sign-up")
    add("disk-nearly-full", "the disk is nearly full: no new accounts until there is more room");
  if (readOnly) {
    add(
      "disk-read-only",
      "an error on the data partition, which can only be read now: switch off and on to repair it, and copy the card " +
        "or disk to a new one",
    );
  }
  if (repaired) {
    add(
      "disk-repaired",
      "the data partition was damaged and has been repaired at this start; mail may be missing. If it happens again, " +
        "copy the card or disk to a new one.",
    );
  }
  if (importProblem !== undefined) add("import", importProblem);
  if (certificateProblem !== undefined)
    findings.push({
      about: "certificate",
      lines: linesOf(certificateProblem).map((line, i) => (i === 0 ? `certificate: ${line}` : line)),
    });
  if (metadataProblem !== undefined) {
    add(
      "metadata",
      `mail goes on, but push tokens and last logins are kept in memory only, and idle accounts stay: ${metadataProblem}`,
    );
  }
  if (turnProblem !== undefined) {
    add(
      "turn",
      `calls get no help, for no client is told of the TURN server: ${turnProblem.trim()}. Does your router forward the ` +
        `UDP ports ${relay?.udpPorts ?? "of [turn]"}, and lead back to them from inside (hairpin)? If it cannot, set ` +
        "enabled = false in [turn].",
    );
  }
  // Without settings neither of the next two runs.
  const runs = relay !== undefined && status.configureProblem === undefined;
  if (status.reaper !== undefined && runs) add(`reaper-${status.reaper}`, reaperWords[status.reaper]);
  if (status.canaryOld && runs) {
    add(
      "canary-old",
      "the canary has told nothing for half an hour: nobody knows whether mail works. See `systemctl status " +
        "homing-probe.timer homing-probe.service`",
    );
  }
  return [...findings, ...canaryFindings(status)];
}

/** What the canary alone knows: of the disk and the certificate the others tell more, and of a unit that does not run too. */
function canaryFindings({ canary, certificateProblem, room, readOnly }: Status): Finding[] {
  const told: CanaryStepName[] = [];
  if (certificateProblem !== undefined) told.push("certificate");
  if (room !== "enough" || readOnly) told.push("disk");
  return (canary?.steps ?? [])
    .filter(({ ok, name }) => !ok && !told.includes(name))
    .map(({ name, detail, mend }) => ({
      about: `canary ${name}`,
      lines: [mend === null ? `canary: ${detail}` : `canary: ${detail}. To mend it: ${mend}`],
    }));
}

function linesOf(text: string): string[] {
  return text.trim().split("\n");
}
