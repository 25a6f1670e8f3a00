/**
 * A plain IMAP client (RFC 9051) over TLS: one command at a time, answers as text, and IDLE (RFC 2177)
 * with the moment each notice arrives. Used by test/relay and test/bench.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { createLineReader } from "./line-reader.ts";

export type ImapAnswer = Readonly<{
  /** OK, NO or BAD. */
  status: string;
  /** The tagged line's text. */
  text: string;
  /** Untagged lines, without `* `; a literal stands in its line after a line feed. */
  untagged: readonly string[];
}>;

export type ImapSession = AsyncDisposable &
  Readonly<{
    greeting: string;
    command: (line: string) => Promise<ImapAnswer>;
    /** Goes on over TLS (RFC 9051 §6.2.1), for a session that is plain so far. */
    startTls: () => Promise<void>;
    /** Starts IDLE. `next` resolves with the next EXISTS notice, `done` ends it. */
    idle: () => Promise<Idle>;
    /** Sources of all messages of the selected mailbox. */
    fetchSources: () => Promise<string[]>;
  }>;

export type Idle = Readonly<{
  next: () => Promise<Readonly<{ exists: number; at: number }>>;
  done: () => Promise<void>;
}>;

export type ImapOptions = Readonly<{
  /** Without TLS (port 143). */
  plain?: boolean;
  /** The address to connect from; this machine must have it. */
  localAddress?: string;
}>;

/** Connects over TLS, unless told otherwise. */
export async function openImap(
  host: string,
  port = 993,
  { plain = false, ...from }: ImapOptions = {},
): Promise<ImapSession> {
  const reader = createLineReader(`IMAP server ${host}:${port}`);
  // The relay's certificate is self-signed; who it belongs to is not what these tests are about.
  let socket: Socket = plain
    ? connectTcp({ host, port, ...from })
    : connectTls({ host, port, ...from, rejectUnauthorized: false, ALPNProtocols: ["imap"] });
  socket.setNoDelay(true);
  reader.attach(socket);
  let tags = 0;

  /** A response with its literals (RFC 9051 §4.3). */
  const response = async (): Promise<string> => {
    let text = "";
    for (;;) {
      const line = await reader.line();
      text += line;
      const literal = /\{(\d+)\}$/.exec(line);
      if (literal === null) return text;
      text += `\n${(await reader.bytes(Number(literal[1]))).toString("latin1")}`;
    }
  };
  const answerTo = async (tag: string): Promise<ImapAnswer> => {
    const untagged: string[] = [];
    for (;;) {
      const line = await response();
      if (line.startsWith("* ")) untagged.push(line.slice(2));
      else if (line.startsWith(`${tag} `)) {
        const [, status, text] = /^\S+ (\S+) ?(.*)$/s.exec(line)!;
        return { status: status!, text: text!, untagged };
      }
    }
  };
  const command = (line: string) => {
    const tag = `t${tags++}`;
    socket.write(`${tag} ${line}\r\n`);
    return answerTo(tag);
  };

  const greeting = await response();
  return {
    greeting,
    command,
    startTls: async () => {
      const { status, text } = await command("STARTTLS");
      if (status !== "OK") throw new Error(`STARTTLS refused: ${status} ${text}`);
      reader.detach();
      socket = connectTls({ socket, rejectUnauthorized: false });
      socket.setNoDelay(true);
      reader.attach(socket);
    },
    fetchSources: async () => {
      const { untagged } = await command("FETCH 1:* BODY.PEEK[]");
      return untagged.flatMap((item) => /^\d+ FETCH .*?\n(.*)\)$/s.exec(item)?.[1] ?? []);
    },
    idle: async () => {
      const tag = `t${tags++}`;
      socket.write(`${tag} IDLE\r\n`);
      while (!(await response()).startsWith("+"));
      return {
        next: async () => {
          for (;;) {
            const exists = /^\* (\d+) EXISTS/.exec(await response())?.[1];
            if (exists !== undefined) return { exists: Number(exists), at: performance.now() };
          }
        },
        done: async () => {
          socket.write("DONE\r\n");
          await answerTo(tag);
        },
      };
    },
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
    },
  };
}

/** Opens a session that is logged in and has INBOX selected. Throws when the login is refused. */
export async function openInbox(host: string, user: string, password: string): Promise<ImapSession> {
  const session = await openImap(host);
  const login = await session.command(`LOGIN "${user}" "${password}"`);
  if (login.status === "OK") {
    await session.command("SELECT INBOX");
    return session;
  }
  await session[Symbol.asyncDispose]();
  throw new Error(`login of ${user} refused: ${login.status} ${login.text}`);
}
