/**
 * A plain SMTP client (RFC 5321) that says exactly what a test wants it to say and shows every reply.
 * For what no mail library would send; used by test/relay and test/bench.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type SecureContextOptions } from "node:tls";
import { createLineReader } from "./line-reader.ts";
import { readReply, type SmtpReply } from "./smtp-reply.ts";

export type SmtpSession = AsyncDisposable &
  Readonly<{
    greeting: SmtpReply;
    /** The answer to the latest EHLO: what is offered now. */
    extensions: () => readonly string[];
    command: (line: string) => Promise<SmtpReply>;
    /** Writes bytes as they are, text as Latin-1, and waits for nothing. */
    write: (bytes: string | Uint8Array) => void;
    /** The next reply, whatever it answers. Throws when the server closed the connection instead. */
    reply: () => Promise<SmtpReply>;
    startTls: (options?: SecureContextOptions) => Promise<void>;
    /** AUTH PLAIN (RFC 4616). */
    login: (user: string, password: string) => Promise<SmtpReply>;
    /** MAIL FROM, RCPT TO for each, DATA and the message: the first reply that refuses, else the last one. */
    send: (mail: Mail) => Promise<SmtpReply>;
  }>;

export type Mail = Readonly<{
  from: string;
  to: readonly string[];
  /** The message with CRLF line ends. */
  source: string;
}>;

export type SmtpOptions = Readonly<{
  host: string;
  port: number;
  /** TLS from the first byte (RFC 8314 §3). */
  implicitTls?: boolean;
  /** Name given in EHLO. */
  name?: string;
  /** Set to false to say nothing of one's own accord. */
  ehlo?: boolean;
  /** The address to come from, one of the test machine's own. */
  localAddress?: string;
}>;

/** Connects, reads the greeting and says EHLO. */
export async function openSmtp(options: SmtpOptions): Promise<SmtpSession> {
  const { host, port, name = "client.test" } = options;
  const target = { host, port, ...(options.localAddress && { localAddress: options.localAddress }) };
  const reader = createLineReader(`SMTP server ${host}:${port}`);
  // The relay's certificate is self-signed; who it belongs to is not what these tests are about.
  let socket: Socket = options.implicitTls
    ? connectTls({ ...target, rejectUnauthorized: false, ALPNProtocols: ["smtp"] })
    : connectTcp(target);
  // Without this a message and its final dot, written apart, wait 40 ms for each other.
  socket.setNoDelay(true);
  reader.attach(socket);

  const reply = () => readReply(reader);
  const write = (bytes: string | Uint8Array) => {
    socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  };
  const command = (line: string) => {
    socket.write(`${line}\r\n`);
    return reply();
  };

  let extensions: readonly string[] = [];
  const greet = async () => {
    extensions = (await command(`EHLO ${name}`)).text.split("\n").slice(1);
  };
  const greeting = await reply();
  if (greeting.code === 220 && options.ehlo !== false) await greet();
  return {
    greeting,
    extensions: () => extensions,
    command,
    write,
    reply,
    startTls: async (tlsOptions = {}) => {
      const answer = await command("STARTTLS");
      if (answer.code !== 220) throw new Error(`STARTTLS refused: ${answer.code} ${answer.text}`);
      reader.detach();
      socket = connectTls({ socket, rejectUnauthorized: false, ...tlsOptions });
      socket.setNoDelay(true);
      reader.attach(socket);
      if (options.ehlo !== false) await greet();
    },
    login: (user, password) =>
      command(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString("base64")}`),
    send: async ({ from, to, source }) => {
      const sender = await command(`MAIL FROM:<${from}>`);
      if (sender.code !== 250) return sender;
      for (const recipient of to) {
        const accepted = await command(`RCPT TO:<${recipient}>`);
        if (accepted.code !== 250) {
          await command("RSET");
          return accepted;
        }
      }
      const go = await command("DATA");
      if (go.code !== 354) return go;
      // A line that begins with a dot gets another one (RFC 5321 §4.5.2).
      return await command(`${source.replace(/^\./gm, "..").replace(/\r\n$/, "")}\r\n.`);
    },
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
    },
  };
}

/** Opens a submission session over TLS, logged in. Throws when the login is refused. */
export async function openSubmission(host: string, user: string, password: string): Promise<SmtpSession> {
  const session = await openSmtp({ host, port: 465, implicitTls: true });
  const answer = await session.login(user, password);
  if (answer.code === 235) return session;
  await session[Symbol.asyncDispose]();
  throw new Error(`login of ${user} refused: ${answer.code} ${answer.text}`);
}
