/**
 * The store of metadata (store.ts), and a spare one in memory for as long as that cannot be used: damaged, of a newer
 * version, or on a disk that takes no more. Delta Chat fetches no mail after a SETMETADATA or GETMETADATA that failed, so the
 * spare takes tokens and logins, and hands them over when the store is there again; what is removed meanwhile is noted
 * (removals.ts), so that it is gone at once and stays so. What only the store knows, nobody
 * is told meanwhile: no account goes for want of a login. Called by service.ts.
 */
import { existsSync, rmSync } from "node:fs";
import { DatabaseError } from "../lib/database.ts";
import { describeError, type Log } from "../lib/log.ts";
import { isOneOf, sqliteErrors } from "../lib/sqlite-errors.ts";
import { type Device, type Devices, readTokens } from "./devices.ts";
import { openRemovals, type Removal } from "./removals.ts";
import { type MetadataFile, type MetadataStore, openMetadataStore } from "./store.ts";

/** How often a store that is away is tried again, in milliseconds. */
const TRY_AGAIN_MS = 60_000;

/**
 * In the spare, of all accounts together: with tokens as long as may be, 23 MB of /run, which the whole relay shares. No
 * client is refused one, and who has few keeps them beside invented ones.
 */
const MAX_SPARE_TOKENS = 2000;

/** What is asked for stands in a store that cannot be used. */
export class StoreAwayError extends Error {
  override name = "StoreAwayError";
}

export type SpareOptions = Readonly<{
  path: string;
  /** In memory; outlives the service, not the machine. */
  sparePath: string;
  keepTokenDays: number;
  /** Told why nothing in the store can be read, and undefined when it can be. */
  tell: (problem: string | undefined) => void;
  /** Unix time in seconds. */
  now: () => number;
  log: Log;
  tryAgainMs?: number;
}>;

