/** The wizard on domains and addresses: what is refused, and what its owner is told (installer/wizard/reduce.ts). */
import { describe, expect, it } from "vitest";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import { facts, usual, walk } from "./imagined-world.ts";
import { begin, choose, named, onPi } from "./usual-answers.ts";

describe("the domain", () => {
  it.each([
    ["", "it is empty"],
    ["https://rosegarden.net/", "without https://"],
    ["me@rosegarden.net", "after the “@”"],
    ["198.35.26.96", "an IP address"],
    ["rose garden.net", "is not allowed"],
  ])("%j is refused at the field", (text, reason) => {
    const state = walk([begin, { text }]);
    expect(state.page).toBe("domain");
    expect(state.field.problem).toContain(reason);
    expect(walk([{ type: "text", text: "x" }], {}, state).field.problem).toBeUndefined();
  });

  it("that receives mail leads to the advice of a name below it", () => {
    const at = (name: string) => ({
      ...usual.domain,
      facts: { ...facts, domain: name, mailServers: name === "rosegarden.net" ? ["mx.fleet.net"] : [] },
    });
    let state = walk([begin, { text: "rosegarden.net" }], { domain: at("rosegarden.net") });
    expect(state.page).toBe("domain-advice");
    expect(state.found.map(({ mark }) => mark)).toEqual(["good", "warning"]);
    expect(choicesOf(state)[0]).toMatchObject({ id: "sub-domain" });
    state = walk([{ choose: 0 }], { domain: at("chat.rosegarden.net") }, state);
    expect(state).toMatchObject({ page: "place", folder: "chat.rosegarden.net" });
  });

  it.each([
    ["chat.example.org", facts, "can never be a public name"],
    ["nobody-has-this.net", { ...facts, zone: undefined }, "Nobody has registered"],
  ])("%s can be used all the same, once its owner was told", (name, known, text) => {
    let state = walk([begin, { text: name }], {
      domain: { ...usual.domain, facts: { ...known, domain: name } },
    });
    expect(state.found[0]!.text).toContain(text);
    state = walk([choose(state, "keep")], {}, state);
    expect(state).toMatchObject({ page: "place", folder: name });
  });

  it("is taken as it is where there is no network", () => {
    const known = { ...facts, reachable: false, zone: undefined };
    const state = walk([begin, named], { domain: { ...usual.domain, facts: known } });
    expect(state.page).toBe("place");
    expect(state.found[0]!.text).toContain("does not answer");
  });
});

describe("addresses", () => {
  it.each([
    ["192.168.1.5", "network at home"],
    ["100.64.3.1", "shared by many customers"],
    ["fd00::1", "network at home"],
    ["::1", "no machine's"],
    ["203.0.113.7", "examples"],
    ["rosegarden.net", "no IP address"],
    ["198.35.26.96, 198.35.26.97 198.35.26.98 198.35.26.99 198.35.26.90", "more than 4"],
  ])("%j is refused at the field", (text, reason) => {
    const state = walk([begin, named, onPi, { text }]);
    expect(state.page).toBe("address");
    expect(state.field.problem).toContain(reason);
  });

  it("of both families are taken, with spaces or commas between", () => {
    const state = walk([begin, named, onPi, { text: " 198.35.26.96, 2620:0:862:ED1A::1" }]);
    expect(state.answers.addresses).toEqual(["198.35.26.96", "2620:0:862:ed1a::1"]);
  });
});
