/**
 * The thread that writes the list of accounts: every message is a batch, written in one transaction, so that one
 * flush of a slow card serves all who wait. It is answered only after the commit reached the disk. Started by
 * store.ts, which is the only one to speak to it.
 */
import { parentPort, workerData } from "node:worker_threads";
import { openDatabase } from "../lib/database.ts";
import { accountMigrations } from "./store.ts";

export type WriterRequest = Readonly<{ path: string }>;

/** `password` is its hash. */
export type ListChange =
  | Readonly<{ kind: "add"; address: string; password: string /** Unix seconds. */; createdDay: number }>
  /** Of the password that is stored now. */
  | Readonly<{ kind: "rehash"; address: string; password: string; stored: string }>;

/** In the order of the batch: whether each change was made, or why none was. */
export type WriterReply = Readonly<{ made: readonly boolean[] } | { error: string }>;

const port = parentPort;
if (port === null) throw new Error("store-writer.ts runs as a worker thread only");
const { path } = workerData as WriterRequest;
const database = openDatabase(path, {
  durability: "full",
  migrations: accountMigrations,
  irreplaceable: true,
});
// Whoever was first keeps the name: within a batch, between batches and between processes.
const insert = database.prepare(
  "INSERT INTO accounts (address, password, created_day) VALUES (?, ?, ?) ON CONFLICT (address) DO NOTHING",
);
const rehash = database.prepare("UPDATE accounts SET password = ? WHERE address = ? AND password = ?");

port.on("message", (message: readonly ListChange[] | "close") => {
  if (message === "close") {
    database.close();
    port.close();
    return;
  }
  port.postMessage(write(message));
});

function write(batch: readonly ListChange[]): WriterReply {
  try {
    database.exec("BEGIN IMMEDIATE");
    const made = batch.map(
      (change) =>
        (change.kind === "add"
          ? insert.run(change.address, change.password, change.createdDay)
          : rehash.run(change.password, change.address, change.stored)
        ).changes === 1,
    );
    database.exec("COMMIT");
    return { made };
  } catch (cause) {
    // SQLite may have ended the transaction itself.
    if (database.isTransaction) database.exec("ROLLBACK");
    return { error: (cause as Error).message };
  }
}
