/** The wizard when a change of the records does not come to its end, and when a person stops a task (reduce.ts). */
import { describe, expect, it } from "vitest";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import type { CutOff } from "../../../installer/wizard/effects.ts";
import { endingText } from "../../../installer/wizard/ending.ts";
import { reduce } from "../../../installer/wizard/reduce.ts";
import { screenOf } from "../../../installer/wizard/screen.ts";
import { type Event, keptOf, type State } from "../../../installer/wizard/state.ts";
import { domain, options, type Said, usual, walk } from "./imagined-world.ts";

const toToken: readonly Said[] = [
  { choose: 0 },
  { text: domain },
  { choose: 0 },
  { text: "198.35.26.96" },
  { choose: 0 },
];
const toPlan: readonly Said[] = [...toToken, { text: "sesame" }];

const cutOff: CutOff = {
  why: "Fleet did not change the records: too many requests.",
  ...{ written: [`${domain} A`], missing: [`${domain} MX`], isKnown: true, backup: "x/dns-backup-1.json" },
};

const press = (state: State, ...events: readonly Event[]) => events.reduce(reduce, state);
const applying = () => press(walk(toPlan), { type: "submit" });
const shown = (state: State) =>
  screenOf(state, { columns: 80, rows: 24 })
    .rows.map(({ text }) => text)
    .join("\n");
const ids = (state: State) => choicesOf(state).map(({ id }) => id);

/** The running task ends like this. */
function ends(
  state: State,
  how: "stopped" | Readonly<{ message: string; isAccess: boolean }> | CutOff,
): State {
  const { number } = state.running!;
  if (how === "stopped") return reduce(state, { type: "stopped", number });
  if ("message" in how) return reduce(state, { type: "failed", number, ...how });
  return reduce(state, { type: "done", number, result: { ...usual.apply, findings: [], cutOff: how } });
}

function choose(state: State, id: string): State {
  return press(state, { type: "choose", by: ids(state).indexOf(id) - state.choice }, { type: "submit" });
}

describe("a change of the records that is cut off", () => {
  it("is shown with what was written, what not, and the back-up", () => {
    const state = ends(applying(), cutOff);
    const text = shown(state);
    expect(text).toContain("too many requests");
    expect(text).toContain(`✓ written      ${domain} A`);
    expect(text).toContain(`✗ not written  ${domain} MX`);
    expect(text).toContain("x/dns-backup-1.json");
    expect(ids(state)).toEqual(["again", "undo", "by-hand"]);
  });

  it("can be gone on with by a new plan, taken back, or done by hand", () => {
    const state = ends(applying(), cutOff);
    expect(choose(state, "again").running?.task.kind).toBe("plan");
    expect(choose(state, "by-hand").page).toBe("by-hand");
    const undone = choose(state, "undo");
    expect(undone.running?.task).toMatchObject({ kind: "undo", backup: cutOff.backup, provider: "fleet" });
    const { number } = undone.running!;
    expect(reduce(undone, { type: "done", number, result: usual.undo })).toMatchObject({
      ...{ page: "provider", found: usual.undo.findings, answers: { dns: "open" } },
    });
    const failed = ends(undone, { message: "Fleet is down.", isAccess: false });
    expect(failed).toMatchObject({ page: "cut-off", found: [{ mark: "bad", text: "Fleet is down." }] });
    expect(ids(failed)).toContain("undo");
  });

  it("is told by the next start, and by the last words of this one", () => {
    const { answers } = keptOf(applying())!.kept;
    expect(answers.dns).toBe("begun");
    const kept = { page: "options", answers: { ...answers, domain } } as const;
    const state = walk([{ choose: 0 }], {
      relays: { ...usual.relays, relays: [{ folder: domain, domain, kept }] },
      open: { ...usual.open, kept, options },
    });
    expect(state.found[0]!.text).toContain("was begun, and nobody saw its end");
    const left = press(ends(applying(), cutOff), { type: "leave" });
    const look = { colours: false, signs: false, blocks: false };
    expect(endingText(left, look, 200)).toContain("1 of 2 record sets are written");
  });

  it("before the provider has published it is published, though no record is missing", () => {
    const again = choose(ends(applying(), { ...cutOff, missing: [] }), "again");
    const plan = { ...usual.plan, plan: { changes: [], findings: [], blocked: undefined } };
    const state = reduce(again, { type: "done", number: again.running!.number, result: plan });
    expect(state.running?.task).toMatchObject({ kind: "apply", changes: [] });
    expect(walk([], {}, state)).toMatchObject({ page: "options", answers: { dns: "published" } });
  });

  it("that changed nothing is planned anew, never tried with the old plan", () => {
    const state = ends(applying(), { message: "The zone has changed.", isAccess: false });
    expect(state).toMatchObject({ page: "plan", answers: { dns: "open" } });
    expect(shown(state)).toContain("The zone has changed.");
    expect(ids(state)).toEqual(["again", "by-hand"]);
    const again = choose(state, "again");
    expect(again.running?.task.kind).toBe("plan");
    const planned = walk([], {}, again);
    expect(ids(planned)).toContain("apply");
  });

  it("for want of rights leads back to the provider, with the reason", () => {
    const state = ends(applying(), { message: "The token may only read.", isAccess: true });
    expect(state).toMatchObject({ page: "provider", known: { isTrusted: false } });
    expect(state.found).toEqual([{ mark: "bad", text: "The token may only read." }]);
  });
});

