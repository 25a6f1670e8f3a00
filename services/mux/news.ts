/** What port 443 tells the operator, in the log: a line of a kind a minute, for a flood would make thousands. */
import type { Log } from "../lib/log.ts";
import type { BackendName } from "./backends.ts";

const REPEAT_MS = 60_000;

export type News = Readonly<{
  /** A back end does not take a connection; `code` is the system's. */
  down(name: BackendName, code: number): void;
  /** It took one. Said only after `down` was. */
  up(name: BackendName): void;
  full(limit: number): void;
}>;

export function createNews(log: Log): News {
  const said = new Map<string, number>();
  const isDown = new Set<BackendName>();
  const isNews = (what: string): boolean => {
    const time = performance.now();
    if (time - (said.get(what) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return false;
    said.set(what, time);
    return true;
  };
  return {
    down: (name, code) => {
      if (!isNews(name)) return;
      log.warn("a server behind port 443 does not answer", { name, code });
      isDown.add(name);
    },
    up: (name) => {
      if (isDown.delete(name)) log.info("a server behind port 443 answers again", { name });
    },
    full: (limit) => {
      if (isNews("full")) log.warn("all places of port 443 are taken", { limit });
    },
  };
}
