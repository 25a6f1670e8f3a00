/** The wizard's last words (installer/wizard/ending.ts). */
import { describe, expect, it } from "vitest";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import { endingText } from "../../../installer/wizard/ending.ts";
import type { State } from "../../../installer/wizard/state.ts";
import { domain, walk } from "./imagined-world.ts";

const plain = { colours: false, signs: true, blocks: true };
const done = (answers: Partial<State["answers"]> = {}, more: Partial<State> = {}): State => {
  const state = walk([{ choose: 0 }, { text: domain }, { choose: 0 }, { text: "198.35.26.96" }]);
  const all = { ...state.answers, image: "x.img", dns: "published" as const, ...answers };
  return { ...state, ...more, ended: "done", answers: all };
};
const blocks = /[▀▄█]{20}/;

describe("at the end", () => {
  it("a person is told what happens next, with a QR code that fits the terminal", () => {
    const text = endingText(done(), plain, 80);
    expect(text.replaceAll(/\s+|[▀▄█]/g, " ")).toContain("What happens next");
    expect(text).toMatch(blocks);
    const lines = text.split("\n");
    expect(lines.length).toBeLessThan(24);
    for (const line of lines) expect([...line].length).toBeLessThanOrEqual(80);
  });

  it.each([40, 60, 80, 120])("all words are there in %d columns", (columns) => {
    const state = done();
    const words = endingText(state, { ...plain, blocks: false }, 1000);
    const shown = endingText(state, plain, columns).replaceAll(/[▀▄█]/g, "");
    // What stands beside the code is broken otherwise.
    const all = (text: string) => text.split(/\s+/).filter((word) => word !== "");
    expect(all(shown)).toEqual(all(words));
  });

  it.each([
    ["a terminal that is too narrow", done(), { columns: 30 }],
    ["one without blocks", done(), { look: { ...plain, signs: false, blocks: false } }],
    ["a relay for invited people", done({}, { options: { ...done().options, signUp: "invite" } }), {}],
    ["a test relay", done({ domain: "_try.test" }), {}],
  ] as const)(
    "there is no code for %s",
    (_what, state, { columns = 80, look = plain }: { columns?: number; look?: typeof plain }) => {
      expect(endingText(state, look, columns)).not.toMatch(blocks);
    },
  );

  it("whoever tries a relay is sent to no name that nobody finds, and to no code that is not there", () => {
    for (const signUp of ["open", "invite"] as const) {
      const options = { ...done().options, signUp };
      const state = done({ domain: "_try.test" }, { options, folder: "_try.test" });
      const text = endingText(state, plain, 1000);
      expect(text).not.toMatch(/QR code|Use other server|invite create|publish/i);
      expect(text).toContain("nobody finds the relay by it");
      expect(text).toContain("so does ./homing vm _try.test on this computer");
      const [finish] = choicesOf({ ...state, page: "image" });
      expect(finish).toEqual({ id: "finish", label: "Finish: what happens next" });
    }
  });

  it("the last menu names the code where there will be one", () => {
    const label = (signUp: "open" | "invite") =>
      choicesOf(done({}, { page: "image", options: { ...done().options, signUp } }))[0]!.label;
    expect(label("open")).toBe("Finish: what happens next, with the QR code for friends");
    expect(label("invite")).toBe("Finish: what happens next");
    expect(endingText(done({}, { options: { ...done().options, signUp: "invite" } }), plain, 80)).not.toMatch(
      /QR/,
    );
  });

  it.each([
    ["published", "The DNS records are set"],
    ["by-hand", "dns-records.txt"],
    ["later", "./homing again"],
  ] as const)("what is left to do of the DNS is said when it is %s", (dns, words) => {
    expect(endingText(done({ dns }), plain, 80)).toContain(words);
  });

  it("whoever leaves is told how to go on", () => {
    expect(endingText({ ...done(), ended: "left" }, plain, 80)).toContain(`./homing goes on with ${domain}`);
    expect(endingText({ ...walk([{ choose: 0 }]), ended: "left" }, plain, 80)).toContain(
      "Nothing was made yet",
    );
  });

  it("a terminal that says it has no width gets all words too", () => {
    const state: State = { ...done(), ended: "left" };
    for (const columns of [0, 1])
      expect(endingText(state, plain, columns).replaceAll("\n", "")).toContain("./hominggoeson");
  });
});
