/**
 * Decompresses .xz files (package data, package indexes, kernel modules) on worker threads, one for each
 * processor, so that the caller's thread stays free. Called by image/packages/ and image/rootfs/.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { XzError } from "./xz-stream.ts";
import type { XzReply, XzRequest } from "./xz-worker.ts";

/** Beyond this many threads the reading of the results by one thread is the limit. */
const MAX_THREADS = 8;
/** Threads without work for so long are ended: each holds on to some 50 MB of what it read and wrote. */
const IDLE_MILLISECONDS = 500;

type Task = {
  bytes: Uint8Array;
  give: boolean;
  resolve: (content: Uint8Array) => void;
  reject: (reason: unknown) => void;
};
type Thread = { worker: Worker; tasks: Map<number, Task> };

const threads: Thread[] = [];
const queue: Task[] = [];
let lastId = 0;
let idleTimer: NodeJS.Timeout | undefined;

/**
 * The content of an .xz file. Throws XzError when it is damaged, cut off or of more than one stream, and the
 * signal's reason as soon as that is aborted.
 * Call it many times at once to use all processors; what has no free thread waits, holding only its input.
 * With `give` the whole buffer behind `bytes` goes to the thread and is empty here from then on.
 */
export async function decompressXz(
  bytes: Uint8Array,
  signal?: AbortSignal,
  { give = false } = {},
): Promise<Uint8Array> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const task: Task = { bytes, give, resolve, reject };
  const stop = () => {
    dropTask(task);
    reject(signal?.reason);
  };
  signal?.addEventListener("abort", stop, { once: true });
  queue.push(task);
  startTasks();
  try {
    return await promise;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** A thread cannot be called back from its work: it is ended, and a new one starts when there is more to do. */
function dropTask(task: Task): void {
  const waiting = queue.indexOf(task);
  if (waiting >= 0) queue.splice(waiting, 1);
  const index = threads.findIndex(({ tasks }) => [...tasks.values()].includes(task));
  const [thread] = index >= 0 ? threads.splice(index, 1) : [];
  void thread?.worker.terminate();
  // Later: one signal stops many tasks, and no thread shall start for what is dropped next.
  setImmediate(startTasks);
}

function startTasks(): void {
  while (queue.length > 0) {
    const thread = threads.find(({ tasks }) => tasks.size === 0) ?? addThread();
    if (!thread) return;
    const task = queue.shift()!;
    // Else a copy of its own: sending a view would send all of the buffer behind it, such as a whole package.
    const request: XzRequest = { id: ++lastId, bytes: task.give ? task.bytes : new Uint8Array(task.bytes) };
    thread.tasks.set(request.id, task);
    thread.worker.ref(); // a thread at work keeps the process alive, an idle one does not
    thread.worker.postMessage(request, [request.bytes.buffer as ArrayBuffer]);
  }
}

function endIdleThreads(): void {
  for (const thread of threads.filter(({ tasks }) => tasks.size === 0)) {
    threads.splice(threads.indexOf(thread), 1);
    void thread.worker.terminate();
  }
}

function addThread(): Thread | undefined {
  if (threads.length >= Math.min(availableParallelism(), MAX_THREADS)) return undefined;
  const worker = new Worker(new URL("./xz-worker.ts", import.meta.url));
  const thread: Thread = { worker, tasks: new Map() };
  threads.push(thread);
  worker.on("message", (reply: XzReply) => {
    const task = thread.tasks.get(reply.id);
    thread.tasks.delete(reply.id);
    if (thread.tasks.size === 0) worker.unref();
    clearTimeout(idleTimer);
    idleTimer = setTimeout(endIdleThreads, IDLE_MILLISECONDS).unref();
    if ("content" in reply) task?.resolve(reply.content);
    else task?.reject(new XzError(reply.problem));
    startTasks();
  });
  worker.on("error", (error) => {
    threads.splice(threads.indexOf(thread), 1);
    for (const task of thread.tasks.values()) {
      task.reject(new Error(`the decompressing thread failed: ${String(error)}`, { cause: error }));
    }
    startTasks();
  });
  return thread;
}
