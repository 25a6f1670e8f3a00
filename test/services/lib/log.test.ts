import { describe, expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";

function record(debug = false): { lines: string[]; log: ReturnType<typeof createLog> } {
  const lines: string[] = [];
  return { lines, log: createLog((line) => lines.push(line), debug) };
}

describe("log", () => {
  it("writes one line with journald's priority and the fields", () => {
    const { lines, log } = record();
    log.info("account created", { user: "abc@example.org", count: 2, absent: undefined });
    log.warn("slow");
    expect(lines).toEqual(["<6>account created user=abc@example.org count=2\n", "<4>slow\n"]);
  });

  it("escapes line ends, controls and direction marks, so that no stranger forges a line", () => {
    const { lines, log } = record();
    log.info("refused", { user: "x\n<3>root logged in\u202e", note: 'a "b"' });
    expect(lines).toEqual(['<6>refused user="x\\u000a<3>root logged in\\u202e" note="a \\"b\\""\n']);
  });

  it("cuts a value that would fill the journal", () => {
    const { lines, log } = record();
    log.info("refused", { user: "x".repeat(100_000) });
    expect(lines[0]?.length).toBeLessThan(600);
  });

  it("names the error and its place", () => {
    const { lines, log } = record();
    log.error("cannot write", { path: "/data" }, new TypeError("bad"));
    expect(lines[0]).toMatch(/^<3>cannot write path=\/data cause="TypeError: bad \(at .*log\.test\.ts/);
  });

  it("keeps debug lines to itself unless asked", () => {
    const quiet = record();
    quiet.log.debug("detail");
    expect(quiet.lines).toEqual([]);
    const loud = record(true);
    loud.log.debug("detail");
    expect(loud.lines).toEqual(["<7>detail\n"]);
  });
});
