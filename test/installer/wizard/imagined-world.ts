/**
 * An Effects whose every answer a test decides, for the wizard's logic and screens; the real ones are tested with real
 * folders and servers in the *-effects.test.ts beside this file, and all together in test/boot.
 */
import { noAnswers } from "../../../installer/wizard/answers.ts";
import type {
  DomainFacts,
  Effects,
  Options,
  Provider,
  Task,
  TaskFollow,
  TaskResult,
} from "../../../installer/wizard/effects.ts";
import { reduce } from "../../../installer/wizard/reduce.ts";
import { type Event, initialState, noOptions, type State } from "../../../installer/wizard/state.ts";

export const domain = "chat.rosegarden.net";

export const facts: DomainFacts = {
  domain,
  reachable: true,
  zone: "rosegarden.net",
  nameServers: ["ns1.fleet.net", "ns2.fleet.net"],
  provider: "fleet",
  providerName: "Fleet",
  pathByHand: ["Fleet's menu, then “Names”."],
  mailServers: [],
};

export const providers: readonly Provider[] = [
  {
    id: "slow",
    name: "Slow DNS",
    credentials: [
      { key: "user", label: "User", secret: false, hint: "as you log in" },
      { key: "password", label: "Password", secret: true, hint: "the one of the interface" },
      { key: "totp", label: "TOTP secret", secret: true, hint: "with two factors", optional: true },
    ],
    tokenHelp: ["https://slow.example/api"],
  },
  {
    id: "fleet",
    name: "Fleet",
    credentials: [{ key: "token", label: "API token", secret: true, hint: "40 letters and digits" }],
    tokenHelp: ["https://fleet.example/tokens", "Make a token that may edit this one zone."],
  },
];

export const options: Options = noOptions;

type Answered = { [Kind in Task["kind"]]: Extract<TaskResult, { kind: Kind }> };

/** What each task answers unless a test says otherwise. */
export const usual: Answered = {
  relays: { kind: "relays", relays: [], keyFile: "", country: "" },
  open: {
    ...{ kind: "open", folder: domain, domain, kept: { page: "place", answers: { ...noAnswers, domain } } },
    ...{ options, facts, providers, findings: [], credentials: {} },
  },
  domain: { kind: "domain", facts, providers },
  register: { kind: "register", findings: [] },
  "keep-access": { kind: "keep-access", path: "x/dns-credentials.txt" },
  login: { kind: "login", provider: "fleet", credentials: { token: "from-login" } },
  make: { kind: "make", folder: domain, kept: undefined, options },
  reach: { kind: "reach", reachability: { addresses: ["198.35.26.96"], findings: [], steps: [] } },
  address: { kind: "address" },
  plan: {
    kind: "plan",
    plan: { changes: [`+ ${domain} A 198.35.26.96`], findings: [], blocked: undefined },
  },
  apply: {
    ...{ kind: "apply", awaited: [{ name: domain, type: "A" }], cutOff: undefined },
    findings: [{ mark: "note", text: "A back-up is in backup.json." }],
  },
  undo: { kind: "undo", findings: [{ mark: "good", text: "Taken back." }] },
  watch: { kind: "watch", findings: [{ mark: "good", text: "All servers agree." }] },
  check: { kind: "check", good: false, findings: [{ mark: "bad", text: "No address yet." }] },
  records: { kind: "records", text: `${domain}. 3600 IN MX 10 ${domain}.` },
  "key-file": { kind: "key-file", keys: ["ssh-ed25519 AAAA me"] },
  options: { kind: "options", options },
  wifi: { kind: "wifi", options: { ...options, wifi: { network: "Rose", country: "DE", open: false } } },
  build: {
    kind: "build",
    built: { path: `${domain}-pi.img`, megabytes: 702.4, findings: [] },
    taken: undefined,
  },
  disks: { kind: "disks", disks: [], findings: [{ mark: "note", text: "No card reader." }] },
  flash: { kind: "flash", findings: [{ mark: "good", text: "Written and compared." }] },
};

export type Asked = Readonly<{ tasks: Task[]; saved: string[] }>;

/** All answers come at once; `answers` replaces some, and a function may throw. */
export function imaginedEffects(
  answers: Partial<{ [Kind in Task["kind"]]: (task: Task, follow: TaskFollow) => Promise<object> }> = {},
): Effects & Asked {
  const tasks: Task[] = [];
  const saved: string[] = [];
  const kinds = Object.keys(usual) as Task["kind"][];
  const functions = kinds.map((kind) => [
    kind,
    async (task: Task, follow: TaskFollow) => {
      tasks.push(task);
      return (await answers[kind]?.(task, follow)) ?? resultFor(task);
    },
  ]);
  const save = async (folder: string, kept: object) => void saved.push(JSON.stringify({ folder, kept }));
  return { ...Object.fromEntries(functions), save, tasks, saved } as unknown as Effects & Asked;
}

function resultFor(task: Task): TaskResult {
  if (task.kind === "options") return { kind: "options", options: task.options };
  if (task.kind === "domain") return { ...usual.domain, facts: { ...facts, domain: task.domain } };
  if (task.kind === "make") return { ...usual.make, folder: task.domain };
  return usual[task.kind];
}

/** One answer of a person, by the page it is for: a text to type, or the id of a choice. */
export type Said = Readonly<{ text: string }> | Readonly<{ choose: number }> | Event;

/** The states that follow when a person says these things and every task answers as usual, or as given. */
export function walk(
  said: readonly Said[],
  answers: Partial<Answered> = {},
  from: State = initialState(),
): State {
  let state = settle(from, answers);
  for (const one of said) {
    for (const event of eventsOf(one, state)) state = reduce(state, event);
    state = settle(state, answers);
  }
  return state;
}

function eventsOf(said: Said, state: State): Event[] {
  if ("type" in said) return [said];
  if ("text" in said)
    return [{ type: "key", key: "erase-all" }, { type: "text", text: said.text }, { type: "submit" }];
  return [{ type: "choose", by: said.choose - state.choice }, { type: "submit" }];
}

/** Has tasks answer until none is wanted. */
function settle(state: State, answers: Partial<Answered>): State {
  let now = state;
  while (now.running !== undefined) {
    const { number, task } = now.running;
    now = reduce(now, { type: "done", number, result: answers[task.kind] ?? resultFor(task) });
  }
  return now;
}
