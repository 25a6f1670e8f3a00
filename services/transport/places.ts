/**
 * Who gets a place for a delivery by HTTPS, so that slow hosts never hold up fast mail: whoever writes a message chooses
 * the host, and with it how long the answer takes, while Postfix waits for each message in one of few processes. What may
 * be slow gets a part of the places, what is slow gets few, and one sender, domain or network not all of these. A large
 * message is not slow as long as it moves: on a home's line it takes minutes, wherever it goes. Called by courier.ts.
 */
import { networkOf } from "../lib/network.ts";
import type { Door } from "./courier.ts";

/** Most hosts answer within half a second, those whose policy asks a slow DNS within two. */
export const SLOW_AFTER_MS = 2000;
/** Up to here a message takes no time that counts. */
export const SMALL_BYTES = 65_536;
/**
 * A larger one is slow when it moves less than this in this time: all that there can be (MAX_DOUBTFUL_MESSAGES) share the
 * upstream of a bad line, 100 kB/s, and are seen to move when the kernel takes 64 kB.
 */
export const STEP = { bytes: 32_768, limitMs: 30_000 } as const;
/** What moves keeps its place, unless it is slower than this and others need one: five at once over that bad line. */
export const UNHURRIED_BYTES_PER_SECOND = 20_000;
/** Unhurried as long as this it gives way to anybody; relays take no message that lasts longer (services/web/limits.ts). */
export const LONGEST_UNHURRIED_MS = 900_000;
/** Slow deliveries in all, of those that Postfix hands over at a time: see below. */
export const MAX_SLOW = 20;
/** Of one sender, one domain or one network; who has as many begins no more that may be slow. */
export const MAX_SLOW_OF_ONE = 8;
/**
 * Deliveries that may be slow, in all and of one sender: of 60 that Postfix hands over at a time to those known by HTTPS
 * and 100 to others (postfix-master.ts). Postfix hands over a message for each domain by itself, so one to many domains
 * counts as many. 175 at most, of 200 connections (https-post.ts). Those for which SMTP failed come from the processes of
 * the others and of SMTP (default_process_limit, 100).
 */
export const MAX_DOUBTFUL: Readonly<Record<Way, Share>> = {
  known: { all: 35, ofSender: 20 },
  unknown: { all: 70, ofSender: 40 },
  last: { all: 70, ofSender: 40 },
};
type Share = Readonly<{ all: number; ofSender: number }>;
/** By the processes of Postfix that wait. */
type Way = "known" | "unknown" | "last";
const wayOf = ({ door }: Applicant): Way => {
  if (door === "last") return "last";
  return door === "known" || door === "known again" ? "known" : "unknown";
};

export type Applicant = Readonly<{
  /** Envelope sender; empty for bounces. */
  sender: string;
  domain: string;
  door: Door;
  /** It took mail by HTTPS a short while ago. */
  isKnown: boolean;
  /** Of the message; of one that is not known, as many as are kept whole (body.ts). */
  bytes: number;
}>;

export type Place = Readonly<{
  /** Aborts when the place is needed for others: what is under way ends, and nothing more is begun. */
  signal: AbortSignal;
  /** To be told of the address that there is a connection to, before anything is said on it. */
  goesTo: (address: string) => void;
  /** To be told of bytes of the message that have left. */
  moved: (bytes: number) => void;
}>;

type Holder = Applicant & {
  network?: string;
  isDoubtful: boolean;
  /** Milliseconds of the clock below. */
  since: number;
  movedBytes: number;
  end: AbortController;
};

