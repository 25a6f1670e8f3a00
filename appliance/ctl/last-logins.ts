/**
 * On which day accounts were last logged in to: homing-ctl asks services/metadata, by the dict protocol that Dovecot speaks
 * with it (services/metadata/protocol.ts). As root it opens nothing that the service wrote, and believes no answer that is
 * none. Accounts are listed whatever has become of the service and its file.
 */
import { connect, type Socket } from "node:net";

/** Start of that UTC day, Unix seconds. */
export type LoginDay = number | "never" | "unknown";

export type LastLogins = Disposable &
  Readonly<{
    /** In the order of the accounts. */
    read(accounts: readonly Readonly<{ address: string; createdDay: number }>[]): Promise<LoginDay[]>;
  }>;

/** Silence of the service, in milliseconds: the question may start it. */
const SILENCE_MS = 10_000;

/** For one answer: a day, or why there is none. Characters. */
const LONGEST_ANSWER = 1024;

/** What a Date can be, in Unix seconds (ECMA-262 §21.4.1.1). */
const LATEST_DAY = 8.64e12;

/** Version 4 of the protocol; names no user. */
const GREETING = "H4\t0\t0\t\tlastlogin\n";

/** `tell` hears once why days are not known: nobody answers at the socket `path`, or not as it should be. */
export function openLastLogins(path: string, tell: (problem: string) => void): LastLogins {
  const socket = connect(path).setEncoding("latin1");
  socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error("it does not answer")));
  // The next answer that is waited for tells it.
  socket.on("error", () => {});
  const lines = linesOf(socket);
  let told = false;
  const unknown = (why: string): "unknown" => {
    if (!told) tell(`not all last logins are known: ${why}`);
    told = true;
    return "unknown";
  };
  const answer = async (): Promise<LoginDay> => {
    try {
      const { value: line } = await lines.next();
      if (line === "N") return "never";
      if (line !== undefined && /^O\d{1,13}$/.test(line) && Number(line.slice(1)) <= LATEST_DAY)
        return Number(line.slice(1));
      return unknown(
        line?.startsWith("F") ? line.slice(1) : `the metadata service says ${line ?? "no more"}`,
      );
    } catch (cause) {
      return unknown(`the metadata service cannot be asked (${path}): ${(cause as Error).message}`);
    }
  };
  /** Of logins before that day nothing is known: what the service keeps may be younger than accounts. */
  let since: Promise<LoginDay> | undefined;
  const askSince = (): Promise<LoginDay> => {
    socket.write(`${GREETING}Lshared/logins-since\t\n`);
    return answer();
  };
  return {
    async read(accounts) {
      since ??= askSince();
      const from = await since;
      socket.write(accounts.map(({ address }) => `Lshared/last-login/${address}\t${address}\n`).join(""));
      const days: LoginDay[] = [];
      for (const { createdDay } of accounts) {
        const day = await answer();
        const isSure = day !== "never" || (typeof from === "number" && createdDay >= from);
        days.push(isSure ? day : unknown("accounts are older than the file in which logins are noted"));
      }
      return days;
    },
    [Symbol.dispose]: () => socket.destroy(),
  };
}

async function* linesOf(socket: Socket): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const piece of socket as AsyncIterable<string>) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
    if (rest.length > LONGEST_ANSWER) throw new Error("its answer has no end");
  }
  return undefined;
}
