/**
 * A door by which Postfix hands over mail for others, or comes when its own attempt failed: SMTP, so that Postfix itself
 * goes on to the next host where HTTPS does not work. Made of smtp-server; called by service.ts.
 */
import type { Server, Socket } from "node:net";
import type { Readable } from "node:stream";
import { domainToASCII } from "node:url";
import { SMTPServer } from "smtp-server";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import type { Log } from "../lib/log.ts";
import type { SmtpReply } from "../lib/smtp-client.ts";

export type HandedMail = Readonly<{
  /** Envelope sender; empty for the null sender. */
  from: string;
  /** In the order and number of RCPT; the same one may stand twice. */
  to: readonly string[];
  /** RFC 6531: only who offers SMTPUTF8 may get it. */
  utf8: boolean;
  eightBit: boolean;
  /** Ends with the message, fails when Postfix goes away in the middle. */
  source: Readable;
}>;

export type IntakeOptions = Readonly<{
  /** SMTP has one reply for all. */
  take: (mail: HandedMail) => Promise<SmtpReply>;
  /** What to say to a RCPT at once, if not yes; the others are those it was said yes to. */
  refuseRecipient: (sender: string, recipient: string, others: readonly string[]) => SmtpReply | undefined;
  /** What to say when something of ours goes wrong. */
  trouble: SmtpReply;
  /**
   * For the way on which Postfix is told to encrypt (postfix-main.ts): it keeps no connection whose TLS is its own, and one
   * to here it would keep under the name of the domain that failed. smtp-server's own certificate, whose key everybody has, is good enough for that: all this stays on the device.
   */
  offersTls: boolean;
  log: Log;
}>;

/** Postfix has at most as many processes that deliver (default_process_limit), with one connection each. */
const MAX_CONNECTIONS = 200;
/** Postfix keeps a connection for its next message for 30 s (connection_cache_ttl_limit), and may be slow with one. */
const SILENCE_LIMIT_MS = 300_000;

/** The server is not listening yet. `close` lets each connection finish its message and resolves when all are gone. */
export function createIntake(options: IntakeOptions): { server: Server; close: () => Promise<void> } {
  const { log } = options;
  let isStopping = false;
  /** smtp-server drops a recipient that differs from another only in case. */
  const recipients = new WeakMap<object, string[]>();
  const server = new SMTPServer({
    name: "localhost",
    disabledCommands: options.offersTls ? ["AUTH"] : ["AUTH", "STARTTLS"],
    disableReverseLookup: true,
    // Names like _a.test are domains too.
    lenientAddressParsing: true,
    maxClients: MAX_CONNECTIONS,
    socketTimeout: SILENCE_LIMIT_MS,
    logger: false,
    onMailFrom: (_address, session, done) => {
      recipients.set(session, []);
      done();
    },
    onRcptTo: ({ address }, session, done) => {
      const recipient = asSent(address);
      const { mailFrom } = session.envelope;
      const sender = mailFrom === false ? "" : asSent(mailFrom.address);
      const taken = recipients.get(session) ?? [];
      const refusal = options.refuseRecipient(sender, recipient, taken);
      if (refusal === undefined) taken.push(recipient);
      done(refusal && replyError(refusal));
    },
    onData: (source, session, done) => {
      const to = recipients.get(session) ?? [];
      const { mailFrom, smtpUtf8, bodyType } = session.envelope;
      const mail: HandedMail = {
        from: mailFrom === false ? "" : asSent(mailFrom.address),
        to,
        utf8: smtpUtf8 === true,
        eightBit: bodyType === "8bitmime",
        source,
      };
      // The stream fails when Postfix goes away, also while nobody reads it.
      source.on("error", (error) => log.debug("handing over broke off", { reason: error.message }));
      options
        .take(mail)
        .catch((cause: unknown) => {
          if (!source.destroyed) log.error("cannot deliver a message", {}, cause);
          return options.trouble;
        })
        .then((reply) => {
          // The rest of what nobody read to its end: while somebody waits for "readable", nothing flows.
          source.removeAllListeners("readable");
          source.resume();
          if (reply.code < 300) done(null, reply.text);
          else done(replyError(reply));
          if (isStopping) endIdle(server);
        });
    },
  });
  server.on("error", (error: Error) =>
    log.debug("a connection of Postfix broke off", { reason: error.message }),
  );
  server.connect = (socket: Socket, socketOptions) => {
    // Several replies to commands that came together are several writes: each would wait 40 ms for the other side's ACK.
    socket.setNoDelay(true);
    const connection = new SMTPConnection(server, socket, socketOptions);
    server.connections.add(connection);
    connection.on("error", (error: Error) => server.emit("error", error));
    // smtp-server greets after 100 ms, to catch strangers who talk too soon: each first message would take that longer.
    connection._setListeners(() => connection.connectionReady());
  };
  return {
    server: server.server,
    close: () =>
      new Promise((resolve) => {
        isStopping = true;
        server.close(resolve);
        endIdle(server);
      }),
  };
}

/** Postfix keeps its connections open for the next message. */
function endIdle(server: SMTPServer): void {
  for (const connection of server.connections) {
    if (!connection.session.envelope?.mailFrom) connection.close();
  }
}

/** smtp-server shows names in Unicode; on the wire they are in ASCII (RFC 5890 §2.3.2.1). */
function asSent(address: string): string {
  const at = address.lastIndexOf("@");
  const domain = address.slice(at + 1);
  if (at < 0 || /^[\x21-\x7e]*$/.test(domain)) return address;
  return `${address.slice(0, at)}@${domainToASCII(domain) || domain}`;
}

/** 421 would end the connection, and with it what follows on it. */
function replyError({ code, text }: SmtpReply): Error & { responseCode: number } {
  return Object.assign(new Error(text), { responseCode: code === 421 ? 451 : code });
}
