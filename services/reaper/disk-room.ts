/**
 * Makes room when the disk is nearly full: the largest mailboxes are cut down to one common size, oldest messages first,
 * so that whoever keeps little loses nothing. The messages of the last hours (keep_newest_hours) stay even then, and
 * none goes for what waits in the queue: who fills that would else have everybody's mail deleted. Called by run.ts.
 */
import { attempt, removeAll, type Sweep } from "./expiry.ts";
import type { QueueBytes } from "./queue-room.ts";
import { oldestBeyond, type Removal, sizeOf } from "./rules.ts";

/** What the status page and Postfix call full is `reserve`; before it comes to that, room is made. In parts of it. */
const BEGIN_BELOW = 1.5;
const STOP_AT = 2;
/** What messages take on the disk is known only when they are gone: compressed, in whole blocks, with their indexes. */
const MOST_ROUNDS = 8;

/** In bytes. */
export type Disk = Readonly<{
  freeBytes(): number;
  /** Below so much free room Postfix takes no mail. */
  reserve: number;
  /**
   * What Postfix' queue takes. It goes by itself, at the end of the queue's lifetime at the latest; what is held back does
   * only when somebody does something. Undefined: unknown.
   */
  queueBytes: QueueBytes | undefined;
}>;

/** @returns false when the disk is nearly full all the same. */
export function makeRoom(sweep: Sweep, { freeBytes, reserve, queueBytes }: Disk): boolean {
  const { mailboxes, report, log } = sweep;
  if (freeBytes() >= reserve * BEGIN_BELOW) return true;
  if (queueBytes === undefined) {
    report.failures++;
    log.error("the disk is nearly full, and how much of it is the queue is not known: no mail goes for it");
    return false;
  }
  const { all, held } = queueBytes;
  const freeWithoutQueue = () => freeBytes() + all;
  /** The queue is what fills the disk. No mail goes for what is held back either: it may be one account's. */
  const tellOfQueue = () => {
    if (freeWithoutQueue() - held >= reserve * BEGIN_BELOW) {
      log.warn("the disk is nearly full with mail that waits in the queue", { bytes: all });
      return;
    }
    report.failures++;
    log.error(
      "the disk is nearly full with mail that is held back in the queue, which never goes by itself: `postqueue -p` shows " +
        "whose it is, `homing-ctl account delete` removes it with a blocked account, `postsuper -d` alone",
      { bytes: held },
    );
  };
  if (freeWithoutQueue() >= reserve * BEGIN_BELOW) {
    tellOfQueue();
    return false;
  }
  const addresses = mailboxes.addresses();
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const needed = reserve * STOP_AT - freeWithoutQueue();
    if (needed <= 0) break;
    const before = report.removed.room.messages;
    const sizes = addresses.map((address) => attempt(sweep, () => sizeOf(mailboxes.messages(address))) ?? 0);
    const level = commonSize(sizes, needed);
    for (const [i, address] of addresses.entries()) {
      if (sizes[i]! > level) attempt(sweep, () => cutDown(sweep, address, level));
    }
    // A look removes nothing, so that it would find the same again.
    if (report.dryRun || report.removed.room.messages === before) break;
  }
  const { messages, bytes } = report.removed.room;
  const hasRoom = report.dryRun || freeBytes() >= reserve * BEGIN_BELOW;
  log.warn("the disk is nearly full", {
    messages,
    bytes,
    queue: all,
    ...(!hasRoom && { still: true }),
  });
  if (!hasRoom && freeWithoutQueue() >= reserve * BEGIN_BELOW) tellOfQueue();
  return hasRoom;
}

function cutDown(sweep: Sweep, address: string, level: number): void {
  const finished = sweep.mailboxes.messages(address).filter(({ isUnfinished }) => !isUnfinished);
  const limits = { bytes: level, messages: Number.POSITIVE_INFINITY };
  const removals = oldestBeyond(finished, limits, sweep.settings, sweep.ages).map(
    (message): Removal => ({ message, reason: "room" }),
  );
  removeAll(sweep, removals);
}

/** The size to which all larger mailboxes have to come down so that `needed` bytes are freed; 0 when all are too small. */
export function commonSize(sizes: readonly number[], needed: number): number {
  const largestFirst = [...sizes].sort((a, b) => b - a);
  let sum = 0;
  for (const [i, size] of largestFirst.entries()) {
    sum += size;
    const level = (sum - needed) / (i + 1);
    const next = largestFirst[i + 1] ?? 0;
    if (level >= next) return Math.max(0, level);
  }
  return 0;
}
