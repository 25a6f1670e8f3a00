/**
 * The thread that writes the list of accounts, as the rest of the service sees it: started when something is to be
 * written, ended when nothing was for a while, fed with batches. Called by store.ts.
 */
import { Worker } from "node:worker_threads";
import type { ListChange, ListOutcome, WriterReply, WriterRequest } from "./store-writer.ts";

/** Changes in one transaction: enough to share a slow disk's flush, few enough to be written in one go. */
const maxBatch = 256;

/**
 * How long the thread stays when nobody signs up, in milliseconds. It takes 11 MB, and 50 ms on a PC to start:
 * neither is for every relay to keep up all day, nor for every sign-up to wait for.
 */
export const threadIdleMs = 60_000;

/** The list cannot answer for certain, or take no account now: a temporary failure for whoever asks. */
export class AccountListError extends Error {
  override name = "AccountListError";
}

type Pending = Readonly<{
  change: ListChange;
  resolve: (outcome: ListOutcome) => void;
  reject: (error: Error) => void;
}>;

/** The thread that writes, started when needed. While it waits for the disk, the next ones gather. */
export function createWriter(path: string, program: URL | string, idleMs: number) {
  let thread: Worker | undefined;
  let idleTimer: NodeJS.Timeout | undefined;
  const gathering: Pending[] = [];
  let underWay: readonly Pending[] = [];
  let finished: (() => void) | undefined;

  const start = (): Worker => {
    const request: WriterRequest = { path };
    const started = new Worker(program, { workerData: request });
    started.on("message", settle);
    // Nothing can be made without it: the service ends and systemd starts it afresh (lib/shutdown.ts).
    started.on("error", (error) => {
      throw error;
    });
    return started;
  };

  const settle = (reply: WriterReply): void => {
    const answered = underWay;
    underWay = [];
    for (const [index, { resolve, reject }] of answered.entries()) {
      if ("error" in reply) reject(new AccountListError(`the account list took no account: ${reply.error}`));
      else resolve(reply.outcomes[index]!);
    }
    send();
  };

  const send = (): void => {
    if (underWay.length > 0) return;
    underWay = gathering.splice(0, maxBatch);
    if (underWay.length > 0) {
      clearTimeout(idleTimer);
      thread ??= start();
      thread.postMessage(underWay.map(({ change }) => change));
      return;
    }
    finished?.();
    idleTimer = setTimeout(end, idleMs).unref();
  };

  /** Undefined when there is no thread to end. */
  const end = (): Promise<unknown> | undefined => {
    const ending = thread;
    thread = undefined;
    if (ending === undefined) return undefined;
    const ended = new Promise((resolve) => ending.once("exit", resolve));
    ending.postMessage("close");
    return ended;
  };

  return {
    /** Starts the thread before there is anything to write: whoever comes first need not wait for it. */
    startEarly(): void {
      if (thread !== undefined) return;
      thread = start();
      idleTimer = setTimeout(end, idleMs).unref();
    },
    make: (change: ListChange): Promise<ListOutcome> =>
      new Promise((resolve, reject) => {
        gathering.push({ change, resolve, reject });
        send();
      }),
    async close(): Promise<void> {
      if (underWay.length > 0) {
        await new Promise<void>((resolve) => {
          finished = resolve;
        });
      }
      clearTimeout(idleTimer);
      await end();
    },
  };
}
