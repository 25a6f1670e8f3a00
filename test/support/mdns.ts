/**
 * Multicast DNS (RFC 6762) for ring 2, by IPv4 and IPv6, at the test machine's place in the network: asks as devices at
 * home do, and hears what is told to all of them.
 */
import { createSocket, type Socket } from "node:dgram";
import { dnsClasses, dnsTypes, messageBytes, parseMessage, readData } from "../../appliance/dns/wire.ts";
import { mdnsPort } from "../../appliance/layout.ts";
import { BRIDGE, CLIENT_ADDRESS } from "./network.ts";

const groups = { 4: "224.0.0.251", 6: "ff02::fb" } as const;

export type Family = keyof typeof groups;

/** An A or AAAA record of an answer or announcement; `by`: the family of the datagram that it came in. */
export type Told = Readonly<{ by: Family; name: string; address: string }>;

export type Mdns = AsyncDisposable &
  Readonly<{
    /** All since this was opened. */
    told: readonly Told[];
    ask: (by: Family, name: string, type: "A" | "AAAA") => void;
  }>;

/**
 * `to`: "one" asks from a port of its own and hears the answers to that port alone (§5.1), "all" hears what goes to
 * everybody (§5.2).
 */
export async function openMdns(to: "one" | "all"): Promise<Mdns> {
  const told: Told[] = [];
  const sockets = { 4: createSocket({ type: "udp4", reuseAddr: true }), 6: ipv6Socket() };
  const families = [4, 6] as const;
  for (const by of families) {
    const socket = sockets[by];
    const zone = by === 4 ? CLIENT_ADDRESS : `::%${BRIDGE}`;
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(
        { port: to === "all" ? mdnsPort : 0, ...(to === "one" && by === 4 ? { address: zone } : {}) },
        resolve,
      );
    });
    socket.setMulticastInterface(zone);
    if (to === "all") socket.addMembership(groups[by], zone);
    socket.on("message", (bytes) => {
      for (const record of parseMessage(bytes).sections[0]) {
        const data = readData(bytes, record);
        if (data?.type === "A" || data?.type === "AAAA")
          told.push({ by, name: record.name, address: data.address });
      }
    });
  }
  return {
    told,
    ask: (by, name, type) => {
      const question = { name, type: dnsTypes[type], class: dnsClasses.IN };
      sockets[by].send(
        messageBytes(1, 0, [question]),
        mdnsPort,
        by === 4 ? groups[4] : `${groups[6]}%${BRIDGE}`,
      );
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(families.map((by) => new Promise<void>((resolve) => sockets[by].close(resolve))));
    },
  };
}

/** It leaves IPv4 to its neighbour, which listens at the same port. */
const ipv6Socket = (): Socket => createSocket({ type: "udp6", reuseAddr: true, ipv6Only: true });
