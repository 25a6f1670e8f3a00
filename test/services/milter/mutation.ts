/** What a change of a message is, and what the lists of changes share. Used by mutations*.ts. */
import { boundary } from "./made-messages.ts";

/** A number from 0 to below `limit`. */
export type Pick = (limit: number) => number;
export type Mutation = readonly [name: string, change: (message: string, pick: Pick) => string];

/** A random source that goes through these numbers again and again. */
export function pickFrom(numbers: readonly number[]): Pick {
  let next = 0;
  return (limit) => numbers[next++ % numbers.length]! % limit;
}

export const delimiter = `--${boundary}`;

export const one = <T>(pick: Pick, list: readonly T[]): T => list[pick(list.length)]!;

/** Puts `text` in front of one occurrence of `anchor`, at random. */
export function before(message: string, pick: Pick, anchor: RegExp, text: string): string {
  const places = [...message.matchAll(anchor)].map((found) => found.index);
  if (places.length === 0) return message;
  const at = one(pick, places);
  return message.slice(0, at) + text + message.slice(at);
}
