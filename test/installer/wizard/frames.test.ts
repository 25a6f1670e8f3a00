/**
 * Every page as each kind of terminal shows it, drawn by Ink: nothing is cut off or wrapped by the terminal, the question
 * and the keys are in sight. The frames are kept in test/output/wizard, to be looked at.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import type { ReactElement } from "react";
import { createElement } from "react";
import { describe, expect, it, vi } from "vitest";
import { type Page, pages } from "../../../installer/wizard/answers.ts";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import { hypervisorIds } from "../../../installer/wizard/hypervisors.ts";
import type { Look } from "../../../installer/wizard/look.ts";
import { screenOf } from "../../../installer/wizard/screen.ts";
import { runningOf, type State } from "../../../installer/wizard/state.ts";
import { stepView } from "../../../installer/wizard/steps/step-view.ts";
import { layOut } from "../../../installer/wizard/view.ts";
import { domain } from "./imagined-world.ts";
import { stateOn } from "./page-states.ts";

// Read when Ink's colours are loaded, and no test runs in a terminal.
vi.stubEnv("FORCE_COLOR", "1");
const { renderToString, render, Text } = await import("ink");
const { Rows } = await import("../../../installer/wizard/rows.ts");

const folder = join(import.meta.dirname, "..", "..", "output", "wizard");
const full: Look = { colours: true, signs: true, blocks: true };

const terminals: readonly (readonly [string, Readonly<{ columns: number; rows: number }>, Look])[] = [
  ["80x24", { columns: 80, rows: 24 }, full],
  ["80x24-no-color", { columns: 80, rows: 24 }, { ...full, colours: false }],
  ["80x25-cmd", { columns: 80, rows: 25 }, { ...full, signs: false }],
  ["60x20", { columns: 60, rows: 20 }, full],
  ["40x14", { columns: 40, rows: 14 }, { colours: false, signs: false, blocks: false }],
];

// SGR 2 (dim) and 30 to 97 (ECMA-48 §8.3.117, and bright ones); bold is no colour.
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin so
const colours = /\u001b\[(?:2|[349][0-9])m/;

/** Quiet as most people see it, and as full as it gets. */
function statesOn(page: Page): readonly State[] {
  const crowded = stateOn(page);
  const quiet = { ...crowded, found: crowded.found.slice(0, 1) };
  const machines = hypervisorIds.map((hypervisor): State => {
    const ending = { vmware: "vmdk", virtualbox: "vmdk", other: "img" }[hypervisor as string] ?? "qcow2";
    const answers = {
      ...crowded.answers,
      place: "vm-home",
      hypervisor,
      image: `${domain}-vm.${ending}`,
    } as const;
    return { ...quiet, answers };
  });
  return [crowded, quiet, ...(page === "image" ? machines : [])];
}

const disk = {
  path: "/dev/mmcblk0",
  label: "Generic MassStorageClass, 31.9 GB (/dev/mmcblk0)",
  isRelay: false,
};
/** While something is done, as the two long tasks show it. */
const working: readonly State[] = [
  { kind: "build", folder: domain, target: "vm", form: "qcow2" } as const,
  { kind: "flash", image: `${domain}-pi.img`, disk } as const,
].map((task) => ({
  ...stateOn("options"),
  running: {
    ...runningOf(1, task),
    stages: ["Downloading packages: 168.0 of 168.0 MB (100 %)", "Unpacking packages", "Packing files"],
    progress: { stage: "Writing to /dev/mmcblk0", done: 123_456_789, total: 702_000_000, unit: "bytes" },
    speed: ", 12.3 MB/s, 48 s left",
  },
}));

const draw = (state: State, size: Readonly<{ columns: number; rows: number }>, look: Look): string =>
  renderToString(createElement(Rows, { rows: screenOf(state, size).rows, look }), { columns: size.columns });

