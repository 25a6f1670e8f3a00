/**
 * All that the wizard knows at a moment (State), and all that can happen (Event). What follows from what is in
 * reduce.ts; `running` is what it wants of the world, which app.ts has done.
 */
import type { Credentials } from "../../appliance/dns/provider.ts";
import type { ProgressEvent } from "../progress.ts";
import { type Answers, type Kept, noAnswers, type Page } from "./answers.ts";
import type {
  CutOff,
  Disk,
  DomainFacts,
  Finding,
  FoundRelay,
  Options,
  Plan,
  Provider,
  Taken,
  Task,
  TaskResult,
} from "./effects.ts";
import { type Field, type FieldKey, fieldWith } from "./field.ts";

/** What tasks have found out. */
export type Known = Readonly<{
  relays: readonly FoundRelay[];
  /** A public SSH key of this computer's user, as a suggestion; empty when there is none. */
  keyFile: string;
  /** Two letters of ISO 3166, as a suggestion; empty when there is none. */
  country: string;
  /** What is to be set in the router, as far as this line shows it. */
  routerSteps: readonly string[];
  facts: DomainFacts | undefined;
  providers: readonly Provider[];
  /** Of two answers: an account with the provider of free names is there already. */
  hasAccount: boolean;
  /** Which of the provider's credentials is asked for. */
  credential: number;
  plan: Plan | undefined;
  cutOff: CutOff | undefined;
  /** The person agrees that the registrar's parking page goes. */
  removeParking: boolean;
  /** The provider has taken the credentials once. */
  isTrusted: boolean;
  /** What stands in the image's way. */
  taken: Taken | undefined;
  /** Those that can be written to. */
  disks: readonly Disk[];
  disk: Disk | undefined;
}>;

export type Running = Readonly<{
  /** Counts up, so that what an ended task still tells is known. */
  number: number;
  task: Task;
  progress: ProgressEvent | undefined;
  /** ", 2.1 MB/s, 40 s left"; empty as long as nobody can know. */
  speed: string;
  /** Stages that are done, in words. */
  stages: readonly string[];
  /** The person does not want it any more, and what changes something ends where it may. Then back, or out. */
  stopping: "back" | "leave" | undefined;
}>;

export type State = Readonly<{
  page: Page;
  /** The pages before this one, for going back. */
  history: readonly Page[];
  answers: Answers;
  options: Options;
  /** Undefined until the relay folder is made. */
  folder: string | undefined;
  field: Field;
  /** Index into choicesOf(). */
  choice: number;
  /** What the last task found; shown above the next question. */
  found: readonly Finding[];
  known: Known;
  /** Secrets, in memory only: never kept and never drawn. */
  secrets: Readonly<{ credentials: Credentials; password: string; wifiPassword: string }>;
  /** The name of a network whose password is asked for. */
  wifiNetwork: string;
  running: Running | undefined;
  tasks: number;
  /** The task that failed, for trying again. */
  failed: Readonly<{ task: Task; message: string }> | undefined;
  /** Text to be printed above the screen, to stay there; the number tells a new one. */
  printed: Readonly<{ number: number; text: string }>;
  /** How many lines of a long text were scrolled away. */
  scrolled: number;
  ended: "no" | "done" | "left";
}>;

export type Event =
  | Readonly<{ type: "text"; text: string }>
  | Readonly<{ type: "key"; key: FieldKey }>
  | Readonly<{ type: "choose"; by: number }>
  | Readonly<{ type: "choose-number"; number: number }>
  | Readonly<{ type: "scroll"; by: number }>
  | Readonly<{ type: "submit" }>
  | Readonly<{ type: "back" }>
  | Readonly<{ type: "leave" }>
  | Readonly<{ type: "progress"; number: number; progress: ProgressEvent; speed: string }>
  | Readonly<{ type: "done"; number: number; result: TaskResult }>
  /** `isAccess`: the credentials are wrong, or may not do this. */
  | Readonly<{ type: "failed"; number: number; message: string; isAccess: boolean }>
  /** It has ended because the person wanted so. */
  | Readonly<{ type: "stopped"; number: number }>;

export const noOptions: Options = {
  ...{ signUp: "open", contact: "", email: "", authorizedKeys: [] },
  wifi: { network: "", country: "", open: false },
};

/** The first screen, while the relay folders that are there are looked for. */
export function initialState(): State {
  return {
    page: "welcome",
    history: [],
    answers: noAnswers,
    options: noOptions,
    folder: undefined,
    field: fieldWith(""),
    choice: 0,
    found: [],
    known: {
      relays: [],
      keyFile: "",
      country: "",
      routerSteps: [],
      facts: undefined,
      providers: [],
      hasAccount: false,
      credential: 0,
      plan: undefined,
      cutOff: undefined,
      removeParking: false,
      isTrusted: false,
      taken: undefined,
      disks: [],
      disk: undefined,
    },
    secrets: { credentials: {}, password: "", wifiPassword: "" },
    wifiNetwork: "",
    running: runningOf(1, { kind: "relays" }),
    tasks: 1,
    failed: undefined,
    printed: { number: 0, text: "" },
    scrolled: 0,
    ended: "no",
  };
}

export function runningOf(number: number, task: Task): Running {
  return { number, task, progress: undefined, speed: "", stages: [], stopping: undefined };
}

/** What the relay folder keeps of it; undefined as long as there is none. */
export function keptOf({
  folder,
  page,
  answers,
}: State): Readonly<{ folder: string; kept: Kept }> | undefined {
  return folder === undefined ? undefined : { folder, kept: { page, answers } };
}

/** Whoever waits for a task can only leave it or wait on; the first look around disturbs nobody. */
export function isBlocking(running: Running | undefined): boolean {
  return running !== undefined && running.task.kind !== "relays";
}
