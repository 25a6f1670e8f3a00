/** Asks again and again, with growing pauses, until there is an answer or the time is up. For order.ts and challenges.ts. */
import { setTimeout as pause } from "node:timers/promises";

/** Between two questions: short at first, for most answers come within seconds. In milliseconds. */
const PAUSE = { first: 1000, longest: 15_000, growth: 1.5 } as const;

/** The first answer that is not undefined; undefined when there was none within `limitMs`. */
export async function until<T>(limitMs: number, ask: () => Promise<T | undefined>): Promise<T | undefined> {
  const end = performance.now() + limitMs;
  for (let wait: number = PAUSE.first; ; wait = Math.min(PAUSE.longest, wait * PAUSE.growth)) {
    const answer = await ask();
    if (answer !== undefined || performance.now() + wait > end) return answer;
    await pause(wait);
  }
}
