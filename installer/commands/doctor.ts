/**
 * `./homing doctor`: looks at the line to the Internet that this computer is on, and has the router forward a relay's
 * ports. The work is in installer/reachability/.
 */
import { readFile, stat } from "node:fs/promises";
import { isIP, isIPv4 } from "node:net";
import { join } from "node:path";
import { isTestDomain } from "../../appliance/domain.ts";
import { parseRelayConfig } from "../../appliance/relay-config.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { agrees } from "../ask.ts";
import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { painterFor } from "../dns/painter.ts";
import { realWorld } from "../dns/world.ts";
import { type ProbedPort, probedPorts } from "../reachability/facts.ts";
import { findForwarding } from "../reachability/forward.ts";
import { forwardingQuestion, forwardingText } from "../reachability/forwarding-text.ts";
import type { Grade } from "../reachability/grade.ts";
import { type LineWorld, type ProbedHost, usualLineWorld } from "../reachability/line-world.ts";
import { type LineOptions, lookAtLine } from "../reachability/look.ts";
import { nonceSecret } from "../reachability/nonce-secret.ts";
import {
  type CallPorts,
  callPortsOf,
  MAX_ASKED_CALL_PORTS,
  routerPorts,
} from "../reachability/relay-ports.ts";
import { reportText } from "../reachability/report-text.ts";

const options = {
  json: { type: "boolean", default: false },
  ipv4: { type: "string", multiple: true },
  ipv6: { type: "string", multiple: true },
  probe: { type: "string", multiple: true },
  https: { type: "string", multiple: true },
  map: { type: "boolean", default: false },
  unmap: { type: "boolean", default: false },
  to: { type: "string" },
  yes: { type: "boolean", short: "y", default: false },
} as const;

type Values = ReturnType<typeof parseCommandArgs<typeof options>>["values"];

const EXIT_NOT_SO = 1;
const EXIT_UNKNOWN = 3;
const exitCodes: Readonly<Record<Grade, number>> = {
  ...{ full: 0, https: 0 },
  ...{ ipv6: EXIT_NOT_SO, local: EXIT_NOT_SO, unknown: EXIT_UNKNOWN },
};

export const command: Command = {
  name: "doctor",
  summary: "look at this line to the Internet: what a relay on it could do",
  usage:
    "doctor [FOLDER] [--json] [OPTIONS], doctor [FOLDER] --map [--to ADDRESS] [--yes], doctor [FOLDER] --unmap [--to ADDRESS]",
  help: `
  Run it on the line on which the relay will be. It finds the addresses that the Internet sees, whether a router or
  the provider translates them, and whether mail servers and relays can be reached; then says what the line is good
  for, and what to set in the router. It changes nothing. Whoever was asked stands at the end. It takes ten seconds at
  most, also where nobody answers.

  With --map it changes something: it asks the router (by UPnP, PCP or NAT-PMP, where one of them is on) to forward the
  relay's ports, and leaves alone what others have had forwarded. --unmap takes that back.

  Ends with 0  when a relay on this line can work (full, or HTTPS-only federation); with --map and --unmap, when all
               ports are as they shall be
            1  when not: local only, or reached by IPv6 alone; when a port was not forwarded, or nobody could be asked
            2  when the options make no sense
            3  when nothing shows whether a relay could be reached; the report says how to find out

  FOLDER              a relay's folder, whose domain is looked at too, and which ports it needs for calls; or where an
                      image would be put. Its free space is looked at; the current folder's otherwise
  --map               have the router forward the relay's TCP ports; with a FOLDER whose relay.toml switches calls on
                      ([turn]), the UDP ports for them too, a range of ${MAX_ASKED_CALL_PORTS} at most
  --unmap             take back what --map did for the same address: by UPnP all that its list shows, by PCP and
                      NAT-PMP, which show none, the same ports; name the same FOLDER for those of calls
  --to ADDRESS        to this local address, the relay's; otherwise to this computer's own. Many routers forward only
                      to the device that asks; then the report says what to enter by hand
  --yes               do not ask
  --ipv4 URL          ask this service for the IPv4 address, instead of the usual ones (several times: in this order).
                      It answers with a bare address, or with a line “ip=ADDRESS”
  --ipv6 URL          the same for IPv6
  --probe PORT=HOST   connect to this host to try port 25, 443, 465 or 587, instead of the usual ones
  --https URL         the resolver (RFC 8484) that is asked when this computer's does not answer
  --json              print the result for programs
`,
  async run(args, io) {
    const { values, positionals } = parseCommandArgs(args, options);
    const [folder, ...more] = positionals;
    if (more.length > 0) throw new UsageError(`doctor takes one folder; what is “${more.join(" ")}”?`);
    const relay = folder === undefined ? null : await relayIn(folder);
    if (values.map || values.unmap) {
      if (folder !== undefined && relay === null)
        throw new UsageError(`there is no relay.toml in ${folder}, which would tell the ports`);
      return forward(values, relay?.callPorts ?? null, io);
    }
    if (values.to !== undefined || values.yes)
      throw new UsageError("--to and --yes belong to --map or --unmap");
    const world = worldOf(values);
    const { domain, callPorts } = relay ?? { domain: null, callPorts: null };
    const report = await lookAtLine(world, { directory: folder ?? ".", domain, callPorts }, io.signal);
    const text = values.json
      ? `${JSON.stringify(report, undefined, 2)}\n`
      : reportText(report, painterFor(io.stdout, io.env));
    await print(io.stdout, text);
    return exitCodes[report.grade];
  },
};

