/** What can be chosen on the way to a free name. Pure; called by choices.ts. */
import type { Choice } from "./choices.ts";
import { freeNameState, registeredName } from "./free-names.ts";
import type { State } from "./state.ts";

export function freeChoices(state: State): readonly Choice[] {
  if (state.page === "free-wait") {
    return [
      { id: "confirmed", label: "I have opened the link in the letter" },
      { id: "again", label: "No letter came: try once more" },
      { id: "password", label: "Type the password of the account again" },
      { id: "other", label: "Another name" },
    ];
  }
  if (state.page === "free-keep") {
    return [
      {
        id: "forget",
        label: "Forget it at the end",
        hint: "For a later change of the records you log in at deSEC again, here or there.",
      },
      {
        id: "keep",
        label: "Keep it in the relay's folder",
        hint: "In a file that only you can read. It stays on this computer and never goes to the relay.",
      },
    ];
  }
  return freeName(state);
}

function freeName({ answers, known }: State): Choice[] {
  const name = registeredName(answers.domain);
  const register = {
    id: "register",
    label: `Register ${name} now`,
    hint: "An e-mail address is all it takes.",
  };
  const other = { id: "other", label: "Another name" };
  const mine = [
    { id: "log-in", label: "It is mine: I log in to deSEC here" },
    { id: "have", label: "It is mine: I have a token, or set the records by hand" },
  ];
  switch (known.facts && freeNameState(known.facts)) {
    case "taken":
      return [other, ...mine];
    case "unknown":
      return [{ id: "look", label: "Look again" }, ...mine, other];
    default:
      return [register, ...mine, other];
  }
}
