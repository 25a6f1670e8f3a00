/** The message on its way after DATA: whatever the bytes and wherever they are cut. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createDotStuffer } from "../../../services/lib/smtp-dots.ts";

function stuffed(pieces: readonly Buffer[]): string {
  const stuffer = createDotStuffer();
  const out = pieces.flatMap((piece) => stuffer.next(piece));
  return Buffer.concat([...out, stuffer.end()]).toString("latin1");
}

/** What RFC 5321 §4.5.2 says in one go; a line ends with LF, with or without CR. */
function expected(message: string): string {
  const lines = message.replace(/\r?\n/g, "\r\n");
  const whole = lines === "" || lines.endsWith("\r\n") ? lines : `${lines}\r\n`;
  return `${whole.replace(/(^|\r\n)\./g, "$1..")}.\r\n`;
}

describe("a message after DATA", () => {
  it.each([
    ["", ".\r\n"],
    ["a", "a\r\n.\r\n"],
    [".", "..\r\n.\r\n"],
    ["a\r\n.\r\nMAIL FROM:<x>\r\n", "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"],
    ["a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n"],
    ["a\r.\rb", "a\r.\rb\r\n.\r\n"],
  ])("turns %j into %j", (message, wire) => {
    expect(stuffed([Buffer.from(message)])).toBe(wire);
  });

  it("comes out the same however it is cut", () => {
    const text = fc.array(fc.constantFrom("\r", "\n", ".", "a", "\r\n", "\r\n."), { maxLength: 40 });
    fc.assert(
      fc.property(text, fc.array(fc.nat(60)), (parts, cuts) => {
        const message = parts.join("");
        const places = [
          0,
          ...cuts.filter((cut) => cut < message.length).sort((a, b) => a - b),
          message.length,
        ];
        const pieces = places.slice(1).map((end, i) => Buffer.from(message.slice(places[i], end)));
        expect(stuffed(pieces)).toBe(expected(message));
      }),
    );
  });
});
