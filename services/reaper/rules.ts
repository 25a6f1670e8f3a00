/**
 * Which messages of a mailbox go: the old, the large that are not quite so old, and the oldest of a mailbox that is
 * nearly full. Pure. Called by expiry.ts, disk-room.ts and run.ts.
 */
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { StoredMessage } from "./mailboxes.ts";

export const SECONDS_PER_DAY = 86_400;
const SECONDS_PER_HOUR = 3_600;

/** A delivery that was cut off left it in `tmp`: Dovecot itself waits as long, and looks only where somebody logs in. */
const UNFINISHED_AFTER = 36 * SECONDS_PER_HOUR;

/** Why a message goes; also the label of its counter. */
export type Reason = "age" | "large" | "full" | "room" | "unfinished";

export type Removal = Readonly<{ message: StoredMessage; reason: Reason }>;

export type Settings = RelayConfig["messages"];

/** What the clock says: now, and when something with such a stamp came at the earliest (clock.ts). Unix seconds. */
export type Ages = Readonly<{ now: number; cameAt(stamp: number, until?: number): number }>;

/** What a mailbox may hold, as Dovecot counts it. */
export type Limits = Readonly<{ bytes: number; messages: number }>;

/** Splits a mailbox into what is too old and what stays. */
export function findOld(
  messages: readonly StoredMessage[],
  settings: Settings,
  { now, cameAt }: Ages,
): { old: Removal[]; rest: StoredMessage[] } {
  const old: Removal[] = [];
  const rest: StoredMessage[] = [];
  for (const message of messages) {
    const age = now - cameAt(message.stamp);
    if (message.isUnfinished) {
      if (age > UNFINISHED_AFTER) old.push({ message, reason: "unfinished" });
    } else if (age > settings.deleteAfterDays * SECONDS_PER_DAY) old.push({ message, reason: "age" });
    else if (
      message.size > settings.largeMessageBytes &&
      age > settings.deleteLargeAfterDays * SECONDS_PER_DAY
    )
      old.push({ message, reason: "large" });
    else rest.push(message);
  }
  return { old, rest };
}

/** Of a mailbox beyond `purgeAbovePercent`: its oldest messages, until it is down to `purgeToPercent`. */
export function findSurplus(
  messages: readonly StoredMessage[],
  settings: Settings,
  limits: Limits,
  ages: Ages,
): Removal[] {
  const kept = { bytes: sizeOf(messages), messages: messages.length };
  if (!isBeyond(kept, settings.purgeAbovePercent, limits)) return [];
  const goal = shareOf(limits, settings.purgeToPercent);
  return oldestBeyond(messages, goal, settings, ages).map((message) => ({ message, reason: "full" }));
}

/** Dovecot asks when the mailbox is exactly so full as well. */
export function isBeyond({ bytes, messages }: Limits, percent: number, limits: Limits): boolean {
  const share = shareOf(limits, percent);
  return bytes >= share.bytes || messages >= share.messages;
}

/** Rounded down as Dovecot does: it says once that a share is reached, and not again at the next message. */
function shareOf({ bytes, messages }: Limits, percent: number): Limits {
  return { bytes: Math.floor((bytes * percent) / 100), messages: Math.floor((messages * percent) / 100) };
}

/** The oldest messages without which the others are within the limits, sparing those of the last `keepNewestHours`. */
export function oldestBeyond(
  messages: readonly StoredMessage[],
  limits: Limits,
  settings: Settings,
  { now, cameAt }: Ages,
): StoredMessage[] {
  const spared = now - settings.keepNewestHours * SECONDS_PER_HOUR;
  let bytes = sizeOf(messages);
  let count = messages.length;
  const gone: StoredMessage[] = [];
  const oldestFirst = messages
    .map((message) => ({ message, came: cameAt(message.stamp) }))
    // Of those that count as equally old, by their stamps.
    .sort((a, b) => a.came - b.came || a.message.stamp - b.message.stamp);
  for (const { message, came } of oldestFirst) {
    if ((bytes <= limits.bytes && count <= limits.messages) || came >= spared) break;
    gone.push(message);
    bytes -= message.size;
    count--;
  }
  return gone;
}

export function sizeOf(messages: readonly StoredMessage[]): number {
  let bytes = 0;
  for (const { size } of messages) bytes += size;
  return bytes;
}
