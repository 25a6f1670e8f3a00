/** Routers on this computer that forward by UPnP, PCP and NAT-PMP as they are told to, also wrongly. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "vitest";
import type { RouterPlaces } from "../../../installer/reachability/router.ts";

export const OWN = "127.0.0.1";
export const DEVICE = "192.168.1.30";
export const never = new AbortController().signal;
export const secret = Buffer.alloc(32, 7);

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

export type Entry = { target: string; port: number; label: string };
/** By port, as “udp 3478” where it is no TCP. */
export type List = Map<number | string, Entry>;
export type UpnpOptions = Readonly<{
  refuses?: number;
  forgets?: boolean;
  lease?: number;
  location?: string;
}>;

/** A router whose list is a map. */
export async function upnpRouter(list: List, options: UpnpOptions = {}) {
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

export const service = (type: string, path: string) =>
  `<service><serviceType>${type}</serviceType><controlURL>${path}</controlURL></service>`;
export const wanIp = "urn:schemas-upnp-org:service:WANIPConnection:1";
export const description = `<root>${service("urn:x:service:Layer3Forwarding:1", "/l3")}${service(wanIp, "/ctl")}</root>`;

/** Answers NAT-PMP by a function of the port; PCP's questions with the answer of an older router. */
export const natPmpRouter = (given: (port: number, operation: number) => { port: number; result?: number }) =>
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
export const pcpRouter = (list: List) =>
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
export async function places(
  search: RouterPlaces["search"],
  mapping?: RouterPlaces["mapping"],
): Promise<RouterPlaces> {
  const older = await datagrams(() => Buffer.from([0, 128, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
  return { address: OWN, mapping: mapping ?? older, search };
}
