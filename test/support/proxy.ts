/**
 * An HTTP proxy on loopback for tests: takes whole URLs (RFC 9112 §3.2.2) and CONNECT (RFC 9110 §9.3.6), and leads all
 * of them to one port of this computer, whatever host they name.
 */
import { request as ask, createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

export type TestProxy = Readonly<{
  /** host:port, without a scheme. */
  address: string;
  /** "GET http://host/path" and "CONNECT host:443", in order. */
  requests: string[];
  close: () => Promise<void>;
}>;

/** With `login` ("name:password") the proxy serves nobody else (RFC 9110 §15.5.8). */
export async function startProxy(targetPort: number, login?: string): Promise<TestProxy> {
  const requests: string[] = [];
  const tunnels = new Set<Socket>();
  const expected = login === undefined ? undefined : `Basic ${Buffer.from(login).toString("base64")}`;
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (expected !== undefined && request.headers["proxy-authorization"] !== expected) {
      return void response.writeHead(407, { "Proxy-Authenticate": "Basic" }).end();
    }
    const { host, pathname, search } = new URL(request.url!);
    const headers = { ...request.headers, host };
    const onward = ask({ port: targetPort, path: pathname + search, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    onward.end();
  });
  server.on("connect", (request, client: Socket) => {
    requests.push(`CONNECT ${request.url}`);
    client.on("error", () => client.destroy());
    if (expected !== undefined && request.headers["proxy-authorization"] !== expected) {
      return void client.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    const target = connect(targetPort, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      target.pipe(client);
      client.pipe(target);
    });
    for (const [socket, other] of [
      [target, client],
      [client, target],
    ] as const) {
      tunnels.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => {
        tunnels.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        for (const socket of tunnels) socket.destroy();
      }),
  };
}
