/** The tasks that need a provider, as the state has it. Pure; called by submit.ts and free-names.ts. */
import type { Task } from "./effects.ts";
import type { State } from "./state.ts";

export function planTask(state: State): Task {
  const { removeParking } = state.known;
  return { kind: "plan", ...withProvider(state), removeParking };
}

export function applyTask(state: State): Task {
  const { plan, removeParking } = state.known;
  return { kind: "apply", ...withProvider(state), removeParking, changes: plan?.changes ?? [] };
}

export function undoTask(state: State): Task {
  return { kind: "undo", ...withProvider(state), backup: state.known.cutOff?.backup ?? "" };
}

function withProvider({ folder = "", answers, secrets }: State) {
  return { folder, answers, provider: answers.provider ?? "", credentials: secrets.credentials };
}
