/** Where a message ends, however it is cut into pieces. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { createMessageReader } from "../../../services/door/message-end.ts";

/** Pieces of which ends and what looks like them are made. */
const text = fc
  .array(fc.constantFrom("\r\n", ".", "..", "\r", "\n", "a", "\r\n.", ".\r", "bc"), { maxLength: 30 })
  .map((parts) => parts.join(""));

it("gives on all but the last line, and what follows it apart", () => {
  fc.assert(
    fc.property(text, text, fc.array(fc.nat(8), { maxLength: 40 }), (before, after, cuts) => {
      const whole = `${before}\r\n.\r\n${after}`;
      const end = `\r\n${whole}`.indexOf("\r\n.\r\n");
      const reader = createMessageReader();
      let given = "";
      let rest = whole;
      for (let i = 0; ; i++) {
        const size = cuts.length === 0 ? whole.length : (cuts[i % cuts.length] ?? 1);
        const result = reader.next(Buffer.from(rest.slice(0, size), "latin1"));
        rest = rest.slice(size);
        given += result.give.toString("latin1");
        if (result.rest !== undefined) {
          rest = result.rest.toString("latin1") + rest;
          break;
        }
        if (i > 1000) return;
      }
      expect(given).toBe(whole.slice(0, end));
      expect(rest).toBe(whole.slice(end + 3));
      expect(reader.digest()).toEqual(createHash("sha256").update(given, "latin1").digest());
    }),
  );
});

it.each([
  ["Message-ID: <a@b>\r\n\r\nx\r\n", "<a@b>"],
  ["From: x\r\nmessage-id:\r\n <a@b>\r\n\r\nx\r\n", "<a@b>"],
  ["From: x\r\n\r\nMessage-ID: <a@b>\r\n", undefined],
  ["Message-ID: <a\tb>\r\n\r\n", undefined],
  ["X-Message-ID: <a@b>\r\n\r\n", undefined],
])("reads the Message-ID of %j", (source, id) => {
  const reader = createMessageReader();
  reader.next(Buffer.from(`${source}.\r\n`));
  expect(reader.messageId()).toBe(id);
});
