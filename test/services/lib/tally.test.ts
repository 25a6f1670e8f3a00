import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createTally, type Tally } from "../../../services/lib/tally.ts";

describe("a tally", () => {
  let said: string[];
  let tally: Tally;
  beforeEach(() => {
    vi.useFakeTimers();
    said = [];
    tally = createTally((kind, count) => said.push(`${kind} ${count}`), 1_000);
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const note = (kind: string, times: number): void => {
    for (let i = 0; i < times; i++) tally.note(kind);
  };

  it("says a kind at once, then what came in each interval, the end of a flood included", () => {
    note("a", 500);
    expect(said).toEqual(["a 1"]);
    vi.advanceTimersByTime(999);
    note("a", 1);
    expect(said).toEqual(["a 1"]);
    vi.advanceTimersByTime(1);
    expect(said).toEqual(["a 1", "a 500"]);
    note("a", 3);
    // Nobody comes any more.
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual(["a 1", "a 500", "a 3"]);
    note("a", 1);
    expect(said.at(-1)).toBe("a 1");
    expect(said).toHaveLength(4);
  });

  it("counts each kind by itself, and says the rest when the process ends", () => {
    note("a", 2);
    note("b", 5);
    expect(said).toEqual(["a 1", "b 1"]);
    tally.flush();
    tally.flush();
    expect(said).toEqual(["a 1", "b 1", "a 1", "b 4"]);
  });

  it("stays bounded whatever the kinds are called", () => {
    for (let i = 0; i < 10_000; i++) tally.note(`kind ${i}`);
    expect(said).toHaveLength(51);
    vi.advanceTimersByTime(1_000);
    expect(said).toHaveLength(52);
    expect(said.at(-1)).toBe("others 9949");
    vi.advanceTimersByTime(1_000);
    expect(vi.getTimerCount()).toBe(0);
  });
});
