/** The wizard's logic without a terminal (installer/wizard/reduce.ts and what it calls). */
import { describe, expect, it } from "vitest";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import { fieldText } from "../../../installer/wizard/field.ts";
import { reduce } from "../../../installer/wizard/reduce.ts";
import { screenOf } from "../../../installer/wizard/screen.ts";
import { domain, options, type Said, usual, walk } from "./imagined-world.ts";
import { begin, choose, named, onPi, token, toOptions, toProvider } from "./usual-answers.ts";

describe("a first run", () => {
  it("goes from the welcome to the image in ten answers, and ends", () => {
    const said: Said[] = [...toOptions, { choose: 0 }, { choose: 0 }];
    const end = walk(said);
    expect(end.ended).toBe("done");
    expect(end.answers).toEqual({
      account: "",
      ...{ domain, place: "pi", addresses: ["198.35.26.96"], provider: "fleet", dns: "published" },
      image: `${domain}-pi.img`,
    });
    expect(said.length).toBeLessThanOrEqual(12);
  });

  it("puts what was found at the line into the field of the address", () => {
    expect(fieldText(walk([begin, named, onPi]).field)).toBe("198.35.26.96");
  });

  it("says what is to be set in the router, as the line shows it", () => {
    const steps = ["In the router, forward the TCP ports 25 and 443 to the relay, near 192.168.7.20."];
    const state = walk([begin, named, onPi], {
      reach: { kind: "reach", reachability: { addresses: [], findings: [], steps } },
    });
    const rows = screenOf(state, { columns: 80, rows: 24 }).rows.map(({ text }) => text);
    expect(rows.join(" ").replaceAll(/ +/g, " ")).toContain("near 192.168.7.20");
    expect(rows.join(" ")).not.toContain("must forward");
  });

  it("shows how the line was graded, and asks for the address that was not found", () => {
    const findings = [{ mark: "bad", text: "This line is graded local only." }] as const;
    const state = walk([begin, named, onPi], {
      reach: { kind: "reach", reachability: { addresses: [], findings, steps: [] } },
    });
    expect(state.page).toBe("address");
    expect(state.found).toEqual(findings);
    expect(fieldText(state.field)).toBe("");
  });

  it("asks no line of a server elsewhere", () => {
    let reached = false;
    const state = walk([begin, named, { choose: 3 }], {
      get reach() {
        reached = true;
        return usual.reach;
      },
    });
    expect(state.page).toBe("address");
    expect(reached).toBe(false);
  });

  it("leaves the DNS for later while the address is not known", () => {
    const state = walk([begin, named, { choose: 3 }, { text: "" }]);
    expect(state.page).toBe("options");
    expect(state.answers.dns).toBe("later");
    expect(state.found[0]!.text).toContain("./homing again");
  });

  it("asks a test relay for neither address nor DNS", () => {
    const state = walk([begin, { text: "_try.test" }, onPi]);
    expect(state.page).toBe("options");
  });

  it("offers the provider of the name servers first", () => {
    expect(choicesOf(walk(toProvider)).map(({ id }) => id)).toEqual(["fleet", "by-hand", "slow"]);
  });

  it("asks for each credential of a provider, and passes over what may stay empty", () => {
    let state = walk(toProvider);
    state = walk([choose(state, "slow"), { text: "rose" }], {}, state);
    state = walk([{ text: "" }], {}, state);
    expect(state.field.problem).toContain("empty");
    state = walk([{ text: "sesame" }, { text: "" }], {}, state);
    expect(state.page).toBe("plan");
    expect(state.secrets.credentials).toEqual({ user: "rose", password: "sesame" });
  });

  it("forgets the credentials of a provider that is not used after all", () => {
    let state = walk([...toProvider, { choose: 0 }, token, { type: "back" }, { type: "back" }]);
    state = walk([choose(state, "slow")], {}, state);
    expect(state.secrets.credentials).toEqual({});
  });

  it("goes on to the settings at once when nothing is to be changed", () => {
    const plan = { kind: "plan", plan: { changes: [], findings: [], blocked: undefined } } as const;
    const state = walk([...toProvider, { choose: 0 }, token], { plan });
    expect(state.page).toBe("options");
    expect(state.answers.dns).toBe("published");
  });

  it("changes nothing at a provider where a plan is forbidden", () => {
    const plan = {
      kind: "plan",
      plan: { changes: ["+ x"], findings: [], blocked: "A foreign MX." },
    } as const;
    const state = walk([...toProvider, { choose: 0 }, token], { plan });
    expect(choicesOf(state).map(({ id }) => id)).toEqual(["again", "by-hand"]);
  });

  it("lets no mere Enter take a web page away", () => {
    const websites = ["chat.rosegarden.net", "www.chat.rosegarden.net"];
    const plan = {
      kind: "plan",
      plan: { changes: ["~ x"], findings: [], blocked: undefined, websites },
    } as const;
    const choices = choicesOf(walk([...toProvider, { choose: 0 }, token], { plan }));
    expect(choices.map(({ id }) => id)).toEqual(["by-hand", "apply"]);
    expect(choices[1]?.label).toContain(`let the web page at ${websites.join(" and ")} go`);
  });

  it("shows and checks the records for whoever publishes them by hand", () => {
    let state = walk(toProvider);
    state = walk([choose(state, "by-hand")], {}, state);
    state = walk([choose(state, "check")], {}, state);
    expect(state).toMatchObject({ page: "by-hand", found: usual.check.findings });
    state = walk([choose(state, "print")], {}, state);
    expect(state.printed).toEqual({ number: 1, text: usual.records.text });
    state = walk([choose(state, "go-on")], {}, state);
    expect(state.page).toBe("options");
    expect(state.answers.dns).toBe("by-hand");
  });

  it("changes settings one by one and comes back to their list each time", () => {
    let state = walk(toOptions);
    state = walk([choose(state, "contact"), { text: "me@rosegarden.net" }], {}, state);
    expect(state.page).toBe("options");
    state = walk([choose(state, "sign-up"), { choose: 1 }], {}, state);
    state = walk([choose(state, "ssh-key"), { text: "~/.ssh/id_ed25519.pub" }], {}, state);
    state = walk([choose(state, "acme-email"), { text: "me@rosegarden.net" }], {}, state);
    expect(state.options).toEqual({
      ...options,
      ...{ signUp: "invite", contact: "me@rosegarden.net", email: "me@rosegarden.net" },
      authorizedKeys: ["ssh-ed25519 AAAA me"],
    });
    expect(walk([{ type: "back" }], {}, state).page).toBe("plan");
  });
});

