/**
 * A mail server (RFC 5321) that takes everything and shows it to the test: the MX of a domain that is no
 * relay. It offers STARTTLS with a self-signed certificate, as relays insist on TLS between them, unless it is
 * to be one with somebody in between who strips it.
 */
import { generateKeyPairSync } from "node:crypto";
import { createServer, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import { selfSignedCertificate } from "../../appliance/life/certificate.ts";
import { createLineReader } from "./line-reader.ts";
import { waitFor } from "./wait.ts";

export type ReceivedMail = Readonly<{ from: string; to: readonly string[]; source: string; tls: boolean }>;

/** A command as it was said. */
export type HeardCommand = Readonly<{ line: string; tls: boolean }>;

export type MailSinkOptions = Readonly<{
  /** Whether STARTTLS is offered (by default), hidden, or offered and then refused (RFC 3207 §4, 454). */
  startTls?: "offered" | "hidden" | "refused";
  /** The name in the certificate, by default the domain. */
  certificateName?: string;
}>;

export type MailSink = AsyncDisposable &
  Readonly<{
    /** Its own certificate, in PEM. */
    certificate: string;
    /** The first message, old or new, that `accept` takes. */
    waitForMail: (what: string, accept: (mail: ReceivedMail) => boolean) => Promise<ReceivedMail>;
    /** Everything that came until now. */
    received: () => readonly ReceivedMail[];
    /** Every command until now, of all connections. */
    heard: () => readonly HeardCommand[];
  }>;

const MAIL_TIMEOUT = 60_000;

type Kept = Readonly<{ mails: ReceivedMail[]; commands: HeardCommand[] }>;

export async function startMailSink(
  address: string,
  domain: string,
  { startTls = "offered", certificateName = domain }: MailSinkOptions = {},
): Promise<MailSink> {
  const kept: Kept = { mails: [], commands: [] };
  const certificate = await makeCertificate(certificateName);
  const host: SinkHost = { domain, startTls, secureContext: createSecureContext(certificate) };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    // A relay that goes away in the middle is the test's matter, not the sink's.
    serve(socket, host, kept).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(25, address, resolve);
  });
  return {
    certificate: certificate.cert,
    waitForMail: (what, accept) => waitFor(what, MAIL_TIMEOUT, () => kept.mails.find(accept)),
    received: () => [...kept.mails],
    heard: () => [...kept.commands],
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type SinkHost = Readonly<{
  domain: string;
  startTls: NonNullable<MailSinkOptions["startTls"]>;
  secureContext: ReturnType<typeof createSecureContext>;
}>;

async function serve(plain: Socket, host: SinkHost, { mails, commands }: Kept): Promise<void> {
  const { domain, startTls, secureContext } = host;
  const reader = createLineReader("the relay");
  let socket = plain;
  reader.attach(socket);
  const say = (line: string) => socket.write(`${line}\r\n`);
  let from = "";
  let to: string[] = [];
  let tls = false;
  say(`220 ${domain} ESMTP`);
  for (;;) {
    const line = await reader.line();
    commands.push({ line, tls });
    const verb = line.split(/[ :]/)[0]!.toUpperCase();
    if (verb === "EHLO")
      say(`250-${domain}${tls || startTls === "hidden" ? "" : "\r\n250-STARTTLS"}\r\n250 8BITMIME`);
    else if (verb === "STARTTLS" && startTls !== "offered")
      say(startTls === "hidden" ? "502 what?" : "454 not now");
    else if (verb === "STARTTLS") {
      say("220 go");
      reader.detach();
      socket = new TLSSocket(socket, { isServer: true, secureContext });
      reader.attach(socket);
      tls = true;
    } else if (verb === "MAIL") {
      from = addressIn(line);
      to = [];
      say("250 ok");
    } else if (verb === "RCPT") {
      to.push(addressIn(line));
      say("250 ok");
    } else if (verb === "DATA") {
      say("354 go");
      const lines: string[] = [];
      for (let text = await reader.line(); text !== "."; text = await reader.line()) {
        lines.push(text.startsWith(".") ? text.slice(1) : text);
      }
      mails.push({ from, to, source: `${lines.join("\r\n")}\r\n`, tls });
      say("250 taken");
    } else if (verb === "QUIT") {
      socket.end("221 bye\r\n");
      return;
    } else say("250 ok");
  }
}

function addressIn(line: string): string {
  return /<(.*?)>/.exec(line)?.[1] ?? "";
}

async function makeCertificate(domain: string): Promise<{ key: string; cert: string }> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return { key, cert: await selfSignedCertificate({ domain, keyPem: key, now: new Date() }) };
}
