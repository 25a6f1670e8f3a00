/**
 * Which bytes of the source an input made the program run for the first time, by V8's own counters (block
 * coverage over the inspector, in this process). Used by run.ts to keep inputs that reach something new.
 */
import { Session } from "node:inspector";

/** Far above the largest source file. */
const MAX_SOURCE_BYTES = 64 * 1024;

type Range = { startOffset: number; endOffset: number; count: number };
type Script = { url: string; functions: { ranges: Range[] }[] };

/** Places in the source, by script. */
export type Places = Map<string, Set<number>>;

export type Coverage = Readonly<{
  /** What ran since the last call for the first time of all. */
  take(): Places;
  /** Takes away from `places` what ran since the last call; whether anything was. */
  strike(places: Places): boolean;
  /** Bytes that ran at least once, and bytes inside functions known so far. */
  total(): { covered: number; known: number };
  stop(): void;
}>;

const known = 1;
const hasRun = 2;

/** @param isWatched tells by a script's URL whether it counts */
export function startCoverage(isWatched: (url: string) => boolean): Coverage {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const seen = new Map<string, Uint8Array>();

  const scripts = (): Script[] => {
    let taken: Script[] = [];
    session.post("Profiler.takePreciseCoverage", (error, result) => {
      if (error !== null) throw error;
      taken = (result as { result: Script[] }).result;
    });
    return taken.filter(({ url }) => isWatched(url));
  };

  /** Calls `visit` for every byte of the functions that ran; an inner range says more than the one around it. */
  const walk = (visit: (url: string, at: number, state: number) => void): void => {
    for (const { url, functions } of scripts()) {
      for (const { ranges } of functions) {
        const start = ranges[0]!.startOffset;
        // The module's own function spans the whole file and runs once: only what is inside counts.
        if (start === 0) continue;
        const states = new Uint8Array(ranges[0]!.endOffset - start);
        for (const { startOffset, endOffset, count } of ranges) {
          states.fill(count > 0 ? hasRun : known, startOffset - start, endOffset - start);
        }
        for (const [index, state] of states.entries()) visit(url, start + index, state);
      }
    }
  };

  const bytesOf = (url: string): Uint8Array => {
    let bytes = seen.get(url);
    if (bytes === undefined) {
      bytes = new Uint8Array(MAX_SOURCE_BYTES);
      seen.set(url, bytes);
    }
    return bytes;
  };

  return {
    take: () => {
      const fresh: Places = new Map();
      walk((url, at, state) => {
        const bytes = bytesOf(url);
        if (state <= bytes[at]!) return;
        bytes[at] = state;
        if (state !== hasRun) return;
        if (!fresh.has(url)) fresh.set(url, new Set());
        fresh.get(url)!.add(at);
      });
      return fresh;
    },
    strike: (places) => {
      let isStruck = false;
      walk((url, at, state) => {
        if (state === hasRun && places.get(url)?.delete(at)) isStruck = true;
      });
      return isStruck;
    },
    total: () => {
      const states = [...seen.values()].flatMap((bytes) => [...bytes]);
      return {
        covered: states.filter((state) => state === hasRun).length,
        known: states.filter((state) => state >= known).length,
      };
    },
    stop: () => session.disconnect(),
  };
}
