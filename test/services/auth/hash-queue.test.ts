import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createHashQueue, type HashQueue, type Lane } from "../../../services/auth/hash-queue.ts";

/** A queue with one slot whose jobs note their names as they run; the first job holds the slot until `open`. */
function createTrial(options: { waitingPerLane?: number } = {}) {
  const queue: HashQueue = createHashQueue({ slots: 1, ...options });
  const gate = Promise.withResolvers<void>();
  const ran: string[] = [];
  const gone: string[] = [];
  const all: Promise<unknown>[] = [queue.run("known", "gate", () => gate.promise)];
  return {
    ran,
    gone,
    add(lane: Lane, network: string, name: string): void {
      const job = queue.run(lane, network, async () => {
        ran.push(name);
      });
      all.push(job.catch((error: Error) => gone.push(`${name}: ${error.name}`)));
    },
    async open(): Promise<void> {
      gate.resolve();
      await Promise.all(all);
    },
  };
}

describe("the hash queue", () => {
  it("serves accounts from familiar places first, then others that exist, then new ones", async () => {
    const trial = createTrial();
    trial.add("create", "a", "new");
    trial.add("known", "a", "known");
    trial.add("familiar", "a", "familiar");
    await trial.open();
    expect(trial.ran).toEqual(["familiar", "known", "new"]);
  });

  it("lets networks take turns: one that floods delays another by one job", async () => {
    const trial = createTrial();
    for (let i = 0; i < 50; i++) trial.add("known", "flood", `flood${i}`);
    trial.add("known", "owner", "owner");
    await trial.open();
    expect(trial.ran.indexOf("owner")).toBeLessThanOrEqual(2);
    expect(trial.ran).toHaveLength(51);
  });

  it("gives new accounts every fourth turn while others never end", async () => {
    const trial = createTrial();
    for (let i = 0; i < 40; i++) trial.add("known", "a", `known${i}`);
    for (let i = 0; i < 5; i++) trial.add("create", "b", `new${i}`);
    await trial.open();
    const places = trial.ran.flatMap((name, index) => (name.startsWith("new") ? [index] : []));
    expect(places.at(-1)).toBeLessThan(20);
  });

  it("is bounded: whoever has most gives way, and a lane that is full of others leaves the next one free", async () => {
    const trial = createTrial({ waitingPerLane: 10 });
    for (let i = 0; i < 15; i++) trial.add("create", "flood", `flood${i}`);
    trial.add("create", "owner", "owner");
    trial.add("known", "flood", "known");
    await setImmediate();
    expect(trial.gone).toEqual([
      ...["flood10", "flood11", "flood12", "flood13", "flood14"].map((name) => `${name}: QueueFullError`),
      "flood9: QueueFullError",
    ]);
    await trial.open();
    expect(trial.ran).toContain("owner");
    expect(trial.ran).toHaveLength(11);
  });

  it("goes on after a job that fails, and passes the failure on", async () => {
    const queue = createHashQueue({ slots: 1 });
    await expect(queue.run("known", "a", () => Promise.reject(new Error("broken")))).rejects.toThrow(
      "broken",
    );
    expect(await queue.run("known", "a", async () => 7)).toBe(7);
  });

  it("runs no more jobs at a time than it has slots", async () => {
    const queue = createHashQueue({ slots: 3 });
    let running = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 20 }, () =>
        queue.run("known", "a", async () => {
          running += 1;
          most = Math.max(most, running);
          await setImmediate();
          running -= 1;
        }),
      ),
    );
    expect(most).toBe(3);
  });
});
