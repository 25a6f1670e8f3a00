/**
 * Makes accounts whose name and password the relay invents, for those who ask over HTTPS (services/web, POST /new)
 * instead of logging in with a name of their own. An account is on disk when its password is told.
 * Called by sign-up-server.ts.
 */
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";
import type { Log } from "../lib/log.ts";
import { inventName, inventPassword } from "./invention.ts";
import { hashToken, type InviteState } from "./invites.ts";
import { askerOf } from "./lost-answer.ts";
import { hashInvented } from "./password.ts";
import type { Proofs, Puzzle } from "./proof-of-work.ts";
import { type MachineState, machineRefusal, nameRefusal, type Refusal } from "./rules.ts";
import type { SignUpLimits } from "./sign-up-limits.ts";
import type { AccountStore } from "./store.ts";

/** What clients invent too; bounded by the settings of names. */
const usualNameLength = 9;

/** Names tried for an account: of 36^9 even the second is never needed, but a relay may allow short names only. */
const maxTries = 16;

/** How long somebody should wait when the machine is short of something, in seconds. */
const shortageSeconds = 60;

export type SignUpRequest = Readonly<{
  /** The client's IP address; empty when it has none. */
  client: string;
  /** Token of an invitation; empty without one. */
  invitation: string;
  /** Solution of a puzzle (proof-of-work.ts); empty without one. */
  proof: string;
}>;

export type SignUpVerdict =
  | Readonly<{ kind: "made"; address: string; password: string }>
  /** `retrySeconds`: when trying again may help. */
  | Readonly<{ kind: "refused"; refusal: Refusal; retrySeconds?: number }>;

export type Welcome = Readonly<{
  mode: SignUpMode;
  /** When the limits let this client in; missing when they do now. */
  retrySeconds?: number;
  /** Whoever solves it need not wait so long. */
  puzzle?: Puzzle;
}>;

/** Told what came of each wish for an account, over HTTPS ("web") or by a first login. */
export type SignUpCount = (way: "web" | "login", outcome: "made" | Refusal) => void;

export type SignUp = Readonly<{
  /** @throws AccountListError when the store takes no account: a temporary failure for whoever asks. */
  make(request: SignUpRequest): Promise<SignUpVerdict>;
  /** Who may make an account, and whether this client has to wait or to solve a puzzle before. */
  welcome(client: string): Welcome;
  /** What an invitation is good for; nothing is taken from it. */
  findInvitation(token: string, client?: string): Readonly<{ mode: SignUpMode; state: InviteState }>;
}>;

export function createSignUp(
  parts: Readonly<{
    config: RelayConfig;
    store: AccountStore;
    mode: () => SignUpMode;
    limits: SignUpLimits;
    proofs: Proofs;
    machineState: () => Promise<MachineState>;
    /** Unix time in seconds. */
    now: () => number;
    log: Log;
    count?: SignUpCount;
  }>,
): SignUp {
  const { config, store, limits, proofs } = parts;
  const { localPartMinLength, localPartMaxLength } = config.accounts;
  const nameLength = Math.min(Math.max(usualNameLength, localPartMinLength), localPartMaxLength);

  const waitSeconds = (client: string): number => Math.max(1, Math.ceil(limits.wait(client) / 1000));

  /** What an account costs its client: an invitation, or a part of the limits. */
  type Charge = Readonly<{ invitation?: string; giveBack(): void }>;

  const charge = ({ client, invitation, proof }: SignUpRequest): Charge | SignUpVerdict => {
    const mode = parts.mode();
    if (mode === "closed") return refused("sign-up-closed");
    if (mode === "invite") {
      if (invitation === "") return refused("invitation-needed");
      const state = store.invites.find(invitation, parts.now(), client);
      return state === "good" ? { invitation, giveBack: () => {} } : refused(`invitation-${state}`);
    }
    const giveBack = limits.take(client);
    if (giveBack !== undefined) return { giveBack };
    const retrySeconds = waitSeconds(client);
    if (proof === "") return refused("too-many-new-accounts", retrySeconds);
    const solved = proofs.check(proof);
    if (solved === undefined) return refused("proof-refused", retrySeconds);
    const giveProvenBack = limits.takeProven(client);
    if (giveProvenBack === undefined) return refused("too-many-new-accounts", retrySeconds);
    if (solved.spend()) return { giveBack: giveProvenBack };
    giveProvenBack();
    return refused("proof-refused", retrySeconds);
  };

  const make = async (invitation: string | undefined, client: string): Promise<SignUpVerdict> => {
    const password = inventPassword();
    for (let tries = 0; tries < maxTries; tries++) {
      const address = `${inventName(nameLength)}@${config.domain}`;
      if (nameRefusal(address, config) !== undefined || store.findPassword(address) !== undefined) continue;
      const passwordHash = hashInvented(password);
      const now = parts.now();
      const outcome =
        invitation === undefined
          ? (await store.create(address, passwordHash, now)) && { made: address }
          : await store.createInvited(
              { address, passwordHash },
              {
                tokenHash: hashToken(invitation),
                asker: askerOf(invitation, client),
                now: Math.floor(now),
              },
            );
      // Somebody was faster, or the operator withdrew it.
      if (outcome === "no-invite") return refused(spentState(store.invites.find(invitation!, now, client)));
      if (typeof outcome === "object") return { kind: "made", address: outcome.made, password };
    }
    return refused("no-free-name");
  };

  const judge = async (request: SignUpRequest): Promise<SignUpVerdict> => {
    const charged = charge(request);
    if ("kind" in charged) return charged;
    let verdict: SignUpVerdict | undefined;
    try {
      const shortage = machineRefusal(await parts.machineState(), config.signUp);
      verdict =
        shortage === undefined
          ? await make(charged.invitation, request.client)
          : refused(shortage, shortageSeconds);
    } finally {
      if (verdict?.kind !== "made") charged.giveBack();
    }
    return verdict;
  };

  return {
    async make(request) {
      const verdict = await judge(request);
      if (verdict.kind === "made") parts.log.info("account created");
      parts.count?.("web", verdict.kind === "made" ? "made" : verdict.refusal);
      return verdict;
    },
    welcome(client) {
      const mode = parts.mode();
      if (mode !== "open" || limits.wait(client) === 0) return { mode };
      const retrySeconds = waitSeconds(client);
      return limits.waitProven(client) > 0
        ? { mode, retrySeconds }
        : { mode, retrySeconds, puzzle: proofs.puzzle() };
    },
    findInvitation: (token, client) => ({
      mode: parts.mode(),
      state: store.invites.find(token, parts.now(), client),
    }),
  };
}

function refused(refusal: Refusal, retrySeconds?: number): SignUpVerdict {
  return { kind: "refused", refusal, ...(retrySeconds === undefined ? {} : { retrySeconds }) };
}

/** "good" again already: a use came back from a request whose name was taken. */
function spentState(state: InviteState): Refusal {
  return state === "good" ? "invitation-used-up" : `invitation-${state}`;
}
