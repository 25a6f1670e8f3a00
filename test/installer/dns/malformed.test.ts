/**
 * Name servers and resolvers whose records break off (installer/dns/views.ts, zone-servers.ts), or that fail about a zone
 * that is not signed (dnssec.ts): it counts against nobody.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { dnsClasses, dnsTypes, nameBytes, parseMessage, recordBytes } from "../../../appliance/dns/wire.ts";
import { dnssecOf } from "../../../installer/dns/dnssec.ts";
import { NoAnswerError } from "../../../installer/dns/exchange.ts";
import { type DnsQuestion, diagnosticTypes } from "../../../installer/dns/message.ts";
import { hostAddresses, systemResolver } from "../../../installer/dns/resolver.ts";
import { viewOfServer } from "../../../installer/dns/views.ts";
import { findZoneServers } from "../../../installer/dns/zone-servers.ts";

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

type Said = Readonly<{ type: number; data: Buffer; flags?: number; section?: "answer" | "authority" }>;

/** A server that gives one record for each question; none: it has no such name. */
async function startServer(
  say: (question: DnsQuestion) => Said | undefined,
  address = "127.0.0.1",
  port = 0,
) {
  const socket = createSocket("udp4");
  sockets.push(socket);
  socket.on("message", (bytes, { address: from, port: back }) => {
    const { questions } = parseMessage(bytes);
    const { name, type } = questions[0]!;
    const question = bytes.subarray(12, 12 + nameBytes(name).length + 4);
    const said = say({ name, type });
    const header = Buffer.alloc(12);
    bytes.copy(header, 0, 0, 2);
    header.writeUInt16BE(said === undefined ? 0x8403 : (said.flags ?? 0x8400), 2);
    header.writeUInt16BE(1, 4);
    if (said !== undefined) header.writeUInt16BE(1, said.section === "authority" ? 8 : 6);
    const record =
      said === undefined
        ? Buffer.alloc(0)
        : recordBytes({ name, type: said.type, class: dnsClasses.IN, ttl: 60, data: said.data });
    socket.send(Buffer.concat([header, question, record]), back, from);
  });
  socket.bind(port, address);
  await once(socket, "listening");
  return { address, port: socket.address().port };
}

/** A label of 63 octets of which none comes. */
const cutOff = Buffer.of(63);
const soa = Buffer.concat([nameBytes("ns.a.test"), nameBytes("x.a.test"), Buffer.alloc(20, 1)]);
const nobody = async () => {
  throw new NoAnswerError("nobody");
};
const world = { resolvers: [], https: [], roots: [], nowhere: "127.0.0.99", port: 1 };

describe("a record that breaks off", () => {
  it.each<[what: string, say: (question: DnsQuestion) => Said | undefined]>([
    ["the version", ({ type }) => (type === dnsTypes.SOA ? { type, data: cutOff } : undefined)],
    [
      "the name servers",
      ({ type }) =>
        type === dnsTypes.SOA
          ? { type, data: soa }
          : type === diagnosticTypes.NS
            ? { type, data: cutOff }
            : undefined,
    ],
  ])("in %s ends the view of this one server", async (_what, say) => {
    const place = await startServer(say);
    const view = await viewOfServer({ name: "ns.a.test", ...place }, "a.test", [], nobody);
    expect(view).toMatchObject({ state: "lame", reason: expect.stringMatching(/^answers with /) });
  });

  it("in a delegation is passed over for another server's word", async () => {
    const bad = await startServer(() => ({
      ...{ type: diagnosticTypes.NS, data: cutOff, flags: 0x8000, section: "authority" },
    }));
    const alone = await findZoneServers("test", { ...world, port: bad.port, roots: [bad.address] }, nobody);
    expect(alone).toMatchObject({ zone: "", servers: [] });
    await startServer(
      ({ name }) =>
        name === "test"
          ? { type: diagnosticTypes.NS, data: nameBytes("ns.test"), flags: 0x8000, section: "authority" }
          : undefined,
      "127.0.0.2",
      bad.port,
    );
    const both = await findZoneServers(
      "test",
      { ...world, port: bad.port, roots: [bad.address, "127.0.0.2"] },
      nobody,
    );
    expect(both).toMatchObject({ zone: "test", delegated: ["ns.test"] });
  });

  it("is no answer of a resolver, neither for a host nor for the servers of a zone", async () => {
    const place = await startServer(({ type }) => ({
      type,
      data: type === dnsTypes.SOA ? soa : cutOff,
      flags: 0x8080,
    }));
    const resolver = systemResolver({ ...world, resolvers: [place] });
    await expect(hostAddresses("ns.a.test", resolver)).rejects.toThrow(NoAnswerError);
    expect(await findZoneServers("a.test", world, resolver)).toMatchObject({ zone: "a.test", servers: [] });
  });

  it("counts as little as a failure about a zone without DS at the one above", async () => {
    const parent = await startServer(({ type }) =>
      type === diagnosticTypes.DS ? { type: dnsTypes.SOA, data: soa } : undefined,
    );
    const failing = await startServer(({ type }) => ({ type, data: soa, flags: 0x8082 }));
    const checking = systemResolver({ ...world, resolvers: [failing] });
    const unchecked = await startServer(({ type }) => ({ type, data: soa, flags: 0x8080 }));
    const plain = systemResolver({ ...world, resolvers: [unchecked] });
    const state = await dnssecOf("a.test", {
      ...{ port: parent.port, parentAddresses: [parent.address], addresses: [], now: 0, outside: nobody },
      resolver: (question, options) => (options?.unchecked ? plain : checking)(question, options),
    });
    expect(state.state).toBe("unsigned");
  });
});
