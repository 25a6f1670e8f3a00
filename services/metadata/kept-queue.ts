/**
 * The queue of notifications on the disk (notification-queue.ts), whatever state its file is in: it holds what was to wake
 * phones within the last hours, which is not worth a stand-still. Called by service.ts.
 */
import { renameSync, rmSync } from "node:fs";
import type { Log } from "../lib/log.ts";
import { DamagedQueueError, type NotificationQueue, openNotificationQueue } from "./notification-queue.ts";

/** Beside a damaged file; one that was there before is replaced. */
const asideSuffix = ".damaged";

/**
 * A damaged file is moved aside and made anew. What cannot be opened otherwise, as on a full disk, stays as it is, and until
 * the next start the queue takes nothing: what the disk does not take, notification-shelf.ts keeps in memory, so much of it.
 */
export function openKeptQueue(path: string, log: Log): NotificationQueue {
  try {
    return openNotificationQueue(path);
  } catch (cause) {
    if (!(cause instanceof DamagedQueueError)) return withoutDisk(path, cause, log);
    log.error("notifications that waited are damaged and moved aside", { path: path + asideSuffix }, cause);
    return beginAnew(path, log);
  }
}

function beginAnew(path: string, log: Log): NotificationQueue {
  try {
    renameSync(path, path + asideSuffix);
    // They belong to the damaged one.
    for (const end of ["-wal", "-shm"]) rmSync(path + end, { force: true });
    return openNotificationQueue(path);
  } catch (cause) {
    return withoutDisk(path, cause, log);
  }
}

/** A queue that has nothing and takes nothing. */
function withoutDisk(path: string, why: unknown, log: Log): NotificationQueue {
  log.error("notifications cannot be kept on the disk and wait in memory", { path }, why);
  return {
    put(notifications) {
      if (notifications.length > 0) throw why;
    },
    find: () => undefined,
    remove: () => {},
    firsts: () => [],
    all: () => [],
    clear: () => {},
    size: () => 0,
    close: () => {},
  };
}
