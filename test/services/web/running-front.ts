/**
 * The web service's doors, open on loopback with routes of the test's own, and clients for them. For tests of what
 * passes over the wire.
 */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext, type TLSSocket, connect as tlsConnect } from "node:tls";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { createLog } from "../../../services/lib/log.ts";
import { type Front, openFront } from "../../../services/web/front.ts";
import { type WebLimits, webLimits } from "../../../services/web/limits.ts";
import type { Routes } from "../../../services/web/router.ts";
import { createSite } from "../../../services/web/site.ts";

const domain = "_a.test";

export type RunningFront = Readonly<{
  front: Front;
  log: readonly string[];
  httpPort: number;
  tlsPath: string;
  /** A plain connection to port 80. */
  plain(): Promise<Socket>;
  /** A TLS connection as services/mux hands it over. */
  secure(protocol?: "h2" | "http/1.1", header?: Buffer): Promise<TLSSocket>;
  [Symbol.asyncDispose](): Promise<void>;
}>;

/** PROXY, TCP over IPv4, 192.0.2.7:4321 → 192.0.2.1:443. */
export const proxyHeader = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000207c000020110e101bb", "hex");

export async function runFront(
  routes: Readonly<{ everywhere?: Routes; relay?: Routes }>,
  limits: Partial<WebLimits> = {},
): Promise<RunningFront> {
  const folder = await mkdtemp(join(tmpdir(), "homing-web-"));
  const tlsPath = join(folder, "web.sock");
  const keyPem = generateKeyPairSync("ec", { namedCurve: "P-256" })
    .privateKey.export({ type: "pkcs8", format: "pem" })
    .toString();
  const cert = await selfSignedCertificate({ domain, keyPem, now: new Date() });
  const context = createSecureContext({ cert, key: keyPem });
  const log: string[] = [];
  const front = await openFront({
    site: createSite({
      domain,
      everywhere: routes.everywhere ?? {},
      mtaSts: {},
      relay: [routes.relay ?? {}],
      pages: {},
    }),
    limits: { ...webLimits, ...limits },
    log: createLog((line) => log.push(line), false),
    secureContext: () => context,
    listen: { http: { name: "http", host: "127.0.0.1", port: 0 }, tls: { name: "web", path: tlsPath } },
  });
  const httpPort = (front.http.address() as { port: number }).port;
  const sockets = new Set<Socket>();
  const plain = async (): Promise<Socket> => {
    const socket = connect(httpPort, "127.0.0.1");
    sockets.add(socket);
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  const secure: RunningFront["secure"] = async (protocol = "http/1.1", header = proxyHeader) => {
    const raw = connect(tlsPath);
    sockets.add(raw);
    raw.on("error", () => {});
    raw.write(header);
    const socket = tlsConnect({
      socket: raw,
      servername: domain,
      ALPNProtocols: [protocol],
      rejectUnauthorized: false,
    });
    socket.on("error", () => {});
    await once(socket, "secureConnect");
    return socket;
  };
  return {
    front,
    log,
    httpPort,
    tlsPath,
    plain,
    secure,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await front.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** All that comes until the other side closes. */
export async function readToEnd(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  if (!socket.closed) await once(socket, "close");
  return Buffer.concat(pieces).toString("latin1");
}
