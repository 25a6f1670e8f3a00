/**
 * The wizard on the terminal (Ink): draws the rows of screen.ts, makes events of keys, has the tasks done that the
 * state wants, and keeps what is to be kept. All decisions are reduce.ts's. Started by start.ts.
 */
import {
  type Key,
  useApp,
  useCursor,
  useInput,
  useIsScreenReaderEnabled,
  usePaste,
  useStdout,
  useWindowSize,
} from "ink";
import { createElement as h, type ReactNode, useEffect, useReducer, useRef } from "react";
import type { Kept } from "./answers.ts";
import type { Effects } from "./effects.ts";
import type { FieldKey } from "./field.ts";
import type { Look } from "./look.ts";
import { reduce } from "./reduce.ts";
import { Rows } from "./rows.ts";
import { runTask } from "./run-task.ts";
import { screenOf } from "./screen.ts";
import { type Event, initialState, keptOf } from "./state.ts";

export type AppProps = Readonly<{
  effects: Effects;
  look: Look;
  /** Called with whatever is to be kept, each time that it changed. */
  keep: (folder: string, kept: Kept) => Promise<void>;
}>;

const PAGE_ROWS = 8;

export function App({ effects, look, keep }: AppProps): ReactNode {
  const [state, dispatch] = useReducer(reduce, undefined, initialState);
  const { exit } = useApp();
  const { write } = useStdout();
  const size = useWindowSize();
  const isSpoken = useIsScreenReaderEnabled();
  const { setCursorPosition } = useCursor();

  useInput((input, key) => {
    for (const event of eventsOf(input, key)) dispatch(event);
  });
  usePaste((text) => dispatch({ type: "text", text }));

  const saved = useRef(Promise.resolve());
  const kept = keptOf(state);
  const keptText = JSON.stringify(kept);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what it says decides, not which object says it
  useEffect(() => {
    if (kept !== undefined) saved.current = keep(kept.folder, kept.kept);
  }, [keptText]);

  const { running, printed, ended } = state;
  const { number, stopping } = running ?? {};
  const stopTask = useRef(() => {});
  const task = useRef(running?.task);
  task.current = running?.task;
  // The number stands for the task: progress alone begins nothing anew.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  useEffect(() => {
    if (number === undefined || task.current === undefined) return;
    const stop = new AbortController();
    const drop = new AbortController();
    stopTask.current = () => stop.abort();
    void runTask(effects, task.current, number, {
      ...{ dispatch, fail: exit },
      ...{ stop: stop.signal, dropped: drop.signal, isSpoken },
    });
    return () => {
      drop.abort();
      stop.abort();
    };
  }, [number]);
  useEffect(() => {
    if (stopping !== undefined) stopTask.current();
  }, [stopping]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: each text is printed once
  useEffect(() => {
    if (printed.number > 0) write(`${printed.text}\n`);
  }, [printed.number]);

  useEffect(() => {
    if (ended !== "no") exit(state);
  }, [ended, exit, state]);

  const screen = screenOf(state, isSpoken ? undefined : size);
  setCursorPosition(isSpoken ? undefined : screen.cursor);
  return h(Rows, { rows: screen.rows, look });
}

/** What a key means; the same wherever it is pressed. */
function eventsOf(input: string, key: Key): Event[] {
  if (key.ctrl) return controlEvents(input);
  if (key.return) return [{ type: "submit" }];
  if (key.escape) return [{ type: "back" }];
  if (key.upArrow || (key.tab && key.shift)) return [{ type: "choose", by: -1 }];
  if (key.downArrow || key.tab) return [{ type: "choose", by: 1 }];
  if (key.pageUp) return [{ type: "scroll", by: -PAGE_ROWS }];
  if (key.pageDown) return [{ type: "scroll", by: PAGE_ROWS }];
  const edit = editKey(key);
  if (edit !== undefined) return [{ type: "key", key: edit }];
  if (key.meta || input === "") return [];
  if (/^[1-9]$/.test(input)) return [...typedEvents(input), { type: "choose-number", number: Number(input) }];
  return typedEvents(input);
}

/** A busy computer reads several keys at once: what was typed, with Enter and Backspace in the midst of it. */
function typedEvents(input: string): Event[] {
  return input
    .split(/(\r\n?|\n|[\b\u007f])/u)
    .filter((part) => part !== "")
    .map((part): Event => {
      if (/^[\r\n]/.test(part)) return { type: "submit" };
      return /^[\b\u007f]$/u.test(part) ? { type: "key", key: "erase" } : { type: "text", text: part };
    });
}

/** As in shells. */
function controlEvents(input: string): Event[] {
  const keys: Readonly<Record<string, FieldKey>> = {
    a: "home",
    e: "end",
    u: "erase-all",
    w: "erase-word",
    h: "erase",
  };
  if (input === "c") return [{ type: "leave" }];
  const key = keys[input];
  return key === undefined ? [] : [{ type: "key", key }];
}

function editKey(key: Key): FieldKey | undefined {
  if (key.leftArrow) return "left";
  if (key.rightArrow) return "right";
  if (key.home) return "home";
  if (key.end) return "end";
  // Terminals disagree which of the two the key with the arrow to the left sends.
  return key.backspace || key.delete ? "erase" : undefined;
}
