/** What the result of a task leads to: called by reduce.ts. Pure. */
import { isTestDomain, specialUseOf } from "../../appliance/domain.ts";
import { noAnswers, resumePage } from "./answers.ts";
import type { DomainFacts, Finding, Options, TaskResult } from "./effects.ts";
import {
  afterLogin,
  afterRegister,
  afterToken,
  FREE_ENDING,
  factsOfFreeName,
  freeNameFindings,
  isFreeName,
} from "./free-names.ts";
import { goTo, startTask } from "./moves.ts";
import { noOptions, type State } from "./state.ts";
import { afterAddress } from "./submit.ts";
import { applyTask } from "./tasks.ts";

type Result<Kind extends TaskResult["kind"]> = Extract<TaskResult, { kind: Kind }>;

export function afterTask(state: State, result: TaskResult): State {
  const { answers, known } = state;
  switch (result.kind) {
    case "relays":
      return {
        ...state,
        known: { ...known, relays: result.relays, keyFile: result.keyFile, country: result.country },
      };
    case "open":
      return afterOpen(state, result);
    case "domain":
      return afterDomain(state, result);
    case "register":
      return afterRegister(state, result.findings);
    case "login":
      return afterLogin(state, result.provider, result.credentials);
    case "keep-access":
      return afterToken(state, [
        {
          mark: "note",
          text: `The token is in ${result.path}, readable for you alone: ./homing dns apply takes it by --credentials.`,
        },
      ]);
    case "make":
      return afterMake(state, result);
    case "reach": {
      const { addresses, findings, steps } = result.reachability;
      const found = { ...state, known: { ...known, routerSteps: steps } };
      const next = addresses.length > 0 ? { ...found, answers: { ...answers, addresses } } : found;
      return goTo(next, "address", findings);
    }
    case "address":
      return afterAddress(state);
    case "plan":
      return afterPlan(state, result);
    case "apply":
      return afterApply(state, result);
    case "undo":
      return goTo({ ...state, answers: { ...answers, dns: "open" } }, "provider", result.findings);
    case "watch":
    case "check":
      return {
        ...state,
        found: [...(result.kind === "watch" ? state.found : []), ...result.findings],
        scrolled: 0,
      };
    case "records":
      return { ...state, printed: { number: state.printed.number + 1, text: result.text } };
    case "key-file": {
      const options = { ...state.options, authorizedKeys: result.keys };
      return startTask(state, { kind: "options", folder: state.folder ?? "", options });
    }
    case "options":
      return afterOptions(state, result.options);
    case "wifi":
      return afterOptions({ ...state, secrets: { ...state.secrets, wifiPassword: "" } }, result.options);
    case "build":
      return afterBuild(state, result);
    case "disks": {
      const next = { ...state, known: { ...known, disks: result.disks } };
      return result.disks.length > 0
        ? goTo(next, "disk", result.findings)
        : { ...next, found: result.findings };
    }
    case "flash":
      return goTo(state, "image", result.findings);
  }
}

function afterOpen(state: State, result: Result<"open">): State {
  const answers = { ...noAnswers, ...result.kept?.answers, domain: result.domain };
  const next: State = {
    ...state,
    answers,
    folder: result.folder,
    options: result.options,
    known: {
      ...state.known,
      ...{ facts: isFreeName(result.domain) ? factsOfFreeName(result.facts) : result.facts },
      ...{ providers: result.providers, isTrusted: Object.keys(result.credentials).length > 0 },
    },
    secrets: { ...state.secrets, credentials: result.credentials },
  };
  const page = resumePage(result.kept?.page ?? "place", answers);
  const begun: Finding = {
    mark: "warning",
    text:
      "The last change of the DNS records was begun, and nobody saw its end. Go on below: what is missing is found out " +
      `and shown first. The zone as it was is in the newest dns-backup file of ${result.folder}.`,
  };
  return goTo(next, page, [...(answers.dns === "begun" ? [begun] : []), ...result.findings]);
}

/** A name that is to be used as it is gets its keys at once; everything else is told first. */
function afterDomain(state: State, { facts, providers }: Result<"domain">): State {
  const { domain } = facts;
  // Another name is another relay, with a folder of its own.
  const next: State = {
    ...state,
    folder: undefined,
    answers: { ...noAnswers, domain, account: state.answers.account, place: state.answers.place },
    options: noOptions,
    known: { ...state.known, facts, providers, isTrusted: false, removeParking: false },
    secrets: { ...state.secrets, credentials: {} },
  };
  if (isFreeName(domain)) {
    const known = { ...next.known, facts: factsOfFreeName(facts) };
    return goTo({ ...next, known }, "free-name", freeNameFindings(facts));
  }
  const findings = domainFindings(facts);
  if (findings.some(({ mark }) => mark === "bad" || mark === "warning"))
    return goTo(next, "domain-advice", findings);
  return startTask({ ...next, found: findings }, { kind: "make", domain });
}

