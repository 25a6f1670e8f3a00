/**
 * The transport service on sockets of its own, with a relay that answers by HTTPS as the test says, and a way through it
 * as Postfix goes it. For tests of what passes between them.
 */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import {
  openSmtpClient,
  type SmtpClient,
  type SmtpMail,
  type SmtpReply,
} from "../../../services/lib/smtp-client.ts";
import type { Door } from "../../../services/transport/courier.ts";
import { startTransportService } from "../../../services/transport/service.ts";

/** What becomes of a recipient: the code of a delivery or refusal, or Postfix tries later, or SMTP. */
export type Outcome = number | "waits" | "smtp";

/** A message that can be offered more than once. */
export type Letter = Omit<SmtpMail, "source"> & Readonly<{ source: string }>;

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
    /** A connection of Postfix to one of the doors. */
    connectTo: (door: Door) => Promise<SmtpClient>;
    /**
     * Offers a message as Postfix does in one attempt: at the door, and then once more to those whom 4xx was said. After
     * that comes SMTP.
     */
    offer: (mail: Letter, door?: "known" | "first") => Promise<Outcome[]>;
    /** Requests that came to the relay whole. */
    requests: readonly Request[];
    setPeer: (peer: Peer) => void;
    /** What services/auth reads. */
    knownWays: () => Promise<string>;
    /** TCP connections that the relay took. */
    connections: () => number;
    counters: () => string;
    /** Ends the service as systemd does. */
    stop: () => Promise<void>;
  }>;

/** What domains there are: at which address of this machine (127.0.0.1 unless given), and with which MX. */
export type Names = Readonly<
  Record<string, { address?: string; mx?: { exchange: string; priority: number }[] }>
>;

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
  relay.listen(0, "0.0.0.0");
  await once(relay, "listening");
  cleanup.defer(async () => {
    relay.closeAllConnections();
    await new Promise((resolve) => relay.close(resolve));
  });

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
    listen: {
      known: { name: "known", path: join(folder, "known.sock") },
      first: { name: "first", path: join(folder, "first.sock") },
      "known again": { name: "known-again", path: join(folder, "known again.sock") },
      "first again": { name: "first-again", path: join(folder, "first again.sock") },
      last: { name: "last", path: join(folder, "last.sock") },
    },
    knownWaysPath: join(folder, "known-ways"),
    rootsPath: join(folder, "roots.pem"),
    isTestRelay: false,
    resolver: {
      resolve4: (async (name: string) => [known(name).address ?? "127.0.0.1"]) as never,
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
  const connectTo = async (door: Door) => {
    const socket = connect(join(folder, `${door}.sock`));
    const client = await openSmtpClient(socket, { name: "postfix.test", deliverTo: "accepted" });
    clients.add(client);
    return client;
  };
  const offer = async (mail: Letter, door: "known" | "first" = "first") => {
    const outcomes = new Map<string, Outcome>();
    let left = [...mail.to];
    for (let visit = 0; visit < 2 && left.length > 0; visit++) {
      const client = await connectTo(visit === 0 ? door : `${door} again`);
      const { replies } = await client.send({
        ...mail,
        to: left,
        source: [Buffer.from(mail.source, "latin1")],
      });
      client.destroy();
      for (const [i, recipient] of left.entries()) outcomes.set(recipient, outcomeOf(replies[i]!));
      left = left.filter((recipient) => outcomes.get(recipient) === "smtp");
    }
    return mail.to.map((recipient) => outcomes.get(recipient)!);
  };
  const kept = cleanup.move();
  return {
    connectTo,
    offer,
    requests,
    setPeer: (next) => {
      peer = next;
    },
    knownWays: () => readFile(join(folder, "known-ways"), "utf8"),
    connections: () => connections,
    counters: counters.text,
    stop: async () => {
      isStopped = true;
      await stop();
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** As Postfix understands a reply: its filter of delivery statuses is tested with the real one (test/relay). */
function outcomeOf({ code, text }: SmtpReply): Outcome {
  if (code >= 400 && code < 500) return "smtp";
  return code === 550 && /^5\.3\.0 waits: 4\.\d+\.\d+ ./.test(text) ? "waits" : code;
}
