/** What the wizard keeps in the relay folder, and how it goes on from there (installer/wizard/state.ts, answers.ts). */
import { describe, expect, it } from "vitest";
import { noAnswers, pages, resumePage } from "../../../installer/wizard/answers.ts";
import { initialState, keptOf } from "../../../installer/wizard/state.ts";
import { domain, options, usual, walk } from "./imagined-world.ts";
import { begin, token, toProvider } from "./usual-answers.ts";

describe("what the folder keeps", () => {
  it("is nothing before there is a folder", () => {
    expect(keptOf(initialState())).toBeUndefined();
    expect(keptOf(walk([begin]))).toBeUndefined();
  });

  it("never holds a secret", () => {
    const states = [token, { text: "sesame" }].map((last) => walk([...toProvider, { choose: 0 }, last]));
    for (const state of states) expect(JSON.stringify(keptOf(state))).not.toContain("sesame");
    expect(states[0]!.secrets.credentials).toEqual({ token: "sesame" });
  });

  it("lets every page be gone on from without a secret or the result of a task", () => {
    const answers = { ...noAnswers, domain, place: "pi", image: "x.img" } as const;
    for (const page of pages) {
      const resumed = resumePage(page, answers);
      expect(["place", "address", "provider", "by-hand", "options", "image"]).toContain(resumed);
      const kept = { page, answers };
      const relay = { folder: domain, domain, kept };
      const state = walk([{ choose: 0 }], {
        relays: { ...usual.relays, relays: [relay] },
        open: { ...usual.open, kept, options },
      });
      expect(state).toMatchObject({ page: resumed, folder: domain, answers });
    }
  });

  it("asks where a relay shall run that ./homing init made", () => {
    const relay = { folder: "x", domain, kept: undefined };
    const state = walk([{ choose: 0 }], {
      relays: { ...usual.relays, relays: [relay] },
      open: { ...usual.open, kept: undefined },
    });
    expect(state.page).toBe("place");
  });
});
