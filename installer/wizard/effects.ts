/**
 * What the wizard asks the world for, as data: the reducer (state.ts) says which task it wants, app.ts has it done by an
 * Effects, and the result comes back as an event. real-effects.ts is the real one; tests pass their own.
 */
import type { Credentials, ProviderDescription, SetName } from "../../appliance/dns/provider.ts";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";
import type { ImageForm } from "../../image/build.ts";
import type { TargetName } from "../../image/targets/target.ts";
import type { ProgressEvent } from "../progress.ts";
import type { Wifi } from "../set-wifi.ts";
import type { Answers, Kept, PlaceId } from "./answers.ts";

/** One thing that a step found: how it stands, and one or two sentences of what it means and what to do. */
export type Finding = Readonly<{ mark: "good" | "note" | "warning" | "bad"; text: string }>;

/** A relay folder below the current one. */
export type FoundRelay = Readonly<{
  folder: string;
  domain: string;
  /** The step at which the wizard was left; undefined for a folder that ./homing init made. */
  kept: Kept | undefined;
}>;

/** The settings that the wizard asks for; all others keep their defaults or what the owner wrote into relay.toml. */
export type Options = Readonly<{
  signUp: SignUpMode;
  contact: string;
  /** Where the certificate authority may write to. */
  email: string;
  authorizedKeys: readonly string[];
  /** What a Raspberry Pi joins; no network when its name is empty. The password is in the folder alone. */
  /** `open`: the network has no password. */
  wifi: Readonly<{ network: string; country: string; open: boolean }>;
}>;

/** What the public DNS says of a name before anything of ours is there. */
export type DomainFacts = Readonly<{
  domain: string;
  /** The DNS answered. Without a network nothing below is known. */
  reachable: boolean;
  /** The zone that the name lies in; undefined when none was found below the top-level domain. */
  zone: string | undefined;
  nameServers: readonly string[];
  /** Id of the provider that these name servers belong to, if it is one that can be changed through its interface. */
  provider: string | undefined;
  /** How that provider is called, also when it can be changed only by hand. */
  providerName: string | undefined;
  /** Where records are entered by hand there; plain words. */
  pathByHand: readonly string[];
  /** Mail servers that already receive for the name, other than itself. */
  mailServers: readonly string[];
}>;

export type Provider = Pick<ProviderDescription, "id" | "name" | "credentials" | "tokenHelp">;

/** How the line to the Internet was graded, and what was found on the way. */
export type Reachability = Readonly<{
  addresses: readonly string[];
  findings: readonly Finding[];
  /** What is to be set in the router. */
  steps: readonly string[];
}>;

export type Plan = Readonly<{
  /** One line for each change, like "+ chat.example.org A 203.0.113.7". */
  changes: readonly string[];
  findings: readonly Finding[];
  /** Why nothing may be changed; undefined when it may. */
  blocked: string | undefined;
  /** The zone may be another by now. */
  isOld?: boolean;
  /** Names where a web page is that nobody finds any more afterwards; said in the yes to the plan. */
  websites?: readonly string[];
  /** Records of a registrar's parking page, which alone stand in the way: removed when the person says so. */
  parking?: readonly string[];
}>;

/** A change of the records that did not come to its end. */
export type CutOff = Readonly<{
  why: string;
  /** Names and types of record sets, like "chat.example.org MX". */
  written: readonly string[];
  missing: readonly string[];
  /** False when the provider could not be asked what is there: then all are missing, as far as is known. */
  isKnown: boolean;
  /** Path of the zone as it was before. */
  backup: string;
}>;

/** `isRelay`: it has been one, with accounts and mail. */
export type Disk = Readonly<{ path: string; label: string; isRelay: boolean }>;

export type Built = Readonly<{ path: string; megabytes: number; findings: readonly Finding[] }>;

/** A file that no image may take the place of unasked. */
export type Taken = Readonly<{
  path: string;
  /** It is an image that has been booted: accounts and mail are in it, and may be given up. */
  isRelay: boolean;
  /** A name beside it that nothing has. */
  free: string;
}>;

type WithRelay = Readonly<{ folder: string; answers: Answers }>;
type WithProvider = WithRelay & Readonly<{ provider: string; credentials: Credentials }>;
type WithZone = WithProvider & Readonly<{ removeParking: boolean }>;

