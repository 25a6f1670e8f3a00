import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  escapeField,
  ProtocolError,
  parseCommand,
  replies,
  unescapeField,
} from "../../../services/metadata/protocol.ts";

const guid = "c854a6148b45016b684d000083ecc375";

describe("dict protocol", () => {
  it.each([
    ["H4\t0\t0\t\tmetadata", { kind: "hello", dictionary: "metadata" }],
    [`Lpriv/${guid}/devicetoken\tabc@x`, { kind: "lookup", key: `priv/${guid}/devicetoken`, user: "abc@x" }],
    ["Lshared/a", { kind: "lookup", key: "shared/a", user: "" }],
    [
      `I9\t0\tpriv/${guid}/\tabc@x`,
      {
        kind: "iterate",
        path: `priv/${guid}/`,
        user: "abc@x",
        recurse: true,
        exactKey: false,
        withValues: false,
        maxRows: 0,
      },
    ],
    ["B1\tabc@x\t0", { kind: "begin", id: 1, user: "abc@x" }],
    ["S1\tk\ta\x01tb\x01nc\x011", { kind: "set", id: 1, key: "k", value: "a\tb\nc\x01" }],
    ["U4294967295\tk", { kind: "unset", id: 4294967295, key: "k" }],
    ["A1\tk\t-5", { kind: "increment", id: 1, key: "k" }],
    ["T1\t1795245451\t0", { kind: "remark", id: 1 }],
    ["V1\tyes", { kind: "remark", id: 1 }],
    ["C1", { kind: "commit", id: 1 }],
    ["R1", { kind: "rollback", id: 1 }],
  ])("reads %j", (line, command) => {
    expect(parseCommand(line)).toEqual(command);
  });

  it.each([
    "",
    "X",
    "H3\t0\t0\t\tx",
    "H4\t0",
    "C",
    "C1x",
    "C-1",
    "C99999999999",
    "S1\tk",
    "I9\tk",
    "B\tuser",
    "\t",
  ])("refuses %j", (line) => {
    expect(() => parseCommand(line)).toThrow(ProtocolError);
  });

  it("writes the replies that Dovecot 2.4 reads", () => {
    expect(replies.value("a\tb")).toBe("Oa\x01tb\n");
    expect(replies.row("k", "")).toBe("Ok\t\n");
    expect(replies.committed(7)).toBe("O7\n");
    expect(replies.notCommitted(7, "no\nway")).toBe("F7\tno\x01nway\n");
  });

  it("brings any bytes through its escapes, with no separator left in them", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const text = Buffer.from(bytes).toString("latin1");
        const escaped = escapeField(text);
        expect(escaped).not.toMatch(/[\0\t\r\n]/);
        expect(unescapeField(escaped)).toBe(text);
      }),
    );
  });

  it("undoes unknown and cut-off escapes as Dovecot does", () => {
    expect(unescapeField("\x01x\x01")).toBe("x");
  });

  it("either reads a line or calls it a protocol error", () => {
    fc.assert(
      fc.property(fc.constantFrom(..."HLIBSUATVCRx"), fc.array(fc.string()), (command, fields) => {
        try {
          parseCommand(command + fields.join("\t"));
        } catch (cause) {
          expect(cause).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});