describe("a registrar's parking page", () => {
  it("goes only when the person says so, with the change that is shown then", () => {
    const parked = { ...usual.plan.plan, blocked: "www is an alias.", parking: ["www CNAME parked.net."] };
    const state = walk(toPlan, { plan: { kind: "plan", plan: parked } });
    expect(ids(state)).toEqual(["unpark", "again", "by-hand"]);
    expect(shown(state)).toContain("www CNAME parked.net.");
    expect(choose(state, "again").running?.task).toMatchObject({ kind: "plan", removeParking: false });
    const unparking = choose(state, "unpark");
    expect(unparking.running?.task).toMatchObject({ kind: "plan", removeParking: true });
    const agreed = press(walk([], {}, unparking), { type: "submit" });
    expect(agreed.running?.task).toMatchObject({ kind: "apply", removeParking: true });
  });
});

describe("a wrong token", () => {
  it("does not bar the way forward again after going back", () => {
    let state = press(walk(toToken), { type: "text", text: "wrong" }, { type: "submit" });
    state = ends(state, { message: "The token is wrong.", isAccess: true });
    state = press(state, { type: "back" }, { type: "back" });
    expect(state.page).toBe("address");
    state = walk([{ text: "198.35.26.97" }], {}, state);
    expect(state.page).toBe("provider");
    expect(walk([{ choose: 0 }, { text: "right" }], {}, state).page).toBe("plan");
  });

  it("that was right once is asked for again at the provider's page, not at the address", () => {
    let state = walk([...toPlan, { type: "back" }, { type: "back" }, { type: "back" }]);
    expect(state.page).toBe("address");
    state = press(state, { type: "submit" });
    state = reduce(state, { type: "done", number: state.running!.number, result: usual.address });
    state = ends(state, { message: "The token has ended.", isAccess: true });
    expect(state).toMatchObject({ page: "provider", field: { problem: undefined } });
    expect(state.found[0]!.text).toBe("The token has ended.");
  });

  it("can be mended field by field where there are several", () => {
    let state = walk(toToken.slice(0, -1));
    state = walk([{ choose: ids(state).indexOf("slow") }, { text: "rose" }, { text: "sesame" }], {}, state);
    expect(state.known.credential).toBe(2);
    state = press(state, { type: "back" }, { type: "back" });
    expect(state).toMatchObject({ page: "credential", known: { credential: 0 } });
    expect(state.field.characters.join("")).toBe("rose");
    expect(press(state, { type: "back" }).page).toBe("provider");
  });
});

describe("Esc and Ctrl-C while something is changed", () => {
  it("wait for its end, and say so", () => {
    const state = press(applying(), { type: "back" });
    expect(state.running).toMatchObject({ stopping: "back", task: { kind: "apply" } });
    expect(shown(state)).toContain("Stopping after the record");
    expect(press(state, { type: "back" })).toBe(state);
    expect(ends(state, cutOff)).toMatchObject({ page: "cut-off", running: undefined });
    const nothing = ends(state, "stopped");
    expect(nothing).toMatchObject({ page: "plan", answers: { dns: "open" }, running: undefined });
    expect(shown(nothing)).toContain("before anything was changed");
  });

  it("begin nothing new when it was done all the same", () => {
    const state = press(applying(), { type: "back" });
    const done = reduce(state, { type: "done", number: state.running!.number, result: usual.apply });
    expect(done).toMatchObject({ page: "options", answers: { dns: "published" }, running: undefined });
  });

  it("leave at the end of it, and by a second Ctrl-C at once", () => {
    const state = press(applying(), { type: "leave" });
    expect(state).toMatchObject({ ended: "no", running: { stopping: "leave" } });
    expect(ends(state, cutOff)).toMatchObject({ ended: "left", answers: { dns: "begun" } });
    expect(ends(state, "stopped")).toMatchObject({ ended: "left", answers: { dns: "open" } });
    expect(press(state, { type: "leave" })).toMatchObject({ ended: "left", answers: { dns: "begun" } });
  });

  it("leave what only looks at once, with a word on what that means", () => {
    const watching = walk([...toPlan]);
    const state = press(watching, { type: "submit" });
    const result = { ...usual.apply };
    const watched = reduce(state, { type: "done", number: state.running!.number, result });
    expect(watched.running?.task).toMatchObject({ kind: "watch", awaited: [{ name: domain, type: "A" }] });
    const stopped = press(watched, { type: "back" });
    expect(stopped).toMatchObject({ page: "options", running: undefined });
    expect(shown(stopped)).toContain("Not waited for");
    expect(shown(stopped)).toContain("backup.json");
    expect(press(watched, { type: "leave" }).ended).toBe("left");
  });
});
