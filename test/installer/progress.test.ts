/** What a long command shows on a terminal and in a log (installer/progress.ts). */
import { describe, expect, it } from "vitest";
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
