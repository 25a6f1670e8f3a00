/**
 * Tells services/metadata who got mail, so that sleeping phones are woken: a line "mail ADDRESS" each, answered "noted"
 * (services/metadata/news-session.ts). What was not answered when that service went away is told again. Nothing waits for
 * it, and mail is delivered without it. Called by service.ts.
 */
import { connect, type Socket } from "node:net";
import type { Log } from "../lib/log.ts";

/** Between two tries to reach it, milliseconds. systemd holds its socket, so there is seldom a second one. */
const PAUSE_MS = 500;
/** Accounts with mail that could not be told yet; of more, some phones look only when their owner does. */
const MAX_WAITING = 10_000;

export type News = Readonly<{
  /** There is mail for the account. */
  tell: (address: string) => void;
  /** Ends the connection; what was not told is lost. */
  close: () => void;
}>;

export function createNews(options: Readonly<{ path: string; log: Log; pauseMs?: number }>): News {
  const { path, log, pauseMs = PAUSE_MS } = options;
  /** Not told yet: several messages for one account are one piece of news. */
  const waiting = new Set<string>();
  /** Told and not answered, in order. */
  let told: string[] = [];
  let socket: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isAway = false;
  let isClosed = false;

  const write = (): void => {
    if (socket === undefined || socket.connecting || waiting.size === 0) return;
    const addresses = [...waiting];
    waiting.clear();
    told.push(...addresses);
    socket.write(addresses.map((address) => `mail ${address}\n`).join(""), "latin1");
  };
  const open = (): void => {
    const opened = connect(path);
    socket = opened;
    opened.on("connect", () => {
      isAway = false;
      write();
    });
    opened.on("data", (chunk: Buffer) => {
      let answered = 0;
      for (const byte of chunk) if (byte === 0x0a) answered += 1;
      told = told.slice(answered);
    });
    opened.on("error", (cause) => {
      if (!isAway) log.warn("cannot tell of new mail, phones sleep on meanwhile", { cause: cause.message });
      isAway = true;
    });
    opened.on("close", () => {
      socket = undefined;
      for (const address of told) keep(address);
      told = [];
      if (isClosed || waiting.size === 0) return;
      timer = setTimeout(open, pauseMs);
    });
  };
  const keep = (address: string): void => {
    if (waiting.size < MAX_WAITING) waiting.add(address);
  };

  return {
    tell(address) {
      // What has other characters is no account's name (RFC 5321 §4.1.2, without quotes).
      if (isClosed || !/^[\x21-\x7e]+$/.test(address)) return;
      keep(address);
      clearTimeout(timer);
      if (socket === undefined) open();
      else write();
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      socket?.end();
    },
  };
}