/** Null where no relay is; the domain is, where it is in no public DNS. Throws what parseRelayConfig throws. */
async function relayIn(folder: string): Promise<Pick<LineOptions, "domain" | "callPorts"> | null> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true) throw new UsageError(`there is no folder ${folder}`);
  const path = join(folder, "relay.toml");
  const settings = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (settings === undefined) return null;
  const config = parseRelayConfig(settings, path);
  return { domain: isTestDomain(config.domain) ? null : config.domain, callPorts: callPortsOf(config) };
}

async function forward(values: Values, calls: CallPorts | null, io: CommandIo): Promise<number> {
  if (values.map && values.unmap) throw new UsageError("--map and --unmap are two things");
  const wished = values.to === undefined ? undefined : targetOf(values.to);
  const secret = await nonceSecret(defaultCacheDirectory(io.env));
  const { router, own, open, close } = await findForwarding(undefined, secret, io.signal);
  const target = wished ?? own;
  if (target === router.address) throw new UsageError(`--to ${target} is the router itself`);
  if (values.map && !values.yes && router.forwarding.length > 0) {
    const text = forwardingQuestion(routerPorts(calls), { router: router.address, target, own });
    const question = { text, instead: "--yes" };
    if (!(await agrees(io, question))) {
      await print(io.stderr, "Nothing was changed.\n");
      return EXIT_NOT_SO;
    }
  }
  const report = await (values.map ? open : close)(target, calls);
  const text = values.json
    ? `${JSON.stringify(report, undefined, 2)}\n`
    : forwardingText(report, painterFor(io.stdout, io.env));
  await print(io.stdout, text);
  const isDone = report.ports.every(({ state }) => ["forwarded", "removed", "absent"].includes(state));
  return isDone && !report.areCallsLeft ? 0 : EXIT_NOT_SO;
}

/** A device's: neither a network's, nor many devices', nor this computer's to itself (RFC 6890). */
function targetOf(text: string): string {
  const first = Number(text.split(".")[0]);
  if (isIPv4(text) && first > 0 && first !== 127 && first < 224) return text;
  throw new UsageError(`--to needs the IPv4 address of a device in your network, not “${text}”`);
}

function worldOf({ ipv4, ipv6, probe = [], https }: Values): LineWorld {
  const resolvers = https === undefined ? undefined : urlsOf("https", https);
  const usual = usualLineWorld(resolvers === undefined ? realWorld() : realWorld(resolvers));
  const services = {
    4: ipv4 === undefined ? usual.addressServices[4] : urlsOf("ipv4", ipv4),
    6: ipv6 === undefined ? usual.addressServices[6] : urlsOf("ipv6", ipv6),
  };
  const named = probe.map(probeOf);
  const hostsAt = (port: ProbedPort): readonly ProbedHost[] => {
    const own = named.filter((each) => each.port === port);
    return own.length > 0 ? own : usual.hosts[port];
  };
  const hosts = { 25: hostsAt(25), 443: hostsAt(443), 465: hostsAt(465), 587: hostsAt(587) };
  return { ...usual, addressServices: services, hosts };
}

function urlsOf(option: string, urls: readonly string[]): readonly string[] {
  const wrong = urls.find((url) => !URL.canParse(url) || !url.startsWith("https://"));
  if (wrong === undefined) return urls;
  throw new UsageError(`--${option} needs a URL that begins with https://, not “${wrong}”`);
}

function probeOf(text: string): ProbedHost & { port: ProbedPort } {
  const [, digits, host = ""] = /^(\d+)=(.+)$/.exec(text) ?? [];
  const port = probedPorts.find((each) => String(each) === digits);
  const isHost = isIP(host) !== 0 || /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/i.test(host);
  if (port !== undefined && isHost) return { host: host.toLowerCase(), port };
  throw new UsageError(
    `--probe needs a port (${probedPorts.join(", ")}) and a host, as 25=mx.example.org, not “${text}”`,
  );
}
