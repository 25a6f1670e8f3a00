/** Port 443's service with back ends that do as a test says. Used by the tests of services/mux. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import { type ProxySource, takeProxyHeader } from "../../../services/lib/proxy-protocol.ts";
import type { BackendName } from "../../../services/mux/backends.ts";
import { type MuxLimits, muxLimits } from "../../../services/mux/limits.ts";
import { startMuxService } from "../../../services/mux/service.ts";
import { helloMessage, inRecords } from "./hellos.ts";

/** What a back end does with a connection, once the header is off. */
export type Behaviour = (socket: Socket, source: ProxySource | null, name: BackendName) => void;

export type RunningMux = AsyncDisposable &
  Readonly<{
    port: number;
    folder: string;
    log: readonly string[];
    /** The counters as they would be written now. */
    counted: () => string;
    /** A connection to the port; errors of the socket are kept from the process. */
    knock: (localAddress?: string) => Promise<Socket>;
    /** The servers, to be taken away. */
    servers: Readonly<Record<BackendName, Server>>;
    stop: () => Promise<void>;
  }>;

export async function runMux(behave: Behaviour, limits: Partial<MuxLimits> = {}): Promise<RunningMux> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "homing-mux-"));
  cleanup.defer(() => rm(folder, { recursive: true }));
  const open = new Set<Socket>();
  const backend = async (name: BackendName, target: string | number): Promise<Server> => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => open.delete(socket));
      takeProxyHeader(socket, 10_000).then(
        (source) => behave(socket, source, name),
        () => socket.destroy(),
      );
    });
    server.listen(typeof target === "number" ? { port: target, host: "127.0.0.1" } : { path: target });
    await once(server, "listening");
    cleanup.defer(() => {
      server.close();
      for (const socket of open) socket.destroy();
    });
    return server;
  };
  const path = join(folder, "web.sock");
  const servers = {
    imap: await backend("imap", 0),
    smtp: await backend("smtp", 0),
    web: await backend("web", path),
  };
  const portOf = (server: Server) => (server.address() as { port: number }).port;
  const log: string[] = [];
  const line = createLog((text) => log.push(text), false);
  const counters = createCounters({ path: join(folder, "mux.prom"), log: line });
  // Some free port: a second start would be given another one.
  const probe = createServer().listen(0);
  await once(probe, "listening");
  const port = portOf(probe);
  await new Promise((resolve) => probe.close(resolve));
  const steps = await startMuxService({
    listen: { name: "mux", host: "::", port },
    backends: {
      imap: { host: "127.0.0.1", port: portOf(servers.imap) },
      smtp: { host: "127.0.0.1", port: portOf(servers.smtp) },
      web: { path },
    },
    limits: { ...muxLimits(2 ** 32), ...limits },
    counters,
    log: line,
  });
  let stopping: Promise<void> | undefined;
  const stop = () =>
    (stopping ??= (async () => {
      for (const step of steps) await step.run();
    })());
  const clients = new Set<Socket>();
  cleanup.defer(async () => {
    for (const client of clients) client.destroy();
    await stop();
  });
  const knock = async (localAddress = "127.0.0.1") => {
    const socket = connect({
      host: localAddress.includes(":") ? "::1" : "127.0.0.1",
      port,
      localAddress,
      allowHalfOpen: true,
    });
    clients.add(socket);
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  const kept = cleanup.move();
  return {
    ...{ port, folder, log, knock, servers, stop },
    counted: counters.text,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

export const helloFor = (protocol?: string) =>
  inRecords(helloMessage(protocol === undefined ? {} : { protocols: [protocol] }));

/** All that comes until the other side ends; "" as well when the connection is reset. */
export async function rest(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  if (!socket.readableEnded && !socket.closed) {
    await Promise.race([once(socket, "end"), once(socket, "close")]).catch(() => undefined);
  }
  return Buffer.concat(pieces);
}

/** Says who it is and whom it believes to speak to, then repeats what it hears. */
export const parrot: Behaviour = (socket, source, name) => {
  socket.write(`${name} ${source?.address}\n`);
  socket.pipe(socket);
};
