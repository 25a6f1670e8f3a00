/**
 * Hands the tokens of those who got mail to the notification proxy, which wakes their phones. Called by service.ts, told
 * of mail by news-session.ts.
 *
 * A token that is not taken waits 8^n seconds after its n-th attempt, until that would be later than the settings allow.
 * A proxy that fails is asked by one request at a time, with growing pauses; when it answers again, the number of
 * requests at the same time grows by one with each that succeeds. So neither one that hangs nor one that comes back
 * after a day is met by a crowd. The proxies of chatmail also answer 500 for the token of a phone that is gone, so one
 * such answer says something of its token, and those for several accounts in a row something of the proxy.
 */
import type { Counters } from "../lib/counters.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { Notification, NotificationQueue } from "./notification-queue.ts";
import type { ProxyAnswer } from "./proxy-post.ts";

/** With 100 ms for each that is more than a hundred a second, and few connections for the proxy to keep. */
const MAX_AT_ONCE = 16;
/** Seconds after the first attempt; the next ones are its powers. What the proxies of chatmail are made for. */
const BACK_OFF_BASE = 8;
/** Up to so much is added to a back-off by chance, as a part of it, so that those who failed together part. */
const BACK_OFF_SPREAD = 0.25;
/** After failures of the proxy in a row: 1, 2, 4 … seconds. Nobody is woken later than by the last of these. */
const MAX_PAUSE_S = 30;
/** Where the proxy does answer (5xx), it may as well be the tokens: the next one is asked for sooner. Seconds. */
const MAX_ANSWERED_PAUSE_S = 4;
/** So many accounts, with a first attempt each, get a 5xx in a row from a proxy that fails. One has up to 32 tokens. */
const ACCOUNTS_OF_A_FAILURE = 5;
/** New mail leads a token back to this step of its back-off, and not to its beginning: it may be no phone's any more. */
const STEP_OF_NEW_MAIL = 2;
/** What a proxy may ask for with Retry-After. In seconds. */
const MAX_RETRY_AFTER_S = 3600;
/** The log tells of trouble with the proxy so often. Milliseconds. */
const TELL_EVERY_MS = 3_600_000;
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
  /** There is mail for the devices with these tokens. What was queued before counts as told anew, but not its attempts. */
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
  const underWay = new Map<string, { isAgain: boolean; done: Promise<void> }>();
  let atOnce = 1;
  /** Of the proxy, in a row. */
  let failures = 0;
  /** Since it took a token last: whose first attempt got a 5xx. */
  const refusedAccounts = new Set<string | undefined>();
  /** By performance.now(), which no clock set back can make far away. */
  let pausedUntil = Number.NEGATIVE_INFINITY;
  const toldAt = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let isStopping = false;
  let isStopped = false;

  const remove = (token: string): void => {
    fresh.remove(token);
    waiting.remove(token);
  };
  const keepFresh = (): void => {
    for (const notification of fresh.all()) waiting.put(notification);
    fresh.clear();
  };
  const pause = (seconds: number): void => {
    pausedUntil = performance.now() + seconds * 1000;
  };
  const tell = (text: string, reason: string): void => {
    if (performance.now() - (toldAt.get(text) ?? Number.NEGATIVE_INFINITY) < TELL_EVERY_MS) return;
    toldAt.set(text, performance.now());
    log.warn(text, { reason });
  };

  const failed = (reason: string, maxPause: number): void => {
    // From here on what comes is kept on the disk, for this may take long.
    if (failures === 0) keepFresh();
    atOnce = 1;
    pause(Math.min(maxPause, 2 ** Math.min(failures, 10)));
    failures += 1;
    tell("the notification proxy does not take tokens, phones sleep on", reason);
  };
  /** The proxy answered 5xx. */
  const failedFor = ({ token, tries }: Notification, reason: string): void => {
    if (tries === 0) refusedAccounts.add(options.accountOf(token));
    if (failures > 0 || refusedAccounts.size >= ACCOUNTS_OF_A_FAILURE) failed(reason, MAX_ANSWERED_PAUSE_S);
    else tell("the notification proxy fails for a token", reason);
  };
  const answered = (): void => {
    refusedAccounts.clear();
    if (failures > 0) log.info("the notification proxy answers again", { failures });
    failures = 0;
    atOnce = Math.min(MAX_AT_ONCE, atOnce + 1);
  };
  const tryLater = ({ token, since, tries }: Notification, isAgain: boolean, retryAfter = 0): void => {
    const newest = isAgain ? now() : since;
    const delay = Math.max(retryAfter, BACK_OFF_BASE ** (tries + 1)) * (1 + BACK_OFF_SPREAD * random());
    const due = now() + delay;
    fresh.remove(token);
    if (due <= newest + options.retrySeconds) {
      waiting.put({ token, since: newest, tries: tries + 1, due });
      return;
    }
    waiting.remove(token);
    givenUp.add();
  };

  const inBackOff = (token: string): Notification | undefined => {
    try {
      const found = waiting.find(token);
      return found !== undefined && found.tries > 0 ? found : undefined;
    } catch {
      // What cannot be read is told of by work(); the news can be noted in the other queue.
      return undefined;
    }
  };

  /** What an attempt came to. `answer` is an Error when there was none. */
  const finish = (notification: Notification, answer: ProxyAnswer | Error): void => {
    const { token } = notification;
    const isAgain = underWay.get(token)?.isAgain === true;
    underWay.delete(token);
    if (answer instanceof Error) {
      requests.add({ outcome: "failed" });
      failed(describeError(answer), MAX_PAUSE_S);
      tryLater(notification, isAgain);
      return;
    }
    const { status, retryAfter = 0 } = answer;
    if (status >= 200 && status < 300) {
      answered();
      requests.add({ outcome: "accepted" });
      remove(token);
      if (isAgain) fresh.put({ token, since: now(), tries: 0, due: now() });
    } else if (status === 410) {
      answered();
      requests.add({ outcome: "forgotten" });
      options.forgetToken(token);
      remove(token);
    } else if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
      answered();
      requests.add({ outcome: "refused" });
      tell("the notification proxy refuses a token", `status ${status}`);
      tryLater(notification, isAgain);
    } else {
      requests.add({ outcome: "failed" });
      if (status >= 500) failedFor(notification, `status ${status}`);
      else failed(`status ${status}`, MAX_PAUSE_S);
      tryLater(notification, isAgain, Math.min(retryAfter, MAX_RETRY_AFTER_S));
    }
  };

  const begin = (notification: Notification): void => {
    const done = options
      .post(notification.token)
      .catch((cause: unknown) => (cause instanceof Error ? cause : new Error(String(cause))))
      .then((answer) => {
        if (!isStopped) work(() => finish(notification, answer));
      });
    underWay.set(notification.token, { isAgain: false, done });
  };

  /** Begins what may begin now. */
  const beginDue = (): void => {
    while (!isStopping && underWay.size < atOnce && performance.now() >= pausedUntil) {
      const time = now();
      const notification = [fresh.first(underWay), waiting.first(underWay)].find(
        (found) => found !== undefined && found.due <= time,
      );
      if (notification === undefined) return;
      if (notification.since + options.retrySeconds < time) {
        remove(notification.token);
        givenUp.add();
      } else if (!options.hasToken(notification.token)) {
        remove(notification.token);
      } else begin(notification);
    }
  };
  const waitForNext = (): void => {
    clearTimeout(timer);
    if (isStopping || underWay.size >= atOnce) return;
    const dues = [fresh.first(underWay)?.due, waiting.first(underWay)?.due].filter(
      (due) => due !== undefined,
    );
    if (dues.length === 0) return;
    const delay = Math.max((Math.min(...dues) - now()) * 1000, pausedUntil - performance.now(), 1);
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
      pause(MAX_PAUSE_S);
      clearTimeout(timer);
      timer = setTimeout(() => work(() => {}), MAX_PAUSE_S * 1000);
    }
  };

  return {
    notify(tokens) {
      const queue = failures === 0 ? fresh : waiting;
      const time = now();
      for (const token of tokens) {
        const current = underWay.get(token);
        if (current !== undefined) current.isAgain = true;
        const old = inBackOff(token);
        if (old === undefined) queue.put({ token, since: time, tries: 0, due: time });
        else {
          const due = Math.min(old.due, time + BACK_OFF_BASE ** STEP_OF_NEW_MAIL);
          waiting.put({ token, since: time, tries: Math.min(old.tries, STEP_OF_NEW_MAIL), due });
        }
      }
      if (tokens.length > 0) work(() => {});
    },
    start: () =>
      work(() => {
        // Times after now come from a clock that was wrong.
        const time = now();
        for (const old of waiting.all())
          if (old.since > time) waiting.put({ ...old, since: time, due: time });
        for (const old of fresh.all()) fresh.put({ ...old, since: Math.min(old.since, time), due: time });
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
      keepFresh();
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
      "Notifications that were not handed over in the time that the settings give",
    ),
  };
}
