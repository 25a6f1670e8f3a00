/** What a long command shows on a terminal and in a log (installer/progress.ts). */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createProgress } from "../../installer/progress.ts";
import { captureStream } from "../support/command-io.ts";

function setUp(terminal?: { columns: number }) {
  const stream = captureStream();
  const output = Object.assign(stream, terminal ? { isTTY: true, columns: terminal.columns } : {});
  const clock = { now: 0 };
  return { progress: createProgress(output, () => clock.now), clock, text: stream.text };
}

describe("createProgress in a log", () => {
  it("writes a line when a stage begins and one with its amount and time when it ends", () => {
    const { progress, clock, text } = setUp();
    progress.report({ stage: "Downloading", done: 0, total: 94_000_000, unit: "bytes" });
    clock.now = 8_700;
    progress.report({ stage: "Downloading", done: 94_000_000, total: 94_000_000, unit: "bytes" });
    progress.report({ stage: "Unpacking" });
    clock.now = 9_000;
    progress.end();
    expect(text()).toBe(
      "… Downloading\n✓ Downloading: 94.0 of 94.0 MB (100 %) (8.7 s)\n… Unpacking\n✓ Unpacking (0.3 s)\n",
    );
  });

  it("gives a sign of life of a long stage every 15 seconds, not more often", () => {
    const { progress, clock, text } = setUp();
    for (clock.now = 0; clock.now <= 40_000; clock.now += 1000) {
      progress.report({ stage: "Packing", done: clock.now / 1000, total: 200, unit: "files" });
    }
    expect(text()).toBe("… Packing\n… Packing: 15 of 200 files (7 %)\n… Packing: 30 of 200 files (15 %)\n");
  });

  it("marks a stage that failed", () => {
    const { progress, text } = setUp();
    progress.report({ stage: "Packing" });
    progress.end(false);
    expect(text()).toContain("✗ Packing");
  });

  it("is silent once it has ended, whatever is still at work", () => {
    const { progress, text } = setUp();
    progress.report({ stage: "Packing" });
    progress.end(false);
    const before = text();
    progress.report({ stage: "Packing", done: 1 });
    progress.report({ stage: "Sending" });
    progress.end();
    expect(text()).toBe(before);
  });

  it("shows a count whose end nobody knows", () => {
    const { progress, text } = setUp();
    progress.report({ stage: "Reading", done: 3 });
    progress.end();
    expect(text()).toContain("✓ Reading: 3 (");
  });

  it("writes nothing at the end when nothing was going on", () => {
    const { progress, text } = setUp();
    progress.end();
    expect(text()).toBe("");
  });
});

describe("rate and time left", () => {
  /** The last line on a wide terminal after these reports: [milliseconds, done, reused]. */
  function lastLine(reports: readonly (readonly [number, number, number?])[], total = 94_000_000): string {
    const { progress, clock, text } = setUp({ columns: 200 });
    for (const [time, done, reused] of reports) {
      clock.now = time;
      progress.report({ stage: "Fetching", done, total, unit: "bytes", ...(reused ? { reused } : {}) });
    }
    return text().split("\r").at(-1)!.replace("\u001b[K", "");
  }
  const steady = (seconds: number, perSecond: number, from = 0) =>
    Array.from({ length: seconds * 10 + 1 }, (_, n) => [n * 100, from + (n * perSecond) / 10] as const);

  it("are shown of bytes, after two seconds", () => {
    expect(lastLine(steady(6, 2_055_000))).toBe("… Fetching: 12.3 of 94.0 MB (13 %), 2.1 MB/s, 40 s left");
    expect(lastLine(steady(1, 2_055_000))).toBe("… Fetching: 2.1 of 94.0 MB (2 %)");
  });

  it("follow the last ten seconds", () => {
    const slow = Array.from({ length: 150 }, (_, n) => [10_000 + n * 100, 50_000_000 + n * 10_000] as const);
    expect(lastLine([...steady(10, 5_000_000), ...slow])).toMatch(/, 0\.1 MB\/s, \d+ min left$/);
  });

  it("do not count what was there before", () => {
    const reports = steady(6, 1_000_000).map(
      ([time, done]) => [time, 60_000_000 + done, 60_000_000] as const,
    );
    expect(lastLine([[0, 0], ...reports])).toBe("… Fetching: 66.0 of 94.0 MB (70 %), 1.0 MB/s, 28 s left");
  });

  it("say that nothing comes instead of promising an end", () => {
    const stalled = Array.from({ length: 20 }, (_, n) => [4000 + n * 1000, 20_000_000] as const);
    expect(lastLine([...steady(4, 5_000_000), ...stalled])).toBe(
      "… Fetching: 20.0 of 94.0 MB (21 %), 0.0 kB/s",
    );
  });

  it("begin anew when something has to be fetched again, and never go below zero", () => {
    expect(lastLine([...steady(4, 5_000_000), [4100, 10_000_000]])).toBe(
      "… Fetching: 10.0 of 94.0 MB (10 %)",
    );
    const again = steady(4, 1_000_000).map(([time, done]) => [4100 + time, done] as const);
    expect(lastLine([...steady(4, 5_000_000), ...again])).toContain(", 1.0 MB/s, 2 min left");
  });

  it("are in minutes and hours where seconds would be pretended exactness", () => {
    expect(lastLine(steady(10, 50_000))).toContain(", 50.0 kB/s, 32 min left");
    expect(lastLine(steady(10, 5000))).toContain(", 5.0 kB/s, 6 h left");
  });
});

