/** The wizard on the Wi-Fi of a Raspberry Pi and on its card (installer/wizard/reduce.ts). */
import { describe, expect, it } from "vitest";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import { reduce } from "../../../installer/wizard/reduce.ts";
import type { State } from "../../../installer/wizard/state.ts";
import { domain, usual, walk } from "./imagined-world.ts";
import { begin, choose, toOptions } from "./usual-answers.ts";

describe("the Wi-Fi", () => {
  const secret = "open sesame";

  it("is asked for where a Raspberry Pi joins it, and its password is kept nowhere", () => {
    let state = walk(toOptions);
    state = walk([choose(state, "wifi"), { text: "Rose" }, { text: "short" }], {}, state);
    expect(state.field.problem).toContain("8 to 63 characters, this one has 5");
    state = walk([{ text: secret }, { text: "Germany" }], {}, state);
    expect(state).toMatchObject({
      page: "wifi-country",
      field: { problem: expect.stringContaining("two letters") },
    });
    const asked = [
      { type: "key", key: "erase-all" },
      { type: "text", text: "de" },
      { type: "submit" },
    ] as const;
    state = asked.reduce<State>(reduce, state);
    const wifi = { network: "Rose", country: "DE", password: secret };
    expect(state.running?.task).toEqual({ kind: "wifi", folder: domain, wifi });
    state = walk([], {}, state);
    expect(state.page).toBe("options");
    expect(choicesOf(state).find(({ id }) => id === "wifi")?.label).toContain("Rose");
    expect(JSON.stringify({ ...state, tasks: 0 })).not.toContain(secret);
    expect(walk([{ type: "back" }], {}, state).page).toBe("plan");
    // The one that is there stays.
    state = walk([choose(state, "wifi"), { text: "Rose" }, { text: "" }], {}, state);
    expect(reduce(state, { type: "submit" }).running?.task).toMatchObject({
      wifi: { network: "Rose", country: "DE" },
    });
    state = walk([{ type: "back" }, { type: "back" }], {}, state);
    state = reduce(reduce(state, { type: "key", key: "erase-all" }), { type: "submit" });
    expect(state.running?.task).toMatchObject({ kind: "wifi", wifi: null });
  });

  it("stays without a password where the network has none", () => {
    const wifi = { network: "Café", country: "DE", open: true };
    const options = { ...walk(toOptions).options, wifi };
    const asked = (network: string) => {
      const state = { ...walk(toOptions), options };
      return walk([choose(state, "wifi"), { text: network }, { text: "" }], {}, state);
    };
    expect(asked("Other").field.problem).toBe("there is no password");
    const state = asked("Café");
    expect(state.page).toBe("wifi-country");
    expect(reduce(state, { type: "submit" }).running?.task).toMatchObject({
      wifi: { network: "Café", country: "DE", password: null },
    });
  });

  it("is no question for a virtual machine", () => {
    const state = walk([begin, { text: "_try.test" }, { choose: 2 }]);
    expect(choicesOf(state).map(({ id }) => id)).not.toContain("wifi");
  });
});

describe("the card", () => {
  const disks = {
    kind: "disks",
    disks: [{ path: "/dev/sdq", label: "SanDisk Ultra, 31.9 GB", isRelay: false }],
    findings: [],
  } as const;
  it("is written only after a second question, whose first answer is no", () => {
    let state = walk([...toOptions, { choose: 0 }]);
    state = walk([choose(state, "disks"), { choose: 0 }], { disks }, state);
    expect(state).toMatchObject({ page: "disk-sure", choice: 0 });
    expect(walk([{ choose: 0 }], {}, state).page).toBe("disk");
    state = walk([choose(state, "yes")], {}, state);
    expect(state).toMatchObject({ page: "image", found: usual.flash.findings });
  });

  it("is left to Raspberry Pi Imager where this computer cannot write one", () => {
    let state = walk([...toOptions, { choose: 0 }]);
    state = walk([choose(state, "disks")], {}, state);
    expect(state).toMatchObject({ page: "image", found: usual.disks.findings });
  });
});
