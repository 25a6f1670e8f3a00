/**
 * The network of ring 2: a bridge with one address range inside the namespace of namespace.ts, a DHCP and
 * DNS server on it, and relays as containers plugged into it. Tests and clients run at the bridge's own
 * address. One network at a time:
 *
 *     await using network = await createTestNetwork("trial");
 *     const a = await network.startRelay("_a.test");
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DnsRecord, dkimPublicKey, relayRecords } from "../../appliance/dns/records.ts";
import { dataPaths } from "../../appliance/layout.ts";
import type { RelayOverrides } from "../../appliance/relay-config.ts";
import { relayFilePaths } from "../../appliance/relay-files.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { runCommand } from "./commands.ts";
import { startContainer, writeFiles } from "./container.ts";
import { type DnsServer, startDnsServer } from "./dns-server.ts";
import { currentNamespace, TEST_NAMESERVER, type TestNamespace } from "./namespace.ts";
import { type Relay, waitForRelay } from "./relay.ts";

/** Where tests and clients are in the network, and the third host that is no relay. */
export const CLIENT_ADDRESS = TEST_NAMESERVER;

/** The cable that all of them share, as the test machine calls it. */
export const BRIDGE = "homing0";
const PREFIX = CLIENT_ADDRESS.slice(0, CLIENT_ADDRESS.lastIndexOf("."));
/** Last number of the first relay's address; the next ones follow. */
const FIRST_RELAY = 11;

/** Last number of the first of the addresses that addClientAddresses gives. */
const FIRST_CLIENT = 101;

/** Logs of the relays, by network. */
const LOG_FOLDER = join(import.meta.dirname, "..", "output", "relay");

export type RelayOptions = Readonly<{ settings?: RelayOverrides }>;

export type TestNetwork = AsyncDisposable &
  Readonly<{
    /** Scratch folder of this network. */
    folder: string;
    dns: DnsServer;
    /** Makes a relay folder for the domain, publishes its records, boots it and waits until it serves. */
    startRelay: (domain: string, options?: RelayOptions) => Promise<Relay>;
    /** Publishes records of a domain that is no relay. */
    publish: (records: readonly DnsRecord[]) => Promise<void>;
  }>;

/** Path of the squashfs to boot, made by test/support/rootfs.ts. */
export const ROOTFS_VARIABLE = "HOMING_TEST_ROOTFS";

/** Why ring 2 cannot run in this process; undefined when it can. For `describe.skipIf`. */
export function missingForRelays(): string | undefined {
  if (currentNamespace() === undefined) return "runs in its own namespace: npm test -- relay";
  if (process.env[ROOTFS_VARIABLE] === undefined) return `needs ${ROOTFS_VARIABLE}: npm test -- relay`;
  return undefined;
}

