/**
 * Lines to an Internet of two addresses, for ./homing doctor: this namespace is the Internet, with the resolver and the
 * servers that the doctor asks by default; each line has a computer and a router in namespaces of their own, with real
 * translation (nftables) and, if wished, a real daemon that forwards ports (miniupnpd). Runs in ring 2's namespace alone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer as createHttps } from "node:https";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTls } from "node:tls";
import { type CommandResult, runCommand, startTied, waitForExit } from "./commands.ts";
import { currentNamespace, TEST_NAMESERVER } from "./namespace.ts";
import { makeEcPem, makeTestAuthority } from "./test-authority.ts";
import { waitFor } from "./wait.ts";

const [IPV4, IPV6] = ["1.1.1.1", "2606:4700:4700::1111"];
/** A server there that is nobody's whom the doctor asks. */
const PORTAL = "1.1.1.2";
const names = ["nine.testrun.org", "smtp.gmail.com", "smtp.fastmail.com", IPV4, IPV6];
const main = join(import.meta.dirname, "..", "..", "installer", "main.ts");

export const computerAddress = "192.168.1.20";
/** Another device's: the computer's network card has it too. */
export const deviceAddress = "192.168.1.30";
export const routerAddress = "192.168.1.1";

const START_LIMIT = 20_000;
const RUN_LIMIT = 60_000;

export type LineOptions = Readonly<{
  ipv6?: boolean;
  /** The provider translates too: the router has an address of RFC 6598. */
  shared?: boolean;
  /** Rules for what the router passes on, and for what it redirects, as nft(8) reads them. */
  passing?: string;
  redirecting?: string;
  /** The cable is out. */
  unplugged?: boolean;
  /** Further lines of miniupnpd's configuration; without them there is none. */
  daemon?: string;
}>;

export type ImaginedLine = Readonly<{
  /** What the Internet sees. */
  outerAddress: string;
  /** Runs ./homing doctor on the computer. */
  doctor: (...args: string[]) => Promise<CommandResult>;
  /** Starts a server of one word on the computer. */
  serve: (address: string, port: number, word: string) => Promise<void>;
  /** What the port answers to the Internet; "" for nothing. */
  knock: (port: number) => Promise<string>;
}>;

export type SmallInternet = AsyncDisposable &
  Readonly<{ line: (name: string, options?: LineOptions) => Promise<ImaginedLine> }>;

