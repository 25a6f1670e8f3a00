/**
 * Tells services/metadata who got mail, so that sleeping phones are woken: a line "mail ADDRESS" each, answered "noted"
 * (services/metadata/news-session.ts). What was not answered when that service went away is told again. Nothing waits for
 * it, and mail is delivered without it. Called by service.ts.
 */
import { connect, type Socket } from "node:net";
import type { Log } from "../lib/log.ts";

/** Between two tries to reach it, milliseconds. systemd holds its socket, so there is seldom a second one. */
const PAUSE_MS = 500;
/** After tries without an answer it is twice as long each time, up to so many times as long. */
const MAX_PAUSE_FACTOR = 64;
/** Accounts with mail that could not be told yet; of more, some phones look only when their owner does. */
const MAX_WAITING = 10_000;
/** Told and not answered: who takes what it is told and says nothing is told no more. */
const MAX_TOLD = 10_000;

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
  /** Tries to reach it without an answer, in a row. */
  let failures = 0;
  let isClosed = false;

  const write = (): void => {
    if (socket === undefined || socket.connecting) return;
    const addresses = [...waiting].slice(0, MAX_TOLD - told.length);
    if (addresses.length === 0) return;
    for (const address of addresses) waiting.delete(address);
    told.push(...addresses);
    socket.write(addresses.map((address) => `mail ${address}\n`).join(""), "latin1");
  };
  const open = (): void => {
    timer = undefined;
    const opened = connect(path);
    socket = opened;
    opened.on("connect", write);
    opened.on("data", (chunk: Buffer) => {
      let answered = 0;
      for (const byte of chunk) if (byte === 0x0a) answered += 1;
      told = told.slice(answered);
      failures = 0;
      write();
    });
    let cause = "it hung up";
    opened.on("error", ({ message }) => {
      cause = message;
    });
    opened.on("close", () => {
      socket = undefined;
      for (const address of told) keep(address);
      told = [];
      if (isClosed || waiting.size === 0) return;
      if (failures === 0) log.warn("cannot tell of new mail, phones sleep on meanwhile", { cause });
      timer = setTimeout(open, pauseMs * Math.min(MAX_PAUSE_FACTOR, 2 ** failures));
      failures += 1;
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
      if (socket !== undefined) write();
      else if (timer === undefined) open();
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      socket?.end();
    },
  };
}
