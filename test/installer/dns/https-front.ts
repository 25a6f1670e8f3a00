/**
 * A resolver by HTTPS (RFC 8484) in front of one that takes datagrams. It speaks HTTP without TLS: what is tested is what
 * is said, and `fetch` does the rest. Used by the tests of installer/dns.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { Place } from "./delay-line.ts";

export async function startHttpsFront(resolver: Place): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(async (request, response) => {
    const question = await buffer(request);
    const socket = createSocket("udp4");
    socket.send(question, resolver.port, resolver.address);
    const [answer] = (await once(socket, "message")) as [Buffer];
    socket.close();
    response.setHeader("content-type", "application/dns-message").end(answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dns-query`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
