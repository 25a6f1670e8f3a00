/**
 * What clients are told of the relay's TURN server: name, port and credentials for two days and up to half a day more, made
 * as coturn's `use-auth-secret` wants them (draft-uberti-behave-turn-rest-00 §2.2): the name is when they end, the password
 * its HMAC.
 * Nothing is said while the server does not answer where clients would look for it, by IPv4 and by IPv6. Called by service.ts.
 */
import { createHmac } from "node:crypto";
import { isIP } from "node:net";
import type { Log } from "../lib/log.ts";

/** The core asks anew at its next connection from half a day before the end on; one connection may last a day. */
const CREDENTIAL_SECONDS = 2 * 86_400;
/**
 * An account's name is the same for so long, so that coturn's quota counts the account's calls, however often it asks.
 * Nothing but digits may tell names apart: the core wants a number, and takes the rest of `time:more` for the password.
 */
const NAME_SECONDS = 43_200;
/** Nobody is told of a silence before: it takes some time after the start, and after a change of address. Milliseconds. */
const LONG_SILENCE_MS = 600_000;
/** Between two looks while it answers, and while it does not, as at the start. Milliseconds. */
const LOOK_EVERY_MS = 60_000;
const LOOK_FOR_IT_EVERY_MS = 10_000;

export type Turn = Readonly<{
  /** The value of /shared/vendor/deltachat/turn for an account; undefined while there is nobody to go to. */
  value: (account: string) => string | undefined;
  stop: () => void;
}>;

export type TurnOptions = Readonly<{
  domain: string;
  port: number;
  /** What credentials are made of. Rejects while there is none. */
  readSecret: () => Promise<string>;
  /** The addresses that clients find for the domain; undefined when that cannot be said now. */
  resolve: (domain: string) => Promise<readonly string[] | undefined>;
  answersStun: (address: string, port: number) => Promise<boolean>;
  /** Unix time in seconds. */
  now: () => number;
  /** Why clients have not been told of it for a long time; undefined when they are, and at the start. */
  tell: (problem: string | undefined) => void;
  log: Log;
  lookEveryMs?: number;
  longSilenceMs?: number | undefined;
}>;

/** Looks at once and then again and again, until `stop`. */
export function announceTurn(options: TurnOptions): Turn {
  const { domain, port, log } = options;
  let secret: string | undefined;
  let secretTrouble: string | undefined;
  let isReachable: boolean | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;

  const hasSecret = async (): Promise<boolean> => {
    try {
      secret ??= await options.readSecret();
    } catch (cause) {
      const trouble = (cause as Error).message;
      if (trouble !== secretTrouble)
        log.error("without its secret no client is told of the TURN server", {}, cause);
      secretTrouble = trouble;
    }
    return secret !== undefined;
  };
  /** When it could last be said. */
  let addresses: readonly string[] | undefined;
  /** What keeps clients from it, if anything. */
  const look = async (): Promise<string | undefined> => {
    if (!(await hasSecret())) return "what its passwords are made of cannot be read";
    addresses = (await options.resolve(domain)) ?? addresses;
    if (addresses === undefined) return `the DNS cannot be asked for the addresses of ${domain}`;
    if (addresses.length === 0) return `the DNS has no address of ${domain}`;
    const silent = await silentOf(addresses, (address) => options.answersStun(address, port));
    return silent.length === 0 ? undefined : `nothing answers at ${silent.join(", ")}, UDP port ${port}`;
  };
  /** By a clock that nobody sets. */
  let silentSince: number | undefined;
  let hasTold: boolean | undefined;
  const tellOf = (problem: string | undefined): void => {
    if (problem === undefined) silentSince = undefined;
    else silentSince ??= performance.now();
    const isLong =
      silentSince !== undefined &&
      performance.now() - silentSince >= (options.longSilenceMs ?? LONG_SILENCE_MS);
    if (isLong !== hasTold) options.tell(isLong ? problem : undefined);
    hasTold = isLong;
  };
  const lookAgain = async (): Promise<void> => {
    const problem = await look();
    if (isStopped) return;
    tellOf(problem);
    const now = problem === undefined;
    if (now !== isReachable) {
      if (now) log.info("the TURN server answers: calls can go through it", { domain, port });
      else
        log.warn("the TURN server does not answer at the relay's name: no client is told of it", { domain });
    }
    isReachable = now;
    timer = setTimeout(
      () => void lookAgain(),
      options.lookEveryMs ?? (now ? LOOK_EVERY_MS : LOOK_FOR_IT_EVERY_MS),
    );
    timer.unref();
  };
  void lookAgain();

  return {
    value(account) {
      if (isReachable !== true || secret === undefined) return undefined;
      const end = String(endFor(account, secret, options.now()));
      const password = createHmac("sha1", secret).update(end).digest("base64");
      return `${domain}:${port}:${end}:${password}`;
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

/**
 * The addresses of a family at which nobody answers at all. Each family counts: the machine's own IPv6 address always
 * answers while the server runs, and says nothing of what comes in by IPv4.
 */
async function silentOf(
  addresses: readonly string[],
  answers: (address: string) => Promise<boolean>,
): Promise<readonly string[]> {
  const heard = await Promise.all(
    addresses.map(async (address) => ({
      address,
      family: isIP(address),
      answers: await answers(address),
    })),
  );
  const loud = new Set(heard.filter((one) => one.answers).map(({ family }) => family));
  return heard.filter(({ family }) => !loud.has(family)).map(({ address }) => address);
}

/** Unix time in seconds. Accounts change names at moments of their own, or one could use up the calls of all. */
function endFor(account: string, secret: string, now: number): number {
  const moment = createHmac("sha256", secret).update(`account ${account}`).digest().readUIntBE(0, 6);
  const earliest = Math.floor(now) + CREDENTIAL_SECONDS;
  return earliest + ((moment - (earliest % NAME_SECONDS) + NAME_SECONDS) % NAME_SECONDS);
}