/** What the DNS says of the name, what that means and what to do. */
export function domainFindings(facts: DomainFacts): Finding[] {
  const { domain, zone, nameServers, providerName, mailServers } = facts;
  if (isTestDomain(domain)) {
    return [
      {
        mark: "note",
        text: `${domain} begins with “_”: a test relay, with a certificate of its own and without public DNS.`,
      },
    ];
  }
  if (FREE_ENDING === `.${domain}`) {
    const text = `${domain} is deSEC's own. Take a name of yours below it, like rosegarden.${domain}.`;
    return [{ mark: "bad", text }];
  }
  const special = specialUseOf(domain);
  if (special !== undefined) {
    return [
      {
        mark: "bad",
        text:
          `${domain} can never be a public name: “.${special.ending}” is set aside (${special.source}). No authority ` +
          "certifies it, and other relays refuse what is self-signed. For a trial take a name that begins with “_”.",
      },
    ];
  }
  if (!facts.reachable) {
    return [
      {
        mark: "note",
        text: "The DNS does not answer here, so nothing is known of the domain yet. Is there a network?",
      },
    ];
  }
  if (zone === undefined) {
    return [
      {
        mark: "warning",
        text:
          `Nobody has registered ${domain}, nor a domain above it, as far as the DNS knows. Check the spelling; ` +
          "a name that was registered just now may take some hours to be seen.",
      },
    ];
  }
  const where = providerName ?? nameServers.slice(0, 2).join(", ");
  const found: Finding = {
    mark: "good",
    text: `The domain ${zone} exists; its DNS records are kept by ${where}.`,
  };
  if (mailServers.length === 0) return [found];
  return [
    found,
    {
      mark: "warning",
      text:
        `${domain} receives mail already, at ${mailServers.slice(0, 3).join(", ")}. A relay would take that mail over ` +
        "and refuse it, for it is not encrypted. Give the relay a name of its own below it.",
    },
  ];
}

function afterMake(state: State, { folder, kept, options }: Result<"make">): State {
  const { domain, provider, account } = state.answers;
  const answers =
    kept === undefined
      ? state.answers
      : {
          ...kept.answers,
          ...{ domain, provider: provider ?? kept.answers.provider },
          account: account || kept.answers.account,
        };
  const made: Finding = {
    mark: "good",
    text:
      kept === undefined
        ? `The relay's keys and settings are in the folder ${folder}. Keep it safe: it is the relay's identity.`
        : `There is a folder ${folder} of this relay already; its keys and settings are used.`,
  };
  const next = { ...state, folder, answers, options };
  const found = [...state.found, made];
  if (state.page === "free-repeat") return goTo(next, "free-wait", found);
  if (state.page === "free-login" || state.page === "free-wait") return goTo(next, "free-keep", found);
  return goTo(next, "place", found);
}

function afterPlan(state: State, { plan }: Result<"plan">): State {
  const next = { ...state, known: { ...state.known, plan, isTrusted: true } };
  if (plan.blocked === undefined && plan.changes.length === 0) {
    // Some providers publish changes by a last request of its own, to which it may not have come.
    if (state.answers.dns === "begun") return startTask(next, applyTask(next));
    const answers = { ...state.answers, dns: "published" as const };
    const found: Finding = {
      mark: "good",
      text: "The DNS has all records already; nothing is to be changed.",
    };
    return goTo({ ...next, answers }, "options", [found, ...plan.findings]);
  }
  return goTo(next, "plan", plan.findings);
}

/** The records are set; whoever does not want to wait until they are seen goes on. */
function afterApply(state: State, { findings, awaited, cutOff }: Result<"apply">): State {
  // "begun" stays, for the next start to say it.
  if (cutOff !== undefined) {
    const { plan } = state.known;
    const known = { ...state.known, cutOff, plan: plan && { ...plan, isOld: true } };
    return goTo({ ...state, known }, "cut-off");
  }
  const answers = { ...state.answers, dns: "published" as const };
  const next = goTo({ ...state, answers }, "options", findings);
  return startTask(next, { kind: "watch", folder: state.folder ?? "", answers, awaited });
}

/** Back to the list of settings, from which the question came. */
function afterOptions(state: State, options: Options): State {
  const from = state.history.lastIndexOf("options");
  const history = from < 0 ? state.history : state.history.slice(0, from);
  const back = goTo({ ...state, options }, "options");
  return { ...back, history };
}

/** The image is there, or something that it would take the place of. */
function afterBuild(state: State, { built, taken }: Result<"build">): State {
  if (built === undefined) return goTo({ ...state, known: { ...state.known, taken } }, "taken");
  const answers = { ...state.answers, image: built.path };
  const made = `The image is made: ${built.path} (${Math.round(built.megabytes)} MB).`;
  return goTo({ ...state, answers }, "image", [{ mark: "good", text: made }, ...built.findings]);
}
