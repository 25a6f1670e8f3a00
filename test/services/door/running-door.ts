/**
 * The door of the mailboxes on sockets of its own, with an LMTP server and a doveadm behind it that do as the test says:
 * for what a real Dovecot does only at the wrong moment. Real ones are behind it in test/relay/door.test.ts.
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDoorService } from "../../../services/door/service.ts";
import { createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import { type LmtpSession, openLmtp } from "./lmtp-session.ts";

export type Stored = Readonly<{ from: string; to: string; source: string }>;

/** What is done for one recipient of a whole message: a reply, or the end of the process, with the message stored or not. */
export type Mailbox = (
  mail: Stored,
) => string | "dies before" | "dies after" | Promise<string | "dies before" | "dies after">;

export const stores: Mailbox = () => "250 2.0.0 saved";

export type RunningDoor = AsyncDisposable &
  Readonly<{
    /** As Postfix connects. */
    lmtp: () => Promise<LmtpSession>;
    path: string;
    stored: readonly Stored[];
    setMailbox: (mailbox: Mailbox) => void;
    /** What a search does; by default it finds what is stored. */
    setSearch: (search: "works" | "fails") => void;
    searches: () => number;
    startDovecot: () => Promise<void>;
    stopDovecot: () => Promise<void>;
    connections: () => number;
    counters: () => string;
    log: readonly string[];
    /** A second process on the same list, as after a kill of the first. */
    startAgain: () => Promise<void>;
    stop: () => Promise<void>;
  }>;

export async function runDoor(settleMs = 0): Promise<RunningDoor> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "homing-door-"));
  cleanup.defer(() => rm(folder, { recursive: true }));
  const lines: string[] = [];
  const log = createLog((line) => void lines.push(line), true);
  const stored: Stored[] = [];
  const open = new Set<Socket>();
  let mailbox: Mailbox = stores;
  let search: "works" | "fails" = "works";
  let searches = 0;
  let connections = 0;

  const lmtp = createServer((socket) => {
    connections++;
    open.add(socket);
    socket.on("close", () => open.delete(socket)).on("error", () => {});
    serveLmtp(socket, async (mail) => {
      const answer = await mailbox(mail);
      if (answer === "dies before" || answer.startsWith("250") || answer === "dies after") {
        if (answer !== "dies before") stored.push(mail);
      }
      if (answer.startsWith("dies")) socket.destroy();
      else socket.write(`${answer}\r\n`);
    });
  });
  const look = createServer((socket) => {
    socket.on("error", () => {});
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString();
      const [version, ...commands] = text.split("\n").slice(0, -1);
      if (version === undefined) return;
      if (commands[0] === undefined) {
        socket.write("+\n");
        return;
      }
      searches++;
      const [, user, verb, ...rest] = commands[0].split("\t");
      if (
        search === "fails" ||
        verb !== "search" ||
        rest.slice(0, 4).join(" ") !== "mailbox * HEADER Message-ID"
      ) {
        socket.end("-NOTFOUND\n");
        return;
      }
      const found = stored.filter(
        ({ to, source }) => to.toLowerCase() === user && source.includes(`Message-ID: ${rest[4]}`),
      );
      socket.end(`${found.map((_, i) => `guid\t${i}\t`).join("")}\n+\n`);
    });
  });
  const listen = async (server: Server, name: string) => {
    server.listen(join(folder, name));
    await once(server, "listening");
  };
  const startDovecot = async () => {
    await listen(lmtp, "lmtp");
    await listen(look, "look");
  };
  const stopDovecot = async () => {
    for (const socket of open) socket.destroy();
    for (const server of [lmtp, look])
      if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  await startDovecot();
  cleanup.defer(stopDovecot);

  let path = "";
  const counters: ReturnType<typeof createCounters>[] = [];
  const stops: (() => Promise<void>)[] = [];
  const startAgain = async () => {
    path = join(folder, `door${stops.length}`);
    const counted = createCounters({ path: join(folder, "door.prom"), log });
    counters.push(counted);
    const steps = await startDoorService({
      listen: { name: "door", path },
      lmtpPath: join(folder, "lmtp"),
      lookPath: join(folder, "look"),
      newsPath: join(folder, "news.sock"),
      listPath: join(folder, "delivered"),
      settleMs,
      counters: counted,
      log,
    });
    stops.push(async () => {
      for (const { run } of steps) await run();
    });
  };
  await startAgain();
  const clients = new Set<LmtpSession>();
  const stopAll = async () => {
    for (const stop of stops.splice(0)) await stop();
  };
  cleanup.defer(stopAll);
  cleanup.defer(() => {
    for (const client of clients) client.destroy();
  });
  const kept = cleanup.move();
  return {
    lmtp: async () => {
      const client = await openLmtp(path);
      clients.add(client);
      return client;
    },
    get path() {
      return path;
    },
    stored,
    setMailbox: (next) => {
      mailbox = next;
    },
    setSearch: (next) => {
      search = next;
    },
    searches: () => searches,
    startDovecot,
    stopDovecot,
    connections: () => connections,
    counters: () => counters.at(-1)!.text(),
    log: lines,
    startAgain,
    stop: stopAll,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** RFC 2033, as much of it as the door lets through. */
function serveLmtp(socket: Socket, deliver: (mail: Stored) => Promise<void>): void {
  let text = "";
  let from = "";
  let to: string[] = [];
  let isMessage = false;
  const pathOf = (line: string) => /<(.*?)>/.exec(line)?.[1] ?? "";
  const answer = (line: string): string => {
    if (/^LHLO /.test(line)) return "250-dovecot\r\n250-CHUNKING\r\n250-XCLIENT ADDR\r\n250 PIPELINING";
    if (/^MAIL /.test(line)) {
      [from, to] = [pathOf(line), []];
      return "250 2.1.0 OK";
    }
    if (/^RCPT TO:<full/.test(line)) return "552 5.2.2 <full> Mailbox is full";
    if (/^RCPT /.test(line)) {
      to.push(pathOf(line));
      return "250 2.1.5 OK";
    }
    if (line !== "DATA") return "250 2.0.0 OK";
    isMessage = true;
    return "354 OK";
  };
  socket.write("220 dovecot\r\n");
  const step = async (): Promise<void> => {
    if (isMessage) {
      const end = `\r\n${text}`.indexOf("\r\n.\r\n");
      if (end < 0) return;
      const source = text.slice(0, end).replaceAll(/^\./gm, "");
      text = text.slice(end + 3);
      isMessage = false;
      for (const one of to) if (!socket.destroyed) await deliver({ from, to: one, source });
    } else {
      const end = text.indexOf("\r\n");
      if (end < 0) return;
      const line = text.slice(0, end);
      text = text.slice(end + 2);
      socket.write(`${answer(line)}\r\n`);
    }
    await step();
  };
  let steps = Promise.resolve();
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    steps = steps.then(step);
  });
}
