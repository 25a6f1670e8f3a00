/**
 * What is slower than is waited for in one look: the authority, or name servers with a proof. Neither is lost; the order
 * stays, and the next look goes on with it. Used by order.ts and challenges.ts.
 */

/** The order stays, and with it what was made for it. */
export class OrderPendingError extends Error {
  override name = "OrderPendingError";
}

/** How much longer this look may wait, in milliseconds, of the `mostMs` that something would wait at most. */
export type Patience = (mostMs: number) => number;

/** All waits of one look together last `limitMs`; a wait that comes too late asks once. */
export function createPatience(limitMs: number, now: () => number = () => performance.now()): Patience {
  const end = now() + limitMs;
  return (mostMs) => Math.max(0, Math.min(mostMs, end - now()));
}
