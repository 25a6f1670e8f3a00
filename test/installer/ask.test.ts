/** A terminal is stood in for by a stream that calls itself one; what readline draws on it is looked at. */
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { agrees, ask } from "../../installer/ask.ts";
import { captureStream } from "../support/command-io.ts";

const question = { text: "All of it is erased. Type yes: ", instead: "--yes" };

function terminal(typed?: string) {
  const stop = new AbortController();
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  if (typed !== undefined) stdin.write(typed);
  return { stdin, stderr: captureStream(), signal: stop.signal, stop };
}

test("gives the line that was typed, and shows question and answer on standard error", async () => {
  const io = terminal("  card two \r");
  expect(await ask(io, question)).toBe("card two");
  expect(io.stderr.text()).toContain("Type yes: ");
  expect(io.stderr.text()).toContain("card two");
});

test("shows nothing of a secret", async () => {
  const io = terminal("s3cret\r");
  expect(await ask(io, { text: "Token: ", instead: "HOMING_TOKEN", secret: true })).toBe("s3cret");
  expect(io.stderr.text()).toBe("Token: \n");
});

test.each([
  ["yes\r", true],
  ["YES\r", true],
  ["y\r", false],
  ["\r", false],
])("takes %j for %s", async (typed, expected) => {
  expect(await agrees(terminal(typed), question)).toBe(expected);
});

test("names the option that answers where nobody can be asked", async () => {
  const io = { ...terminal(), stdin: new PassThrough() };
  await expect(ask(io, question)).rejects.toThrow("say --yes");
});

test("an input that ends is no answer", async () => {
  const io = terminal();
  const asked = ask(io, question);
  io.stdin.end();
  await expect(asked).rejects.toThrow("was not answered; say --yes");
});

test("stops asking when the command is stopped", async () => {
  const io = terminal();
  const asked = ask(io, question);
  io.stop.abort("SIGINT");
  await expect(asked).rejects.toBe("SIGINT");
});
