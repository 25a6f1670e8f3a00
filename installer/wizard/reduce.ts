/**
 * The wizard's logic: what an event makes of the state. Pure. What an answer leads to is in submit.ts, what the result
 * of a task leads to in results.ts, what its failure in after-failure.ts.
 */
import { afterEnd, afterFailure } from "./after-failure.ts";
import { choicesOf } from "./choices.ts";
import { insertText, pressKey } from "./field.ts";
import { goBack, leave } from "./moves.ts";
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
    case "stopped":
      return state.running?.number === event.number ? follow(state, event, state.running) : state;
    case "leave":
      return leave(state);
    case "scroll":
      return { ...state, scrolled: Math.max(0, state.scrolled + event.by) };
    case "back":
      return goBack(state);
    default:
      return isBlocking(state.running) ? state : input(state, event);
  }
}

function input(state: State, event: Exclude<Event, Told>): State {
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

type Told = Extract<Event, { type: "progress" | "done" | "failed" | "stopped" }>;

function follow(state: State, event: Told, running: Running): State {
  switch (event.type) {
    case "progress": {
      const last = running.progress?.stage;
      const isNew = last !== undefined && last !== event.progress.stage;
      const stages = isNew ? [...running.stages, last] : running.stages;
      const { progress, speed } = event;
      return { ...state, running: { ...running, progress, speed, stages } };
    }
    case "done":
      return asWanted(
        afterTask({ ...state, running: undefined, failed: undefined }, event.result),
        running.stopping,
      );
    case "failed":
      return asWanted(afterFailure({ ...state, running: undefined }, running.task, event), running.stopping);
    case "stopped":
      return afterEnd({ ...state, running: undefined }, running);
  }
}

/** It ended before it could be stopped: what came of it stays, and nothing new is begun. */
function asWanted(state: State, stopping: Running["stopping"]): State {
  if (stopping === undefined) return state;
  return { ...state, running: undefined, ended: stopping === "leave" ? "left" : state.ended };
}