/** As Ink writes for a screen reader, one after the other. */
function speaker(): Readonly<{ speak: (element: ReactElement) => string; end: () => void }> {
  const written: string[] = [];
  const stdout = Object.assign(new PassThrough(), {
    columns: 80,
    write: (text: string) => written.push(text) > 0,
  }) as unknown as NodeJS.WriteStream;
  const options = {
    stdout,
    debug: true,
    isScreenReaderEnabled: true,
    patchConsole: false,
    exitOnCtrlC: false,
  };
  const instance = render(createElement(Text), options);
  return {
    speak(element) {
      instance.rerender(element);
      return written.at(-1)!;
    },
    end: () => instance.unmount(),
  };
}

async function keep(name: string, frames: readonly (readonly [string, string])[], columns: number) {
  await mkdir(folder, { recursive: true });
  const text = frames.map(([title, frame]) => `${`── ${title} `.padEnd(columns, "─")}\n${frame}\n`).join("");
  await writeFile(join(folder, `${name}.txt`), text);
}

describe.each(terminals)("a terminal like %s", (name, size, look) => {
  const all = pages.flatMap((page) => statesOn(page).map((state) => [page, state] as const));
  it("shows every page whole, with its question and keys, and what it can show", async () => {
    const frames: [string, string][] = [];
    for (const [page, state] of [...all, ...working.map((one) => ["working", one] as const)]) {
      const frame = draw(state, size, look);
      frames.push([page, stripVTControlCharacters(frame)]);
      expect(colours.test(frame), page).toBe(look.colours);
      const lines = stripVTControlCharacters(frame).split("\n");
      if (!look.signs) expect(lines.join("")).toMatch(/^[\x20-\x7e]*$/);
      const rows = screenOf(state, size).rows.map(({ text }) => text);
      // Ink has cut and wrapped nothing.
      expect(lines.length, page).toBe(rows.length);
      expect(lines.map((line) => line.trimEnd().length)).toEqual(rows.map((row) => row.trimEnd().length));
      expect(lines.length, page).toBeLessThan(size.rows);
      for (const line of lines) expect([...line].length, `${page}: ${line}`).toBeLessThan(size.columns);
      expect(lines.slice(-2).join(" "), page).toContain("Ctrl-C leave");
      const marked = state.running === undefined ? choicesOf(state)[state.choice] : undefined;
      if (marked !== undefined)
        expect(
          lines.some((line) => /^[❯>] /.test(line)),
          page,
        ).toBe(true);
    }
    await keep(name, frames, size.columns);
  });

  it("shows all that a page says when it is scrolled", () => {
    for (const [page, state] of all) {
      const seen = new Set<string>();
      const width = size.columns - 2;
      const lines = layOut(stepView(state).blocks, width).map(({ text }) => text);
      for (let scrolled = 0; scrolled <= lines.length; scrolled++)
        for (const { text } of screenOf({ ...state, scrolled }, size).rows) seen.add(text);
      for (const line of lines) expect(seen.has(line) || line === "", `${page}: ${line}`).toBe(true);
    }
  });
});

describe("a screen reader", () => {
  it("is told every page in words, without signs and without an end of the line", async () => {
    const voice = speaker();
    const frames: [string, string][] = [];
    const states = pages.flatMap((page) => statesOn(page).map((state) => [page, state] as const));
    for (const [page, state] of [...states, ...working.map((one) => ["working", one] as const)]) {
      const { rows } = screenOf(state, undefined);
      const spoken = voice.speak(createElement(Rows, { rows, look: full }));
      frames.push([page, spoken]);
      expect(spoken, page).not.toMatch(/[✓✗❯█░↑↓·•]/);
      const lines = spoken.trimEnd().split("\n");
      expect(lines.length, page).toBe(rows.length);
      if (state.running === undefined && choicesOf(state).length > 0)
        expect(spoken, page).toContain("option: (selected) ");
    }
    voice.end();
    await keep("screen-reader", frames, 80);
  });
});
