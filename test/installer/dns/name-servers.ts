/**
 * A small Internet for the tests of installer/dns: real Knot servers at addresses of the loopback, all on one port, with
 * a root, the zone test. and whatever zones a test wants, and Unbound as the computer's resolver, which validates DNSSEC.
 */
import { spawnSync } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DnsWorld } from "../../../installer/dns/world.ts";
import { startTied, waitForExit } from "../../support/commands.ts";
import { freePort } from "../../support/free-port.ts";
import { waitFor } from "../../support/wait.ts";

const programs = [
  ["/usr/sbin/knotd", "--version"],
  ["/usr/sbin/unbound", "-V"],
  ["kzonesign", "--version"],
] as const;
const absent = programs.filter(([program, option]) => spawnSync(program, [option]).error !== undefined);
/** Why there are no servers; undefined when there are. For `describe.skipIf`. */
export const missingServers =
  absent.length === 0 ? undefined : `needs ${absent.map(([program]) => program).join(", ")}`;

/** Where the root and test. are, and the two servers of all other zones. */
export const addresses = { above: "127.0.0.11", first: "127.0.0.13", second: "127.0.0.14" } as const;

export type TestZone = Readonly<{
  name: string;
  /** Lines of a zone file below SOA and NS. */
  records: readonly string[];
  /** Differing content of the second server; null: it does not have the zone. */
  second?: readonly string[] | null;
  /** What test. says of it instead of its two name servers. */
  delegation?: readonly string[];
  /** The NS records in the zone itself, when they are others. */
  own?: readonly string[];
  /**
   * Signed, with a DS record in test.; "expired": two months ago; "forged": changed after it was signed; "other-key",
   * "unsigned": the DS fits nothing.
   */
  dnssec?: "valid" | "expired" | "forged" | "other-key" | "unsigned";
}>;

export type SmallInternet = AsyncDisposable &
  Readonly<{
    world: DnsWorld;
    port: number;
    /** Changes the content of a zone at one server. */
    reload(zone: string, which: "first" | "second", records: readonly string[]): Promise<void>;
  }>;

const STOP_TIMEOUT = 20_000;
const START_TIMEOUT = 20_000;
/** Never allotted to anybody (RFC 6761, test.); any digest of the right length. */
const FOREIGN_DS = `12345 13 2 ${"ab".repeat(32)}`;

