/**
 * The senders of a rate limit and the time until which each is charged, in a hash table of a fixed 16 bytes a
 * sender: an address is kept as 64 bits of a hash with a secret key, so nobody can make two senders meet (by chance
 * it happens once in 10^7 tables of a million). Called by rate-limit.ts; rate-file.ts keeps it beyond the process.
 *
 *   slot = u32, u32 hash (0, 0: empty) | f64 arrival (milliseconds)
 */
import { hash, randomBytes } from "node:crypto";

/**
 * Senders that can be charged at once; the table then takes 32 MiB. Everyone charged has sent within its own last
 * interval, so at one message a minute a million of them take 16 000 messages a second, which no device does.
 */
export const MAX_SENDERS = 1_000_000;

const SLOT_BYTES = 16;
const SECRET_BYTES = 16;
/** 16 kB: a relay with few senders needs no more. */
const LEAST_CAPACITY = 1024;
/**
 * How often a table of its full size is looked through for senders whose limit is restored, at most, in milliseconds:
 * that takes some 10 ms for two million slots, 40 ms when there are any. Whoever is new waits so much longer.
 */
export const RESCAN_MS = 1000;

/** What outlives the process. Slots as described above; their number is a power of two. */
export type RateStore = Readonly<{
  load(): { secret: Buffer; slots: Buffer } | null;
  replace(secret: Buffer, slots: Buffer): void;
  /** Called for each message: has to be cheap. */
  update(slots: Buffer, offset: number, length: number): void;
}>;

export type RateTable = Readonly<{
  /** The sender's slot, made when it is missing; null when the table is full of senders charged beyond `now`. */
  find(sender: string, now: number): { index: number; arrival: number } | null;
  /** Charges the sender of a slot that `find` has just given. */
  set(index: number, arrival: number): void;
  /** Bytes of memory in use: what the tests hold against MAX_SENDERS. */
  bytes(): number;
  /** How often all slots were looked through: what the tests hold against RESCAN_MS. */
  scans(): number;
}>;

/** @param store where the table outlives the process, if anywhere */
export function createRateTable(store?: RateStore, maxSenders: number = MAX_SENDERS): RateTable {
  const loaded = store?.load() ?? null;
  const secret = loaded?.secret ?? randomBytes(SECRET_BYTES);
  const prefix = secret.toString("latin1");
  let slots = viewOf(loaded?.slots ?? Buffer.alloc(LEAST_CAPACITY * SLOT_BYTES));
  let used = countUsed(slots);
  /** Twice the senders: at most half of the slots are ever used. */
  const mostCapacity = capacityFor(maxSenders * 2);
  /** Until then a table of the full size is not looked through again. */
  let fullUntil = Number.NEGATIVE_INFINITY;
  let scans = 0;
  if (loaded === null) store?.replace(secret, slots.bytes);

  const hashOf = (sender: string): [number, number] => {
    const digest = hash("sha256", prefix + sender, "buffer");
    // Zeros mean an empty slot.
    return [digest.readUInt32LE(0), digest.readUInt32LE(4) || 1];
  };

  /** A table without the senders whose limit is restored, large enough for the others; false when it cannot be. */
  const rebuild = (now: number): boolean => {
    const { words, times, capacity } = slots;
    // A smaller one gets at least twice the room that it needs: that is rare by itself.
    if (capacity >= mostCapacity) {
      if (now < fullUntil) return false;
      fullUntil = now + RESCAN_MS;
    }
    scans++;
    let live = 0;
    for (let index = 0; index < capacity; index++) if (times[index * 2 + 1]! > now) live++;
    if (live >= maxSenders) return false;
    const next = capacityFor(Math.min(live * 4, maxSenders * 2));
    const rebuilt = viewOf(Buffer.alloc(next * SLOT_BYTES));
    for (let index = 0; index < capacity; index++) {
      if (times[index * 2 + 1]! <= now) continue;
      let place = words[index * 4]! & (next - 1);
      while (rebuilt.words[place * 4 + 1] !== 0) place = (place + 1) & (next - 1);
      rebuilt.words[place * 4] = words[index * 4]!;
      rebuilt.words[place * 4 + 1] = words[index * 4 + 1]!;
      rebuilt.times[place * 2 + 1] = times[index * 2 + 1]!;
    }
    slots = rebuilt;
    used = live;
    store?.replace(secret, slots.bytes);
    return true;
  };

  const find = (sender: string, now: number): { index: number; arrival: number } | null => {
    const [first, second] = hashOf(sender);
    const { words, times, capacity } = slots;
    let restored = -1;
    let index = first & (capacity - 1);
    for (; words[index * 4 + 1] !== 0; index = (index + 1) & (capacity - 1)) {
      const arrival = times[index * 2 + 1]!;
      if (words[index * 4] === first && words[index * 4 + 1] === second) return { index, arrival };
      if (restored < 0 && arrival <= now) restored = index;
    }
    if (restored < 0) {
      if (used >= Math.min(capacity / 2, maxSenders)) return rebuild(now) ? find(sender, now) : null;
      used++;
      restored = index;
    }
    words[restored * 4] = first;
    words[restored * 4 + 1] = second;
    times[restored * 2 + 1] = now;
    return { index: restored, arrival: now };
  };

  return {
    find,
    set(index, arrival) {
      slots.times[index * 2 + 1] = arrival;
      store?.update(slots.bytes, index * SLOT_BYTES, SLOT_BYTES);
    },
    bytes: () => slots.bytes.length,
    scans: () => scans,
  };
}

/** The least power of two that is so many slots. */
function capacityFor(needed: number): number {
  let capacity = LEAST_CAPACITY;
  while (capacity < needed) capacity *= 2;
  return capacity;
}

type Slots = Readonly<{ bytes: Buffer; words: Uint32Array; times: Float64Array; capacity: number }>;

/** @param bytes at the start of an 8-byte word, as all larger buffers are */
function viewOf(bytes: Buffer): Slots {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : Buffer.from(new Uint8Array(bytes).buffer);
  const { buffer, byteOffset, length } = aligned;
  return {
    bytes: aligned,
    words: new Uint32Array(buffer, byteOffset, length / 4),
    times: new Float64Array(buffer, byteOffset, length / 8),
    capacity: length / SLOT_BYTES,
  };
}

function countUsed({ words, capacity }: Slots): number {
  let used = 0;
  for (let index = 0; index < capacity; index++) if (words[index * 4 + 1] !== 0) used++;
  return used;
}