/** `now`: milliseconds of a clock that never goes back. */
export function createPlaces(now: () => number = () => performance.now()) {
  /** The oldest first. */
  const holders = new Set<Holder>();
  const slow = new Set<Holder>();
  const slowOf = (key: "sender" | "domain" | "network", value: string | undefined) =>
    value === undefined ? 0 : [...slow].filter((one) => one[key] === value).length;
  /** When all places for what is slow are taken, nobody who has one gets another. */
  const slowLimit = () => (slow.size < MAX_SLOW ? MAX_SLOW_OF_ONE : 1);

  const mayBeSlow = ({ isKnown, bytes }: Applicant) => !isKnown || bytes > SMALL_BYTES;

  const isRefused = (applicant: Applicant): boolean => {
    const { sender, domain } = applicant;
    const way = wayOf(applicant);
    const limits = MAX_DOUBTFUL[way];
    if (slowOf("domain", domain) >= slowLimit()) return true;
    if (!mayBeSlow(applicant)) return false;
    if (slowOf("sender", sender) >= slowLimit()) return true;
    const others = () => [...holders].filter((one) => one.isDoubtful && wayOf(one) === way);
    const own = others().filter((one) => one.sender === sender).length;
    if (own >= limits.ofSender) return true;
    const isFull = () => others().length >= limits.all;
    if (isFull()) hurry(others(), own);
    return isFull();
  };

  /**
   * Of what moves too slowly for a time when all places are taken, one is given up: of the sender with most, if
   * that is more than `own` of the applicant and one; otherwise what has lasted too long for everybody.
   */
  const hurry = (others: readonly Holder[], own: number) => {
    const countOf = (sender: string) => others.filter((one) => one.sender === sender).length;
    const unhurried = others.filter(isUnhurried);
    const heaviest = unhurried.toSorted((a, b) => countOf(b.sender) - countOf(a.sender))[0];
    if (heaviest === undefined) return;
    if (countOf(heaviest.sender) > own + 1) giveUp(heaviest);
    else if (now() - unhurried[0]!.since > LONGEST_UNHURRIED_MS) giveUp(unhurried[0]!);
  };
  const isUnhurried = ({ bytes, since, movedBytes }: Holder) => {
    const lastsMs = now() - since;
    return (
      bytes > SMALL_BYTES &&
      lastsMs > STEP.limitMs &&
      movedBytes < (lastsMs / 1000) * UNHURRIED_BYTES_PER_SECOND
    );
  };

  /** The sender or the network with most gives up its oldest; if nobody has two, the oldest of all goes. */
  const makeRoom = () => {
    let heaviest: Holder | undefined;
    let most = 0;
    for (const one of slow) {
      const weight = Math.max(slowOf("sender", one.sender), slowOf("network", one.network));
      if (weight > most) [heaviest, most] = [one, weight];
    }
    if (heaviest !== undefined) giveUp(heaviest);
  };
  const giveUp = (holder: Holder) => {
    slow.delete(holder);
    holders.delete(holder);
    holder.end.abort();
  };

  return {
    /** What `deliver` gives, or `refuse` when there is no place. It is held until `deliver` is done. */
    guard: async <T>(
      applicant: Applicant,
      deliver: (place: Place) => Promise<T>,
      refuse: () => T,
    ): Promise<T> => {
      if (isRefused(applicant)) return refuse();
      const holder: Holder = {
        ...applicant,
        isDoubtful: mayBeSlow(applicant),
        since: now(),
        movedBytes: 0,
        end: new AbortController(),
      };
      holders.add(holder);
      const isLarge = applicant.bytes > SMALL_BYTES;
      const becomeSlow = () => {
        if (holder.end.signal.aborted) return;
        slow.add(holder);
        if (slow.size > MAX_SLOW) makeRoom();
      };
      const timer = setTimeout(becomeSlow, isLarge ? STEP.limitMs : SLOW_AFTER_MS);
      let sinceStep = 0;
      const moved = (bytes: number) => {
        holder.movedBytes += bytes;
        sinceStep += bytes;
        if (!isLarge || sinceStep < STEP.bytes) return;
        sinceStep = 0;
        slow.delete(holder);
        timer.refresh();
      };
      const goesTo = (address: string) => {
        holder.network = networkOf(address);
        if (holder.isDoubtful && !slow.has(holder) && slowOf("network", holder.network) >= slowLimit())
          giveUp(holder);
      };
      try {
        return await deliver({ signal: holder.end.signal, goesTo, moved });
      } finally {
        clearTimeout(timer);
        slow.delete(holder);
        holders.delete(holder);
      }
    },
  };
}
