/**
 * A screen as rows of text: title, what the step says, then its field or list, then the keys. Fits the terminal:
 * what is too long is shown in part. Pure; called by app.ts, which draws each row.
 */
import { choicesOf } from "./choices.ts";
import { fieldText } from "./field.ts";
import { questionOf } from "./questions.ts";
import { isBlocking, type State } from "./state.ts";
import { milestone, stepView } from "./steps/step-view.ts";
import { cut, type Line, layOut, type Tone, wrap } from "./view.ts";

/** A row as it is drawn. */
export type Row = Readonly<{
  text: string;
  tone: Tone;
  /** Of a list: for screen readers. */
  choice?: Readonly<{ isChosen: boolean }>;
}>;

export type Screen = Readonly<{
  rows: readonly Row[];
  /** Where the next letter goes; undefined where nothing is typed. */
  cursor: Readonly<{ x: number; y: number }> | undefined;
}>;

/** Longer lines are hard to read. */
const MAX_WIDTH = 96;
/** Below that nothing fits; the terminal cuts it then. */
const MIN_WIDTH = 20;
const MIN_BODY_ROWS = 3;
/** Of a list this many are shown at least. */
const MIN_LIST_ROWS = 4;
const SEPARATOR = " · ";
const PROMPT = "❯ ";
const NO_PROMPT = "  ";

/** `size` undefined: for a screen reader, without breaks and without an edge. */
export function screenOf(
  state: State,
  size: Readonly<{ columns: number; rows: number }> | undefined,
): Screen {
  const width = size && Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, size.columns - 2));
  const view = stepView(state);
  const step = milestone(state);
  const isSpoken = width === undefined;
  const title = ["Homing", step, view.title].filter((part) => part !== "");
  const head: Row[] = [
    { text: cut(title.join(isSpoken ? ", " : SEPARATOR), width), tone: "strong" },
    ...gapFor(width),
  ];
  const answer = answerOf(state, view.advice, width);
  const foot: Row[] = [
    ...gapFor(width),
    // Broken rather than cut: the last key is the way out.
    ...wrap(keysOf(state, isSpoken).join(isSpoken ? ", " : SEPARATOR), width).map(
      (text): Row => ({ text, tone: "quiet" }),
    ),
  ];
  // Ink draws a screen that fills the terminal anew as a whole, which flickers: one row stays free.
  const room = size === undefined ? undefined : size.rows - 1 - head.length - foot.length;
  const body = layOut(view.blocks, width);
  const list = fitList(answer.rows, answer.chosen, room, body.length);
  const shown = fitBody(
    trimEnd(body),
    room === undefined ? undefined : room - list.length - 1,
    state.scrolled,
    width,
  );
  const above = [...head, ...shown, ...(list.length > 0 ? gapFor(width) : [])];
  return {
    rows: [...above, ...list, ...foot],
    cursor: answer.cursor && { x: answer.cursor.x, y: above.length + answer.cursor.y },
  };
}

function gapFor(width: number | undefined): Row[] {
  return width === undefined ? [] : [{ text: "", tone: "plain" }];
}

function trimEnd(lines: readonly Line[]): readonly Line[] {
  const last = lines.findLastIndex(({ text }) => text !== "");
  return lines.slice(0, last + 1);
}

type Answer = Readonly<{
  rows: readonly Row[];
  /** Index of the row that must stay in sight. */
  chosen: number;
  cursor: Readonly<{ x: number; y: number }> | undefined;
}>;

function answerOf(state: State, advice: string | undefined, width: number | undefined): Answer {
  if (isBlocking(state.running)) return { rows: [], chosen: 0, cursor: undefined };
  const question = questionOf(state);
  if (question === undefined) return listOf(state, width);
  const label = `${question.label}: `;
  const { shown, x } = fieldInView(state, question.secret, width && width - label.length);
  const { problem } = state.field;
  const below: Row[] = [
    ...(problem === undefined
      ? []
      : wrap(`${width === undefined ? "Wrong: " : "✗ "}${problem}`, width).map(
          (text): Row => ({ text, tone: "bad" }),
        )),
    ...(advice === undefined ? [] : wrap(advice, width).map((text): Row => ({ text, tone: "quiet" }))),
  ];
  return {
    rows: [{ text: `${label}${shown}`, tone: "strong" }, ...below],
    chosen: 0,
    cursor: { x: label.length + x, y: 0 },
  };
}

