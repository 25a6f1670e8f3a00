/** What ./homing vm shows while it waits (installer/vm/waiting-line.ts). */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createWaitingLine } from "../../../installer/vm/waiting-line.ts";
import { captureStream } from "../../support/command-io.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const setUp = (isTTY: boolean, env = { TERM: "xterm" }) => {
  const output = Object.assign(captureStream(), { isTTY, columns: 80 });
  return { output, waiting: createWaitingLine(output, env) };
};
/** What a terminal shows of it: one line in the place of another, and lines that stay. */
const screen = (text: string) =>
  text.split("\n").map((line) => line.split("\r").at(-1)!.replace("\u001b[K", ""));

describe("the waiting line", () => {
  it("counts the seconds below the lines that stay, and goes", () => {
    const { output, waiting } = setUp(true);
    waiting.wait("Waiting until the relay is ready", "it takes a minute");
    expect(screen(output.text())).toEqual(["… Waiting until the relay is ready; it takes a minute"]);
    vi.advanceTimersByTime(3000);
    waiting.note("homing: slot a");
    const below = "… Waiting until the relay is ready (3 s); it takes a minute";
    expect(screen(output.text())).toEqual(["homing: slot a", below]);
    vi.advanceTimersByTime(1000);
    expect(screen(output.text())[1]).toBe(below.replace("3 s", "4 s"));
    waiting.end();
    expect(screen(output.text())).toEqual(["homing: slot a", ""]);
    const before = output.text();
    vi.advanceTimersByTime(5000);
    expect(output.text()).toBe(before);
  });

  it("begins to count anew for what is waited for next", () => {
    const { output, waiting } = setUp(true);
    waiting.wait("one");
    vi.advanceTimersByTime(2000);
    waiting.wait("two");
    expect(screen(output.text())).toEqual(["… two"]);
    vi.advanceTimersByTime(1000);
    expect(screen(output.text())).toEqual(["… two (1 s)"]);
    expect(vi.getTimerCount()).toBe(1);
  });

  it.each([
    ["in a pipe", false, "xterm"],
    ["on a terminal without control codes", true, "dumb"],
  ])("%s there are only the lines that stay", (_where, isTTY, TERM) => {
    const { output, waiting } = setUp(isTTY, { TERM });
    waiting.wait("one");
    vi.advanceTimersByTime(3000);
    waiting.note("homing: slot a");
    waiting.end();
    expect(output.text()).toBe("homing: slot a\n");
  });
});
