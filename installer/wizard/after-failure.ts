/** Where the wizard goes on after a task that failed, or that was stopped: called by reduce.ts. Pure. */
import type { Task } from "./effects.ts";
import { afterStop, goTo } from "./moves.ts";
import { questionOf } from "./questions.ts";
import type { Running, State } from "./state.ts";

export type Failure = Readonly<{ message: string; isAccess: boolean }>;

/** What was typed wrong is said at the field; for what concerns no page there is one of its own. */
export function afterFailure(state: State, task: Task, { message, isAccess }: Failure): State {
  const bad = { mark: "bad", text: message } as const;
  const known = { ...state.known, isTrusted: state.known.isTrusted && !isAccess };
  const next = { ...state, known };
  switch (task.kind) {
    case "plan":
    case "apply":
    case "undo":
      if (next.page === "credential") return atField(next, message);
      if (isAccess) return goTo(withoutChange(next, task), "provider", [bad]);
      if (task.kind === "plan" && next.page !== "plan" && next.page !== "cut-off")
        return problem(next, task, message);
      return { ...withoutChange(next, task), found: [bad], choice: 0, scrolled: 0 };
    // The name may be somebody's by now, whose registration the DNS does not show yet.
    case "register":
      return goTo(next, "free-name", [bad]);
    // Whoever has not opened the link yet does so and tries again.
    case "login":
      return next.page === "free-login" ? atField(next, message) : { ...next, found: [bad] };
    default:
      return questionOf(next) !== undefined ? atField(next, message) : problem(next, task, message);
  }
}

/** A change that failed before its first record: what was agreed to is not what is there any more. */
function withoutChange(state: State, task: Task): State {
  if (task.kind !== "apply") return state;
  const { plan } = state.known;
  return {
    ...state,
    answers: { ...state.answers, dns: "open" },
    known: { ...state.known, plan: plan && { ...plan, isOld: true } },
  };
}

function atField(state: State, message: string): State {
  return { ...state, field: { ...state.field, problem: message } };
}

function problem(state: State, task: Task, message: string): State {
  return { ...goTo(state, "problem"), failed: { task, message } };
}

/** A task has done what it had to do before it could end. */
export function afterEnd(state: State, running: Running): State {
  const next = withoutChange(state, running.task);
  return { ...afterStop(next, running), ended: running.stopping === "leave" ? "left" : next.ended };
}
