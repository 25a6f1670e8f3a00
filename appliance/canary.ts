/**
 * The canary: an account of the relay itself, with which services/probe sends a message and reads it every ten minutes.
 * Its name tells everybody what it is, so that lists, counts and expiry leave it out; its second half is nobody's to
 * guess. Also what the probe tells of its last run, for homing-ctl, the console and the health gate of updates.
 */

const namePrefix = "homing-canary-";

/** What no first login and no sign-up may be called, and what does not count as somebody's account. */
export function isCanaryAddress(address: string): boolean {
  return address.startsWith(namePrefix);
}

/** `invented`: letters and digits. */
export function canaryAddress(invented: string, domain: string): string {
  return `${namePrefix}${invented}@${domain}`;
}

/** In SQL: the addresses from `from` on, below `to`, are those of canaries. */
export const canaryRange = { from: namePrefix, to: `${namePrefix.slice(0, -1)}.` } as const;

/** The steps of a run, in their order. What could not be tried since an earlier one failed is missing in a verdict. */
export const canarySteps = [
  "login",
  "submission",
  "delivery",
  "content",
  "removal",
  "port-443",
  "certificate",
  "dns",
  "clock",
  "disk",
] as const;
export type CanaryStepName = (typeof canarySteps)[number];

export type CanaryStep = Readonly<{
  name: CanaryStepName;
  ok: boolean;
  /** How long it took. */
  seconds: number;
  /** What was seen: one line, no address of anybody. */
  detail: string;
  /** What to do about it; null when it is right. */
  mend: string | null;
}>;

export type CanaryVerdict = Readonly<{
  /** End of the run, Unix seconds. */
  time: number;
  /** Nothing is wrong. */
  ok: boolean;
  /**
   * Mail and port 443 are as they should be, and the run came to its end: what `stepsOfOthers` are about does not count, nor
   * that Postfix takes no mail while the disk is full.
   */
  works: boolean;
  steps: readonly CanaryStep[];
}>;

/**
 * A verdict as its file has it. Whoever took over the probe may write there what they like: undefined for what is none, so
 * that the status page is made all the same.
 */
export function readVerdict(text: string | undefined): CanaryVerdict | undefined {
  try {
    const verdict = JSON.parse(text ?? "") as CanaryVerdict;
    const isWhole = verdict.steps.every(
      ({ name, ok, seconds, detail, mend }) =>
        canarySteps.includes(name) &&
        typeof ok === "boolean" &&
        Number.isFinite(seconds) &&
        typeof detail === "string" &&
        (mend === null || typeof mend === "string"),
    );
    return isWhole && Number.isFinite(verdict.time) ? verdict : undefined;
  } catch {
    return undefined; // none yet, or none at all
  }
}

/**
 * Steps that may fail on a relay that is as it should be, for want of DNS, time servers, a certificate authority or room:
 * no reason to take back an update.
 */
export const stepsOfOthers: ReadonlySet<CanaryStepName> = new Set(["certificate", "dns", "clock", "disk"]);

/** A run comes every ten minutes and takes eight at most; without one for so long, nobody knows how the relay is. Seconds. */
export const canaryPatience = 1_800;
