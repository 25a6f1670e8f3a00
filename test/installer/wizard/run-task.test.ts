/** What a task tells on its way (installer/wizard/run-task.ts), and how it ends with the wizard (pending.ts). */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Effects } from "../../../installer/wizard/effects.ts";
import { pending } from "../../../installer/wizard/pending.ts";
import { runTask } from "../../../installer/wizard/run-task.ts";
import type { Event } from "../../../installer/wizard/state.ts";
import { stoppedWords } from "../../../installer/wizard/stop-words.ts";
import { domain, imaginedEffects, usual } from "./imagined-world.ts";

const task = { kind: "build", folder: domain, target: "pi", form: "raw" } as const;
const megabyte = 1_000_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** What is told of a stage of so many seconds, in which a megabyte comes every 50 ms. */
async function told(seconds: number, isSpoken: boolean) {
  const events: Event[] = [];
  const never = new AbortController().signal;
  const total = 100 * megabyte;
  const effects = imaginedEffects({
    async build(_task, { report }) {
      for (let at = 0; at <= seconds * 20; at++) {
        report({ stage: "Downloading packages", done: at * megabyte, total, unit: "bytes" });
        vi.advanceTimersByTime(50);
      }
      return usual.build;
    },
  });
  await runTask(effects, task, 7, {
    dispatch: (event) => void events.push(event),
    fail: (error) => expect(error).toBeUndefined(),
    ...{ stop: never, dropped: never, isSpoken },
  });
  expect(events.pop()).toMatchObject({ type: "done", number: 7 });
  return events.filter((event) => event.type === "progress");
}

describe("progress", () => {
  it("comes with the rate and the time that is left, once they can be known", async () => {
    const events = await told(3, false);
    expect(events[0]!.speed).toBe("");
    expect(events.at(-1)!.speed).toBe(", 20.0 MB/s, 2 s left");
    // Not one for every megabyte.
    expect(events.length).toBeLessThanOrEqual(31);
  });

  it("is told to a screen reader at its own pace", async () => {
    expect((await told(3, true)).length).toBe(1);
    expect((await told(16, true)).length).toBe(2);
  });
});

describe("a stage that tells nothing", () => {
  it.each([
    [false, ["", " (1 s)", " (2 s)", " (3 s)"]],
    [true, [""]],
  ])("is seen to go on, and is not read aloud again and again (read aloud: %s)", async (isSpoken, speeds) => {
    vi.useFakeTimers({ toFake: ["performance", "setInterval", "clearInterval"] });
    const events: Event[] = [];
    const never = new AbortController().signal;
    const effects = imaginedEffects({
      async build(_task, { report }) {
        report({ stage: "Reading the kernel" });
        vi.advanceTimersByTime(3000);
        return usual.build;
      },
    });
    await runTask(effects, task, 7, {
      dispatch: (event) => void events.push(event),
      fail: (error) => expect(error).toBeUndefined(),
      ...{ stop: never, dropped: never, isSpoken },
    });
    expect(events.flatMap((event) => (event.type === "progress" ? [event.speed] : []))).toEqual(speeds);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("work that writes", () => {
  it("has cleaned up before the wizard ends, also when it is ended from outside", async () => {
    const steps: string[] = [];
    const effects: Effects = imaginedEffects({
      build: (_task, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            steps.push("stopped");
            setImmediate(() => {
              steps.push("cleaned up");
              reject(signal.reason);
            });
          });
        }),
    });
    const working = pending(effects);
    const follow = { report: () => {}, signal: new AbortController().signal };
    const built = working.effects.build(task, follow);
    built.catch(() => {});
    await working.end();
    expect(steps).toEqual(["stopped", "cleaned up"]);
    await expect(built).rejects.toMatchObject({ name: "AbortError" });
    await working.end();
  });
});

describe("a card that is not written to its end", () => {
  const flash = {
    kind: "flash",
    image: "x.img",
    disk: { path: "/dev/sdq", label: "SanDisk", isRelay: false },
  } as const;
  it.each([
    [undefined, "nothing was written"],
    ["Writing to /dev/sdq", "nothing starts from it"],
    ["Reading it back", "was not compared"],
  ])("is said to be what it is when %s was going on", (stage, words) => {
    const progress = stage === undefined ? undefined : { stage };
    expect(stoppedWords({ task: flash, progress })).toContain(words);
  });
});
