/**
 * Who may use the processor for hashing, and when. Accounts that exist come before new ones, and within a lane
 * the networks take turns, so that a flood from one of them delays nobody else. Called by accounts.ts.
 */
import { availableParallelism } from "node:os";

/**
 * familiar: an account from a network it has logged in from before. known: any other account that exists (and
 * names whose refusal must look the same). create: a new account.
 */
export type Lane = "familiar" | "known" | "create";

const lanes: readonly Lane[] = ["familiar", "known", "create"];

/** Every so manieth turn belongs to the last lane that waits: new accounts come slowly rather than never. */
const turnsPerLastLane = 4;

/**
 * Jobs that may wait in a lane. At 20 ms a hash and four cores (Pi 3) all three lanes are through in 4 s, well
 * within the 10 s after which Dovecot gives up. Dovecot itself has some 30 questions under way at most.
 */
const maxWaitingPerLane = 256;

/** libuv's pool has four threads (docs.libuv.org, threadpool); more jobs than cores would starve the main thread. */
const maxSlots = 4;

/** There was no room for a job, or it had to give way to a network with fewer of them. */
export class QueueFullError extends Error {
  override name = "QueueFullError";
}

export type HashQueue = Readonly<{
  /**
   * Runs `job` when its turn comes. `network` as network.ts gives it.
   * @throws QueueFullError when it will not run; or what the job throws.
   */
  run<T>(lane: Lane, network: string, job: () => Promise<T>): Promise<T>;
}>;

type Waiting = Readonly<{ start(): void; giveWay(): void }>;

export function createHashQueue(
  options: Readonly<{ slots?: number; waitingPerLane?: number }> = {},
): HashQueue {
  const slots = options.slots ?? Math.min(maxSlots, availableParallelism());
  const room = options.waitingPerLane ?? maxWaitingPerLane;
  const queues = { familiar: createTurns(), known: createTurns(), create: createTurns() };
  let running = 0;
  let turn = 0;

  const startNext = (): void => {
    while (running < slots) {
      turn += 1;
      const order = turn % turnsPerLastLane === 0 ? lanes.toReversed() : lanes;
      const lane = order.find((name) => queues[name].size() > 0);
      if (lane === undefined) return;
      running += 1;
      queues[lane].next().start();
    }
  };

  return {
    run: (lane, network, job) =>
      new Promise((resolve, reject) => {
        const queue = queues[lane];
        const full = (): void => reject(new QueueFullError("too many logins wait for hashing"));
        if (queue.size() >= room && !queue.shorten(network)) {
          full();
          return;
        }
        queue.add(network, {
          start: () => {
            job()
              .finally(() => {
                running -= 1;
              })
              .then(resolve, reject)
              .finally(startNext);
          },
          giveWay: full,
        });
        startNext();
      }),
  };
}

/** One lane: networks take turns, each with its jobs in order. */
function createTurns() {
  // A Map keeps the order of insertion: the first network is the next to have its turn.
  const byNetwork = new Map<string, Waiting[]>();
  let size = 0;
  return {
    size: () => size,
    add(network: string, waiting: Waiting): void {
      size += 1;
      const jobs = byNetwork.get(network);
      if (jobs === undefined) byNetwork.set(network, [waiting]);
      else jobs.push(waiting);
    },
    /** The next job. Call only when there is one. */
    next(): Waiting {
      const [network, jobs] = byNetwork.entries().next().value!;
      const waiting = jobs.shift()!;
      size -= 1;
      byNetwork.delete(network);
      if (jobs.length > 0) byNetwork.set(network, jobs);
      return waiting;
    },
    /** Makes room for a job of `network` at the cost of the network with most; false when that is itself. */
    shorten(network: string): boolean {
      let longest: Waiting[] = [];
      for (const jobs of byNetwork.values()) if (jobs.length > longest.length) longest = jobs;
      // The new job counts: a network does not push out another that would then have fewer than itself.
      if (longest.length <= (byNetwork.get(network)?.length ?? 0) + 1) return false;
      size -= 1;
      longest.pop()!.giveWay();
      return true;
    },
  };
}
