/**
 * Hands the tokens of those who got mail to the notification proxy, which wakes their phones. Called by service.ts, told
 * of mail by news-session.ts.
 *
 * A token that is not taken waits 8^n seconds after its n-th attempt, until that would be later than the settings allow.
 * Anybody can invent tokens, so those that the proxy took when it was last asked go first and have their places to
 * themselves (proxy-pace.ts), and of the others each account's first go before anybody's second.
 */
import type { Counters } from "../lib/counters.ts";
import { describeError, type Log } from "../lib/log.ts";
import { LAST_TURN, type Notification, type NotificationQueue } from "./notification-queue.ts";
import { createNotificationShelf } from "./notification-shelf.ts";
import { createProxyPace } from "./proxy-pace.ts";
import type { ProxyAnswer } from "./proxy-post.ts";

/** Seconds after the first attempt; the next ones are its powers. What the proxies of chatmail are made for. */
const BACK_OFF_BASE = 8;
/** Up to so much is added to a back-off by chance, as a part of it, so that those who failed together part. */
const BACK_OFF_SPREAD = 0.25;
/** New mail leads a token back to this step of its back-off, and not to its beginning: it may be no phone's any more. */
const STEP_OF_NEW_MAIL = 2;
/** What a proxy may ask for with Retry-After. In seconds. */
const MAX_RETRY_AFTER_S = 3600;
/** The log tells of trouble with the proxy so often. Milliseconds. */
const TELL_EVERY_MS = 3_600_000;
/** Before it is tried again what SQLite failed at. Seconds. */
const DISK_PAUSE_S = 30;
/** What is under way at the end gets so long; what is not done then is done again. Milliseconds. */
const END_LIMIT_MS = 3_000;
/** setTimeout(2) of Node takes up to 24 days; nothing waits that long. Milliseconds. */
const LONGEST_WAIT_MS = 3_600_000;

export type NotifierOptions = Readonly<{
  /** For first attempts; outlives a restart of the service. */
  fresh: NotificationQueue;
  /** For all others; outlives one of the machine. */
  waiting: NotificationQueue;
  /** Resolves to what the proxy answered. @throws when it did not. */
  post: (token: string) => Promise<ProxyAnswer>;
  hasToken: (token: string) => boolean;
  forgetToken: (token: string) => void;
  /** Whether the proxy took the token when it was last asked. */
  wasTaken: (token: string) => boolean;
  noteTaken: (token: string, isTaken: boolean) => void;
  /** Whose device has it, if any. */
  accountOf: (token: string) => string | undefined;
  /** How long after the newest message it is still worth waking a phone, in seconds. */
  retrySeconds: number;
  /** Unix time in seconds. */
  now: () => number;
  counters: Counters;
  log: Log;
  /** From 0 to 1. */
  random?: () => number;
}>;

export type Notifier = Readonly<{
  /** There is mail for an account's devices, with these tokens. What was queued before counts as told anew, but not its attempts. */
  notify: (tokens: readonly string[]) => void;
  /** Begins with what an earlier process left. */
  start: () => void;
  /** Begins no more attempts, and resolves when those under way have ended and what they left is noted. */
  stop: () => Promise<void>;
}>;

