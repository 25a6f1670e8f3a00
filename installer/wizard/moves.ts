/** How the wizard gets from page to page and begins a task. Pure; called by reduce.ts, submit.ts and results.ts. */
import type { Page } from "./answers.ts";
import { choicesOf } from "./choices.ts";
import type { Finding, Task } from "./effects.ts";
import { fieldWith } from "./field.ts";
import { questionOf } from "./questions.ts";
import { isBlocking, type State } from "./state.ts";

/** Ends what runs; without anything running, shows the page before. */
export function goBack(state: State): State {
  if (isBlocking(state.running)) return { ...state, running: undefined };
  const page = state.history.at(-1);
  if (page === undefined) return state;
  return { ...enter(state, page), history: state.history.slice(0, -1), found: [] };
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
  if (page === "provider" && answers.dns === "by-hand") return "by-hand";
  if (page === "provider") return answers.provider;
  if (page === "sign-up") return options.signUp;
  return undefined;
}

export function startTask(state: State, task: Task): State {
  const number = state.tasks + 1;
  return { ...state, tasks: number, running: { number, task, progress: undefined, stages: [] }, scrolled: 0 };
}
