/** What an answer leads to: called by reduce.ts when a person presses Enter. Pure. */
import { isTestDomain } from "../../appliance/domain.ts";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";
import { type PlaceId, places } from "./answers.ts";
import { choicesOf, subDomainOf } from "./choices.ts";
import type { Options } from "./effects.ts";
import { fieldText } from "./field.ts";
import { afterToken, loginTask, registerTask } from "./free-names.ts";
import {
  type Judged,
  judgeAddresses,
  judgeContact,
  judgeCountry,
  judgeDomain,
  judgeEmail,
  judgePassword,
  judgePresent,
  judgeRepeated,
  judgeWifiNetwork,
  judgeWifiPassword,
} from "./judge.ts";
import { goBack, goTo, startTask } from "./moves.ts";
import { credentialOf, questionOf } from "./questions.ts";
import type { State } from "./state.ts";
import { beginImage, submitImagePage } from "./submit-image.ts";
import { applyTask, planTask, undoTask } from "./tasks.ts";

export function submit(state: State): State {
  if (questionOf(state) !== undefined) return submitText(state, fieldText(state.field));
  const choice = choicesOf(state)[state.choice];
  return choice === undefined ? state : submitChoice(state, choice.id);
}

function submitText(state: State, text: string): State {
  const { answers, known, options, secrets } = state;
  switch (state.page) {
    case "domain":
      return use(state, judgeDomain(text), (domain) => submitDomain(state, domain));
    case "free-email":
      return use(state, judgeEmail(text, true), (account) =>
        goTo(
          { ...state, answers: { ...answers, account } },
          known.hasAccount ? "free-login" : "free-password",
        ),
      );
    case "free-password":
      return use(state, judgePassword(text), (password) =>
        goTo({ ...state, secrets: { ...secrets, password } }, "free-repeat"),
      );
    case "free-repeat":
      return use(state, judgeRepeated(text, secrets.password), () => startTask(state, registerTask(state)));
    case "free-login":
      return use(state, judgePresent(text), (password) => {
        const next = { ...state, secrets: { ...secrets, password } };
        return startTask(next, loginTask(next));
      });
    case "address":
      return use(state, judgeAddresses(text), (addresses) => submitAddresses(state, addresses));
    case "credential":
      return submitCredential(state, text.trim());
    case "contact":
      return use(state, judgeContact(text), (contact) => saveOptions(state, { ...options, contact }));
    case "acme-email":
      return use(state, judgeEmail(text, false), (email) => saveOptions(state, { ...options, email }));
    case "wifi-network":
      return submitNetwork(state, text);
    case "wifi-password":
      return use(state, judgeWifiPassword(text, isPresentNetwork(state)), (wifiPassword) =>
        goTo({ ...state, secrets: { ...secrets, wifiPassword } }, "wifi-country"),
      );
    case "wifi-country":
      return use(state, judgeCountry(text), (country) => saveWifi(state, country));
    case "ssh-key":
      return text.trim() === ""
        ? saveOptions(state, { ...options, authorizedKeys: [] })
        : startTask(state, { kind: "key-file", path: text.trim() });
    default:
      return state;
  }
}

/** Goes on with a good answer, or says at the field why it is none. */
function use<Value>(state: State, judged: Judged<Value>, then: (value: Value) => State): State {
  if ("problem" in judged) return { ...state, field: { ...state.field, problem: judged.problem } };
  return then(judged.value);
}

function submitDomain(state: State, domain: string): State {
  const isSame = state.folder !== undefined && domain === state.answers.domain;
  return isSame ? goTo(state, "place") : startTask(state, { kind: "domain", domain });
}

function submitAddresses(state: State, addresses: readonly string[]): State {
  const { answers } = state;
  if (addresses.length === 0) {
    return goTo({ ...state, answers: { ...answers, addresses, dns: "later" } }, "options", [
      {
        mark: "warning",
        text: "The DNS records wait until you know the relay's address: then start ./homing again.",
      },
    ]);
  }
  const next = { ...state, answers: { ...answers, addresses, dns: "open" as const } };
  return startTask(next, { kind: "address", folder: state.folder ?? "", answers: next.answers });
}

/** Whoever just got a free name, or was at the provider before, has given all that is needed to set the records. */
export function afterAddress(state: State): State {
  const { answers, known } = state;
  return answers.provider !== undefined && known.isTrusted
    ? startTask(state, planTask(state))
    : goTo(state, "provider");
}

function submitCredential(state: State, text: string): State {
  const question = credentialOf(state);
  if (question === undefined) return goTo(state, "provider");
  if (text === "" && question.optional !== true)
    return { ...state, field: { ...state.field, problem: "it is empty; paste it here, or press Esc" } };
  const { [question.key]: _before, ...others } = state.secrets.credentials;
  const credentials = text === "" ? others : { ...others, [question.key]: text };
  const next = { ...state, secrets: { ...state.secrets, credentials } };
  const asked = { ...next, known: { ...next.known, credential: state.known.credential + 1 } };
  if (credentialOf(asked) !== undefined) return goTo(asked, "credential", state.found);
  return startTask(next, planTask(next));
}

function saveOptions(state: State, options: Options): State {
  return startTask(state, { kind: "options", folder: state.folder ?? "", options });
}