/** The part of what is typed that the cursor stands in; a secret as dots. */
function fieldInView(
  { field }: State,
  secret: boolean,
  width: number | undefined,
): Readonly<{ shown: string; x: number }> {
  const characters = secret ? field.characters.map(() => "•") : [...fieldText(field)];
  if (width === undefined && secret)
    return { shown: characters.length === 0 ? "" : `${characters.length} characters`, x: 0 };
  if (width === undefined || characters.length < width)
    return { shown: characters.join(""), x: field.cursor };
  const start = Math.max(0, field.cursor - width + 1);
  return { shown: characters.slice(start, start + width - 1).join(""), x: field.cursor - start };
}

function listOf(state: State, width: number | undefined): Answer {
  const rows: Row[] = [];
  let chosen = 0;
  for (const [index, { label, hint }] of choicesOf(state).entries()) {
    const isChosen = index === state.choice;
    if (isChosen) chosen = rows.length;
    const text =
      width === undefined ? `${index + 1}. ${label}` : cut(`${isChosen ? PROMPT : NO_PROMPT}${label}`, width);
    rows.push({ text, tone: isChosen ? "strong" : "plain", choice: { isChosen } });
    if (isChosen && hint !== undefined)
      rows.push(
        ...wrap(hint, width && width - 4).map(
          (line): Row => ({ text: width === undefined ? line : `    ${line}`, tone: "quiet" }),
        ),
      );
  }
  return { rows, chosen, cursor: undefined };
}

/** A long list leaves some room to the text above, and keeps what is chosen in its middle. */
function fitList(
  rows: readonly Row[],
  chosen: number,
  room: number | undefined,
  bodyRows: number,
): readonly Row[] {
  if (room === undefined) return rows;
  const wanted = Math.max(MIN_LIST_ROWS, room - 1 - Math.max(MIN_BODY_ROWS, bodyRows));
  if (rows.length <= wanted) return rows;
  const start = Math.max(0, Math.min(rows.length - wanted, chosen - Math.floor(wanted / 2)));
  const shown = rows.slice(start, start + wanted);
  return shown.map((row, index) => {
    const isCut = (index === 0 && start > 0) || (index === wanted - 1 && start + wanted < rows.length);
    return isCut && row.choice?.isChosen === false ? { ...row, text: "  …", tone: "quiet" } : row;
  });
}

/** As much as fits, from the line that was scrolled to. */
function fitBody(
  lines: readonly Line[],
  room: number | undefined,
  scrolled: number,
  width: number | undefined,
): readonly Row[] {
  if (room === undefined || lines.length <= room) return lines;
  const visible = Math.max(1, room - 1);
  const start = Math.min(scrolled, lines.length - visible);
  const left = lines.length - visible;
  const counts = `… ${start} above, ${left - start} below`;
  const keys = ": Page Up and Page Down";
  const hint = width === undefined || counts.length + keys.length <= width ? `${counts}${keys}` : counts;
  return [...lines.slice(start, start + visible), { text: cut(hint, width), tone: "quiet" }];
}

function keysOf(state: State, isSpoken: boolean): string[] {
  const leave = "Ctrl-C leave";
  if (state.running?.stopping !== undefined)
    return [state.running.stopping === "leave" ? "Ctrl-C leave without waiting" : leave];
  if (isBlocking(state.running)) return ["Esc stop", `${leave}, everything so far is kept`];
  return [
    ...(choicesOf(state).length > 1 ? [`${isSpoken ? "arrow keys" : "↑↓"} choose`] : []),
    "Enter go on",
    ...(state.history.length === 0 ? [] : ["Esc back"]),
    leave,
  ];
}
