/**
 * The test network's DHCP and DNS server: real dnsmasq with fixed addresses by MAC and the records of the
 * relays, and no server above it. Started by test/support/network.ts inside ring 2's namespace.
 */
import type { ChildProcess } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DnsRecord } from "../../appliance/dns/records.ts";
import { startTied, waitForExit } from "./commands.ts";
import { waitFor } from "./wait.ts";

/** A machine that gets its address by DHCP. */
export type Lease = Readonly<{ mac: string; address: string }>;

export type DnsServerOptions = Readonly<{
  /** Address to listen at; DHCP answers name it as router and DNS server. */
  address: string;
  /** First and last address of the /24 that DHCP may give; without it there is no DHCP. */
  range?: readonly [string, string];
  /** For configuration, leases and log. */
  folder: string;
}>;

export type DnsServer = Readonly<{
  /** Adds a machine and records and makes them known. */
  add: (leases: readonly Lease[], records: readonly DnsRecord[]) => Promise<void>;
  /** Names the name servers of a zone, with their addresses by name. */
  delegate: (zone: string, servers: Readonly<Record<string, string>>) => Promise<void>;
  /** Is slow from now on: answers what it was asked only after `resume`. */
  pause: () => void;
  resume: () => void;
  /** Answers nothing any more, until the next `add`. */
  stop: () => Promise<void>;
}>;

/** A DNS string holds at most this many bytes (RFC 1035 §3.3.14). */
const MAX_STRING_BYTES = 255;
/** RFC 1035 §3.2.2. */
const NS_TYPE = 2;
const START_TIMEOUT = 10_000;
/** A name that only says "this server is up", with the generation of its records. */
const PROBE_NAME = "generation.dns.test";

export async function startDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const configuration = join(options.folder, "dnsmasq.conf");
  const leases: Lease[] = [];
  const records: DnsRecord[] = [];
  const delegations: string[] = [];
  let generation = 0;
  let server: ChildProcess | undefined;

  /** dnsmasq reads its configuration at its start only. */
  const restart = async () => {
    await stop();
    generation++;
    const text = [
      ...serverLines(options),
      `txt-record=${PROBE_NAME},"${generation}"`,
      ...leases.map(({ mac, address }) => `dhcp-host=${mac},${address}`),
      ...records.map(recordLine),
      ...delegations,
    ];
    await writeFile(configuration, `${text.join("\n")}\n`);
    server = startTied(
      ["dnsmasq", "--keep-in-foreground", `--conf-file=${configuration}`],
      join(options.folder, "dnsmasq.log"),
    );
    const resolver = new Resolver({ timeout: 500, tries: 1 });
    resolver.setServers([options.address]);
    await waitFor("the DNS server answers", START_TIMEOUT, async () => {
      if (server?.exitCode !== null) throw new Error("dnsmasq ended at once; see dnsmasq.log");
      return (await resolver.resolveTxt(PROBE_NAME)).flat().join() === String(generation);
    });
  };
  const stop = async () => {
    if (server === undefined) return;
    const ending = waitForExit(server, "dnsmasq", START_TIMEOUT);
    server.kill("SIGTERM");
    await ending;
    server = undefined;
  };

  await restart();
  return {
    add: async (newLeases, newRecords) => {
      leases.push(...newLeases);
      records.push(...newRecords);
      await restart();
    },
    delegate: async (zone, servers) => {
      for (const [name, address] of Object.entries(servers)) {
        delegations.push(`dns-rr=${zone},${NS_TYPE},${wireName(name)}`, `host-record=${name},${address}`);
      }
      await restart();
    },
    pause: () => void server?.kill("SIGSTOP"),
    resume: () => void server?.kill("SIGCONT"),
    stop,
  };
}

/** A name as in a DNS message (RFC 1035 §3.1), in hexadecimal: dnsmasq knows NS records as octets only. */
function wireName(name: string): string {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.of(0)]).toString("hex");
}

function serverLines({ address, range, folder }: DnsServerOptions): string[] {
  return [
    "user=root",
    "pid-file=",
    "log-facility=-",
    "no-resolv",
    "no-hosts",
    // No server above: what is not said here does not exist.
    "local=/#/",
    "bind-interfaces",
    `listen-address=${address}`,
    ...(range === undefined
      ? []
      : [
          `dhcp-range=${range[0]},${range[1]},255.255.255.0,12h`,
          "dhcp-authoritative",
          // Addresses are fixed by MAC; asking first whether somebody has one costs seconds.
          "no-ping",
          `dhcp-option=option:dns-server,${address}`,
          `dhcp-option=option:router,${address}`,
          `dhcp-leasefile=${join(folder, "dnsmasq.leases")}`,
        ]),
  ];
}

function recordLine(record: DnsRecord): string {
  const { name } = record;
  switch (record.type) {
    case "A":
    case "AAAA":
      return `host-record=${name},${record.address}`;
    case "MX":
      return `mx-host=${name},${record.exchange},${record.preference}`;
    case "CNAME":
      return `cname=${name},${record.target}`;
    case "TXT":
      return `txt-record=${name},${splitText(record.text)
        .map((part) => `"${part}"`)
        .join(",")}`;
    case "SRV":
      return `srv-host=${name},${record.target},${record.port},${record.priority},${record.weight}`;
    case "CAA":
      return `caa-record=${name},${record.flags},${record.tag},"${record.value}"`;
  }
}

/** Long values come in several strings, as at real providers; receivers have to join them. */
function splitText(text: string): string[] {
  return text.match(new RegExp(`.{1,${MAX_STRING_BYTES}}`, "g")) ?? [""];
}
