/**
 * A message's bytes between Postfix and the other relay. Most are small and are kept whole, so that they can be offered
 * a second time, another way, or to many; a large one is read once, as it goes out. Called by courier.ts.
 */
import type { Readable } from "node:stream";

export type Body =
  | Readonly<{ isWhole: true; chunks: readonly Buffer[]; bytes: number }>
  /** To be read once: when that has begun, only Postfix still has all of it. */
  | Readonly<{ isWhole: false; source: AsyncIterable<Buffer>; isTouched: () => boolean }>;

/** Texts and pictures of chats are smaller, encrypted and in base64. */
export const MAX_WHOLE_BYTES = 1 << 20;
/** All that are kept at one time: a Pi Zero 2 has 512 MB for everything. */
const MAX_KEPT_BYTES = 16 << 20;

/** Keeps count of what is kept; one for the service. */
export function createBodyReader(maxKept: number = MAX_KEPT_BYTES) {
  let kept = 0;
  return {
    kept: () => kept,
    /**
     * Reads a message, whole if there is room; what was kept is given back by disposing.
     * @throws what the stream fails with.
     */
    read: async (source: Readable): Promise<Body & Disposable> => {
      let held = 0;
      const release = () => {
        kept -= held;
        held = 0;
      };
      const chunks: Buffer[] = [];
      // Whoever stops early leaves the rest to the server, which has to read the message to its end.
      const iterator = source.iterator({ destroyOnReturn: false });
      try {
        for (;;) {
          const { done, value } = (await iterator.next()) as IteratorResult<Buffer, undefined>;
          if (done) return { isWhole: true, chunks, bytes: held, [Symbol.dispose]: release };
          chunks.push(value);
          held += value.length;
          kept += value.length;
          if (held > MAX_WHOLE_BYTES || kept > maxKept) break;
        }
      } catch (error) {
        release();
        throw error;
      }
      let isTouched = false;
      const rest = async function* () {
        if (isTouched) throw new Error("a message that is read once was read a second time");
        isTouched = true;
        yield* chunks.splice(0);
        release();
        for (;;) {
          const { done, value } = (await iterator.next()) as IteratorResult<Buffer, undefined>;
          if (done) return;
          yield value;
        }
      };
      const onceOnly = { [Symbol.asyncIterator]: rest };
      return { isWhole: false, source: onceOnly, isTouched: () => isTouched, [Symbol.dispose]: release };
    },
  };
}