export async function startSmallInternet(): Promise<SmallInternet> {
  const folder = currentNamespace()!.folder;
  await using starting = new AsyncDisposableStack();
  for (const address of [`${TEST_NAMESERVER}/32`, `${IPV4}/32`, `${PORTAL}/32`, `${IPV6}/128`]) {
    await runCommand(["ip", "address", "add", address, "dev", "lo"]);
    starting.defer(async () => {
      await runCommand(["ip", "address", "delete", address, "dev", "lo"]);
    });
  }
  const authorityFile = join(folder, "small-internet.pem");
  await startServers(authorityFile, starting);
  await startResolver(folder, starting);
  const kept = starting.move();
  let number = 0;
  return {
    line: (name, options = {}) =>
      plugLine({ name, number: ++number, folder, authorityFile, kept, ...options }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function startServers(authorityFile: string, stack: AsyncDisposableStack): Promise<void> {
  const authority = await makeTestAuthority();
  await writeFile(authorityFile, authority.root);
  const key = makeEcPem();
  const cert = `${await authority.certify(key, names)}${authority.intermediate}`;
  const tellAddress = createHttps({ key, cert }, ({ socket }, response) => {
    response.end(`ip=${socket.remoteAddress?.replace(/^::ffff:/, "")}\n`);
  });
  const greet = () => createServer((socket) => socket.end("220 mail.test ESMTP\r\n"));
  const places: [Server, number, string][] = [
    ...[25, 587].flatMap((port) =>
      [IPV4, IPV6].map((address) => [greet(), port, address] satisfies [Server, number, string]),
    ),
    [createTls({ key, cert }), 465, IPV4],
    [createTls({ key, cert }), 465, IPV6],
    [tellAddress, 443, "::"],
    // A page where one logs in, in front of every web server.
    [createServer((socket) => socket.end("HTTP/1.1 302 Found\r\n\r\n")), 80, PORTAL],
  ];
  for (const [server, port, address] of places) {
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
    });
    server.listen(port, address);
    await once(server, "listening");
    stack.defer(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  }
}

async function startResolver(folder: string, stack: AsyncDisposableStack): Promise<void> {
  const log = join(folder, "small-internet-dns.log");
  const addresses = [`/#/${IPV4}`, `/#/${IPV6}`].map((each) => `--address=${each}`);
  const base = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="];
  const words = [
    "dnsmasq",
    ...base,
    `--listen-address=${TEST_NAMESERVER}`,
    "--bind-interfaces",
    ...addresses,
  ];
  stack.defer(stopper(startTied(words, log)));
}

const stopper = (program: ChildProcess) => async () => {
  program.kill();
  await waitForExit(program, "a program of the line", START_LIMIT);
};

type Plug = LineOptions &
  Readonly<{
    name: string;
    number: number;
    folder: string;
    authorityFile: string;
    kept: AsyncDisposableStack;
  }>;

async function plugLine(plug: Plug): Promise<ImaginedLine> {
  const { name, number, folder, authorityFile, kept } = plug;
  const [home, router] = [`${name}-home`, `${name}-router`];
  const outerAddress = `198.35.${number}.2`;
  await runCommand(["sh", "-e", "-c", wiring(plug, home, router)]);
  kept.defer(async () => {
    const cables = [`wan${number}`, ...(plug.ipv6 === true ? [`wan6-${number}`] : [])];
    const words = [home, router, ...(plug.shared === true ? [`${name}-carrier`] : [])];
    // The kernel would take the cable with the namespaces, but some time later.
    await runCommand([
      "sh",
      "-e",
      "-c",
      [
        ...cables.map((each) => `ip link delete ${each}`),
        ...words.map((each) => `ip netns delete ${each}`),
      ].join("\n"),
    ]);
  });
  const inside = (namespace: string, words: readonly string[]) => [
    "nsenter",
    `--net=/run/netns/${namespace}`,
    "--",
    ...words,
  ];
  if (plug.daemon !== undefined) {
    const file = join(folder, `${name}-miniupnpd.conf`);
    await writeFile(file, daemonSettings(plug.daemon, number));
    const words = inside(router, ["miniupnpd", "-d", "-f", file, "-P", `${file}.pid`]);
    kept.defer(stopper(startTied(words, join(folder, `${name}-miniupnpd.log`))));
    await waitFor("miniupnpd listens", START_LIMIT, async () => {
      const { stdout } = await runCommand(inside(router, ["ss", "--no-header", "-lun"]));
      return /:5351\b/.test(stdout);
    });
  }
  const env = ["env", `NODE_EXTRA_CA_CERTS=${authorityFile}`, `XDG_CACHE_HOME=${join(folder, name)}`];
  return {
    outerAddress,
    doctor: (...args) =>
      runCommand(
        inside(home, [
          ...env,
          process.execPath,
          "--disable-warning=ExperimentalWarning",
          main,
          "doctor",
          ...args,
        ]),
        {
          ...{ anyExitCode: true, timeout: RUN_LIMIT },
        },
      ),
    async serve(address, port, word) {
      const script = `require("node:net").createServer((socket) => socket.end(${JSON.stringify(word)})).listen(${port}, ${JSON.stringify(address)}, () => console.log("listening"))`;
      const program = spawn("setpriv", [
        "--pdeathsig",
        "KILL",
        "--",
        ...inside(home, [process.execPath, "-e", script]),
      ]);
      kept.defer(stopper(program));
      await once(program.stdout, "data", { signal: AbortSignal.timeout(START_LIMIT) });
    },
    knock: (port) => knock(outerAddress, port),
  };
}

function knock(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("error", () => resolve(""));
    socket.on("close", () => resolve(text));
  });
}

