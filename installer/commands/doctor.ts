/** `./homing doctor`: looks at the line to the Internet that this computer is on. The work is in installer/reachability/. */
import { isIP } from "node:net";
import { type Command, parseCommandArgs, print, UsageError } from "../command.ts";
import { painterFor } from "../dns/painter.ts";
import { realWorld } from "../dns/world.ts";
import { type ProbedPort, probedPorts } from "../reachability/facts.ts";
import { type LineWorld, type ProbedHost, usualLineWorld } from "../reachability/line-world.ts";
import { lookAtLine } from "../reachability/look.ts";
import { reportText } from "../reachability/report-text.ts";

const options = {
  json: { type: "boolean", default: false },
  ipv4: { type: "string", multiple: true },
  ipv6: { type: "string", multiple: true },
  probe: { type: "string", multiple: true },
  https: { type: "string", multiple: true },
} as const;

type Values = ReturnType<typeof parseCommandArgs<typeof options>>["values"];

const EXIT_NOT_SO = 1;

export const command: Command = {
  name: "doctor",
  summary: "look at this line to the Internet: what a relay on it could do",
  usage: "doctor [FOLDER] [--json] [OPTIONS]",
  help: `
  Run it on the line on which the relay will be. It finds the addresses that the Internet sees, whether a router or
  the provider translates them, and whether mail servers and relays can be reached; then says what the line is good
  for, and what to set in the router. It changes nothing. Whoever was asked stands at the end.
  Ends with 0 when a relay on this line can work (full, or HTTPS-only federation), with 1 when not.

  FOLDER              where an image would be put; its free space is looked at. The current folder otherwise
  --ipv4 URL          ask this service for the IPv4 address, instead of the usual ones (several times: in this order).
                      It answers with a bare address, or with a line “ip=ADDRESS”
  --ipv6 URL          the same for IPv6
  --probe PORT=HOST   connect to this host to try port 25, 443, 465 or 587, instead of the usual ones
  --https URL         the resolver (RFC 8484) that is asked when this computer's does not answer
  --json              print the result for programs
`,
  async run(args, io) {
    const { values, positionals } = parseCommandArgs(args, options);
    const [folder = ".", ...more] = positionals;
    if (more.length > 0) throw new UsageError(`doctor takes one folder; what is “${more.join(" ")}”?`);
    const report = await lookAtLine(worldOf(values), folder, io.signal);
    const text = values.json
      ? `${JSON.stringify(report, undefined, 2)}\n`
      : reportText(report, painterFor(io.stdout, io.env));
    await print(io.stdout, text);
    return report.grade === "local" ? EXIT_NOT_SO : 0;
  },
};

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
