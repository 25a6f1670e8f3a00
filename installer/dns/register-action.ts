/**
 * `./homing dns register NAME.dedyn.io`: a free name at deSEC with an account, and a token for this name alone, which is
 * kept in a file. Called by commands/dns.ts. What deSEC asks of people (a link in a letter) stays with people.
 */
import { access } from "node:fs/promises";
import { FREE_SUFFIX, MIN_PASSWORD_LENGTH } from "../../appliance/dns/desec-free.ts";
import { type ConnectOptions, DnsProviderError } from "../../appliance/dns/provider.ts";
import { desec } from "../../appliance/dns/providers/desec.ts";
import { type DesecAccount, desecAccount } from "../../appliance/dns/providers/desec-account.ts";
import { parseDomain } from "../../appliance/domain.ts";
import { createSynced } from "../../appliance/durable.ts";
import { ask } from "../ask.ts";
import { type CommandIo, print, UsageError } from "../command.ts";
import { SECRET_MODE } from "../relay-folder.ts";
import { shellQuote } from "../shell-quote.ts";
import { CredentialsError, credentialVariable } from "./credentials.ts";

export type RegisterOptions = Readonly<{
  email: string | undefined;
  /** Where the token is written; "desec-NAME.txt" unless given. */
  credentials: string | undefined;
  /** The link in the letter was opened already: only the token is missing. */
  opened: boolean;
  /** For tests: where deSEC is, and another way to ask. */
  connect?: ConnectOptions;
  askWith?: typeof ask;
}>;

/** How often somebody who has not opened the link is asked whether they have. */
const MAX_ASKED = 10;
const EXIT_NOT_YET = 1;

/** 0 when the token is there, 1 while the letter's link has to be opened. */
export async function registerAction(
  target: string,
  options: RegisterOptions,
  io: CommandIo,
): Promise<number> {
  const name = freeName(target);
  const file = options.credentials ?? `desec-${name}.txt`;
  await refuseExisting(file);
  const account = await accountOf(options, io);
  if (!options.opened) {
    await account.register({ domain: name });
    io.stderr.write(
      `deSEC has been asked for ${name}. Open the link in its letter, which is good for twelve hours; by registering you ` +
        "agree to the terms on desec.io.\n",
    );
  }
  const token = await tokenOnceOpened(account, name, options, io);
  if (token === undefined) {
    io.stderr.write(`Once the link is open: ./homing dns register ${name} --opened\n`);
    return EXIT_NOT_YET;
  }
  await createSynced(file, Buffer.from(`token = ${token}\n`), SECRET_MODE);
  await print(
    io.stdout,
    `${name} is yours. The token that changes its records, and nothing else, is in ${file}.\n` +
      `Next: ./homing init ${name}\n` +
      `      ./homing dns apply ${name} --address IP --provider ${desec.id} --credentials ${shellQuote(file)}\n`,
  );
  return 0;
}

/** What deSEC gives away is one label below its own name. */
function freeName(text: string): string {
  const name = parseDomain(text);
  const labels = name.split(".").length - FREE_SUFFIX.split(".").length;
  if (name.endsWith(`.${FREE_SUFFIX}`) && labels === 1) return name;
  throw new UsageError(`dns register needs a name like rosegarden.${FREE_SUFFIX}, not “${text}”`);
}

async function refuseExisting(file: string): Promise<void> {
  const isThere = await access(file).then(
    () => true,
    () => false, // what else is wrong with it shows when it is written
  );
  if (isThere)
    throw new CredentialsError(`${file} is there already; name another file for the token by --credentials`);
}

async function accountOf(
  { email, connect = {}, askWith = ask }: RegisterOptions,
  io: CommandIo,
): Promise<DesecAccount> {
  const [emailVariable, passwordVariable] = ["email", "password"].map((key) =>
    credentialVariable(desec.id, key),
  );
  const asked = (text: string, instead: string, secret = false) => askWith(io, { text, instead, secret });
  const address =
    email ?? io.env[emailVariable!] ?? (await asked("Your e-mail address: ", "--email ADDRESS"));
  let password = io.env[passwordVariable!];
  if (password === undefined) {
    password = await asked("A password for deSEC (a new one for a new account): ", passwordVariable!, true);
    // Nobody sees what they type: a slip would lock them out of the new account.
    if ((await asked("The same again: ", passwordVariable!, true)) !== password)
      throw new CredentialsError("the two passwords are not the same; nothing was done");
  }
  if (password.length < MIN_PASSWORD_LENGTH)
    throw new CredentialsError(`the password needs at least ${MIN_PASSWORD_LENGTH} characters`);
  return desecAccount({ email: address, password }, { ...connect, signal: io.signal });
}

/** Undefined while the link is not open and nobody is there to open it. */
async function tokenOnceOpened(
  account: DesecAccount,
  name: string,
  { opened, askWith = ask }: RegisterOptions,
  io: CommandIo,
): Promise<string | undefined> {
  if (!opened && io.stdin?.isTTY !== true) return undefined;
  for (let tries = 1; ; tries++) {
    if (!opened) await askWith(io, { text: "Press Enter once the link is open. ", instead: "--opened" });
    try {
      return await account.tokenFor(name);
    } catch (error) {
      const mayWork = error instanceof DnsProviderError && error.problem === "credentials";
      if (opened || !mayWork || tries === MAX_ASKED) throw error;
      io.stderr.write(`${error.message}\n`);
    }
  }
}
