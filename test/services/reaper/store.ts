/** A store of mailboxes for tests, as Dovecot lays it out, and rules to judge it by. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emptyReport, type ReaperReport } from "../../../appliance/reaper-report.ts";
import { createLog, type Log } from "../../../services/lib/log.ts";
import type { Sweep } from "../../../services/reaper/expiry.ts";
import { type Mailboxes, openMailboxes } from "../../../services/reaper/mailboxes.ts";
import type { Settings } from "../../../services/reaper/rules.ts";

export const now = 1_800_000_000;
export const DAY = 86_400;

export const settings = {
  deleteAfterDays: 20,
  largeMessageBytes: 200_000,
  deleteLargeAfterDays: 7,
  purgeAbovePercent: 75,
  purgeToPercent: 70,
  keepNewestHours: 24,
} as Settings;

export type TestStore = Disposable &
  Readonly<{
    folder: string;
    mailboxes: Mailboxes;
    /** Puts a message there that came so many days ago, to the second. */
    add(address: string, days: number, size: number, place?: string): void;
    /** Days of all messages of an account, oldest first, with one decimal. */
    days(address: string): number[];
    sweep(changes?: Partial<Settings>, report?: ReaperReport): Sweep;
    log: string[];
  }>;

export function makeStore(): TestStore {
  const folder = mkdtempSync(join(tmpdir(), "homing-reaper-"));
  const mail = join(folder, "mail");
  mkdirSync(join(mail, "index"), { recursive: true });
  const mailboxes = openMailboxes(mail, join(mail, "index"));
  const lines: string[] = [];
  const log: Log = createLog((line) => lines.push(line));
  let count = 0;
  return {
    folder,
    mailboxes,
    log: lines,
    add(address, days, size, place = "cur") {
      const box = join(mail, address, "mail", place);
      mkdirSync(box, { recursive: true });
      mkdirSync(join(mail, "index", address, ".INBOX"), { recursive: true });
      const stamp = Math.round(now - days * DAY);
      writeFileSync(join(box, `${stamp}.M${count++}P1.homing,S=${size},W=${size}:2,S`), "x");
    },
    days: (address) =>
      mailboxes
        .messages(address)
        .map(({ stamp }) => Math.round(((now - stamp) / DAY) * 10) / 10)
        .sort((a, b) => b - a),
    sweep: (changes = {}, report = emptyReport(false)) => ({
      mailboxes,
      settings: { ...settings, ...changes },
      limits: { bytes: 1_000_000, messages: 245 },
      ages: { now, cameAt: (stamp) => stamp },
      report,
      log,
    }),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

export const foldersIn = (path: string): string[] => readdirSync(path).sort();
