/**
 * Asks the running account service by its control socket (services/auth/control-server.ts says what can be asked).
 * Called by the verbs of homing-ctl, and for the page on the console (life/status.ts).
 */
import { request } from "node:http";

/** It answers within milliseconds; a card's flush may take seconds. */
const answerMs = 20_000;

/** What was asked did not work; the text says why. */
export class ControlError extends Error {
  override name = "ControlError";
}

export type AskControl = (
  method: "GET" | "PUT" | "POST" | "DELETE",
  path: string,
  fields?: Readonly<Record<string, string>>,
) => Promise<Record<string, unknown>>;

/** Resolves to the answer's object. `timeout` in milliseconds. @throws ControlError for any answer but 200, and for none. */
export function askControl(socketPath: string, timeout: number = answerMs): AskControl {
  return (method, path, fields = {}) =>
    new Promise((resolve, reject) => {
      const call = request({ socketPath, method, path, timeout }, async (response) => {
        try {
          let text = "";
          for await (const piece of response) text += piece;
          const body = JSON.parse(text) as Record<string, unknown>;
          if (response.statusCode === 200) resolve(body);
          else reject(new ControlError(String(body.text ?? seeLog)));
        } catch (cause) {
          reject(new ControlError(`the account service gave no readable answer: ${seeLog}`, { cause }));
        }
      });
      call.on("timeout", () =>
        call.destroy(new ControlError(`the account service does not answer: ${seeLog}`)),
      );
      call.on("error", (cause: NodeJS.ErrnoException) => reject(explain(cause, socketPath)));
      call.end(method === "GET" ? undefined : `${new URLSearchParams(fields)}`);
    });
}

const seeLog = "see `journalctl -u homing-auth`";

function explain(cause: NodeJS.ErrnoException, socketPath: string): Error {
  if (cause instanceof ControlError) return cause;
  if (cause.code === "EACCES") return new ControlError("only root may do this", { cause });
  return new ControlError(
    `the account service cannot be reached at ${socketPath} (${cause.code ?? cause.message}): ` +
      "see `systemctl status homing-auth`",
    { cause },
  );
}
