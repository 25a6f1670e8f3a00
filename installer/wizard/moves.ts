/** How the wizard gets from page to page and begins a task. Pure; called by reduce.ts, submit.ts and results.ts. */
import type { Page } from "./answers.ts";
import { choicesOf } from "./choices.ts";
import type { Finding, Task, TaskKind } from "./effects.ts";
import { fieldWith } from "./field.ts";
import { questionOf } from "./questions.ts";
import { isBlocking, type Running, runningOf, type State } from "./state.ts";
import { stoppedWords } from "./stop-words.ts";

/**
 * Ends what runs, and says what that means; without anything running, shows the page before, or the field before on a
 * page with several.
 */
export function goBack(state: State): State {
  const { running, known } = state;
  if (running !== undefined && isBlocking(running)) return stop(state, running);
  if (state.page === "credential" && known.credential > 0)
    return enter({ ...state, known: { ...known, credential: known.credential - 1 } }, "credential");
  const page = state.history.at(-1);
  if (page === undefined) return state;
  return { ...enter(state, page), history: state.history.slice(0, -1), found: [] };
}

/** What must not end in the midst of something; what only looks is left at once. */
const careful: ReadonlySet<TaskKind> = new Set(["register", "login", "apply", "undo", "build", "flash"]);

function stop(state: State, running: Running): State {
  if (careful.has(running.task.kind))
    return running.stopping ? state : { ...state, running: { ...running, stopping: "back" } };
  return afterStop(state, running);
}

/** Where it was begun, with a word on what that leaves. */
export function afterStop(state: State, running: Running): State {
  const earlier = running.task.kind === "watch" ? state.found : [];
  const found: Finding = { mark: "note", text: stoppedWords(running) };
  return { ...state, running: undefined, found: [...earlier, found], scrolled: 0 };
}

/** Ctrl-C: what changes something ends first where it may; a second Ctrl-C does not wait for that. */
export function leave(state: State): State {
  const { running } = state;
  const waits = running !== undefined && careful.has(running.task.kind) && running.stopping !== "leave";
  return waits
    ? { ...state, running: { ...running, stopping: "leave" } }
    : { ...state, running: undefined, found: [], ended: "left" };
}

/** Shows a page, with this one to go back to. A problem and a page that is shown again are nothing to go back to. */
export function goTo(state: State, page: Page, found: readonly Finding[] = []): State {
  const isKept = state.page !== "problem" && state.page !== page;
  const history = isKept ? [...state.history, state.page] : state.history;
  return { ...enter(state, page), history, found };
}

/** The page with what was answered there before. */
function enter(state: State, page: Page): State {
  const shown = { ...state, page, choice: 0, scrolled: 0, failed: undefined };
  const choice = choicesOf(shown).findIndex(({ id }) => id === answerOn(shown));
  return { ...shown, choice: Math.max(0, choice), field: fieldWith(questionOf(shown)?.before ?? "") };
}

function answerOn({ page, answers, options }: State): string | undefined {
  if (page === "place") return answers.place;
  if (page === "hypervisor") return answers.hypervisor;
  if (page === "provider" && answers.dns === "by-hand") return "by-hand";
  if (page === "provider") return answers.provider;
  if (page === "sign-up") return options.signUp;
  return undefined;
}

export function startTask(state: State, task: Task): State {
  const number = state.tasks + 1;
  return { ...state, tasks: number, running: runningOf(number, task), scrolled: 0 };
}