export function createNotifier(options: NotifierOptions): Notifier {
  const { fresh, waiting, now, log, random = Math.random } = options;
  const { requests, givenUp } = pushCounters(options.counters);
  /** Those with an attempt under way. `isAgain`: mail came after it began, when the phone may have looked already. */
  const underWay = new Map<string, { isKnown: boolean; isAgain: boolean; done: Promise<void> }>();
  const toldAt = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let isStopping = false;
  let isStopped = false;

  const tell = (text: string, reason: string): void => {
    if (performance.now() - (toldAt.get(text) ?? Number.NEGATIVE_INFINITY) < TELL_EVERY_MS) return;
    toldAt.set(text, performance.now());
    log.warn(text, { reason });
  };
  const pace = createProxyPace();
  const shelf = createNotificationShelf({
    fresh,
    waiting,
    failed: (cause) =>
      tell("notifications cannot be kept on the disk and wait in memory", describeError(cause)),
  });

  /** Has `judge` say that the proxy failed. From the first time on what comes is kept on the disk: it may take long. */
  const failed = (reason: string, judge: () => boolean): boolean => {
    const before = pace.isFailing();
    if (!judge()) return false;
    if (!before) shelf.moveToDisk();
    tell("the notification proxy does not take tokens, phones sleep on", reason);
    return true;
  };
  const failedAtAll = (reason: string): boolean =>
    failed(reason, () => {
      pace.failed();
      return true;
    });
  const answered = (): void => {
    const failures = pace.answered();
    if (failures > 0) log.info("the notification proxy answers again", { failures });
  };
  /** The token's own fault: it goes behind those that have none. */
  const blame = (notification: Notification, text: string, status: number): Notification => {
    tell(text, `status ${status}`);
    if (notification.turn > 0) return notification;
    options.noteTaken(notification.token, false);
    return { ...notification, turn: 1 };
  };
  /** The proxy answered 5xx. */
  const failedFor = (notification: Notification, status: number): Notification => {
    const { token, tries, turn } = notification;
    const isFirstOfKnown = tries === 0 && turn === 0;
    const judge = () => (isFirstOfKnown ? pace.failedFor(options.accountOf(token)) : pace.failedForOther());
    return failed(`status ${status}`, judge)
      ? notification
      : blame(notification, "the notification proxy fails for a token", status);
  };
  const tryLater = (notification: Notification, isAgain: boolean, retryAfter = 0): void => {
    const { token, since, tries, turn } = notification;
    const newest = isAgain ? now() : since;
    const delay = Math.max(retryAfter, BACK_OFF_BASE ** (tries + 1)) * (1 + BACK_OFF_SPREAD * random());
    const due = now() + delay;
    if (due <= newest + options.retrySeconds) {
      shelf.change({ token, since: newest, tries: tries + 1, due, turn });
      return;
    }
    shelf.remove(token);
    givenUp.add();
  };
  /** News for that token: an attempt at once, or, where others failed before, sooner than it was meant. */
  const newsFor = (token: string, time: number, turn: number): Notification => {
    const old = shelf.inBackOff(token);
    if (old === undefined) return { token, since: time, tries: 0, due: time, turn };
    const due = Math.min(old.due, time + BACK_OFF_BASE ** STEP_OF_NEW_MAIL);
    return { token, since: time, tries: Math.min(old.tries, STEP_OF_NEW_MAIL), due, turn: old.turn };
  };
  const note = (news: readonly Notification[]): void => {
    // What failed already is on the disk and stays there.
    const [failedBefore, first] = [
      news.filter(({ tries }) => tries > 0),
      news.filter(({ tries }) => tries === 0),
    ];
    const lost = shelf.note(failedBefore, false) + shelf.note(first, !pace.isFailing());
    if (lost > 0) givenUp.add({}, lost);
  };

  /** What an attempt came to. `answer` is an Error when there was none. */
  const finish = (notification: Notification, answer: ProxyAnswer | Error): void => {
    const { token } = notification;
    const isAgain = underWay.get(token)?.isAgain === true;
    underWay.delete(token);
    if (answer instanceof Error) {
      requests.add({ outcome: "failed" });
      failedAtAll(describeError(answer));
      tryLater(notification, isAgain);
      return;
    }
    const { status, retryAfter = 0 } = answer;
    if (status >= 200 && status < 300) {
      answered();
      requests.add({ outcome: "accepted" });
      shelf.remove(token);
      if (isAgain) note([{ token, since: now(), tries: 0, due: now(), turn: 0 }]);
      if (notification.turn > 0) options.noteTaken(token, true);
    } else if (status === 410) {
      answered();
      requests.add({ outcome: "forgotten" });
      options.forgetToken(token);
      shelf.remove(token);
    } else if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
      answered();
      requests.add({ outcome: "refused" });
      tryLater(blame(notification, "the notification proxy refuses a token", status), isAgain);
    } else {
      requests.add({ outcome: "failed" });
      let next = notification;
      if (status >= 500) next = failedFor(notification, status);
      else failedAtAll(`status ${status}`);
      tryLater(next, isAgain, Math.min(retryAfter, MAX_RETRY_AFTER_S));
    }
  };

  const begin = (notification: Notification): void => {
    const done = options
      .post(notification.token)
      .catch((cause: unknown) => (cause instanceof Error ? cause : new Error(String(cause))))
      .then((answer) => {
        if (!isStopped) work(() => finish(notification, answer));
      });
    underWay.set(notification.token, { isKnown: notification.turn === 0, isAgain: false, done });
  };

  const mayBegin = (isKnown: boolean): boolean => {
    const known = [...underWay.values()].filter((attempt) => attempt.isKnown).length;
    return !isStopping && pace.mayBegin(isKnown, { known, unknown: underWay.size - known });
  };
  /** Begins what may begin now. */
  const beginDue = (): void => {
    while (mayBegin(true) || mayBegin(false)) {
      const time = now();
      const notification = shelf
        .firsts(underWay)
        .find(({ due, turn }) => due <= time && mayBegin(turn === 0));
      if (notification === undefined) return;
      if (notification.since + options.retrySeconds < time) {
        shelf.remove(notification.token);
        givenUp.add();
      } else if (!options.hasToken(notification.token)) {
        shelf.remove(notification.token);
      } else begin(notification);
    }
  };
  const waitForNext = (): void => {
    clearTimeout(timer);
    if (isStopping) return;
    // Where all places are taken, the end of an attempt is waited for and no time.
    const isPaused = pace.pauseLeft() > 0;
    const next = shelf.firsts(underWay).filter(({ turn }) => isPaused || mayBegin(turn === 0));
    if (next.length === 0) return;
    const delay = Math.max((Math.min(...next.map(({ due }) => due)) - now()) * 1000, pace.pauseLeft(), 1);
    timer = setTimeout(() => work(() => {}), Math.min(delay, LONGEST_WAIT_MS));
  };
  /** Does something, and then what there is to do. SQLite fails on a full or broken disk. */
  const work = (first: () => void): void => {
    try {
      first();
      beginDue();
      waitForNext();
    } catch (cause) {
      log.error("cannot note what became of a notification", {}, cause);
      pace.pause(DISK_PAUSE_S);
      clearTimeout(timer);
      timer = setTimeout(() => work(() => {}), DISK_PAUSE_S * 1000);
    }
  };

  return {
    notify(tokens) {
      const time = now();
      let place = 0;
      const news: Notification[] = [];
      for (const token of tokens) {
        const current = underWay.get(token);
        if (current !== undefined) current.isAgain = true;
        const isKnown = options.wasTaken(token);
        if (!isKnown) place += 1;
        news.push(newsFor(token, time, isKnown ? 0 : Math.min(place, LAST_TURN)));
      }
      note(news);
      if (tokens.length > 0) work(() => {});
    },
    start: () =>
      work(() => {
        // Times after now come from a clock that was wrong.
        const time = now();
        const ahead = waiting.all().filter(({ since }) => since > time);
        waiting.put(ahead.map((old) => ({ ...old, since: time, due: time })));
        fresh.put(fresh.all().map((old) => ({ ...old, since: Math.min(old.since, time), due: time })));
      }),
    async stop() {
      const attempts = [...underWay.values()].map(({ done }) => done);
      isStopping = true;
      const { promise: limit, resolve } = Promise.withResolvers<void>();
      const limitTimer = setTimeout(resolve, END_LIMIT_MS);
      await Promise.race([Promise.all(attempts), limit]);
      clearTimeout(limitTimer);
      isStopped = true;
      clearTimeout(timer);
      shelf.moveToDisk();
    },
  };
}

function pushCounters(counters: Counters) {
  return {
    requests: counters.counter(
      "homing_push_requests_total",
      "Requests to the notification proxy by outcome: accepted, forgotten (it no longer knows the device), refused (this token alone), failed (no answer, or one of a server in trouble)",
    ),
    givenUp: counters.counter(
      "homing_push_given_up_total",
      "Notifications that were not handed over in the time that the settings give, or that there was no room for",
    ),
  };
}