export async function startSmallInternet(folder: string, zones: readonly TestZone[]): Promise<SmallInternet> {
  const port = await freePort();
  const resolverPort = await freePort();
  const keys = join(folder, "keys");
  for (const each of [keys, join(folder, "signed")]) await mkdir(each, { recursive: true });
  const signer = join(folder, "signer.conf");
  await writeFile(signer, signerConfiguration(folder, [...zones.map(({ name }) => name), "test"]));
  const run = (command: string, ...args: string[]): string => {
    const done = spawnSync(command, args, { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${done.stderr}`);
    return done.stdout;
  };
  const write = async (server: string, zone: string, lines: readonly string[]) => {
    await mkdir(join(folder, server), { recursive: true });
    await writeFile(join(folder, server, `${zone || "root"}.zone`), `${lines.join("\n")}\n`);
  };
  // Two months and more ago, so that signatures can be of then too.
  const then = Math.floor(Date.now() / 1000) - 61 * 86_400;
  const makeKeys = (zone: string) => {
    const times = ["created", "publish", "ready", "active"].map((each) => `${each}=${then}`);
    for (const which of ["ksk=yes", "zsk=yes"]) {
      run("keymgr", "-c", signer, zone, "generate", "algorithm=ECDSAP256SHA256", which, ...times);
    }
    return run("keymgr", "-c", signer, zone, "ds")
      .split("\n")
      .find((line) => / 13 2 /.test(line))!
      .replace(/^.* DS /, "");
  };
  const sign = async (zone: string, how: TestZone["dnssec"]) => {
    const time = how === "expired" ? ["-t", String(then)] : [];
    run("kzonesign", "-c", signer, "-o", join(folder, "signed"), ...time, zone);
    const text = await readFile(join(folder, "signed", `${zone}.zone`), "utf8");
    const shown = how === "forged" ? text.replace("nobody.test.", "somebody.test.") : text;
    for (const server of ["first", "second"]) await writeFile(join(folder, server, `${zone}.zone`), shown);
  };

  const delegations: string[] = [];
  for (const zone of zones) {
    const { name, records, second = records, delegation, own, dnssec } = zone;
    const servers = (own ?? defaultServers(name)).map((line) => line);
    await write("first", name, [...zoneHead(name, 1), ...servers, ...records]);
    if (second !== null) await write("second", name, [...zoneHead(name, 1), ...servers, ...second]);
    delegations.push(...(delegation ?? defaultServers(name)));
    if (dnssec === undefined) continue;
    if (dnssec === "unsigned") delegations.push(`${name}. 60 DS ${FOREIGN_DS}`);
    else {
      const ds = makeKeys(name);
      await sign(name, dnssec);
      delegations.push(`${name}. 60 DS ${dnssec === "other-key" ? FOREIGN_DS : ds}`);
    }
  }
  await write("first", "test", [
    ...zoneHead("test", 1),
    `test. 60 NS above.test.`,
    `above.test. 60 A ${addresses.above}`,
    ...delegations,
  ]);
  const anchor = makeKeys("test");
  run("kzonesign", "-c", signer, "-o", join(folder, "signed"), "test");
  await write("above", "test", [await readFile(join(folder, "signed", "test.zone"), "utf8")]);
  await write("above", "", [
    ...zoneHead("", 1),
    `. 60 NS above.test.`,
    `test. 60 NS above.test.`,
    `above.test. 60 A ${addresses.above}`,
  ]);

  // Without records at either server, none has the zone.
  const has = (which: "first" | "second") =>
    zones
      .filter(({ second, records }) => second !== null || (which === "first" && records.length > 0))
      .map(({ name }) => name);
  const servers = [
    await startKnotAt(folder, "above", addresses.above, port, ["", "test"]),
    await startKnotAt(folder, "first", addresses.first, port, has("first")),
    await startKnotAt(folder, "second", addresses.second, port, has("second")),
    await startUnbound(folder, resolverPort, port, zones, anchor),
  ];
  const serials = new Map<string, number>();
  return {
    port,
    world: {
      resolvers: [{ address: "127.0.0.1", port: resolverPort }],
      https: [],
      roots: [addresses.above],
      port,
      nowhere: "127.0.0.99",
    },
    async reload(zone, which, records) {
      const serial = (serials.get(`${zone} ${which}`) ?? 1) + 1;
      serials.set(`${zone} ${which}`, serial);
      await write(which, zone, [...zoneHead(zone, serial), ...defaultServers(zone), ...records]);
      run("knotc", "-c", join(folder, which, "knot.conf"), "zone-reload", zone);
    },
    [Symbol.asyncDispose]: async () => {
      for (const stop of servers) await stop();
    },
  };
}

function zoneHead(name: string, serial: number): string[] {
  const at = name === "" ? "." : `${name}.`;
  return [`${at} 60 SOA ns1.${at === "." ? "" : at} nobody.test. ${serial} 60 60 600 1`];
}

/** Two name servers with addresses below the zone. */
function defaultServers(zone: string): string[] {
  return [
    `${zone}. 60 NS ns1.${zone}.`,
    `${zone}. 60 NS ns2.${zone}.`,
    `ns1.${zone}. 60 A ${addresses.first}`,
    `ns2.${zone}. 60 A ${addresses.second}`,
  ];
}

function signerConfiguration(folder: string, zones: readonly string[]): string {
  return `database:
  storage: ${folder}
  kasp-db: ${join(folder, "keys")}
policy:
  - id: plain
    algorithm: ECDSAP256SHA256
    rrsig-lifetime: 14d
    rrsig-refresh: 7d
template:
  - id: default
    storage: ${join(folder, "first")}
    file: "%s.zone"
    dnssec-signing: on
    dnssec-policy: plain
zone:
${zones.map((zone) => `  - domain: ${zone}`).join("\n")}
`;
}

async function startKnotAt(
  folder: string,
  name: string,
  address: string,
  port: number,
  zones: readonly string[],
) {
  const home = join(folder, name);
  const file = join(home, "knot.conf");
  await writeFile(
    file,
    `server:
  listen: ${address}@${port}
  rundir: ${home}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: info
database:
  storage: ${home}
zone:
${zones.map((zone) => `  - domain: ${zone === "" ? "." : zone}\n    file: ${join(home, `${zone || "root"}.zone`)}\n    zonefile-sync: -1`).join("\n")}
`,
  );
  return startServer(["/usr/sbin/knotd", "-c", file], join(home, "log"), `${address}:${port}`, zones.at(-1)!);
}

async function startUnbound(
  folder: string,
  listenPort: number,
  port: number,
  zones: readonly TestZone[],
  anchor: string,
): Promise<() => Promise<void>> {
  const file = join(folder, "unbound.conf");
  const stub = (name: string, ...places: string[]) =>
    `stub-zone:\n  name: "${name}."\n${places.map((place) => `  stub-addr: ${place}@${port}`).join("\n")}\n  stub-no-cache: yes\n`;
  await writeFile(
    file,
    `server:
  interface: 127.0.0.1
  port: ${listenPort}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "validator iterator"
  trust-anchor: "test. DS ${anchor}"
  ede: yes
  num-threads: 1
remote-control:
  control-enable: no
${stub("", addresses.above)}${stub("test", addresses.above)}${zones

  .map(({ name }) => stub(name, addresses.first, addresses.second))
  .join("")}`,
  );
  return startServer(
    ["/usr/sbin/unbound", "-d", "-c", file],
    join(folder, "unbound.log"),
    `127.0.0.1:${listenPort}`,
    "test",
  );
}

/** Starts it, waits until it answers for the zone, and gives the function that ends it. */
async function startServer(command: readonly string[], log: string, server: string, zone: string) {
  const program = startTied([...command], log);
  const lookups = new Resolver({ timeout: 500, tries: 1 });
  lookups.setServers([server]);
  await waitFor(`${command[0]} answers`, START_TIMEOUT, async () => {
    if (program.exitCode !== null) throw new Error(`${command[0]} ended at once; see ${log}`);
    return (await lookups.resolveSoa(zone === "" ? "." : zone)).serial > 0;
  });
  return async () => {
    const ending = waitForExit(program, command[0]!, STOP_TIMEOUT);
    program.kill("SIGKILL");
    await ending;
  };
}
