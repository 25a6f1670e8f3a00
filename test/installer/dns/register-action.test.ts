/** `./homing dns register` (installer/dns/register-action.ts), at a stand-in of deSEC. */
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { desec } from "../../../appliance/dns/providers/desec.ts";
import type { CommandIo } from "../../../installer/command.ts";
import { findCredentials } from "../../../installer/dns/credentials.ts";
import { registerAction } from "../../../installer/dns/register-action.ts";
import { fakeDesecAccounts } from "../../support/dns-providers/desec-account.ts";
import { runFake } from "../../support/dns-providers/fake-provider.ts";

const name = "wren.dedyn.io";
const email = "me@rosegarden.net";
const password = "correct horse";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-register-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** deSEC, and a person in front of a terminal who gives these answers, or none. */
function world(file: string, answers?: readonly (string | (() => string))[]) {
  const fake = fakeDesecAccounts(name);
  const { fetch, clock } = runFake(fake);
  const output = { stdout: new PassThrough(), stderr: new PassThrough() };
  const { signal } = new AbortController();
  const env = answers === undefined ? { HOMING_DNS_DESEC_PASSWORD: password } : {};
  const stdin = Object.assign(new PassThrough(), { isTTY: answers !== undefined });
  const io: CommandIo = { ...output, stdin, env, signal };
  const left = [...(answers ?? [])];
  const options = {
    ...{ email, credentials: join(folder, file), opened: false, connect: { fetch, clock } },
    askWith: async () => {
      const next = left.shift();
      return typeof next === "function" ? next() : (next ?? "");
    },
  };
  const said = () => `${output.stdout.read() ?? ""}${output.stderr.read() ?? ""}`;
  return { fake, io, options, said };
}

describe("a free name by the command", () => {
  it("asks for the password twice, waits for the link, and keeps a token that dns apply takes", async () => {
    const open = () => (fake.followLink(email) ? "" : "no letter came");
    const { fake, io, options, said } = world("asked.txt", [password, password, "", () => open()]);
    expect(await registerAction(name, options, io)).toBe(0);
    const text = said();
    expect(text).toContain("not followed yet");
    expect(text).toContain(`${name} is yours`);
    const file = options.credentials;
    const [token] = fake.secrets();
    expect(await findCredentials(desec, { env: {}, file })).toEqual({ token });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(text).not.toContain(token);
    // Never over another one.
    await expect(registerAction(name, options, io)).rejects.toThrow("is there already");
    expect(await readFile(file, "utf8")).toContain(token);
  });

  it("goes in two steps for a script", async () => {
    const { fake, io, options, said } = world("script.txt");
    expect(await registerAction(name, options, io)).toBe(1);
    expect(said()).toContain(`./homing dns register ${name} --opened`);
    const opened = { ...options, opened: true };
    await expect(registerAction(name, opened, io)).rejects.toThrow("not followed yet");
    fake.followLink(email);
    expect(await registerAction(name, opened, io)).toBe(0);
  });

  it("does nothing with two passwords, a name that somebody has, or another kind of name", async () => {
    const slip = world("slip.txt", [password, "correct hose"]);
    await expect(registerAction(name, slip.options, slip.io)).rejects.toThrow("not the same");
    const { fake, io, options } = world("taken.txt");
    fake.taken.add(name);
    await expect(registerAction(name, options, io)).rejects.toThrow("unavailable");
    for (const other of ["wren.example.org", "dedyn.io", `a.${name}`])
      await expect(registerAction(other, options, io)).rejects.toThrow("needs a name like");
  });
});
