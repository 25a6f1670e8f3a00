/** What other relays' answers mean, and that nothing else passes for one. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeAnswer } from "../../../services/transport/answer.ts";

const two = ["ann@b.example", "bob@b.example"];

describe("an answer to POST /mxdeliv", () => {
  it.each([
    [200, "250 OK"],
    [200, "250 2.0.0 Ok: queued as 4711\r\n"],
  ])("%s %j says that everybody has it", (status, text) => {
    const verdict = judgeAnswer(status, text, two);
    expect(verdict).toMatchObject({ kind: "replies", again: [] });
    if (verdict.kind === "replies") expect([...verdict.replies.keys()]).toEqual(two);
  });

  it.each([
    [200, ""],
    [200, "2500"],
    [201, "250 OK"],
    [302, "250 OK"],
    [400, ""],
    [400, "250 OK"],
    [400, "<html>550 no</html>"],
    [400, "550 no\nand more"],
    [404, "550 no"],
    [500, "451 later"],
  ])("%s %j is no relay's", (status, text) => {
    expect(judgeAnswer(status, text, two)).toMatchObject({ kind: "not here" });
  });

  it("is one reply for a single recipient, whoever it names", () => {
    const verdict = judgeAnswer(400, "550 5.1.1 <x@y.example>: unknown", ["ann@b.example"]);
    if (verdict.kind !== "replies") throw new Error("no replies");
    expect(verdict.replies.get("ann@b.example")).toEqual({ code: 550, text: "5.1.1 <x@y.example>: unknown" });
  });

  it("accounts for each recipient exactly once, and never for others, whatever it says", () => {
    const status = fc.constantFrom(200, 400, 413, 500);
    const line = fc
      .tuple(
        fc.constantFrom("250", "450", "550", "523", "999", "4x0"),
        fc.constantFrom("", " 5.1.1", " 4.7.1", "-5.1.1"),
        fc.constantFrom("", " <ann@b.example>", " <BOB@B.example>", " <else@b.example>", "\u0000\u00ff"),
      )
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(status, fc.array(fc.oneof(line, fc.string()), { maxLength: 4 }), (code, lines) => {
        const verdict = judgeAnswer(code, lines.join("\r\n"), two);
        if (verdict.kind === "not here") return;
        expect([...verdict.replies.keys(), ...verdict.again].sort()).toEqual(two);
        for (const reply of verdict.replies.values()) {
          expect(reply.code === 250 || (reply.code >= 400 && reply.code <= 599)).toBe(true);
          expect(reply.text).toMatch(/^[\x20-\x7e]{1,400}$/);
        }
      }),
    );
  });
});
