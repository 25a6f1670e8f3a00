/**
 * The canary's account and key, kept on the data partition for its user alone: made when they are missing, the account by
 * the account service (services/auth/canary.ts). Called by mail.ts.
 */
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { generateKey, type PrivateKey, readPrivateKey } from "openpgp";
import { replaceDurably } from "../../appliance/durable.ts";
import { answerMs } from "./limits.ts";
import { Finding } from "./steps.ts";

export type Account = Readonly<{ address: string; password: string }>;

const accountFile = "account.json";
const keyFile = "key.asc";

/** The account in the file, or one that the account service gives. @throws Finding */
export async function openAccount(folder: string, socketPath: string): Promise<Account> {
  const kept = await readFile(join(folder, accountFile), "utf8").catch(() => "");
  return readAccount(kept) ?? (await renewAccount(folder, socketPath));
}

/** With another password: for when the old one is not taken any more. @throws Finding */
export async function renewAccount(folder: string, socketPath: string): Promise<Account> {
  const answer = await ask(socketPath).catch((cause: Error) => {
    throw new Finding(
      `the account service gives the canary no account: ${cause.message}`,
      "see `systemctl status homing-auth` and `journalctl --unit homing-auth`",
      cause,
    );
  });
  const account = readAccount(answer);
  if (account === undefined) {
    throw new Finding(
      "the account service gives the canary no account",
      "see `journalctl --unit homing-auth`",
    );
  }
  await replaceDurably(join(folder, accountFile), `${JSON.stringify(account)}\n`, { mode: 0o600 });
  return account;
}

/**
 * The key that its messages are encrypted to. One that cannot be read, or is of a time that has not come (the clock was
 * ahead), is made anew, for nothing lasting depends on it.
 */
export async function openKey(folder: string): Promise<PrivateKey> {
  const path = join(folder, keyFile);
  const kept = await readFile(path, "utf8")
    .then((armoredKey) => readPrivateKey({ armoredKey }))
    .catch(() => undefined);
  // Nothing is signed or encrypted with a key before its time.
  if (kept !== undefined && kept.getCreationTime().getTime() <= Date.now()) return kept;
  const { privateKey } = await generateKey({ userIDs: [{ name: "canary" }], format: "object" });
  await replaceDurably(path, privateKey.armor(), { mode: 0o600 });
  return privateKey;
}

function readAccount(text: string): Account | undefined {
  try {
    const { address, password } = JSON.parse(text) as Record<string, unknown>;
    return typeof address === "string" && typeof password === "string" ? { address, password } : undefined;
  } catch {
    return undefined; // none yet, or cut short: another one is given
  }
}

function ask(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(
      { socketPath, method: "POST", path: "/account", timeout: answerMs },
      async (response) => {
        try {
          let text = "";
          for await (const piece of response) text += piece;
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(text));
        } catch (cause) {
          reject(cause);
        }
      },
    );
    call.on("timeout", () => call.destroy(new Error("no answer in time")));
    call.on("error", reject);
    call.end();
  });
}