describe("a stage that reports nothing", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const start = (isTTY: boolean) => {
    const output = Object.assign(captureStream(), { isTTY, columns: 80 });
    const lines = () => output.text().replaceAll("\u001b[K", "").split("\r").slice(1);
    return { progress: createProgress(output), output, lines };
  };

  it("shows every second on a terminal that it still works, until it ends", () => {
    const { progress, lines, output } = start(true);
    progress.report({ stage: "Packing" });
    vi.advanceTimersByTime(3000);
    expect(lines()).toEqual(["… Packing", "… Packing (1 s)", "… Packing (2 s)", "… Packing (3 s)"]);
    progress.report({ stage: "Sending" });
    vi.advanceTimersByTime(1000);
    expect(lines().slice(-2)).toEqual(["… Sending", "… Sending (1 s)"]);
    progress.end();
    const before = output.text();
    vi.advanceTimersByTime(5000);
    expect(output.text()).toBe(before);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("shows that nothing comes of a download", () => {
    const { progress, lines } = start(true);
    const event = { stage: "Fetching", total: 94_000_000, unit: "bytes" } as const;
    for (let second = 0; second < 5; second++) {
      progress.report({ ...event, done: second * 1_000_000 });
      vi.advanceTimersByTime(1000);
    }
    expect(lines().at(-1)).toMatch(/ MB\/s, .* left$/);
    vi.advanceTimersByTime(20_000);
    expect(lines().at(-1)).toBe("… Fetching: 4.0 of 94.0 MB (4 %), 0.0 kB/s");
  });

  it("writes nothing more in a log", () => {
    const { progress, output } = start(false);
    progress.report({ stage: "Packing" });
    vi.advanceTimersByTime(30_000);
    expect(output.text()).toBe("… Packing\n");
  });

  it("has no control codes on a terminal that knows none", () => {
    vi.stubEnv("TERM", "dumb");
    const { progress, output } = start(true);
    progress.report({ stage: "Packing" });
    vi.advanceTimersByTime(3000);
    progress.end();
    vi.unstubAllEnvs();
    expect(output.text()).toBe("… Packing\n✓ Packing (3.0 s)\n");
  });

  it("is cut at 80 columns on a terminal that says it has none", () => {
    const output = Object.assign(captureStream(), { isTTY: true, columns: 0 });
    createProgress(output).report({ stage: "Bundling the programs" });
    expect(output.text()).toBe("\r… Bundling the programs\u001b[K");
  });
});

describe("createProgress on a terminal", () => {
  it("renews one line, at most ten times a second, and never lets it wrap", () => {
    const { progress, clock, text } = setUp({ columns: 20 });
    for (clock.now = 0; clock.now < 1000; clock.now += 10) {
      progress.report({ stage: "A stage with quite a long name", done: clock.now, total: 1000 });
    }
    const frames = text().split("\r").slice(1);
    expect(frames.length).toBeLessThanOrEqual(10);
    for (const frame of frames) {
      expect(frame.endsWith("\u001b[K")).toBe(true);
      expect(frame.length - "\u001b[K".length).toBeLessThan(20);
    }
    expect(text()).not.toContain("\n");
  });

  it("shows the whole amount when a stage has ended, even when the last renewal was earlier", () => {
    const { progress, clock, text } = setUp({ columns: 80 });
    progress.report({ stage: "Packing", done: 0, total: 2 });
    progress.report({ stage: "Packing", done: 2, total: 2 });
    clock.now = 50;
    progress.end();
    expect(text().endsWith("\r✓ Packing: 2 of 2 (100 %) (0.1 s)\u001b[K\n")).toBe(true);
  });
});