/** Opens both as needed. @throws DatabaseError when not even the spare can be opened. */
export function openStoreWithSpare(options: SpareOptions): MetadataStore {
  const { path, sparePath, tell, now, log } = options;
  const open = () => openMetadataStore(path, { keepTokenDays: options.keepTokenDays });
  let store: MetadataFile | undefined;
  const openSpare = () =>
    openMetadataStore(sparePath, { keepTokenDays: options.keepTokenDays, maxTokens: MAX_SPARE_TOKENS });
  /** There while the store takes no changes. */
  let spare = existsSync(sparePath) ? openSpare() : undefined;
  const removedPath = `${sparePath}.removed`;
  /** What the store has to lose: there while the spare is. */
  let removals = spare && openRemovals(removedPath);
  let isDamaged = false;
  let isTokenless = false;
  let toldOf: string | undefined;
  let timer: NodeJS.Timeout | undefined;

  const noteAway = (cause: unknown): void => {
    spare ??= openSpare();
    removals ??= openRemovals(removedPath);
    if (toldOf === undefined)
      log.error(
        "the store of metadata cannot be used: tokens and logins are kept in memory",
        { path },
        cause,
      );
    toldOf = describeError(cause);
    const text = cause instanceof DatabaseError ? cause.message : `${path}: ${(cause as Error).message}`;
    tell(store === undefined ? text : undefined);
    clearTimeout(timer);
    timer = setTimeout(comeBack, options.tryAgainMs ?? TRY_AGAIN_MS);
    timer.unref();
  };
  const comeBack = (): void => {
    // Where one page of a file is damaged it opens and fails again; only a restart comes with another file.
    if (isDamaged) return;
    try {
      store ??= open();
      if (isTokenless) store.forgetAllTokens();
      // What was set after it was removed is in the spare.
      store.apply([...(removals?.all() ?? []), ...(spare?.all() ?? [])], now());
      // Where there was nothing to hand over, nothing is written yet.
      if (toldOf !== undefined) store.tryWriting();
    } catch (cause) {
      if (isOneOf(cause, sqliteErrors.damage)) lose();
      noteAway(cause);
      return;
    }
    spare?.close();
    removals?.close();
    [spare, removals] = [undefined, undefined];
    // The removals first: left behind without the spare, they would be taken for those of the next time.
    for (const path of [removedPath, sparePath])
      for (const end of ["", "-wal", "-shm"]) rmSync(path + end, { force: true });
    if (toldOf !== undefined) log.info("the store of metadata can be used again", { path });
    toldOf = undefined;
    tell(undefined);
  };
  const lose = (): void => {
    isDamaged = true;
    store?.close();
    store = undefined;
  };
  /** What `work` says of each store that can be read. */
  const ask = <T>(work: (one: MetadataStore) => T): T[] => {
    const answers: T[] = [];
    if (store !== undefined) {
      try {
        answers.push(work(store));
      } catch (cause) {
        if (!isOneOf(cause, sqliteErrors.damage)) throw cause;
        lose();
        noteAway(cause);
      }
    }
    if (spare !== undefined) answers.push(work(spare));
    return answers;
  };
  /** Changes the store, or the spare when the store takes no changes. */
  const change = (work: (one: MetadataStore) => void, mayBeSpare = true): void => {
    if (store !== undefined && spare === undefined) {
      try {
        work(store);
        return;
      } catch (cause) {
        const isLost = isOneOf(cause, sqliteErrors.damage);
        if (!isLost && !isOneOf(cause, sqliteErrors.disk)) throw cause;
        if (isLost) lose();
        noteAway(cause);
      }
    }
    if (!mayBeSpare || spare === undefined) throw new StoreAwayError(`${path} cannot be used: ${toldOf}`);
    work(spare);
  };
  const devicesFrom = (found: (one: MetadataStore) => Device[]): Device[] =>
    ask((one) => found(one).filter((device) => one === spare || removals?.has(device) !== true)).flat();
  const devices: Devices = {
    of: (address) => devicesFrom((one) => one.devices.of(address)),
    with: (token) => devicesFrom((one) => one.devices.with(token)),
  };
  /** Notes what the store has, or may have where it cannot be read. */
  const noteRemoved = (removal: Removal): void => {
    const isIn = (one: MetadataStore): boolean =>
      removal.kind === "forget-token"
        ? one.hasToken(removal.token)
        : one.tokens(removal.address, removal.mailbox).length > 0;
    const isThere = ask((one) => one !== spare && isIn(one)).includes(true);
    if ((store !== undefined && !isThere) || removals?.add(removal) === true) return;
    // Of a single token the proxy will say again that it knows it no more.
    if (removal.kind === "forget-tokens")
      throw new StoreAwayError(`${path} cannot be used, and too much is to be removed from it`);
  };

  comeBack();
  return {
    devices,
    ...readTokens(devices),
    lastLogin(address) {
      const days = ask((one) => one.lastLogin(address)).filter((day) => day !== undefined);
      if (store === undefined) throw new StoreAwayError(`${path} cannot be used: ${toldOf}`);
      return days.length === 0 ? undefined : Math.max(...days);
    },
    loginsSince() {
      const [since] = ask((one) => one.loginsSince());
      if (store === undefined) throw new StoreAwayError(`${path} cannot be used: ${toldOf}`);
      return since!;
    },
    count(...which) {
      const [found] = ask((one) => one.count(...which));
      // Of logins the spare knows the fewest.
      return store === undefined ? { tokens: found?.tokens ?? 0, active: [] } : found!;
    },
    wasTaken: (token) => ask((one) => one.wasTaken(token)).includes(true),
    noteTaken: (...which) => change((one) => one.noteTaken(...which)),
    forgetExpired: (time) => change((one) => one.forgetExpired(time)),
    forgetAllTokens() {
      isTokenless = true;
      change((one) => one.forgetAllTokens());
    },
    apply(changes, time) {
      const isForGood = changes.some(({ kind }) => kind === "forget-account");
      change((one) => {
        for (const each of changes)
          if (one === spare && (each.kind === "forget-tokens" || each.kind === "forget-token"))
            noteRemoved(each);
        one.apply(changes, time);
      }, !isForGood);
    },
    all: () => ask((one) => one.all()).flat(),
    close() {
      clearTimeout(timer);
      store?.close();
      spare?.close();
    },
  };
}
