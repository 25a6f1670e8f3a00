/**
 * What the protocol's side (session.ts) and the rules' side (outgoing.ts, incoming.ts) say to each other
 * about one message. Nothing here knows packets, nothing there knows rules.
 */
import type { Refusal } from "./refusal.ts";

/** A change to the message, done in the order given. Indexes count from 1 among the fields of that name. */
export type Change =
  | Readonly<{ kind: "insert header"; name: string; value: string }>
  | Readonly<{ kind: "replace header"; index: number; name: string; value: string }>
  | Readonly<{ kind: "remove header"; index: number; name: string }>
  | Readonly<{ kind: "empty sender" }>;

/** The end of a message: refused (why in detail goes to the log), or accepted with changes. */
export type Decision =
  | Readonly<{ refusal: Refusal; detail: string }>
  | Readonly<{ changes: readonly Change[] }>;

/** Takes one message after its MAIL FROM was accepted, in this order; `abort` may come at any time instead. */
export type MessageHandler = Readonly<{
  /** An envelope recipient as SMTP gave it. */
  recipient(argument: string): void;
  /** A header field as binary strings, the value with its leading space. */
  header(name: string, value: string): void;
  endOfHeader(): void;
  /** The next piece of the body; resolves when ready for more. */
  body(piece: Buffer): Promise<void>;
  end(): Promise<Decision>;
  /** The message will not come to its end: let go of everything. */
  abort(): void;
}>;

export function isRefusal(value: MessageHandler | Refusal): value is Refusal {
  return "code" in value;
}