export type Task =
  | Readonly<{ kind: "relays" }>
  | Readonly<{ kind: "open"; relay: FoundRelay }>
  | Readonly<{ kind: "domain"; domain: string }>
  | Readonly<{ kind: "register"; domain: string; email: string; password: string }>
  | Readonly<{ kind: "login"; domain: string; email: string; password: string }>
  /** Writes them where a later change of the records finds them. */
  | Readonly<{ kind: "keep-access"; folder: string; credentials: Credentials }>
  | Readonly<{ kind: "make"; domain: string }>
  | Readonly<{ kind: "reach"; place: PlaceId }>
  /** Notes the addresses beside the records to publish. */
  | (WithRelay & Readonly<{ kind: "address" }>)
  | (WithZone & Readonly<{ kind: "plan" }>)
  /** `changes`: what the person has agreed to. */
  | (WithZone & Readonly<{ kind: "apply"; changes: readonly string[] }>)
  /** Takes back what was written of a change, by the back-up that it made. */
  | (WithProvider & Readonly<{ kind: "undo"; backup: string }>)
  /** Waits until all name servers show the records. */
  | (WithRelay & Readonly<{ kind: "watch"; awaited: readonly SetName[] }>)
  | (WithRelay & Readonly<{ kind: "check" }>)
  | (WithRelay & Readonly<{ kind: "records" }>)
  | Readonly<{ kind: "key-file"; path: string }>
  | Readonly<{ kind: "options"; folder: string; options: Options }>
  /** null: none. `password` undefined: the one that is in the folder stays. */
  | Readonly<{ kind: "wifi"; folder: string; wifi: Wifi | null }>
  /** `out`: another name than the usual one. `replace`: what is there is given up. */
  | Readonly<{
      kind: "build";
      folder: string;
      target: TargetName;
      form: ImageForm;
      out?: string;
      replace?: boolean;
    }>
  | Readonly<{ kind: "disks"; image: string }>
  | Readonly<{ kind: "flash"; image: string; disk: Disk }>;

export type TaskKind = Task["kind"];

export type Opened = Readonly<{
  folder: string;
  domain: string;
  kept: Kept | undefined;
  options: Options;
  /** What the folder keeps for the provider of the answers; empty when it keeps none. */
  credentials: Credentials;
  facts: DomainFacts;
  providers: readonly Provider[];
  findings: readonly Finding[];
}>;

type Results = {
  /**
   * `keyFile`: a public SSH key of this computer's user; `country`: where the computer is, as far as its language
   * tells. Empty when there is none.
   */
  relays: { relays: readonly FoundRelay[]; keyFile: string; country: string };
  open: Opened;
  domain: { facts: DomainFacts; providers: readonly Provider[] };
  /** The provider of free names sends a letter, whose link makes the account and the name. */
  register: { findings: readonly Finding[] };
  /** What later steps change the records with. */
  login: { provider: string; credentials: Credentials };
  /** Path of the file. */
  "keep-access": { path: string };
  /** `kept` when the folder was there already. */
  make: { folder: string; kept: Kept | undefined; options: Options };
  reach: { reachability: Reachability };
  address: Readonly<Record<never, never>>;
  plan: { plan: Plan };
  /** `awaited`: what all name servers shall show. `cutOff` when not all of it was done. */
  apply: { findings: readonly Finding[]; awaited: readonly SetName[]; cutOff: CutOff | undefined };
  undo: { findings: readonly Finding[] };
  watch: { findings: readonly Finding[] };
  check: { findings: readonly Finding[]; good: boolean };
  records: { text: string };
  "key-file": { keys: readonly string[] };
  options: { options: Options };
  wifi: { options: Options };
  /** One of the two. */
  build: { built: Built | undefined; taken: Taken | undefined };
  /** None: no disk can be written to from here, for the reasons given. */
  disks: { disks: readonly Disk[]; findings: readonly Finding[] };
  flash: { findings: readonly Finding[] };
};

export type TaskResult = {
  [Kind in TaskKind]: Readonly<{ kind: Kind } & Results[Kind]>;
}[TaskKind];

/**
 * `signal` is aborted when the person wants it to end: an effect then stops where nothing is left half-done, and
 * rejects with the signal's reason.
 */
export type TaskFollow = Readonly<{ report: (event: ProgressEvent) => void; signal: AbortSignal }>;

/**
 * One function for each task. An error that carries a name of its own is shown to the person as it stands; any other
 * ends the wizard as a mistake of the program.
 */
export type Effects = {
  readonly [Kind in TaskKind]: (
    task: Extract<Task, { kind: Kind }>,
    follow: TaskFollow,
  ) => Promise<Readonly<Results[Kind]>>;
} & Readonly<{
  /** Writes what the next start goes on from; all at once, or not at all. */
  save: (folder: string, kept: Kept) => Promise<void>;
}>;
