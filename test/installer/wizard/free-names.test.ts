/** The wizard's way to a name below dedyn.io (reduce.ts, free-names.ts, free-choices.ts). */
import { describe, expect, it } from "vitest";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import { reduce } from "../../../installer/wizard/reduce.ts";
import { keptOf, type State } from "../../../installer/wizard/state.ts";
import { facts, options, type Said, usual, walk } from "./imagined-world.ts";

const free = "rosegarden.dedyn.io";
const account = "me@rosegarden.net";
const begin: Said = { choose: 0 };
const named: Said = { text: free };

/** What the DNS says of the name. */
const seen = (zone: string | undefined, reachable = true, domain = free) => ({
  domain: { ...usual.domain, facts: { ...facts, domain, zone, reachable, provider: undefined } },
});
const isFree = seen("dedyn.io");

const ids = (state: State) => choicesOf(state).map(({ id }) => id);

function choose(state: State, id: string): Said {
  const index = ids(state).indexOf(id);
  if (index < 0) throw new Error(`${state.page} offers no ${id}`);
  return { choose: index };
}

function register(): State {
  let state = walk([begin, named], isFree);
  state = walk([choose(state, "register"), { text: account }], {}, state);
  return walk([{ text: "correct horse" }, { text: "correct horse" }], {}, state);
}

function fail(state: State, message: string, isAccess: boolean): State {
  return reduce(state, { type: "failed", number: state.running!.number, message, isAccess });
}

describe("a name that nobody has", () => {
  it("is registered with a password that is typed twice, and waited for in its folder", () => {
    let state = walk([begin, named], isFree);
    expect(ids(state)).toEqual(["register", "log-in", "have", "other"]);
    state = walk([choose(state, "register"), { text: "me" }], {}, state);
    expect(state.field.problem).toContain("no e-mail address");
    state = walk([{ text: account }, { text: "short" }], {}, state);
    expect(state.field.problem).toContain("at least 8");
    state = walk([{ text: "correct horse" }, { text: "correct hose" }], {}, state);
    expect(state).toMatchObject({
      page: "free-repeat",
      field: { problem: expect.stringContaining("another") },
    });
    state = walk([{ text: "correct horse" }], {}, state);
    expect(state).toMatchObject({ page: "free-wait", folder: free });
    expect(JSON.stringify(keptOf(state))).not.toContain("horse");
  });

  it("gives its token once the link was opened, which sets the records without another question", () => {
    let state = register();
    const asked = reduce(state, { type: "submit" });
    expect(asked.running?.task).toEqual({
      kind: "login",
      domain: free,
      email: account,
      password: "correct horse",
    });
    state = fail(asked, "The link was not followed yet.", true);
    expect(state).toMatchObject({ page: "free-wait", found: [{ mark: "bad" }] });
    state = walk([choose(state, "confirmed")], {}, state);
    expect(state).toMatchObject({ page: "free-keep", answers: { domain: free, provider: "fleet" } });
    expect(state.secrets).toMatchObject({ credentials: { token: "from-login" }, password: "" });
    state = walk([choose(state, "forget")], {}, state);
    expect(state.page).toBe("place");
    expect(walk([{ choose: 0 }, { text: "198.35.26.96" }], {}, state).page).toBe("plan");
  });

  it("keeps its token in the folder for whoever wants that", () => {
    let state = walk([choose(register(), "confirmed")], {}, register());
    const asked = reduce(reduce(state, { type: "choose", by: 1 }), { type: "submit" });
    expect(asked.running?.task).toMatchObject({ kind: "keep-access", credentials: { token: "from-login" } });
    state = walk([], {}, asked);
    expect(state.page).toBe("place");
    expect(state.found[0]!.text).toContain("x/dns-credentials.txt");
    expect(JSON.stringify(keptOf(state))).not.toContain("from-login");
  });

  it("is waited for over a new start, which asks for the password again", () => {
    const { kept } = keptOf(register())!;
    expect(kept).toMatchObject({ page: "free-wait", answers: { account } });
    const opened = { relays: { ...usual.relays, relays: [{ folder: free, domain: free, kept }] } };
    const open = { ...usual.open, folder: free, domain: free, kept, options };
    let state = walk([begin], { ...opened, open });
    expect(state).toMatchObject({ page: "free-wait", folder: free });
    state = walk([choose(state, "confirmed")], {}, state);
    expect(state.page).toBe("free-login");
    state = reduce(reduce(state, { type: "text", text: "correct horse" }), { type: "submit" });
    expect(fail(state, "Wrong password.", true).field.problem).toBe("Wrong password.");
    expect(walk([], {}, state).page).toBe("free-keep");
  });

  it("that somebody was quicker with is another name's turn", () => {
    let state = walk([begin, named], isFree);
    state = walk([choose(state, "register"), { text: account }, { text: "correct horse" }], {}, state);
    state = reduce(reduce(state, { type: "text", text: "correct horse" }), { type: "submit" });
    state = fail(state, "deSEC did not take the wish: This domain name is unavailable.", false);
    expect(state.page).toBe("free-name");
    expect(state.found[0]!.text).toContain("unavailable");
    expect(walk([choose(state, "other")], {}, state).page).toBe("domain");
  });
});