function submitNetwork(state: State, network: string): State {
  if (network.trim() === "")
    return startTask(state, { kind: "wifi", folder: state.folder ?? "", wifi: null });
  return use(state, judgeWifiNetwork(network), () =>
    goTo({ ...state, wifiNetwork: network }, "wifi-password"),
  );
}

/** The folder has the password of this network already, or knows that it has none. */
function isPresentNetwork({ options, wifiNetwork }: State): boolean {
  return options.wifi.network === wifiNetwork;
}

function saveWifi(state: State, country: string): State {
  const { wifiNetwork: network, secrets, folder = "" } = state;
  const wifi = { network, country };
  if (secrets.wifiPassword !== "")
    return startTask(state, { kind: "wifi", folder, wifi: { ...wifi, password: secrets.wifiPassword } });
  const staysOpen = isPresentNetwork(state) && state.options.wifi.open;
  return startTask(state, { kind: "wifi", folder, wifi: staysOpen ? { ...wifi, password: null } : wifi });
}

function submitChoice(state: State, id: string): State {
  const { answers, options, known, folder = "" } = state;
  switch (state.page) {
    case "welcome": {
      const relay = known.relays.find((one) => one.folder === id);
      return relay === undefined ? goTo(state, "domain") : startTask(state, { kind: "open", relay });
    }
    case "domain-advice":
      if (id === "other") return goBack(state);
      if (id === "sub-domain")
        return startTask(state, { kind: "domain", domain: subDomainOf(answers.domain) });
      // What was warned of is decided.
      return startTask({ ...state, found: [] }, { kind: "make", domain: answers.domain });
    case "free-name":
    case "free-wait":
    case "free-keep":
      return submitFree(state, id);
    case "place":
      return submitPlace(state, id as PlaceId);
    case "provider":
      return submitProvider(state, id);
    case "plan":
    case "cut-off":
      return submitPlan(state, id);
    case "by-hand":
      if (id === "go-on") return goTo(state, "options");
      return startTask(state, { kind: id === "check" ? "check" : "records", folder, answers });
    case "options":
      return submitOption(state, id);
    case "sign-up":
      return saveOptions(state, { ...options, signUp: id as SignUpMode });
    case "hypervisor":
    case "taken":
    case "image":
    case "disk":
    case "disk-sure":
      return submitImagePage(state.page, state, id);
    case "problem":
      if (id === "again" && state.failed) return startTask(goBack(state), state.failed.task);
      return id === "back" ? goBack(state) : { ...state, ended: "left" };
    default:
      return state;
  }
}

function submitFree(state: State, id: string): State {
  const { answers, known, folder = "", secrets } = state;
  switch (id) {
    case "register":
      return goTo({ ...state, known: { ...known, hasAccount: false } }, "free-email");
    case "log-in":
      return goTo({ ...state, known: { ...known, hasAccount: true } }, "free-email");
    case "look":
      return startTask(state, { kind: "domain", domain: answers.domain });
    case "have":
      return startTask({ ...state, found: [] }, { kind: "make", domain: answers.domain });
    case "other":
      return goTo(state, "domain");
    case "confirmed":
      return secrets.password === "" ? goTo(state, "free-login") : startTask(state, loginTask(state));
    case "password":
      return goTo(state, "free-login");
    case "again":
      return secrets.password === "" ? goTo(state, "free-password") : startTask(state, registerTask(state));
    case "keep":
      return startTask(state, { kind: "keep-access", folder, credentials: secrets.credentials });
    default:
      return afterToken(state);
  }
}

function submitPlan(state: State, id: string): State {
  if (id === "by-hand") return byHand(state);
  if (id === "again") return startTask(state, planTask(state));
  if (id === "undo") return startTask(state, undoTask(state));
  if (id === "unpark") {
    const unparked = { ...state, known: { ...state.known, removeParking: true } };
    return startTask(unparked, planTask(unparked));
  }
  const next = { ...state, answers: { ...state.answers, dns: "begun" as const } };
  return startTask(next, applyTask(next));
}

function submitPlace(state: State, place: PlaceId): State {
  const next = { ...state, answers: { ...state.answers, place } };
  // A test relay has no public name: nobody needs its address.
  if (isTestDomain(state.answers.domain)) return goTo(next, "options");
  return places[place].line === "home" ? startTask(next, { kind: "reach", place }) : goTo(next, "address");
}

function submitProvider(state: State, id: string): State {
  if (id === "by-hand") return byHand(state);
  if (id === "account") return goTo(state, "free-login");
  // It has taken them before.
  if (id === state.answers.provider && state.known.isTrusted) return startTask(state, planTask(state));
  // Another provider's credentials are of no use, and have no business being anywhere.
  const isSame = state.answers.provider === id;
  const secrets = isSame ? state.secrets : { ...state.secrets, credentials: {} };
  const known = { ...state.known, credential: 0, isTrusted: false };
  return goTo({ ...state, answers: { ...state.answers, provider: id }, secrets, known }, "credential");
}

function byHand(state: State): State {
  return goTo({ ...state, answers: { ...state.answers, dns: "by-hand" } }, "by-hand");
}

function submitOption(state: State, id: string): State {
  if (id === "build") return beginImage(state);
  if (id === "sign-up" || id === "contact" || id === "ssh-key" || id === "acme-email") return goTo(state, id);
  if (id === "wifi") return goTo(state, "wifi-network");
  return state;
}
