/**
 * Where notifications are noted until they are handed over: in memory (/run) or on the disk, two queues of
 * notification-queue.ts that are asked as one. Called by notifier.ts.
 *
 * First attempts are noted in memory, so many; all else on the disk. What the disk does not take stays in memory, up to a
 * bound there too, so that nothing fills /run, which the whole relay shares.
 */
import type { Notification, NotificationQueue } from "./notification-queue.ts";

/**
 * In memory. With tokens as long as may be, that is 8 MB with the index and the log of SQLite; /run has a fifth of the
 * machine's memory. Real tokens have a fifth of that length.
 */
export const MAX_IN_MEMORY = 512;
/** While the disk takes nothing: for tokens that the proxy never took, and, beyond, for those it did. At most 23 MB. */
const MAX_WITHOUT_DISK = { unknown: 1024, known: 2048 } as const;

export type NotificationShelf = Readonly<{
  /** Notes news, which need not outlive the machine if `inMemory`. Returns how many there was no room for. */
  note: (news: readonly Notification[], inMemory: boolean) => number;
  /** Notes what became of one that is noted. @throws Error of SQLite where it then stays as it was. */
  change: (notification: Notification) => void;
  remove: (token: string) => void;
  /** The one for that token, if it failed before. */
  inBackOff: (token: string) => Notification | undefined;
  /** Of each turn the one that is due first, the lowest turn first; none of `underWay`. @throws Error of SQLite */
  firsts: (underWay: ReadonlyMap<string, unknown>) => Notification[];
  /** All that is in memory. */
  moveToDisk: () => void;
}>;

/** @param failed told when the disk takes nothing. */
export function createNotificationShelf(
  queues: Readonly<{
    fresh: NotificationQueue;
    waiting: NotificationQueue;
    failed: (cause: unknown) => void;
  }>,
): NotificationShelf {
  const { fresh, waiting, failed } = queues;

  /** In memory, what the disk does not take. What is on it already is noted well enough. */
  const noteWithoutDisk = (news: readonly Notification[]): number => {
    let size = fresh.size();
    const kept: Notification[] = [];
    let lost = 0;
    for (const one of news.filter(({ token }) => !isOnDisk(token))) {
      const isNew = fresh.find(one.token) === undefined;
      if (isNew && size >= (one.turn === 0 ? MAX_WITHOUT_DISK.known : MAX_WITHOUT_DISK.unknown)) {
        lost += 1;
        continue;
      }
      if (isNew) size += 1;
      kept.push(one);
    }
    fresh.put(kept);
    return lost;
  };
  const isOnDisk = (token: string): boolean => {
    try {
      return waiting.find(token) !== undefined;
    } catch {
      // What cannot be read is not found by firsts() either.
      return false;
    }
  };

  return {
    note(news, inMemory) {
      const room = inMemory ? Math.max(0, MAX_IN_MEMORY - fresh.size()) : 0;
      fresh.put(news.slice(0, room));
      const others = news.slice(room);
      try {
        waiting.put(others);
      } catch (cause) {
        failed(cause);
        return noteWithoutDisk(others);
      }
      for (const { token } of others) fresh.remove(token);
      return 0;
    },
    change(notification) {
      const { token } = notification;
      try {
        waiting.put([notification]);
      } catch (cause) {
        // As it is there it would be found again and again.
        if (isOnDisk(token)) throw cause;
        failed(cause);
        fresh.put([notification]);
        return;
      }
      fresh.remove(token);
    },
    remove(token) {
      fresh.remove(token);
      waiting.remove(token);
    },
    inBackOff(token) {
      for (const queue of [waiting, fresh]) {
        try {
          const found = queue.find(token);
          if (found !== undefined && found.tries > 0) return found;
        } catch {
          // Told of by whoever looks for the first one that is due; the news can be noted in the other queue.
        }
      }
      return undefined;
    },
    firsts: (underWay) =>
      [...fresh.firsts(underWay), ...waiting.firsts(underWay)].sort((a, b) => a.turn - b.turn),
    moveToDisk() {
      try {
        waiting.put(fresh.all());
        fresh.clear();
      } catch (cause) {
        failed(cause);
      }
    },
  };
}
