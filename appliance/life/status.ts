/**
 * Makes the status page that is shown on screen and serial line, from what the script `look` saw
 * (appliance/files/status.ts). Run by homing-status.service after the boot and after every change. The first line,
 * "homing: ready" or "homing: NOT READY", is what people and tests wait for.
 */
import { readFile, writeFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { askControl } from "../ctl/control-client.ts";
import { dataRepairedPath, HOMING_VERSION, ports, runPaths } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { type SignUpMode, signUpModes } from "../sign-up-modes.ts";
import { readIfPresent } from "./disk.ts";

/** What is to be told. */
export type Status = Readonly<{
  /** Missing when the settings could not be read. */
  relay?: Readonly<{ domain: string; signUp: SignUpMode; network?: string }>;
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
}>;

const wifiTroubles = ["no-card", "out-of-reach", "refused"] as const;
type WifiTrouble = (typeof wifiTroubles)[number];

export type Page = Readonly<{ lines: readonly string[]; light: "healthy" | "attention" }>;

/** What people know the units by. */
const unitNames: Readonly<Record<string, string>> = {
  "homing-configure.service": "settings",
  "nftables.service": "firewall",
  "homing-firewall.service": "firewall of the settings",
  "homing-auth.service": "accounts",
  "homing-metadata.service": "push notifications",
  "homing-milter.service": "mail policy",
  "homing-door.service": "door of the mailboxes",
  "dovecot.service": "mailboxes",
  "postfix.service": "mail transport",
};

/** RFC 1918, RFC 6598, RFC 3927: addresses that only the own network or provider knows. */
const privateIpv4 =
  /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|169\.254\.)/;

/** RFC 4193. */
const privateIpv6 = /^f[cd]/;

const portList = Object.values(ports)
  .toSorted((a, b) => a - b)
  .join(", ");

/** The state file in its lines: "unit NAME STATE", "address ADDRESS", "room none|no-sign-up", "wifi TROUBLE", "data read-only". */
export function readState(text: string): Pick<Status, "units" | "addresses" | "room" | "wifi" | "readOnly"> {
  const lines = text.split("\n").map((line) => line.split(" "));
  const of = (kind: string) => lines.filter(([first]) => first === kind);
  const room = of("room")[0]?.[1];
  return {
    units: of("unit").map(([, unit = "", state = ""]) => ({ unit, state })),
    addresses: of("address")
      .flatMap(([, address]) => address ?? [])
      .sort((a, b) => Number(isIPv4(b)) - Number(isIPv4(a))),
    room: room === "none" || room === "no-sign-up" ? room : "enough",
    wifi: wifiTroubles.find((trouble) => trouble === of("wifi")[0]?.[1]),
    readOnly: of("data").length > 0,
  };
}

/** The page; without a relay or with a service missing it says NOT READY. */
export function statusPage(status: Status): Page {
  const { relay, addresses } = status;
  const down = downLines(status);
  const troubles = troubleLines(status);
  const isReady = relay !== undefined && down.length === 0;
  const name = relay === undefined ? "" : `, relay ${relay.domain}`;
  const lines = [
    isReady ? `ready${name}, version ${HOMING_VERSION}` : `NOT READY${name}, version ${HOMING_VERSION}`,
    addresses.length > 0
      ? `addresses ${addresses.join(", ")}`
      : relay?.network
        ? "no address yet"
        : "no address yet; is the network cable plugged in?",
    ...(isReady ? ["all services run"] : down),
    ...troubles,
    ...(status.certificateRefused === undefined
      ? []
      : split(status.certificateRefused).map((text) => `a name is missing in the certificate: ${text}`)),
    ...(isReady ? nextLines(relay, addresses) : []),
  ];
  const isHealthy = isReady && troubles.length === 0 && addresses.length > 0;
  return { lines: lines.map((line) => `homing: ${line}`), light: isHealthy ? "healthy" : "attention" };
}

const wifiWords: Readonly<Record<WifiTrouble, string>> = {
  "no-card": "this machine has no radio that works here. A network cable does.",
  "out-of-reach":
    "not found. Is its name in relay.toml right, in small and capital letters? Is it in reach, with WPA2, or open = true " +
    "when it has no password? Does “hidden” fit?",
  refused: "it does not let the relay in. Is the password in keys/wifi-password.txt right?",
};

/** What does not run. Without settings nothing can, and only their problem is of interest. */
function downLines({ units, configureProblem }: Status): string[] {
  if (configureProblem !== undefined) return [`mail is off: ${configureProblem}`].flatMap(split);
  return units
    .filter(({ state }) => state !== "active")
    .map(({ unit, state }) => `${unit} (${unitNames[unit] ?? unit}) is ${state || "unknown"}`);
}

