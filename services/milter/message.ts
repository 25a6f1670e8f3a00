/**
 * What the protocol's side (session.ts) and the rules' side (outgoing.ts, incoming.ts) say to each other
 * about one message. Nothing here knows packets, nothing there knows rules.
 */
import type { Refusal } from "./refusal.ts";

/** A change to the message, done in the order given. Indexes count from 1 among the fields of that name. */
export type Change =
  /** At the top of the header; at its end where the mail server cannot insert: the order must not matter. */
  | Readonly<{ kind: "insert header"; name: string; value: string }>
  | Readonly<{ kind: "replace header"; index: number; name: string; value: string }>
  | Readonly<{ kind: "remove header"; index: number; name: string }>
  | Readonly<{ kind: "empty sender" }>;

/** What the client is told, and why in detail, for the log. */
export type Refused = Readonly<{ refusal: Refusal; detail: string }>;

/** The end of a message: refused, or accepted with changes. */
export type Decision = Refused | Readonly<{ changes: readonly Change[] }>;

/**
 * How it stands while the message comes in: "more" is needed, the rest of the body is not needed ("enough"), or
 * nothing that follows can save it.
 */
export type Progress = "more" | "enough" | Refused;

/** Takes one message after its MAIL FROM was accepted, in this order; nothing more may come at any time. */
export type MessageHandler = Readonly<{
  /** An envelope recipient as SMTP gave it. */
  recipient(argument: string): void;
  /** A header field as binary strings, the value with its leading space. */
  header(name: string, value: string): void;
  endOfHeader(): Progress;
  /** The next piece of the body. */
  body(piece: Buffer): Progress;
  end(): Promise<Decision>;
}>;

export function isRefusal(value: MessageHandler | Refusal): value is Refusal {
  return "code" in value;
}