describe("going back", () => {
  it("shows each page again with its answer", () => {
    let state = walk(toProvider);
    state = walk([{ type: "back" }], {}, state);
    expect(state.page).toBe("address");
    expect(fieldText(state.field)).toBe("198.35.26.96");
    state = walk([{ type: "back" }], {}, state);
    expect(state).toMatchObject({ page: "place", choice: 0 });
    state = walk([{ type: "back" }], {}, state);
    expect(fieldText(state.field)).toBe(domain);
    state = walk([{ type: "back" }, { type: "back" }], {}, state);
    expect(state.page).toBe("welcome");
  });

  it("makes a relay of its own of another name, and keeps what was said of the machine", () => {
    let state = walk([...toProvider, { type: "back" }, { type: "back" }, { type: "back" }]);
    state = walk([{ text: "other.rosegarden.net" }], {}, state);
    expect(state).toMatchObject({ folder: "other.rosegarden.net", answers: { place: "pi", addresses: [] } });
  });

  it("ends a task, whose late answer changes nothing", () => {
    const state = reduce(reduce(walk([begin]), { type: "text", text: domain }), { type: "submit" });
    const { number } = state.running!;
    const stopped = reduce(state, { type: "back" });
    expect(stopped).toMatchObject({ page: "domain", running: undefined });
    expect(reduce(stopped, { type: "done", number, result: usual.domain })).toBe(stopped);
    expect(reduce(stopped, { type: "failed", number, message: "late", isAccess: false })).toBe(stopped);
  });
});

describe("a task that fails", () => {
  it("is told at the field whose answer it was about", () => {
    let state = walk([...toProvider, { choose: 0 }]);
    state = reduce(reduce(state, { type: "text", text: "wrong" }), { type: "submit" });
    state = reduce(state, {
      type: "failed",
      number: state.running!.number,
      message: "The token may only read.",
      isAccess: true,
    });
    expect(state).toMatchObject({ page: "credential", field: { problem: "The token may only read." } });
    expect(fieldText(state.field)).toBe("wrong");
  });

  it("can be tried again, or left by going back", () => {
    let state = reduce(walk(toOptions), { type: "submit" });
    state = reduce(state, {
      type: "failed",
      number: state.running!.number,
      message: "No space left.",
      isAccess: false,
    });
    expect(state.page).toBe("problem");
    expect(reduce(state, { type: "submit" }).running?.task.kind).toBe("build");
    expect(walk([choose(state, "back")], {}, state).page).toBe("options");
    expect(walk([choose(state, "leave")], {}, state).ended).toBe("left");
  });

  it("takes no answers meanwhile but to stop or to leave", () => {
    const state = reduce(walk(toOptions), { type: "submit" });
    expect(reduce(state, { type: "submit" })).toBe(state);
    expect(reduce(state, { type: "text", text: "x" })).toBe(state);
    const leaving = reduce(state, { type: "leave" });
    expect(leaving).toMatchObject({ ended: "no", running: { stopping: "leave" } });
    expect(reduce(leaving, { type: "leave" })).toMatchObject({ ended: "left", running: undefined });
  });
});
