import { describe, expect, it } from "vitest";
import { jsonEvents } from "../../installer/json-events.ts";
import { captureStream } from "../support/command-io.ts";

function record(): { events: ReturnType<typeof jsonEvents>; lines: () => unknown[]; clock: { now: number } } {
  const output = captureStream();
  const clock = { now: 0 };
  const lines = () =>
    output
      .text()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  return { events: jsonEvents(output, () => clock.now), lines, clock };
}

describe("jsonEvents", () => {
  it("tells the first and the last event of a stage and one a second between them", async () => {
    const { events, lines, clock } = record();
    for (let done = 0; done <= 100; done++) {
      clock.now = done * 25;
      events.report({ stage: "Unpacking", done, total: 100, unit: "packages" });
    }
    events.report({ stage: "Configuring" });
    await events.tell({ event: "done", path: "/a“b\n.img" });
    const unpacking = (done: number) => ({
      event: "progress",
      stage: "Unpacking",
      done,
      total: 100,
      unit: "packages",
    });
    expect(lines()).toEqual([
      ...[0, 40, 80, 100].map(unpacking),
      { event: "progress", stage: "Configuring" },
      { event: "done", path: "/a“b\n.img" },
    ]);
  });

  it("tells a stage's last event before an error", async () => {
    const { events, lines } = record();
    events.report({ stage: "Downloading", done: 1, total: 9, reused: 1, unit: "bytes" });
    events.report({ stage: "Downloading", done: 5, total: 9, reused: 1, unit: "bytes" });
    await events.tell({ event: "error", name: "DownloadError", message: "gone" });
    expect(lines().slice(1)).toEqual([
      { event: "progress", stage: "Downloading", done: 5, total: 9, reused: 1, unit: "bytes" },
      { event: "error", name: "DownloadError", message: "gone" },
    ]);
  });
});
