/** The tasks that need a provider, as the state has it. Pure; called by submit.ts and free-names.ts. */
import type { Task } from "./effects.ts";
import type { State } from "./state.ts";

export function planTask(state: State): Task {
  return { kind: "plan", ...withProvider(state) };
}

export function applyTask(state: State): Task {
  return { kind: "apply", ...withProvider(state), changes: state.known.plan?.changes ?? [] };
}

export function undoTask(state: State): Task {
  return { kind: "undo", ...withProvider(state), backup: state.known.cutOff?.backup ?? "" };
}

function withProvider({ folder = "", answers, secrets }: State) {
  return { folder, answers, provider: answers.provider ?? "", credentials: secrets.credentials };
}
