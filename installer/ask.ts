/**
 * Questions of commands that change what cannot be brought back, and the secrets that they need. Questions go to
 * standard error, so that results can be piped. Called by commands; the wizard draws its own.
 */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import type { CommandIo } from "./command.ts";

/** Nobody is there to answer; the message names the option that answers instead. */
export class NobodyToAskError extends Error {
  override name = "NobodyToAskError";
}

export type Question = Readonly<{
  /** Ends where the answer begins: "Write to it? Type yes: ". */
  text: string;
  /** What a script says instead: "--yes". */
  instead: string;
  /** The answer is not shown while it is typed. */
  secret?: boolean;
}>;

/**
 * The line that was typed, without the spaces around it. Throws NobodyToAskError without a terminal or when the input
 * ends, and the signal's reason at Ctrl-C.
 */
export async function ask(
  { stdin, stderr, signal }: Pick<CommandIo, "stdin" | "stderr" | "signal">,
  { text, instead, secret = false }: Question,
): Promise<string> {
  if (stdin?.isTTY !== true) {
    throw new NobodyToAskError(`this has to be asked, and no terminal is there to answer; say ${instead}`);
  }
  signal.throwIfAborted();
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  // Of a secret, readline would draw what is typed.
  if (secret) stderr.write(text);
  const lines = createInterface({ input: stdin, output: secret ? silent : stderr, terminal: true });
  // readline takes Ctrl-C for itself while it reads.
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  const ended = Promise.withResolvers<never>();
  lines.on("close", () =>
    ended.reject(new NobodyToAskError(`the question was not answered; say ${instead}`)),
  );
  ended.promise.catch(() => {}); // it also closes behind an answer
  try {
    const answer = await Promise.race([lines.question(secret ? "" : text, { signal }), ended.promise]);
    return answer.trim();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
    if (secret) stderr.write("\n");
  }
}

/** Whether the answer is "yes", whole and in any case: "y" is typed too fast. */
export async function agrees(
  io: Pick<CommandIo, "stdin" | "stderr" | "signal">,
  question: Omit<Question, "secret">,
): Promise<boolean> {
  return (await ask(io, question)).toLowerCase() === "yes";
}
