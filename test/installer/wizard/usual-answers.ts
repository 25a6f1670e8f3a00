/** What somebody says to the wizard in the usual case, for the tests of its logic. */
import { choicesOf } from "../../../installer/wizard/choices.ts";
import type { State } from "../../../installer/wizard/state.ts";
import { domain, type Said } from "./imagined-world.ts";

export const begin: Said = { choose: 0 };
export const named: Said = { text: domain };
export const onPi: Said = { choose: 0 };
export const address: Said = { text: "198.35.26.96" };
export const token: Said = { text: "sesame" };
export const toProvider = [begin, named, onPi, address];
export const toOptions = [...toProvider, { choose: 0 }, token, { choose: 0 }];

/** Chooses by name what the page offers. */
export function choose(state: State, id: string): Said {
  const index = choicesOf(state).findIndex((choice) => choice.id === id);
  if (index < 0) throw new Error(`${state.page} offers no ${id}`);
  return { choose: index };
}