function troubleLines(status: Status): string[] {
  const { relay, room, wifi, readOnly, repaired, importProblem, certificateProblem } = status;
  const lines: string[] = [];
  if (wifi !== undefined) lines.push(`Wi-Fi network “${relay?.network ?? ""}”: ${wifiWords[wifi]}`);
  if (room === "none") {
    lines.push(
      "the disk is full: mail is refused until there is room again (452, senders try later); mailboxes can be read " +
        "and emptied. A larger card or disk with a copy of this one is taken as it is.",
    );
  }
  if (room === "no-sign-up") lines.push("the disk is nearly full: no new accounts until there is more room");
  if (readOnly) {
    lines.push(
      "an error on the data partition, which can only be read now: switch off and on to repair it, and copy the card " +
        "or disk to a new one",
    );
  }
  if (repaired) {
    lines.push(
      "the data partition was damaged and has been repaired at this start; mail may be missing. If it happens again, " +
        "copy the card or disk to a new one.",
    );
  }
  if (importProblem !== undefined) lines.push(...split(importProblem));
  if (certificateProblem !== undefined) lines.push(...split(`certificate: ${certificateProblem}`));
  return lines;
}

const split = (text: string): string[] => text.trim().split("\n");

/** As it is at this moment: homing-ctl has the page made anew when it changes that. */
const signUpSteps: Readonly<Record<SignUpMode, string>> = {
  open: "in Delta Chat: Create new profile, Use other server, DOMAIN",
  invite: "sign-up is by invitation: log in by SSH as root, and homing-ctl invite create makes one",
  closed: "sign-up is closed: only accounts that exist can log in",
};

/** What the owner has to do, in the order in which it works. */
function nextLines({ domain, signUp }: NonNullable<Status["relay"]>, addresses: readonly string[]): string[] {
  const ipv4 = addresses.filter(isIPv4);
  const ipv6 = addresses.filter((address) => !isIPv4(address) && !privateIpv6.test(address));
  const publicIpv4 = ipv4.filter((address) => !privateIpv4.test(address));
  const inside = publicIpv4.length === 0 ? ipv4[0] : undefined;
  const records = [
    ...publicIpv4.map((address) => `A ${address}`),
    ...(inside === undefined ? [] : ["A with the public address of your router"]),
    ...ipv6.map((address) => `AAAA ${address}`),
  ];
  const steps = [
    `in the DNS, publish the records of dns-records.txt in your relay folder${records.length > 0 ? `; address: ${records.join(", ")}` : ""}`,
    ...(inside === undefined ? [] : [`in your router, forward the TCP ports ${portList} to ${inside}`]),
    ...(ipv6.length > 0
      ? [`in your router's firewall, if any, let the TCP ports ${portList} in to ${ipv6.join(", ")}`]
      : []),
    signUpSteps[signUp].replace("DOMAIN", domain),
  ];
  return ["what to do next, once:", ...steps.map((step, index) => `  ${index + 1}. ${step}`)];
}

/** How long the page waits for an account service that is in trouble, in milliseconds. */
const modeMs = 3_000;

/** What the account service says, and relay.toml when it is not there. */
async function currentMode(config: RelayConfig): Promise<SignUpMode> {
  const { mode } = await askControl(runPaths.controlSocket, modeMs)("GET", "/sign-up").catch(() => ({
    mode: undefined,
  }));
  return signUpModes.find((known) => known === mode) ?? config.signUp.mode;
}

if (import.meta.main) {
  const textOf = async (path: string) => (await readIfPresent(path))?.toString();
  const settings = await textOf(runPaths.relayConfig);
  const config = settings === undefined ? undefined : (JSON.parse(settings) as RelayConfig);
  const page = statusPage({
    ...readState(await readFile(`${runPaths.state}.new`, "utf8")),
    ...(config && {
      relay: { domain: config.domain, signUp: await currentMode(config), network: config.wifi.network },
    }),
    repaired: (await textOf(dataRepairedPath)) !== undefined,
    configureProblem: await textOf(runPaths.configureProblem),
    importProblem: await textOf(runPaths.importProblem),
    certificateProblem: await textOf(runPaths.certificateProblem),
    certificateRefused: await textOf(runPaths.certificateRefused),
  });
  await writeFile(runPaths.statusPage, page.lines.map((line) => `${line}\n`).join(""));
  await writeFile(runPaths.light, `${page.light}\n`);
  for (const line of page.lines) console.log(line);
}
