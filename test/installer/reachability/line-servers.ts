/**
 * Servers on loopback in the place of everybody whom ./homing doctor asks: a resolver, a service that tells addresses,
 * mail and web servers, a router. Each may lie or fall silent. Used by look.test.ts.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttp, type RequestListener } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTls } from "node:tls";
import {
  dataBytes,
  dnsClasses,
  dnsTypes,
  messageBytes,
  nameBytes,
  parseMessage,
  recordBytes,
} from "../../../appliance/dns/wire.ts";
import type { ServerPlace } from "../../../installer/dns/exchange.ts";
import { makeEcPem, makeTestAuthority } from "../../support/test-authority.ts";

const LOOPBACK = "127.0.0.1";
/** RFC 1035 §3.2.2. */
const PTR = 12;
/** An answer of a resolver (RFC 1035 §4.1.1), and the same with “no such name”. */
const ANSWER_FLAGS = 0x8180;
const NO_NAME = 3;

export type Servers = AsyncDisposable &
  Readonly<{
    /** A resolver that knows these hosts, all on loopback, and gives every address this name. */
    resolver: (hosts: readonly string[], reverse?: string) => Promise<ServerPlace>;
    /** Gives the URL, without TLS. */
    http: (answer: RequestListener) => Promise<string>;
    /** A server that greets with this text; undefined: says nothing. Gives its port. */
    greeting: (text: string | undefined) => Promise<number>;
    /** A server with a certificate for the name; gives its port, and the root to trust. */
    tls: (name: string) => Promise<{ port: number; root: string }>;
    /** A router that answers every datagram so. */
    router: (answer: Buffer) => Promise<ServerPlace>;
    /** A port of loopback at which nobody listens, for connections and datagrams. */
    nobody: () => Promise<number>;
  }>;

export function startServers(): Servers {
  const stops: (() => void)[] = [];
  const listen = async (server: Server): Promise<number> => {
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
    });
    server.listen(0, LOOPBACK);
    await once(server, "listening");
    stops.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return (server.address() as { port: number }).port;
  };
  const datagrams = async (answer: (bytes: Buffer) => Buffer): Promise<ServerPlace> => {
    const socket = createSocket("udp4");
    socket.on("message", (bytes, { address, port }) => socket.send(answer(bytes), port, address));
    socket.bind(0, LOOPBACK);
    await once(socket, "listening");
    stops.push(() => socket.close());
    return { address: LOOPBACK, port: socket.address().port };
  };
  return {
    resolver: (hosts, reverse) =>
      datagrams((bytes) => {
        const { id, questions } = parseMessage(bytes);
        const [asked] = questions;
        const { name = "", type = 0 } = asked ?? {};
        const record = { name, type, class: dnsClasses.IN, ttl: 60 };
        const knows = hosts.includes(name) || (type === PTR && reverse !== undefined);
        const flags = knows ? ANSWER_FLAGS : ANSWER_FLAGS | NO_NAME;
        const message = messageBytes(id, flags, questions);
        const data =
          type === PTR && reverse !== undefined
            ? nameBytes(reverse)
            : knows && type === dnsTypes.A
              ? dataBytes({ type: "A", address: LOOPBACK })
              : undefined;
        if (data === undefined) return message;
        message.writeUInt16BE(1, 6);
        return Buffer.concat([message, recordBytes({ ...record, data })]);
      }),
    http: async (answer) => `http://${LOOPBACK}:${await listen(createHttp(answer))}/`,
    greeting: (text) => listen(createServer((socket) => text !== undefined && socket.write(text))),
    async tls(name) {
      const authority = await makeTestAuthority();
      const key = makeEcPem();
      const cert = `${await authority.certify(key, [name])}${authority.intermediate}`;
      return { port: await listen(createTls({ key, cert })), root: authority.root };
    },
    router: (answer) => datagrams(() => answer),
    async nobody() {
      const server = createServer();
      server.listen(0, LOOPBACK);
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      server.close();
      await once(server, "close");
      return port;
    },
    async [Symbol.asyncDispose]() {
      for (const stop of stops) stop();
    },
  };
}