describe("a name that is there", () => {
  it("is told as somebody's, and another one is offered first", () => {
    const state = walk([begin, named], seen(free));
    expect(state).toMatchObject({ page: "free-name", folder: undefined, found: [{ mark: "warning" }] });
    expect(state.found[0]!.text).toContain("is registered at deSEC already");
    expect(ids(state)).toEqual(["other", "log-in", "have"]);
  });

  it("is got at by its owner's login, or by a token", () => {
    let state = walk([begin, named], seen(free));
    const byToken = walk([choose(state, "have")], {}, state);
    expect(byToken).toMatchObject({ page: "place", known: { facts: { provider: "desec" } } });
    state = walk([choose(state, "log-in"), { text: account }], {}, state);
    expect(state.page).toBe("free-login");
    state = walk([{ text: "old" }], {}, state);
    expect(state).toMatchObject({ page: "free-keep", folder: free });
  });

  it("is registered whole for a name below it", () => {
    const below = `chat.${free}`;
    const taken = walk([begin, { text: below }], seen(free, true, below));
    expect(taken.found[0]!.text).toContain(`${free} is registered`);
    const state = walk([begin, { text: below }], seen("dedyn.io", true, below));
    expect(choicesOf(state)[0]!.label).toBe(`Register ${free} now`);
  });
});

describe("without a network", () => {
  it("nobody can tell, and it is looked again", () => {
    const state = walk([begin, named], seen(undefined, false));
    expect(state.found[0]!.text).toContain("nobody can tell whether");
    expect(ids(state)).toEqual(["look", "log-in", "have", "other"]);
    expect(ids(walk([choose(state, "look")], isFree, state))).toContain("register");
  });
});

describe("later", () => {
  it("the token that the folder keeps is used, and a new one is got by the password otherwise", () => {
    const { kept } = keptOf(register())!;
    const answers = { ...kept.answers, place: "pi", addresses: ["198.35.26.96"], provider: "desec" } as const;
    const later = { page: "provider", answers } as const;
    const relays = { ...usual.relays, relays: [{ folder: free, domain: free, kept: later }] };
    const provider = {
      id: "desec",
      name: "deSEC",
      credentials: usual.domain.providers[1]!.credentials,
      tokenHelp: [],
    };
    const open = { ...usual.open, folder: free, domain: free, kept: later, providers: [provider] };
    const forgotten = walk([begin], { relays, open });
    expect(ids(forgotten)).toEqual(["account", "desec", "by-hand"]);
    const login = walk([choose(forgotten, "account"), { text: "correct horse" }], {}, forgotten);
    expect(login.page).toBe("free-keep");
    expect(walk([choose(login, "forget")], {}, login).page).toBe("plan");
    const state = walk([begin], { relays, open: { ...open, credentials: { token: "kept" } } });
    expect(ids(state)).toEqual(["desec", "by-hand"]);
    const asked = walk([choose(state, "desec")], {}, state);
    expect(asked.page).toBe("plan");
    expect(reduce(asked, { type: "submit" }).running?.task).toMatchObject({ credentials: { token: "kept" } });
  });
});
