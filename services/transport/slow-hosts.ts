/**
 * Keeps hosts that let messages wait from taking all the places that Postfix has for other relays
 * (outgoing_destination_concurrency_limit). Called by courier.ts.
 */

/** Who lets a message wait so long gets no more than so many at once; the others come again later. */
export const SLOW_AFTER_MS = 10_000;
export const PLACES_OF_SLOW_HOST = 10;

/** @param now milliseconds of a clock that never goes back. */
export function createSlowHosts(now: () => number) {
  /** When the messages under way to a domain began, the oldest first. */
  const underWay = new Map<string, Set<{ at: number }>>();
  return {
    /** What `deliver` gives, or `refuse` when the domain has its places and is slow. */
    guard: async <T>(domain: string, deliver: () => Promise<T>, refuse: () => T): Promise<T> => {
      const others = underWay.get(domain) ?? new Set();
      const oldest = others.values().next().value?.at ?? Number.POSITIVE_INFINITY;
      if (others.size >= PLACES_OF_SLOW_HOST && now() - oldest > SLOW_AFTER_MS) return refuse();
      const own = { at: now() };
      underWay.set(domain, others.add(own));
      try {
        return await deliver();
      } finally {
        others.delete(own);
        if (others.size === 0) underWay.delete(domain);
      }
    },
  };
}
