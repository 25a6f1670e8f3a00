/**
 * The wizard's logic: what an event makes of the state. Pure. What an answer leads to is in submit.ts, what the result
 * of a task leads to in results.ts.
 */
import { choicesOf } from "./choices.ts";
import type { Task } from "./effects.ts";
import { insertText, pressKey } from "./field.ts";
import { goBack, goTo } from "./moves.ts";
import { questionOf } from "./questions.ts";
import { afterTask } from "./results.ts";
import { type Event, isBlocking, type Running, type State } from "./state.ts";
import { submit } from "./submit.ts";

export function reduce(state: State, event: Event): State {
  if (state.ended !== "no") return state;
  switch (event.type) {
    case "progress":
    case "done":
    case "failed":
      return state.running?.number === event.number ? follow(state, event, state.running) : state;
    case "leave":
      return { ...state, running: undefined, ended: "left" };
    case "scroll":
      return { ...state, scrolled: Math.max(0, state.scrolled + event.by) };
    case "back":
      return goBack(state);
    default:
      return isBlocking(state.running) ? state : input(state, event);
  }
}

function input(state: State, event: Exclude<Event, { type: "progress" | "done" | "failed" }>): State {
  const isQuestion = questionOf(state) !== undefined;
  const count = choicesOf(state).length;
  switch (event.type) {
    case "text":
      return isQuestion ? { ...state, field: insertText(state.field, event.text) } : state;
    case "key":
      return isQuestion ? { ...state, field: pressKey(state.field, event.key) } : state;
    case "choose":
      return count === 0 ? state : { ...state, choice: (state.choice + event.by + count) % count };
    case "choose-number":
      return event.number >= 1 && event.number <= count ? { ...state, choice: event.number - 1 } : state;
    case "submit":
      return submit(state);
    default:
      return state;
  }
}

function follow(
  state: State,
  event: Extract<Event, { type: "progress" | "done" | "failed" }>,
  running: Running,
): State {
  switch (event.type) {
    case "progress": {
      const last = running.progress?.stage;
      const isNew = last !== undefined && last !== event.progress.stage;
      const stages = isNew ? [...running.stages, last] : running.stages;
      return { ...state, running: { ...running, progress: event.progress, stages } };
    }
    case "done":
      return afterTask({ ...state, running: undefined, failed: undefined }, event.result);
    case "failed":
      return afterFailure({ ...state, running: undefined }, running.task, event.message);
  }
}

/** What was typed wrong is said at the field; for everything else there is a page of its own. */
function afterFailure(state: State, task: Task, message: string): State {
  if (questionOf(state) !== undefined) return { ...state, field: { ...state.field, problem: message } };
  // Whoever has not opened the link yet does so and tries again.
  if (task.kind === "login") return { ...state, found: [{ mark: "bad", text: message }] };
  return { ...goTo(state, "problem"), failed: { task, message } };
}
