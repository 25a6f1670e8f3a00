/**
 * Asks the account service for accounts (services/auth/sign-up-server.ts says what can be asked), over connections that
 * are kept. Called by sign-up.ts and, for the mode, by service.ts.
 */
import { Agent, request } from "node:http";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";
import { describeError, type Log } from "../lib/log.ts";

/** Enough for a thousand accounts a second at a card's 50 ms a flush; the service takes four times as many. */
const maxConnections = 64;
/** A card's flush may take seconds; the app waits longer. */
const answerMs = 15_000;

/** As proof-of-work.ts of services/auth makes it. */
export type Puzzle = Readonly<{ challenge: string; rounds: number; bits: number }>;

export type SignUpAnswer =
  | Readonly<{ result: "made"; email: string; password: string }>
  | Readonly<{ result: "refused"; status: number; reason: string; retrySeconds?: number }>;

/** `link` is missing unless an invitation is needed. */
export type HomeAnswer =
  | Readonly<{ result: "made"; mode: SignUpMode; link?: string }>
  | Readonly<{ result: "refused"; status: number; reason: string; retrySeconds?: number }>;

export type AccountClient = Readonly<{
  /** `invitation` and `proof` are empty where there is none. */
  signUp(wanted: Readonly<{ client: string; invitation: string; proof: string }>): Promise<SignUpAnswer>;
  /** Who may make an account; whether this client has to wait, or to solve a puzzle. */
  welcome(client: string): Promise<Readonly<{ mode: SignUpMode; retrySeconds?: number; puzzle?: Puzzle }>>;
  /** What an invitation is good for in the hands of this client: "good", "used-up", "expired", "unknown". */
  findInvitation(token: string, client: string): Promise<Readonly<{ mode: SignUpMode; state: string }>>;
  /** An invitation for whoever knows the PIN on the relay's screen. */
  homeInvitation(pin: string): Promise<HomeAnswer>;
  close(): void;
}>;

/** How long an answer about the mode holds, in milliseconds: the operator's change shows at once, floods cost little. */
const modeHeldMs = 500;

/** The account service did not answer, or failed. */
export class AccountServiceError extends Error {
  override name = "AccountServiceError";
}

export function createAccountClient(socketPath: string): AccountClient {
  // The service says how long it keeps an idle connection (Keep-Alive); Node lets go a second before.
  const agent = new Agent({ keepAlive: true, maxSockets: maxConnections });
  const ask = (
    path: string,
    fields: Readonly<Record<string, string>>,
  ): Promise<{ status: number; body: Record<string, unknown> }> =>
    new Promise((resolve, reject) => {
      const fail = (cause: unknown): void =>
        reject(new AccountServiceError("the account service does not answer", { cause }));
      const form = new URLSearchParams(fields).toString();
      const headers = { "content-length": form.length };
      const options = { socketPath, path, method: "POST", headers, agent, timeout: answerMs };
      const call = request(options, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (piece: string) => {
          text += piece;
        });
        response.on("error", fail);
        response.on("end", () => {
          const status = response.statusCode ?? 0;
          try {
            resolve({ status, body: JSON.parse(text) as Record<string, unknown> });
          } catch (cause) {
            fail(cause);
          }
        });
      });
      call.on("timeout", () => call.destroy(new Error("no answer in time")));
      call.on("error", fail);
      call.end(form);
    });
  /** For questions that are never refused. */
  const askPlain = async <T>(path: string, fields: Readonly<Record<string, string>>): Promise<T> => {
    const { status, body } = await ask(path, fields);
    if (status !== 200) throw new AccountServiceError(`the account service answered ${path} with ${status}`);
    return body as T;
  };
  return {
    async signUp(wanted) {
      const { status, body } = await ask("/sign-up", wanted);
      if (body.result === "made" || body.result === "refused")
        return { ...(body as SignUpAnswer), status } as SignUpAnswer;
      throw new AccountServiceError(`the account service answered /sign-up with ${status}`);
    },
    welcome: (client) => askPlain("/welcome", { client }),
    findInvitation: (token, client) => askPlain("/invitation", { token, client }),
    async homeInvitation(pin) {
      const { status, body } = await ask("/home-invitation", { pin });
      if (body.result === "made" || body.result === "refused")
        return { ...(body as HomeAnswer), status } as HomeAnswer;
      throw new AccountServiceError(`the account service answered /home-invitation with ${status}`);
    },
    close: () => agent.destroy(),
  };
}

/**
 * Who may make an account at this moment, for the home page. When nobody can tell, what was last known: the page is
 * shown all the same.
 */
export function currentMode(
  accounts: Pick<AccountClient, "welcome">,
  settings: SignUpMode,
  log: Log,
): () => Promise<SignUpMode> {
  let known = settings;
  let asked: { answer: Promise<SignUpMode>; at: number } | undefined;
  const ask = async (): Promise<SignUpMode> => {
    try {
      known = (await accounts.welcome("")).mode;
    } catch (cause) {
      log.debug("the mode of sign-up is not known", { cause: describeError(cause) });
    }
    return known;
  };
  return () => {
    const now = performance.now();
    if (asked === undefined || now - asked.at > modeHeldMs) asked = { answer: ask(), at: now };
    return asked.answer;
  };
}
