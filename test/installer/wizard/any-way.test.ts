/** Whatever a person does, in whatever order, and whatever the tasks answer (installer/wizard/reduce.ts, screen.ts). */
import fc from "fast-check";
import { expect, it } from "vitest";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import type { TaskResult } from "../../../installer/wizard/effects.ts";
import { questionOf } from "../../../installer/wizard/questions.ts";
import { reduce } from "../../../installer/wizard/reduce.ts";
import { screenOf } from "../../../installer/wizard/screen.ts";
import { type Event, initialState, keptOf, type State } from "../../../installer/wizard/state.ts";
import { domain, usual } from "./imagined-world.ts";

/** Typed where a secret is asked for, and nowhere else. */
const secret = "Ωψ-Ωψ-Ωψ-Ωψ";
const terminal = { columns: 80, rows: 24 };

const choosing = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant("choose" as const), by: fc.integer({ min: -3, max: 3 }) }),
  },
  { weight: 10, arbitrary: fc.constant({ type: "submit" } as const) },
  { weight: 2, arbitrary: fc.constant({ type: "back" } as const) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("scroll" as const), by: fc.integer({ min: -9, max: 9 }) }),
  },
  { weight: 8, arbitrary: fc.constant("answer" as const) },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      domain,
      "rosegarden.dedyn.io",
      "_try.test",
      "198.35.26.96",
      "me@rosegarden.net",
      "",
      "~/x",
    ),
  },
);
const outcomes = fc.oneof(
  { weight: 5, arbitrary: fc.constant("done") },
  { weight: 1, arbitrary: fc.constant("stopped") },
  { weight: 1, arbitrary: fc.constant("failed") },
);

function eventsOf(state: State, did: string | Event, outcome: string): Event[] {
  if (typeof did === "object") return [did];
  if (did !== "answer")
    return [
      { type: "key", key: "erase-all" },
      { type: "text", text: typed(state, did) },
    ];
  if (state.running === undefined) return [];
  const { number, task } = state.running;
  if (outcome === "failed")
    return [{ type: "failed", number, message: "It did not work.", isAccess: number % 2 === 0 }];
  if (outcome === "stopped" && state.running.stopping !== undefined) return [{ type: "stopped", number }];
  const result: TaskResult =
    task.kind === "domain"
      ? { ...usual.domain, facts: { ...usual.domain.facts, domain: task.domain } }
      : usual[task.kind];
  return [{ type: "done", number, result }];
}

function typed(state: State, text: string): string {
  return questionOf(state)?.secret === true ? secret : text;
}

it("leads to a screen that fits, with no secret on it and none in what is kept", () => {
  const visited = new Set<string>();
  fc.assert(
    fc.property(fc.array(fc.tuple(choosing, outcomes), { minLength: 30, maxLength: 90 }), (steps) => {
      let state = initialState();
      for (const [did, outcome] of steps) {
        for (const event of eventsOf(state, did, outcome)) {
          const next = reduce(state, event);
          // A change of the records goes on until it tells its end.
          if (state.running?.task.kind === "apply" && !("number" in event && event.type !== "choose-number"))
            expect(next.running?.task).toBe(state.running.task);
          state = next;
        }
        visited.add(state.page);
        const { rows, cursor } = screenOf(state, terminal);
        expect(rows.length).toBeLessThan(terminal.rows);
        if (cursor !== undefined) expect(cursor.y).toBeLessThan(rows.length);
        expect(rows.map(({ text }) => text).join("")).not.toMatch(/[Ωψ]/);
        expect(JSON.stringify(keptOf(state)) ?? "").not.toMatch(/[Ωψ]/);
        expect(state.choice).toBeLessThan(Math.max(1, choicesOf(state).length));
      }
    }),
    { numRuns: 150 },
  );
  expect([...visited]).toEqual(expect.arrayContaining(["place", "address", "provider", "options"]));
});
