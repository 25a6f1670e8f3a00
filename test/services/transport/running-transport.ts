/**
 * The transport service on sockets of its own, with a relay that answers by HTTPS as the test says, and the port where
 * Postfix takes mail back (smtp-server). For tests of what passes between them.
 */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import { openSmtpClient, type SmtpClient } from "../../../services/lib/smtp-client.ts";
import { startTransportService } from "../../../services/transport/service.ts";
import { type LmtpSession, openLmtp } from "./lmtp-session.ts";

export type Delivered = Readonly<{ from: string; to: readonly string[]; source: string }>;

export type Request = Readonly<{
  from: string | undefined;
  to: readonly string[];
  source: string;
  method: string;
}>;

/** What the other relay does with a request: the text of its answer, or something of its own. */
export type Peer = (
  request: Request,
  raw: Readonly<{ request: IncomingMessage; response: ServerResponse }>,
) => { status: number; text: string } | undefined;

export type RunningTransport = AsyncDisposable &
  Readonly<{
    /** As Postfix connects to it for mail to others. */
    lmtp: () => Promise<LmtpSession>;
    /** As Postfix comes back when SMTP failed. */
    fallback: () => Promise<SmtpClient>;
    /** Requests that came to the relay whole. */
    requests: readonly Request[];
    /** What was handed back to go by SMTP. */
    handedBack: readonly Delivered[];
    setPeer: (peer: Peer) => void;
    /** TCP connections that the relay took. */
    connections: () => number;
    counters: () => string;
    /** Ends the service as systemd does. */
    stop: () => Promise<void>;
  }>;

/** What domains there are: with or without an address, and with which MX. */
export type Names = Readonly<Record<string, { mx?: { exchange: string; priority: number }[] }>>;

export const everybodyTaken: Peer = () => ({ status: 200, text: "250 OK" });

export async function runTransport(names: Names, certificateName = "b.example"): Promise<RunningTransport> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "homing-transport-"));
  cleanup.defer(() => rm(folder, { recursive: true }));
  const log = createLog((line) => {
    if (process.env.SHOW) process.stderr.write(line);
  }, true);

  const keyPem = generateKeyPairSync("ec", { namedCurve: "P-256" })
    .privateKey.export({ type: "pkcs8", format: "pem" })
    .toString();
  const cert = await selfSignedCertificate({ domain: certificateName, keyPem, now: new Date() });
  await writeFile(join(folder, "roots.pem"), cert);
  const requests: Request[] = [];
  let peer: Peer = everybodyTaken;
  let connections = 0;
  const relay = createServer({ key: keyPem, cert }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const seen: Request = {
        from: request.headers["x-mail-from"]?.toString(),
        to: request.headersDistinct["x-mail-to"] ?? [],
        source: Buffer.concat(chunks).toString("latin1"),
        method: request.method ?? "",
      };
      if (seen.method === "POST") requests.push(seen);
      const answer = peer(seen, { request, response });
      if (answer !== undefined) response.writeHead(answer.status).end(answer.text);
    });
  });
  relay.on("connection", () => {
    connections++;
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  cleanup.defer(async () => {
    relay.closeAllConnections();
    await new Promise((resolve) => relay.close(resolve));
  });

  const handedBack: Delivered[] = [];
  const postfix = new SMTPServer({
    disabledCommands: ["AUTH", "STARTTLS"],
    lenientAddressParsing: true,
    logger: false,
    onData: async (stream, session, done) => {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of stream) chunks.push(chunk as Buffer);
      } catch {
        // The client went away in the middle: nobody hears an answer.
        return;
      }
      const { mailFrom, rcptTo } = session.envelope;
      handedBack.push({
        from: mailFrom === false ? "" : mailFrom.address,
        to: rcptTo.map(({ address }) => address),
        source: Buffer.concat(chunks).toString("latin1"),
      });
      done(null, "2.0.0 queued");
    },
  });
  postfix.listen(0, "127.0.0.1");
  await once(postfix.server, "listening");
  cleanup.defer(() => new Promise((resolve) => postfix.close(resolve)));

  const known = (name: string) => {
    const entry = names[name];
    if (entry === undefined) throw Object.assign(new Error(`no ${name}`), { code: "ENOTFOUND" });
    return entry;
  };
  const none = () => {
    throw Object.assign(new Error("none"), { code: "ENODATA" });
  };
  const counters = createCounters({ path: join(folder, "transport.prom"), log });
  const steps = await startTransportService({
    listen: { name: "transport", path: join(folder, "lmtp.sock") },
    listenFallback: { name: "fallback", path: join(folder, "smtp.sock") },
    handBack: { ...(postfix.server.address() as AddressInfo), host: "127.0.0.1", name: "transport.test" },
    rootsPath: join(folder, "roots.pem"),
    isTestRelay: false,
    resolver: {
      resolve4: (async (name: string) => known(name) && ["127.0.0.1"]) as never,
      resolve6: (async () => none()) as never,
      resolveMx: async (name: string) => known(name).mx ?? none(),
    },
    https: { port: (relay.address() as AddressInfo).port, allowLoopback: true },
    counters,
    log,
  });
  const stop = async () => {
    for (const { run } of steps) await run();
  };
  let isStopped = false;
  cleanup.defer(async () => {
    if (!isStopped) await stop();
  });
  const clients = new Set<Pick<SmtpClient, "destroy">>();
  cleanup.defer(() => {
    for (const client of clients) client.destroy();
  });
  const noted = <T extends Pick<SmtpClient, "destroy">>(client: T): T => {
    clients.add(client);
    return client;
  };
  const kept = cleanup.move();
  return {
    lmtp: () => openLmtp(join(folder, "lmtp.sock")).then(noted),
    fallback: () =>
      openSmtpClient(connect(join(folder, "smtp.sock")), {
        name: "postfix.test",
        deliverTo: "accepted",
      }).then(noted),
    requests,
    handedBack,
    setPeer: (next) => {
      peer = next;
    },
    connections: () => connections,
    counters: counters.text,
    stop: async () => {
      isStopped = true;
      await stop();
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
