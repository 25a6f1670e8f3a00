/**
 * Asks the running account service by its control socket (services/auth/control-server.ts says what can be asked).
 * Called by the verbs of homing-ctl, and for the page on the console (life/status.ts).
 */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";

/** It answers within milliseconds; a card's flush may take seconds. */
const answerMs = 20_000;

/** What was asked did not work; the text says why. */
export class ControlError extends Error {
  override name = "ControlError";
  /** HTTP status of the answer, when there was one. */
  readonly status: number | undefined;
  constructor(message: string, { status, ...options }: ErrorOptions & { status?: number | undefined } = {}) {
    super(message, options);
    this.status = status;
  }
}

/** Of a list, one object after the other. @throws ControlError, also when its end is missing. */
export type AskControlLines = (path: string) => AsyncIterable<Record<string, unknown>>;

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
          else reject(new ControlError(String(body.text ?? seeLog), { status: response.statusCode }));
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

/** As askControl, for answers of many lines. */
export function askControlLines(socketPath: string, timeout: number = answerMs): AskControlLines {
  return async function* (path) {
    const call = request({ socketPath, method: "GET", path, timeout });
    call.on("timeout", () =>
      call.destroy(new ControlError(`the account service does not answer: ${seeLog}`)),
    );
    call.end();
    try {
      const [response] = (await once(call, "response")) as [IncomingMessage];
      for await (const line of createInterface({ input: response.setEncoding("utf8") })) {
        const value = JSON.parse(line) as Record<string, unknown>;
        if (response.statusCode !== 200)
          throw new ControlError(String(value.text ?? seeLog), { status: response.statusCode });
        yield value;
      }
      if (!response.complete) throw brokenList();
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ECONNRESET") throw brokenList(cause);
      if (cause instanceof SyntaxError)
        throw new ControlError(`the account service gave no readable answer: ${seeLog}`, { cause });
      throw explain(cause as NodeJS.ErrnoException, socketPath);
    } finally {
      call.destroy();
    }
  };
}

function brokenList(cause?: unknown): ControlError {
  return new ControlError(`the list breaks off: ${seeLog}`, { cause });
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
