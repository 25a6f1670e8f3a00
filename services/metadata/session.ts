/**
 * One connection from Dovecot (its lines: line-session.ts): keeps its open transactions. Called by service.ts for every
 * connection. Everything a peer can make us remember is bounded.
 */
import type { Socket } from "node:net";
import type { Log } from "../lib/log.ts";
import { type Dictionary, RefusedWriteError } from "./dictionary.ts";
import { serveLines } from "./line-session.ts";
import { maxLineBytes, ProtocolError, parseCommand, replies } from "./protocol.ts";
import type { Change } from "./store.ts";

/** Open at once on a connection. An IMAP process has one or two: for private and for shared metadata. */
const maxTransactions = 16;

/** Writes in one transaction. A SETMETADATA command that sets more than this is none of ours. */
const maxChanges = 64;

type Transaction = {
  readonly user: string;
  readonly changes: Change[];
  /** Why the commit will fail, once it is clear that it must. */
  failure: string | undefined;
};

/** Serves `socket` until it ends. */
export function serveSession(socket: Socket, parts: Readonly<{ dictionary: Dictionary; log: Log }>): void {
  serveLines(socket, { peer: "a dict client", maxLineBytes, answer: createAnswerer(parts), log: parts.log });
}

/** Keeps the state between the lines of a connection; the reply to a line, or undefined if it has none. */
function createAnswerer(
  parts: Readonly<{ dictionary: Dictionary; log: Log }>,
): (line: string) => string | undefined {
  const { dictionary, log } = parts;
  const transactions = new Map<number, Transaction>();
  let greeted = false;

  const open = (id: number): Transaction => {
    const transaction = transactions.get(id);
    if (transaction === undefined) throw new ProtocolError("a transaction was not begun");
    return transaction;
  };
  const write = (id: number, key: string, value: string | undefined): void => {
    const transaction = open(id);
    if (transaction.failure !== undefined) return;
    if (transaction.changes.length >= maxChanges) {
      transaction.failure = `a transaction holds at most ${maxChanges} writes`;
      return;
    }
    try {
      const change = dictionary.change(key, value, transaction.user);
      if (change !== undefined) transaction.changes.push(change);
    } catch (cause) {
      if (!(cause instanceof RefusedWriteError)) throw cause;
      transaction.failure = cause.message;
    }
  };
  const commit = (id: number): string => {
    const { changes, failure } = open(id);
    transactions.delete(id);
    if (failure !== undefined) return replies.notCommitted(id, failure);
    try {
      dictionary.apply(changes);
      return replies.committed(id);
    } catch (cause) {
      log.error("cannot write metadata", {}, cause);
      return replies.notCommitted(id, "the metadata service cannot write; see its log");
    }
  };

  return (line) => {
    const command = parseCommand(line);
    if (!greeted && command.kind !== "hello") throw new ProtocolError("the hello is missing");
    switch (command.kind) {
      case "hello":
        greeted = true;
        return undefined;
      case "lookup":
        return answerRead(log, () => {
          const value = dictionary.lookup(command.key, command.user);
          return value === undefined ? replies.notFound : replies.value(value);
        });
      case "iterate":
        return answerRead(log, () => {
          const rows = dictionary.iterate(command.path, command.user, command);
          const wanted = command.maxRows === 0 ? rows : rows.slice(0, command.maxRows);
          const lines = wanted.map(({ key, value }) => replies.row(key, command.withValues ? value : ""));
          return lines.join("") + replies.endOfRows;
        });
      case "begin":
        if (transactions.has(command.id)) throw new ProtocolError("a transaction was begun twice");
        if (transactions.size >= maxTransactions) throw new ProtocolError("too many transactions are open");
        transactions.set(command.id, { user: command.user, changes: [], failure: undefined });
        return undefined;
      case "set":
        write(command.id, command.key, command.value);
        return undefined;
      case "unset":
        write(command.id, command.key, undefined);
        return undefined;
      case "increment":
        open(command.id).failure ??= "nothing here can be counted up";
        return undefined;
      case "remark":
        open(command.id);
        return undefined;
      case "rollback":
        open(command.id);
        transactions.delete(command.id);
        return undefined;
      case "commit":
        return commit(command.id);
    }
  };
}

function answerRead(log: Log, read: () => string): string {
  try {
    return read();
  } catch (cause) {
    log.error("cannot read metadata", {}, cause);
    return replies.failed("the metadata service cannot read; see its log");
  }
}
