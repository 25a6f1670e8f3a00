/** Step: something failed that no question asked for. */
import type { State } from "../state.ts";
import { text, type View } from "../view.ts";

export function problemView({ failed }: State): View {
  return { title: "That did not work", blocks: [text(failed?.message ?? "", "bad")] };
}
