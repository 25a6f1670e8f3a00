/** Routers as they answer, also wrongly (installer/reachability/): forwarding by UPnP, PCP and NAT-PMP, tables of routes. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import { afterEach, describe, expect, it } from "vitest";
import { painterFor } from "../../../installer/dns/painter.ts";
import { tunnelOf } from "../../../installer/reachability/addresses.ts";
import { readPing } from "../../../installer/reachability/first-hop.ts";
import { findForwarding } from "../../../installer/reachability/forward.ts";
import { forwardingText } from "../../../installer/reachability/forwarding-text.ts";
import type { RouterPlaces } from "../../../installer/reachability/router.ts";
import { bsdRouter, linuxRouter, windowsRouter } from "../../../installer/reachability/router-place.ts";
import { servicesIn } from "../../../installer/reachability/upnp-search.ts";

const OWN = "127.0.0.1";
const DEVICE = "192.168.1.30";
const never = new AbortController().signal;
const secret = Buffer.alloc(32, 7);

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

async function datagrams(answer: (bytes: Buffer) => Buffer | null) {
  const socket = createSocket("udp4");
  socket.on("message", (bytes, { address, port }) => {
    const reply = answer(bytes);
    if (reply !== null) socket.send(reply, port, address);
  });
  socket.bind(0, OWN);
  await once(socket, "listening");
  stops.push(() => socket.close());
  return { address: OWN, port: socket.address().port };
}

type Entry = { target: string; port: number; label: string };
/** By port, as “udp 3478” where it is no TCP. */
type List = Map<number | string, Entry>;
type UpnpOptions = Readonly<{ refuses?: number; forgets?: boolean; lease?: number; location?: string }>;

/** A router whose list is a map. */
async function upnpRouter(list: List, options: UpnpOptions = {}) {
  const { refuses, forgets = false, lease = 0 } = options;
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", (): unknown => {
      if (request.method === "GET") return response.end(description);
      const value = (name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(body)?.[1] ?? "";
      const action = /#(\w+)"/.exec(String(request.headers.soapaction))?.[1];
      const port = Number(value("NewExternalPort"));
      const fail = (code: number) =>
        response.writeHead(500).end(`<errorCode>${code}</errorCode><errorDescription>x</errorDescription>`);
      const key = value("NewProtocol") === "TCP" ? port : `${value("NewProtocol").toLowerCase()} ${port}`;
      const entry = list.get(key);
      if (action === "GetExternalIPAddress")
        return response.end("<NewExternalIPAddress>198.35.26.96</NewExternalIPAddress>");
      if (action === "GetGenericPortMappingEntry") {
        const [name, listed] = [...list][Number(value("NewPortMappingIndex"))] ?? [];
        if (listed === undefined) return fail(713);
        const [outside, protocol] = String(name).split(" ").reverse();
        return response.end(
          `<NewExternalPort>${outside}</NewExternalPort><NewProtocol>${(protocol ?? "tcp").toUpperCase()}</NewProtocol><NewInternalPort>${listed.port}</NewInternalPort><NewInternalClient>${listed.target}</NewInternalClient><NewPortMappingDescription>${listed.label}</NewPortMappingDescription>`,
        );
      }
      if (action === "GetSpecificPortMappingEntry") {
        return entry === undefined
          ? fail(714)
          : response.end(
              `<NewInternalPort>${entry.port}</NewInternalPort><NewInternalClient>${entry.target}</NewInternalClient><NewPortMappingDescription>${entry.label}</NewPortMappingDescription><NewLeaseDuration>${lease}</NewLeaseDuration>`,
            );
      }
      if (refuses !== undefined) return fail(refuses);
      if (action === "DeletePortMapping") list.delete(key);
      else if (!forgets) {
        const label = value("NewPortMappingDescription");
        list.set(key, { target: value("NewInternalClient"), port: Number(value("NewInternalPort")), label });
      }
      return response.end();
    });
  });
  server.listen(0, OWN);
  await once(server, "listening");
  stops.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const location = options.location ?? `http://${OWN}:${port}/root.xml`;
  const search = await datagrams(() => Buffer.from(`HTTP/1.1 200 OK\r\nLocation: ${location}\r\n\r\n`));
  return [search];
}

const service = (type: string, path: string) =>
  `<service><serviceType>${type}</serviceType><controlURL>${path}</controlURL></service>`;
