/** Runs the steps of the canary one after the other and writes down how each went. Used by all that look at something. */
import { type CanaryStep, type CanaryStepName, canarySteps } from "../../appliance/canary.ts";

/** What was seen is wrong, and what to do about it. Both are shown to the operator. */
export class Finding extends Error {
  override name = "Finding";
  readonly mend: string;
  constructor(detail: string, mend: string, cause?: unknown) {
    super(detail, { cause });
    this.mend = mend;
  }
}

/** Mend of what fails for want of room: with a disk that is really full, it says nothing about the system. */
export const makeRoom = "make room on the disk";

export type Steps = Readonly<{
  done: CanaryStep[];
  /** Notes how `look` went; what it found, or undefined when it threw. It tells what was seen by `see`. */
  take<T>(name: CanaryStepName, look: (see: (detail: string) => void) => Promise<T>): Promise<T | undefined>;
  /** Goes on after what `look` throws between its steps: `name` failed then, or the next one if that is noted already. */
  guard<T>(name: CanaryStepName, look: () => Promise<T>): Promise<T | undefined>;
  /** Nothing was thrown between steps. */
  isWhole(): boolean;
}>;

/** A detail is one line of a terminal. */
const maxDetail = 300;
/** What a server said may hold anything. */
const notShown = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu;

/** @param secrets what no detail may hold: the name of the canary. */
export function createSteps(secrets: () => readonly string[] = () => []): Steps {
  const done: CanaryStep[] = [];
  let isWhole = true;
  const shown = (text: string): string => {
    const open = secrets().reduce((rest, secret) => rest.replaceAll(secret, "…"), text);
    return open.replaceAll(notShown, " ").slice(0, maxDetail);
  };
  const steps: Steps = {
    done,
    isWhole: () => isWhole,
    async guard(name, look) {
      try {
        return await look();
      } catch (cause) {
        isWhole = false;
        const isDone = (one: CanaryStepName) => done.some((step) => step.name === one);
        const next = isDone(name) ? canarySteps.find((one) => !isDone(one)) : name;
        if (next !== undefined) await steps.take(next, () => Promise.reject(cause));
        return undefined;
      }
    },
    async take(name, look) {
      const begin = performance.now();
      let detail = "";
      const note = (ok: boolean, text: string, mend: string | null) => {
        const seconds = Math.round(performance.now() - begin) / 1000;
        done.push({ name, ok, seconds, detail: shown(text), mend });
      };
      try {
        const found = await look((text) => {
          detail = text;
        });
        note(true, detail, null);
        return found;
      } catch (cause) {
        const { message } = cause as Error;
        note(false, message, cause instanceof Finding ? cause.mend : "see `journalctl --unit homing-probe`");
        return undefined;
      }
    },
  };
  return steps;
}
