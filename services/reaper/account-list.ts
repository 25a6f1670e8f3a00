/**
 * The account list as services/auth offers it to the reaper on a socket of its own (services/auth/account-requests.ts
 * says how). Called by main.ts.
 */
import { type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";
import type { ListedAccount } from "../../appliance/account-states.ts";
import type { AccountList } from "./accounts.ts";

/** Silence of the service, in milliseconds: it writes through to a card that may take seconds for a flush. */
const SILENCE_MS = 20_000;

/** The account service is not there or refuses. */
export class AccountListError extends Error {
  override name = "AccountListError";
}

export function createAccountList(socketPath: string): AccountList {
  /** Its answer, if it has one of the statuses. */
  const ask = (method: string, path: string, ...expected: number[]): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const call = request({ socketPath, method, path, timeout: SILENCE_MS }, (response) => {
        if (expected.includes(response.statusCode ?? 0)) resolve(response);
        else {
          response.resume();
          reject(new AccountListError(`the account service answers ${response.statusCode} to a ${method}`));
        }
      });
      call.on("timeout", () => call.destroy(new AccountListError("the account service does not answer")));
      call.on("error", (cause) =>
        reject(
          cause instanceof AccountListError
            ? cause
            : new AccountListError(`the account service cannot be asked: ${cause.message}`, { cause }),
        ),
      );
      call.end();
    });
  const change = async (method: string, path: string): Promise<void> => {
    // 404: somebody else has taken it away already.
    const response = await ask(method, path, 200, 404);
    for await (const _ of response);
  };
  return {
    async *list() {
      const response = await ask("GET", "/accounts", 200);
      for await (const line of createInterface({ input: response })) {
        if (line !== "") yield JSON.parse(line) as ListedAccount;
      }
      if (!response.complete) throw new AccountListError("the list of accounts was cut off");
    },
    async has(address) {
      const response = await ask("GET", `/accounts/${address}`, 200, 404);
      response.resume();
      return response.statusCode === 200;
    },
    leave: (address) => change("POST", `/accounts/${address}/leave`),
    forget: (address) => change("DELETE", `/accounts/${address}`),
  };
}