/** `name` names the folder of the relays' logs. */
export async function createTestNetwork(name: string): Promise<TestNetwork> {
  const namespace = currentNamespace();
  const image = process.env[ROOTFS_VARIABLE];
  if (namespace === undefined || image === undefined)
    throw new Error(`the test network ${missingForRelays()}`);
  await using cleanup = new AsyncDisposableStack();
  const folder = join(namespace.folder, "network");
  await removeLeftovers(folder);
  await mkdir(join(folder, "root"), { recursive: true });
  cleanup.defer(() => rm(folder, { recursive: true }));
  await runCommand(["mount", "--options", "ro,loop", "--types", "squashfs", image, join(folder, "root")]);
  cleanup.defer(async () => {
    await runCommand(["umount", join(folder, "root")]);
  });
  await makeBridge();
  cleanup.defer(async () => {
    await runCommand(["ip", "link", "delete", BRIDGE]);
  });
  const dns = await startDnsServer({
    address: CLIENT_ADDRESS,
    range: [`${PREFIX}.${FIRST_RELAY}`, `${PREFIX}.250`],
    folder,
  });
  cleanup.defer(() => dns.stop());
  let relays = 0;
  const kept = cleanup.move();
  return {
    folder,
    dns,
    publish: (records) => dns.add([], records),
    startRelay: async (domain, options = {}) => {
      await using starting = new AsyncDisposableStack();
      const number = relays++;
      const logFolder = join(LOG_FOLDER, name.replaceAll(" ", "-"));
      const plug = { domain, options, number, folder, logFolder, namespace, dns };
      const relay = await plugRelay({ ...plug, cleanup: starting });
      const done = starting.move();
      kept.use(done);
      return relay;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

type Plug = Readonly<{
  domain: string;
  options: RelayOptions;
  number: number;
  folder: string;
  logFolder: string;
  namespace: TestNamespace;
  dns: DnsServer;
  cleanup: AsyncDisposableStack;
}>;

async function plugRelay(plug: Plug): Promise<Relay> {
  const { domain, number, folder, dns, cleanup } = plug;
  const address = `${PREFIX}.${FIRST_RELAY + number}`;
  const mac = `02:00:00:00:00:${(FIRST_RELAY + number).toString(16).padStart(2, "0")}`;
  const home = join(folder, domain);
  const relayFolder = await createRelayFolder(join(home, "relay"), domain, testSettings(plug.options));
  const dkimPem = relayFolder.files.get(relayFilePaths(relayFolder.config).dkimKey)!;
  const identity = {
    domain,
    dkim: [
      {
        selector: relayFolder.config.dkim.selector,
        publicKey: dkimPublicKey(Buffer.from(dkimPem).toString()),
      },
    ],
    addresses: [address],
  };
  await dns.add([{ mac, address }], relayRecords(identity));
  await mkdir(join(home, "data"), { recursive: true });
  await mountBootPartition(join(home, "boot"), cleanup);
  await writeFiles(join(home, "boot", "relay"), relayFolder.files);
  const networkNamespace = await makePort(`relay${number}`, mac, cleanup);
  const container = await startContainer({
    name: `relay${number}`,
    root: join(folder, "root"),
    machineIdFile: join(home, dataPaths.machineId),
    binds: { "/data": join(home, "data"), "/boot": join(home, "boot") },
    networkNamespace,
    cgroup: plug.namespace.cgroup,
    logFile: await makeLogFile(plug.logFolder, domain),
  });
  cleanup.defer(() => container.stop());
  return await waitForRelay({ domain, address, home, container, config: relayFolder.config });
}

/**
 * The boot partition is a file system of its own: the relay mounts it anew, writable or not, as it needs.
 * In memory, because not every kernel that runs these tests knows FAT; FAT itself is ring 3's matter.
 */
async function mountBootPartition(folder: string, cleanup: AsyncDisposableStack): Promise<void> {
  await mkdir(folder, { recursive: true });
  await runCommand(["mount", "--types", "tmpfs", "--options", "mode=0700,size=16m", "tmpfs", folder]);
  cleanup.defer(async () => {
    await runCommand(["umount", folder]);
  });
}

/** An empty file for the log of the relay, kept until the next run. */
async function makeLogFile(folder: string, domain: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${domain}.log`);
  await writeFile(file, "");
  return file;
}

/** What a test wishes; and new accounts for the one address of all clients, on a busy machine too. */
function testSettings({ settings = {} }: RelayOptions): RelayOverrides {
  const signUp = { maxLoadAverage: 1000, networkBurst: 1_000_000, relayBurst: 1_000_000, ...settings.signUp };
  return { ...settings, signUp };
}

/** A cable from the bridge into a network namespace of its own, where its end is called as on a real machine. */
async function makePort(name: string, mac: string, cleanup: AsyncDisposableStack): Promise<string> {
  await runCommand(["ip", "netns", "add", name]);
  cleanup.defer(async () => {
    await runCommand(["ip", "netns", "delete", name]);
  });
  const peer = ["peer", "name", "eth0", "address", mac, "netns", name];
  await runCommand(["ip", "link", "add", name, "type", "veth", ...peer]);
  // The kernel would do so with the namespace, but some time later, and the next file's network has the same names.
  cleanup.defer(async () => {
    await runCommand(["ip", "link", "delete", name]);
  });
  await runCommand(["ip", "link", "set", name, "master", BRIDGE, "up"]);
  return join("/run/netns", name);
}

async function makeBridge(): Promise<void> {
  await runCommand(["ip", "link", "add", BRIDGE, "type", "bridge"]);
  await runCommand(["ip", "address", "add", `${CLIENT_ADDRESS}/24`, "dev", BRIDGE]);
  await runCommand(["ip", "link", "set", BRIDGE, "up"]);
}

/** Gives this machine further addresses in the network, for who plays many clients: relays count by address. */
export async function addClientAddresses(count: number): Promise<string[]> {
  const addresses = Array.from({ length: count }, (_, i) => `${PREFIX}.${FIRST_CLIENT + i}`);
  for (const address of addresses) await runCommand(["ip", "address", "add", `${address}/24`, "dev", BRIDGE]);
  return addresses;
}

/** What a test file that was killed left in the namespace; its programs died with it. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const type of ["veth", "bridge"]) {
    const { stdout } = await runCommand(["ip", "-json", "link", "show", "type", type]);
    for (const { ifname } of JSON.parse(stdout || "[]") as { ifname: string }[])
      await runCommand(["ip", "link", "delete", ifname]);
  }
  for (const line of (await runCommand(["ip", "netns", "list"])).stdout.split("\n")) {
    const name = line.split(" ")[0];
    if (name) await runCommand(["ip", "netns", "delete", name]);
  }
  for (const mount of (await readFile("/proc/self/mountinfo", "utf8")).split("\n")) {
    const place = mount.split(" ")[4];
    if (place?.startsWith(`${folder}/`)) await runCommand(["umount", place]);
  }
  await rm(folder, { recursive: true, force: true });
}
