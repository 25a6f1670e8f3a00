/**
 * Makes the status page that is shown on screen and serial line, from what the script `look` saw
 * (appliance/files/status.ts). Run by homing-status.service after the boot and after every change. The first line,
 * "homing: ready" or "homing: NOT READY", is what people and tests wait for.
 */
import { chmod, readFile, rename, writeFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { readVerdict } from "../canary.ts";
import { askControl } from "../ctl/control-client.ts";
import { isTestDomain } from "../domain.ts";
import { dataRepairedPath, HOMING_VERSION, ports, runPaths, turnPort } from "../layout.ts";
import { readOthersFile } from "../others-file.ts";
import type { RelayConfig } from "../relay-config.ts";
import { type SignUpMode, signUpModes } from "../sign-up-modes.ts";
import { loginLink } from "../test-login.ts";
import { readIfPresent } from "./disk.ts";
import { judge, reaperTroubles, type Status, statusFacts, wifiTroubles } from "./judgement.ts";

export type Page = Readonly<{ lines: readonly string[]; light: "healthy" | "attention" }>;

/** RFC 1918, RFC 6598, RFC 3927: addresses that only the own network or provider knows. */
const privateIpv4 =
  /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|169\.254\.)/;

/** RFC 4193. */
const privateIpv6 = /^f[cd]/;

const portList = Object.values(ports)
  .toSorted((a, b) => a - b)
  .join(", ");

/** The state file in its lines: "unit NAME STATE", "address ADDRESS", "room none|no-sign-up", "wifi TROUBLE", "data read-only", "canary-old", "reaper TROUBLE". */
export function readState(
  text: string,
): Pick<Status, "units" | "addresses" | "room" | "wifi" | "readOnly" | "canaryOld" | "reaper"> {
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
    canaryOld: of("canary-old").length > 0,
    reaper: reaperTroubles.find((trouble) => of("reaper").some(([, one]) => one === trouble)),
  };
}

/** The page; without a relay or with a service missing it says NOT READY. */
export function statusPage(status: Status): Page {
  const { relay, addresses } = status;
  const { isReady, isHealthy, findings } = judge(status);
  const name = relay === undefined ? "" : `, relay ${relay.domain}`;
  const lines = [
    isReady ? `ready${name}, version ${HOMING_VERSION}` : `NOT READY${name}, version ${HOMING_VERSION}`,
    ...(addresses.length > 0
      ? [`addresses ${addresses.join(", ")}`]
      : findings.flatMap(({ about, lines }) => (about === "network" ? lines : []))),
    ...(isReady ? ["all services run"] : []),
    ...findings.flatMap(({ about, lines }) => (about === "network" ? [] : lines)),
    ...(status.certificateRefused === undefined
      ? []
      : status.certificateRefused
          .trim()
          .split("\n")
          .map((text) => `a name is missing in the certificate: ${text}`)),
    ...(isReady && relay !== undefined
      ? (isTestDomain(relay.domain) ? testLines : nextLines)(relay, addresses)
      : []),
  ];
  return {
    lines: lines.map((line) => `homing: ${line.replaceAll(/\p{Cc}/gu, " ")}`),
    light: isHealthy ? "healthy" : "attention",
  };
}

/** RFC 1918, RFC 3927: where services/web shows the page at home (from-home.ts there). */
const homeIpv4 = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.)/;

/** For the screen alone, never for the log: where the page at home is, and the PIN for invitations. */
export function homeLines(addresses: readonly string[], pin: string | undefined): string[] {
  const address = addresses.find((one) => homeIpv4.test(one));
  if (address === undefined || pin === undefined) return [];
  const spaced = pin.trim().replace(/(?<=^.{4})/, " ");
  return [
    `homing: in your network: http://homing.local/ or http://${address}/, PIN for invitations ${spaced}`,
  ];
}

/** As it is at this moment: homing-ctl has the page made anew when it changes that. */
const signUpSteps: Readonly<Record<SignUpMode, string>> = {
  open: "in Delta Chat: Create new profile, Use other server, DOMAIN",
  invite: "sign-up is by invitation: log in by SSH as root, and homing-ctl invite create makes one",
  closed: "sign-up is closed: only accounts that exist can log in",
};

/** The same where nobody can find the relay by its name, nor open the link of an invitation. */
const testSignUpSteps: Readonly<Record<SignUpMode, string>> = {
  open: "in Delta Chat: I Already Have a Profile, Scan Invite Code, paste LINK with a NAME of 9 letters or digits and a PASSWORD of 9 or more, both as you like",
  invite:
    "sign-up is by invitation, which needs a name in the DNS: to try it, log in by SSH as root and type homing-ctl sign-up open",
  closed: signUpSteps.closed,
};