/** Commands that lay the cables: computer, router, the provider's translator if there is one, this namespace. */
function wiring(
  {
    name,
    number,

    ipv6 = false,
    shared = false,
    passing = "",
    redirecting = "",
    unplugged = false,
  }: Plug,
  home: string,
  router: string,
): string {
  const carrier = `${name}-carrier`;
  const last = shared ? carrier : router;
  const lines = [
    `ip netns add ${home}`,
    `ip netns add ${router}`,
    `ip -n ${home} link set lo up`,
    `ip -n ${router} link set lo up`,
    `ip link add eth0 netns ${home} type veth peer name lan netns ${router}`,
    ...(shared
      ? [
          `ip netns add ${carrier}`,
          `ip -n ${carrier} link set lo up`,
          `ip link add wan netns ${router} type veth peer name lan netns ${carrier}`,
          `ip -n ${carrier} address add 100.64.0.1/24 dev lan`,
          `ip -n ${carrier} link set lan up`,
        ]
      : []),
    `ip link add wan netns ${last} type veth peer name wan${number}`,
    `ip link set wan${number} up`,
    `ip -n ${router} link set lan up`,
    `ip -n ${router} link set wan up`,
    `ip -n ${last} link set wan up`,
  ];
  if (!unplugged) lines.push(`ip -n ${home} link set eth0 up`);
  const [outer, next] = shared
    ? ["100.64.0.2/24", "100.64.0.1"]
    : [`198.35.${number}.2/24`, `198.35.${number}.1`];
  lines.push(
    `ip address add 198.35.${number}.1/24 dev wan${number}`,
    `ip -n ${home} address add ${computerAddress}/24 dev eth0`,
    `ip -n ${home} address add ${deviceAddress}/24 dev eth0`,
    `ip -n ${router} address add ${routerAddress}/24 dev lan`,
    `ip -n ${router} address add ${outer} dev wan`,
    `ip -n ${router} route add default via ${next}`,
    ...(shared
      ? [
          `ip -n ${carrier} address add 198.35.${number}.2/24 dev wan`,
          `ip -n ${carrier} route add default via 198.35.${number}.1`,
        ]
      : []),
    ...(unplugged ? [] : [`ip -n ${home} route add default via ${routerAddress}`]),
  );
  if (ipv6) {
    // A cable of its own: no provider translates this kind.
    const net = `2620:0:${number}`;
    lines.push(
      `ip link add wan6 netns ${router} type veth peer name wan6-${number}`,
      `ip link set wan6-${number} up`,
      `ip -n ${router} link set wan6 up`,
      `ip address add ${net}:1::1/64 dev wan6-${number} nodad`,
      `ip -n ${home} address add ${net}:2::20/64 dev eth0 nodad`,
      `ip -n ${router} address add ${net}:2::1/64 dev lan nodad`,
      `ip -n ${router} address add ${net}:1::2/64 dev wan6 nodad`,
      `ip -n ${router} route add default via ${net}:1::1`,
      `ip -n ${home} route add default via ${net}:2::1`,
      `ip route add ${net}:2::/64 via ${net}:1::2`,
    );
  }
  const passOn = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
  for (const each of shared ? [router, carrier] : [router]) {
    lines.push(
      `nsenter --net=/run/netns/${each} sh -e -c '${passOn}; nft -f -' <<'RULES'`,
      rules(each === router ? passing : "", each === router ? redirecting : ""),
      "RULES",
    );
  }
  return lines.join("\n");
}

/** With the chains that miniupnpd writes to. */
const rules = (passing: string, redirecting: string) => `table inet filter {
  chain miniupnpd {}
  chain prerouting_miniupnpd {}
  chain postrouting_miniupnpd {}
  chain forward { type filter hook forward priority 0; policy accept; ${passing}; }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; ${redirecting}; }
  chain postrouting { type nat hook postrouting priority 100; oifname wan meta nfproto ipv4 masquerade; }
}`;

const daemonSettings = (more: string, number: number) => `ext_ifname=wan
listening_ip=lan
uuid=00000000-0000-4000-8000-${String(number).padStart(12, "0")}
allow 1-65535 192.168.1.0/24 1-65535
deny 0-65535 0.0.0.0/0 0-65535
${more}
`;