const wanIp = "urn:schemas-upnp-org:service:WANIPConnection:1";
const description = `<root>${service("urn:x:service:Layer3Forwarding:1", "/l3")}${service(wanIp, "/ctl")}</root>`;

/** Answers NAT-PMP by a function of the port; PCP's questions with the answer of an older router. */
const natPmpRouter = (given: (port: number, operation: number) => { port: number; result?: number }) =>
  datagrams((bytes) => {
    if (bytes[0] === 2) return Buffer.from([0, 128, 0, 1, 0, 0, 0, 0]);
    if (bytes[1] === 0) return Buffer.from([0, 128, 0, 0, 0, 0, 0, 9, 198, 35, 26, 96]);
    const inner = bytes.readUInt16BE(4);
    const { port, result = 0 } = given(inner, bytes[1]!);
    const answer = Buffer.alloc(16);
    answer.writeUInt8(128 + bytes[1]!, 1);
    answer.writeUInt16BE(result, 2);
    answer.writeUInt16BE(inner, 8);
    answer.writeUInt16BE(port, 10);
    answer.writeUInt32BE(Math.min(bytes.readUInt32BE(8), 7200), 12);
    return answer;
  });

/** Keeps the nonce in the label, and refuses another's. Has no NAT-PMP. */
const pcpRouter = (list: List) =>
  datagrams((bytes) => {
    if (bytes[0] !== 2) return Buffer.from([0, 128, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    const answer = Buffer.from(bytes.subarray(0, bytes[1] === 0 ? 24 : 60));
    answer.writeUInt8(bytes[1]! | 0x80, 1);
    answer.writeUInt8(0, 3);
    if (bytes[1] === 0) return answer;
    const port = bytes[36] === 6 ? bytes.readUInt16BE(40) : `udp ${bytes.readUInt16BE(40)}`;
    const label = `PCP MAP ${bytes.subarray(24, 36).toString("hex")}`;
    if ((list.get(port)?.label ?? label) !== label) answer.writeUInt8(2, 3);
    else if (bytes.readUInt32BE(4) === 0) list.delete(port);
    else list.set(port, { target: OWN, port: bytes.readUInt16BE(40), label });
    return answer;
  });

/** What is missing tells at once that it is not there. */
async function places(
  search: RouterPlaces["search"],
  mapping?: RouterPlaces["mapping"],
): Promise<RouterPlaces> {
  const older = await datagrams(() => Buffer.from([0, 128, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
  return { address: OWN, mapping: mapping ?? older, search };
}

describe("forwarding by UPnP", () => {
  it("forwards every port, for good, and takes back what it did and nothing else", async () => {
    const list = new Map<number | string, Entry>([
      [80, { target: DEVICE, port: 80, label: "my web" }],
      [443, { target: "192.168.1.9", port: 8443, label: "NAS\u001b[2J" }],
    ]);
    const { router, open, close } = await findForwarding(await places(await upnpRouter(list)), secret, never);
    expect(router).toEqual({ address: OWN, outerAddress: "198.35.26.96", forwarding: ["upnp"] });
    const opened = await open(DEVICE);
    expect(opened.ports.map(({ port, state }) => `${port} ${state}`)).toEqual([
      ...["25 forwarded", "80 forwarded", "143 forwarded", "443 held"],
      ...["465 forwarded", "587 forwarded", "993 forwarded"],
    ]);
    const text = forwardingText(opened, painterFor({}, {}));
    expect(text).toMatch(/^OK +25, 143, 465, 587, 993: go to 192\.168\.1\.30, by UPnP, for good$/m);
    expect(text).toMatch(/^OK +80: go to 192\.168\.1\.30, as before$/m);
    expect(text).toMatch(/^TAKEN +443: goes to 192\.168\.1\.9 port 8443 \(“NAS\?\[2J”\)$/m);
    const closed = await close(DEVICE);
    expect(closed.ports.filter(({ state }) => state === "removed")).toHaveLength(5);
    expect([...list.keys()]).toEqual([80, 443]);
    expect((await close(DEVICE)).ports.some(({ state }) => state !== "absent")).toBe(false);
  });

  it("takes back only what goes to the device that is named, and no other program's of the same device", async () => {
    const nas = "192.168.1.9";
    const list = new Map<number | string, Entry>([
      [25, { target: nas, port: 25, label: "Homing" }],
      [80, { target: OWN, port: 80, label: "Homing" }],
      [143, { target: OWN, port: 143, label: "NAT-PMP 143 tcp" }],
      [443, { target: OWN, port: 443, label: "PCP MAP 000102030405060708090a0b" }],
    ]);
    const asked: number[] = [];
    const mapping = await natPmpRouter((port) => {
      asked.push(port);
      return { port };
    });
    const { close } = await findForwarding(await places(await upnpRouter(list), mapping), secret, never);
    const { ports } = await close(OWN);
    const told = ports.map(({ port, state, way, reason }) => `${port} ${state} ${way} ${reason}`);
    expect(told.slice(0, 5)).toEqual([
      "25 absent upnp goes to 192.168.1.9 port 25 (“Homing”): name it by --to",
      "80 removed upnp ",
      "143 absent upnp goes to 127.0.0.1 port 143 (“NAT-PMP 143 tcp”), which stays",
      "443 absent upnp goes to 127.0.0.1 port 443 (“PCP MAP 000102030405060708090a0b”), which stays",
      "465 removed nat-pmp if it was there",
    ]);
    expect([...list.keys()]).toEqual([25, 143, 443]);
    // What is not answered within 250 ms, as on a busy machine, is asked again (RFC 6886 §3.1).
    expect([...new Set(asked)]).toEqual([465, 587, 993]);
    expect((await close(nas)).ports[0]).toMatchObject({ port: 25, state: "removed", way: "upnp" });
    expect([...list.keys()]).toEqual([143, 443]);
  });

  it("says what the router answers when it refuses, and does not believe a yes that does nothing", async () => {
    const reasonOf = async (options: UpnpOptions) => {
      const { open } = await findForwarding(
        await places(await upnpRouter(new Map(), options)),
        secret,
        never,
      );
      return (await open(DEVICE)).ports.map(({ state, reason }) => `${state} ${reason}`)[0];
    };
    expect(await reasonOf({ refuses: 606 })).toMatch(/^refused by UPnP: its settings forbid it/);
    expect(await reasonOf({ refuses: 799 })).toBe("refused by UPnP: error 799");
    expect(await reasonOf({ forgets: true })).toMatch(/said yes, but its list does not have it/);
  });

  it("fetches no page from anywhere but the router", async () => {
    const elsewhere = ["http://127.0.0.2:1/root.xml", "file:///etc/passwd", "https://127.0.0.1/", "nonsense"];
    const asked = new AbortController();
    const searches = elsewhere.map(async (location) => {
      const router = await places(await upnpRouter(new Map(), { location }));
      await expect(findForwarding(router, secret, asked.signal)).rejects.toThrow("searched");
    });
    setTimeout(() => asked.abort(new Error("searched long enough")), 300);
    await Promise.all(searches);
  });

  it("finds the service in whatever else a description holds, quickly also in a hostile one", () => {
    const page = new URL("http://192.168.1.1:5000/rootDesc.xml");
    const read = (text: string) => servicesIn(text, page, "192.168.1.1").map(({ control }) => control.href);
    expect(read(description)).toEqual(["http://192.168.1.1:5000/ctl"]);
    expect(read(`<URLBase>http://192.168.1.1:80/</URLBase>${service(wanIp, "ctl/a")}`)).toEqual([
      "http://192.168.1.1/ctl/a",
    ]);
    expect(read(service(wanIp, "http://192.168.1.2/ctl"))).toEqual([]);
    expect(read("<service>".repeat(14_000))).toEqual([]);
  });
});

describe("forwarding by NAT-PMP", () => {
  it("goes to this computer alone, for a time, which is said", async () => {
    const mapping = await natPmpRouter((port) => ({ port }));
    const { router, own, open, close } = await findForwarding(await places([], mapping), secret, never);
    expect(router.forwarding).toEqual(["nat-pmp"]);
    expect(own).toBe(OWN);
    const opened = await open(OWN);
    expect(opened.ports.every(({ state, seconds }) => state === "forwarded" && seconds === 7200)).toBe(true);
    const text = forwardingText(opened, painterFor({}, {}));
    expect(text).toMatch(/forgets this in 2 hours/);
    expect(text).toMatch(/lead to this computer\. The relay needs them at its own address/);
    const closed = await close(OWN);
    expect(closed.ports.every(({ state }) => state === "removed")).toBe(true);
    expect(forwardingText(closed, painterFor({}, {}))).toMatch(
      /993: no longer forwarded, by NAT-PMP, if it was there$/m,
    );
    const other = await open(DEVICE);
    expect(other.ports[0]?.reason).toBe("by NAT-PMP: only a device itself can ask for its ports");
  });

  it("takes no other port than the one that people connect to", async () => {
    const given: number[] = [];
    const mapping = await natPmpRouter((port) => {
      given.push(port);
      return port === 25 ? { port: 40_025 } : { port, result: 2 };
    });
    const { open } = await findForwarding(await places([], mapping), secret, never);
    const { ports } = await open(OWN);
    expect(ports[0]?.reason).toBe("by NAT-PMP: another device has that port");
    expect(ports[1]?.reason).toBe("by NAT-PMP: its settings forbid it");
    // What was given instead is given back.
    expect(given.filter((port) => port === 25)).toHaveLength(2);
  });
});

describe("forwarding by PCP", () => {
  it("is taken back where UPnP's list has it by another name, unless somebody else made it", async () => {
    const list = new Map<number | string, Entry>();
    const mapping = await pcpRouter(list);
    const { open } = await findForwarding(await places([], mapping), secret, never);
    expect((await open(OWN)).ports.map(({ way }) => way)).toEqual(Array(7).fill("pcp"));
    list.set(443, { target: OWN, port: 443, label: "PCP MAP of another program" });
    const { router, close } = await findForwarding(
      await places(await upnpRouter(list), mapping),
      secret,
      never,
    );
    expect(router.forwarding).toEqual(["upnp", "pcp"]);
    const { ports } = await close(OWN);
    expect(ports.filter(({ state }) => state !== "removed").map(({ port }) => port)).toEqual([443]);
    expect([...list.keys()]).toEqual([443]);
    // To take back what is not there is a success for the router.
    expect((await close(OWN)).ports[0]).toMatchObject({ state: "removed", reason: "if it was there" });
  });
});

describe("the ports for calls", () => {
  const calls = { turn: 3478, first: 50_000, last: 50_002 };
  const own = ["udp 3478", "udp 50000", "udp 50001", "udp 50002"];

  it("are forwarded by UPnP as well, that of TURN last, and taken back", async () => {
    const list: List = new Map([["udp 50001", { target: "192.168.1.9", port: 50_001, label: "game" }]]);
    const { open, close } = await findForwarding(await places(await upnpRouter(list)), secret, never);
    const opened = await open(DEVICE, calls);
    expect(opened.ports.slice(7).map(({ protocol, port, state }) => `${protocol} ${port} ${state}`)).toEqual([
      ...["udp 50000 forwarded", "udp 50001 held", "udp 50002 forwarded", "udp 3478 forwarded"],
    ]);
    const text = forwardingText(opened, painterFor({}, {}));
    expect(text).toMatch(/^OK +25, 80, .*993, UDP 3478, 50000, 50002: go to 192\.168\.1\.30/m);
    expect(text).toMatch(/^TAKEN +UDP 50001: goes to 192\.168\.1\.9/m);
    expect([...list.keys()].filter((key) => typeof key === "string").sort()).toEqual(own);
    await close(DEVICE, calls);
    expect([...list.keys()]).toEqual(["udp 50001"]);
  });

  it("are taken back by UPnP also when nobody names them any more, the others' stay", async () => {
    const list: List = new Map([
      ["udp 27015", { target: DEVICE, port: 27_015, label: "game" }],
      ["udp 50001", { target: "192.168.1.9", port: 50_001, label: "Homing" }],
    ]);
    const { open, close } = await findForwarding(await places(await upnpRouter(list)), secret, never);
    await open(DEVICE, calls);
    const { ports } = await close(DEVICE);
    expect(ports.slice(7).map(({ protocol, port, state }) => `${protocol} ${port} ${state}`)).toEqual([
      ...["udp 50000 removed", "udp 50002 removed", "udp 3478 removed"],
    ]);
    expect([...list.keys()]).toEqual(["udp 27015", "udp 50001"]);
  });

  it("are asked for by PCP and NAT-PMP as UDP", async () => {
    const list: List = new Map();
    const byPcp = await findForwarding(await places([], await pcpRouter(list)), secret, never);
    await byPcp.open(OWN, calls);
    expect([...list.keys()].slice(7).sort()).toEqual(own);
    await byPcp.close(OWN, calls);
    expect(list.size).toBe(0);
    const operations = new Map<number, number>();
    const mapping = await natPmpRouter((port, operation) => {
      operations.set(port, operation);
      return { port };
    });
    const byNatPmp = await findForwarding(await places([], mapping), secret, never);
    const { ports } = await byNatPmp.open(OWN, calls);
    expect(ports.every(({ state }) => state === "forwarded")).toBe(true);
    // RFC 6886 §3.3.
    expect([operations.get(443), operations.get(3478)]).toEqual([2, 1]);
  });

  it("are not asked for where they are many: then the report says what to enter", async () => {
    const list: List = new Map();
    const { open } = await findForwarding(await places(await upnpRouter(list)), secret, never);
    const opened = await open(DEVICE, { turn: 3478, first: 49_152, last: 49_407 });
    expect(opened).toMatchObject({ areCallsLeft: true });
    expect(list.size).toBe(7);
    expect(forwardingText(opened, painterFor({}, {}))).toMatch(
      /needs the UDP ports 3478, 49152 to 49407 as well\. .* on its own page/,
    );
    const nobody = await findForwarding(await places([]), secret, never);
    await expect(nobody.open(DEVICE, calls)).rejects.toThrow(
      /993 and the UDP ports 3478, 50000 to 50002, each to the same port/,
    );
  });
});

describe("forwarding by nobody", () => {
  it("says what to enter by hand", async () => {
    const { open, close } = await findForwarding(await places([]), secret, never);
    await expect(open(DEVICE)).rejects.toThrow(/forwards nothing .* 25, 80, .* each to the same port of 192/);
    await expect(open(OWN)).rejects.toThrow(/same port of the relay/);
    await expect(close(DEVICE)).rejects.toThrow(/Look at its own page/);
  });
});

describe("where packets go first", () => {
  it.each([
    [
      "Linux",
      linuxRouter,
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\n",
    ],
    [
      "macOS",
      bsdRouter,
      "Internet:\nDestination        Gateway            Flags\ndefault            192.168.1.1        UGScg     en0\n127                127.0.0.1          UCS       lo0\n",
    ],
    [
      "Windows",
      windowsRouter,
      "IPv4-Routentabelle\r\n          0.0.0.0          0.0.0.0       10.8.0.1      10.8.0.2     50\r\n          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.20     25\r\n  0.0.0.0  0.0.0.0  10.9.9.9  Standard\r\n",
    ],
  ] as const)("is found in the table of %s", (_, read, table) => {
    expect(read(table)).toBe("192.168.1.1");
    expect(read("")).toBeNull();
  });

  it.each([
    [true, "64 bytes from 198.35.26.96: icmp_seq=1 ttl=64 time=0.143 ms"],
    [true, "64 bytes from 198.35.26.96: seq=0 ttl=64 time=0.143 ms"],
    [true, "\r\nAntwort von 198.35.26.96: Bytes=32 Zeit<1ms TTL=64\r\n"],
    [false, "From 192.168.1.1 icmp_seq=1 Time to live exceeded"],
    [false, "92 bytes from 192.168.1.1: Time to live exceeded"],
    [false, "Reply from 192.168.1.1: TTL expired in transit."],
    [null, "Antwort von 192.168.1.20: Zielhost nicht erreichbar."],
    [null, "64 bytes from 198.35.26.9: icmp_seq=1 ttl=64"],
    [null, "1 packets transmitted, 0 received, 100% packet loss"],
    [null, ""],
  ])("shows the first router's address: %s by “%s”", (expected, text) => {
    expect(
      readPing(`PING 198.35.26.96 (198.35.26.96) 56(84) bytes of data.\n${text}\n`, "198.35.26.96"),
    ).toBe(expected);
  });

  it("is a VPN where the interface is no card", () => {
    const entry = (address: string, mac: string, internal = false) =>
      ({ address, mac, internal, family: "IPv4", netmask: "", cidr: null }) as NetworkInterfaceInfo;
    const none = "00:00:00:00:00:00";
    const interfaces = {
      lo: [entry("127.0.0.1", none, true)],
      eth0: [entry("192.168.1.20", "02:00:00:00:00:01")],
      wg0: [entry("10.8.0.2", none)],
      ppp0: [entry("198.35.26.96", none)],
      "OpenVPN TAP-Windows6": [entry("10.9.0.2", "00:ff:00:00:00:01")],
    };
    const of = (address: string) => tunnelOf(address, interfaces);
    expect(["127.0.0.1", "192.168.1.20", "10.8.0.2", "198.35.26.96", "10.9.0.2", "10.0.0.9"].map(of)).toEqual(
      [...[null, null, "wg0", null, "OpenVPN TAP-Windows6", null]],
    );
  });
});
