/** What stands on the terminal (installer/wizard/screen.ts, view.ts, look.ts, steps/), row by row. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pages } from "../../../installer/wizard/answers.ts";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import {
  fieldText,
  fieldWith,
  insertText,
  MAX_FIELD_LENGTH,
  pressKey,
} from "../../../installer/wizard/field.ts";
import { drawable, lookOf } from "../../../installer/wizard/look.ts";
import { screenOf } from "../../../installer/wizard/screen.ts";
import type { State } from "../../../installer/wizard/state.ts";
import { cut, wrap } from "../../../installer/wizard/view.ts";
import { usual } from "./imagined-world.ts";
import { stateOn } from "./page-states.ts";

const terminal = { columns: 80, rows: 24 };
const secret = "open-sesame-4711";

const texts = (state: State, size = terminal) => screenOf(state, size).rows.map(({ text }) => text);
const spokenTexts = (state: State) => screenOf(state, undefined).rows.map(({ text }) => text);

describe("every page", () => {
  it.each(pages)("%s fits 80×24, with its question and keys in sight", (page) => {
    for (const problem of [
      undefined,
      "this is wrong, and it takes more than one line to say so: ".repeat(3),
    ]) {
      const state = { ...stateOn(page), field: { ...fieldWith("something"), problem } };
      const rows = texts(state);
      expect(rows.length).toBeLessThan(terminal.rows);
      for (const row of rows) expect([...row].length).toBeLessThanOrEqual(78);
      expect(rows[0]).toMatch(/^Homing · /);
      expect(rows.at(-1)).toContain("Enter go on");
      const marked = choicesOf(state)[state.choice];
      if (marked !== undefined) expect(rows.some((row) => row.startsWith("❯ "))).toBe(true);
    }
  });

  it.each(pages)("%s is readable in a small window, and without any edge for a screen reader", (page) => {
    const rows = texts(stateOn(page), { columns: 40, rows: 14 });
    expect(rows.length).toBeLessThanOrEqual(14);
    const spoken = spokenTexts(stateOn(page));
    expect(spoken.join("\n")).not.toContain("❯");
    expect(spoken).not.toContain("");
  });

  it("keeps what is chosen in sight, however long the list is", () => {
    const state = stateOn("provider");
    const known = {
      ...state.known,
      providers: Array.from({ length: 40 }, (_, id) => ({
        ...usual.domain.providers[0]!,
        id: `p${id}`,
        name: `Provider ${id}`,
      })),
    };
    const long = { ...state, known };
    for (const [choice, { label }] of choicesOf(long).entries())
      expect(texts({ ...long, choice })).toContain(`❯ ${label}`);
  });

  it("shows the rest of a long text by scrolling", () => {
    const state = { ...stateOn("plan"), found: [] };
    const many = {
      ...state.known.plan!,
      changes: Array.from({ length: 30 }, (_, index) => `+ change ${index}`),
    };
    const long = { ...state, known: { ...state.known, plan: many } };
    expect(texts(long).join("\n")).not.toContain("change 29");
    expect(texts({ ...long, scrolled: 99 }).join("\n")).toContain("change 29");
  });
});

describe("a secret", () => {
  it("is drawn as dots, with the cursor behind the last", () => {
    const state = { ...stateOn("credential"), field: fieldWith(secret) };
    const asked = { ...state, known: { ...state.known, credential: 1 } };
    const { rows, cursor } = screenOf(asked, terminal);
    const row = rows[cursor!.y]!.text;
    expect(row).toBe(`Password: ${"•".repeat(secret.length)}`);
    expect(cursor!.x).toBe(row.length);
  });

  it.each(pages)("stands nowhere on the page %s", (page) => {
    const state = stateOn(page);
    const secrets = { credentials: { token: secret }, email: "", password: secret, wifiPassword: secret };
    const known = { ...state, secrets };
    expect(texts(known).join("\n")).not.toContain(secret);
    expect(spokenTexts(known).join("\n")).not.toContain(secret);
  });
});

describe("the field", () => {
  it("shows the part of a long text in which the cursor stands", () => {
    const state = { ...stateOn("domain"), field: fieldWith("a".repeat(100)) };
    const { rows, cursor } = screenOf(state, terminal);
    expect(rows[cursor!.y]!.text.length).toBeLessThanOrEqual(78);
    expect(cursor!.x).toBeLessThan(80);
  });

  it("edits like an array of characters does", () => {
    const keys = fc.constantFrom("left", "right", "home", "end", "erase", "erase-word", "erase-all" as const);
    const typed = fc.string({ unit: "grapheme", maxLength: 8 });
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            keys.map((key) => ({ key })),
            typed.map((text) => ({ text })),
          ),
        ),
        (events) => {
          let field = fieldWith("");
          for (const event of events) {
            const before = fieldText(field);
            field = "key" in event ? pressKey(field, event.key as "left") : insertText(field, event.text);
            expect(field.cursor).toBeGreaterThanOrEqual(0);
            expect(field.cursor).toBeLessThanOrEqual(field.characters.length);
            if ("key" in event && ["left", "right", "home", "end"].includes(event.key))
              expect(fieldText(field)).toBe(before);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("takes no control characters of a pasted text, and no more than fits", () => {
    expect(fieldText(insertText(fieldWith(""), "one\r\ntwo\u001b[31m"))).toBe("onetwo[31m");
    expect(insertText(fieldWith("x"), "y".repeat(5000)).characters.length).toBe(MAX_FIELD_LENGTH);
  });
});

describe("text", () => {
  it("is wrapped within the width, and no word of it is lost", () => {
    fc.assert(
      fc.property(fc.lorem({ maxCount: 60 }), fc.integer({ min: 12, max: 90 }), (words, width) => {
        const lines = wrap(words, width);
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
        expect(lines.join(" ")).toBe(words);
      }),
    );
  });

  it("is cut with a sign that there was more", () => {
    expect(cut("abcdef", 4)).toBe("abc…");
    expect(cut("abcd", 4)).toBe("abcd");
  });

  it.each([
    [{ TERM: "xterm", LANG: "en_US.UTF-8" }, "linux", { colours: true, signs: true, blocks: true }],
    [{ TERM: "xterm", LANG: "C" }, "linux", { colours: true, signs: false, blocks: false }],
    [{ TERM: "xterm" }, "linux", { colours: true, signs: false, blocks: false }],
    [{ TERM: "linux", LC_ALL: "C.UTF-8" }, "linux", { colours: true, signs: false, blocks: true }],
    [{ TERM: "dumb", LANG: "C.UTF-8" }, "linux", { colours: false, signs: false, blocks: false }],
    [
      { TERM: "xterm", LANG: "C.utf8", NO_COLOR: "1" },
      "linux",
      { colours: false, signs: true, blocks: true },
    ],
    [{ TERM: "xterm", LANG: "C.utf8", NO_COLOR: "" }, "linux", { colours: true, signs: true, blocks: true }],
    [{}, "win32", { colours: true, signs: false, blocks: true }],
    [{ WT_SESSION: "5" }, "win32", { colours: true, signs: true, blocks: true }],
    [{ TERM: "xterm-256color" }, "darwin", { colours: true, signs: true, blocks: true }],
  ] as const)("%j on %s is shown with %j", (env, platform, look) => {
    expect(lookOf(env, platform)).toEqual(look);
  });

  it.each(pages)("of the page %s has a form in ASCII as long as the other", (page) => {
    const look = { colours: true, signs: false, blocks: true };
    for (const row of texts(stateOn(page))) {
      const drawn = drawable(row, look);
      expect(drawn).toMatch(/^[\x20-\x7e]*$/);
      expect(drawn).not.toContain("?".repeat(2));
      expect([...drawn].length).toBe([...row].length);
    }
  });
});
