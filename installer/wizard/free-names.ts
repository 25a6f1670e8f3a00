/**
 * Names below dedyn.io, which deSEC gives away: what is known of one, and what its registration leads to. Pure; called by
 * submit.ts, results.ts, choices.ts and steps/free-name.ts.
 */
import { FREE_SUFFIX } from "../../appliance/dns/desec-free.ts";
import type { Credentials } from "../../appliance/dns/provider.ts";
import { type Answers, places } from "./answers.ts";
import type { DomainFacts, Finding, Task } from "./effects.ts";
import { goTo, startTask } from "./moves.ts";
import type { State } from "./state.ts";
import { planTask } from "./tasks.ts";

/** Under this name deSEC gives names away. */
export const FREE_ENDING = `.${FREE_SUFFIX}`;
/** Whose names they are (appliance/dns/providers/desec.ts). */
export const FREE_PROVIDER = "desec";

export function isFreeName(domain: string): boolean {
  return domain.endsWith(FREE_ENDING);
}

/** What is registered for a domain: one label below dedyn.io, whatever stands below that. */
export function registeredName(domain: string): string {
  return domain.split(".").slice(-FREE_ENDING.split(".").length).join(".");
}

/** "unknown": the DNS does not answer here. */
export function freeNameState({ domain, reachable, zone }: DomainFacts): "free" | "taken" | "unknown" {
  if (!reachable) return "unknown";
  const name = registeredName(domain);
  return zone === name || zone?.endsWith(`.${name}`) === true ? "taken" : "free";
}

export function freeNameFindings(facts: DomainFacts): Finding[] {
  const name = registeredName(facts.domain);
  switch (freeNameState(facts)) {
    case "free":
      return [{ mark: "good", text: `The DNS knows no ${name} yet, so it may be free.` }];
    case "taken":
      return [
        {
          mark: "warning",
          text: `${name} is registered at deSEC already. If that was not you, somebody else has it: choose another name.`,
        },
      ];
    case "unknown":
      return [
        {
          mark: "warning",
          text: `The DNS does not answer here, so nobody can tell whether ${name} is free. It takes a network to register it.`,
        },
      ];
  }
}

/** deSEC keeps these records, whatever name servers are seen. */
export function factsOfFreeName(facts: DomainFacts): DomainFacts {
  return { ...facts, provider: FREE_PROVIDER, providerName: "deSEC" };
}

/** Of an account that is there, or is made by following the link in the letter. */
export function loginTask(state: State): Task {
  return { kind: "login", ...accountOf(state) };
}

export function registerTask(state: State): Task {
  return { kind: "register", ...accountOf(state) };
}

function accountOf({ answers, secrets }: State) {
  return { domain: registeredName(answers.domain), email: answers.account, password: secrets.password };
}

/** The letter is on its way: the folder keeps that, so that it can be waited for with the computer switched off. */
export function afterRegister(state: State, findings: readonly Finding[]): State {
  const next = { ...state, found: findings };
  return state.folder === undefined
    ? startTask(next, { kind: "make", domain: state.answers.domain })
    : goTo(next, "free-wait", findings);
}

export function afterLogin(state: State, provider: string, credentials: Credentials): State {
  const next: State = {
    ...state,
    answers: { ...state.answers, provider },
    secrets: { ...state.secrets, credentials, password: "" },
    known: { ...state.known, isTrusted: true },
  };
  if (state.folder === undefined) return startTask(next, { kind: "make", domain: state.answers.domain });
  return goTo(next, "free-keep");
}

/** The token is there: on with the first question that is open. */
export function afterToken(state: State, findings: readonly Finding[] = []): State {
  return isPlaced(state.answers)
    ? startTask({ ...state, found: findings }, planTask(state))
    : goTo(state, "place", findings);
}

function isPlaced({ place, addresses }: Answers): boolean {
  return place !== undefined && place in places && addresses.length > 0;
}