const toDo = (heading: string, steps: readonly string[]): string[] => [
  heading,
  ...steps.map((step, index) => `  ${index + 1}. ${step}`),
];

/** The name is in no DNS: what leads to the relay is its address, wherever that can be reached from. */
function testLines({ domain, signUp }: NonNullable<Status["relay"]>, addresses: readonly string[]): string[] {
  const host = addresses.find((address) => isIPv4(address));
  const server = { host: host ?? "ADDRESS", imapsPort: ports.imaps, submissionsPort: ports.submissions };
  return toDo("what to do next, to try it:", [
    `nothing in DNS or router: a name that begins with “_” is for tests${host === undefined ? "" : `, and ${host} leads here from where it can be reached`}`,
    testSignUpSteps[signUp].replace("LINK", loginLink(`NAME@${domain}`, "PASSWORD", server)),
  ]);
}

/** What the owner has to do, in the order in which it works. */
function nextLines(
  { domain, signUp, udpPorts }: NonNullable<Status["relay"]>,
  addresses: readonly string[],
): string[] {
  const ipv4 = addresses.filter(isIPv4);
  const ipv6 = addresses.filter((address) => !isIPv4(address) && !privateIpv6.test(address));
  const publicIpv4 = ipv4.filter((address) => !privateIpv4.test(address));
  const inside = publicIpv4.length === 0 ? ipv4[0] : undefined;
  const records = [
    ...publicIpv4.map((address) => `A ${address}`),
    ...(inside === undefined ? [] : ["A with the public address of your router"]),
    ...ipv6.map((address) => `AAAA ${address}`),
  ];
  const portText = `TCP ports ${portList}${udpPorts === undefined ? "" : ` and the UDP ports ${udpPorts}`}`;
  const steps = [
    `in the DNS, publish the records of dns-records.txt in your relay folder${records.length > 0 ? `; address: ${records.join(", ")}` : ""}`,
    ...(inside === undefined ? [] : [`in your router, forward the ${portText} to ${inside}`]),
    ...(ipv6.length > 0
      ? [`in your router's firewall, if any, let the ${portText} in to ${ipv6.join(", ")}`]
      : []),
    signUpSteps[signUp].replace("DOMAIN", domain),
  ];
  return toDo("what to do next, once:", steps);
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

/** Whole or not at all: services/web and homing-ctl read while this writes. */
async function replace(path: string, content: string, mode: number): Promise<void> {
  const aside = `${path}.new`;
  await writeFile(aside, content);
  await chmod(aside, mode);
  await rename(aside, path);
}

if (import.meta.main) {
  // In folders of services that look at what strangers send; this runs as root, and what it reads is shown.
  const othersText = (path: string) => readOthersFile(path, (reason) => console.error(reason));
  const textOf = async (path: string) => (await readIfPresent(path))?.toString();
  const settings = await textOf(runPaths.relayConfig);
  const config = settings === undefined ? undefined : (JSON.parse(settings) as RelayConfig);
  const status: Status = {
    ...readState(await readFile(`${runPaths.state}.new`, "utf8")),
    ...(config && {
      relay: {
        domain: config.domain,
        signUp: await currentMode(config),
        network: config.wifi.network,
        udpPorts: config.turn.enabled
          ? `${turnPort}, ${config.turn.firstPort}-${config.turn.lastPort}`
          : undefined,
      },
    }),
    repaired: (await textOf(dataRepairedPath)) !== undefined,
    configureProblem: await textOf(runPaths.configureProblem),
    importProblem: await textOf(runPaths.importProblem),
    certificateProblem: othersText(runPaths.certificateProblem),
    certificateRefused: othersText(runPaths.certificateRefused),
    canary: readVerdict(othersText(runPaths.canaryVerdict)),
    metadataProblem: othersText(runPaths.metadataProblem),
    turnProblem: config?.turn.enabled ? othersText(runPaths.turnProblem) : undefined,
  };
  const page = statusPage(status);
  const forScreen = [...page.lines, ...homeLines(status.addresses, await textOf(runPaths.homePin))];
  await replace(runPaths.statusPage, forScreen.map((line) => `${line}\n`).join(""), 0o600);
  await replace(runPaths.light, `${page.light}\n`, 0o644);
  // services/web reads it too.
  await replace(runPaths.statusFacts, `${JSON.stringify(statusFacts(status))}\n`, 0o644);
  for (const line of page.lines) console.log(line);
}
