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
 * A damaged file is moved aside and made anew. What cannot be opened otherwise, as on a full disk, stays as it is, and the
 * one at `sparePath` in memory is taken until the next start. @throws DatabaseError of the latter
 */
export function openKeptQueue(
  options: Readonly<{ path: string; sparePath: string; log: Log }>,
): NotificationQueue {
  const { path, sparePath, log } = options;
  try {
    return openNotificationQueue(path);
  } catch (cause) {
    if (cause instanceof DamagedQueueError) {
      log.error("notifications that waited are damaged and moved aside", { path: path + asideSuffix }, cause);
      const made = beginAnew(path, log);
      if (made !== undefined) return made;
    } else log.error("notifications cannot be kept on the disk and wait in memory", { path }, cause);
    return openNotificationQueue(sparePath);
  }
}

function beginAnew(path: string, log: Log): NotificationQueue | undefined {
  try {
    renameSync(path, path + asideSuffix);
    // They belong to the damaged one.
    for (const end of ["-wal", "-shm"]) rmSync(path + end, { force: true });
    return openNotificationQueue(path);
  } catch (cause) {
    log.error("notifications cannot be kept on the disk and wait in memory", { path }, cause);
    return undefined;
  }
}
