/**
 * What a metadata service answers to a conversation in Dovecot's dict protocol, once more: in the plainest way, with lists
 * instead of SQLite, sharing no code with the service. For the fuzzer (test/fuzz/dict-target.ts).
 */

export type DictFacts = Readonly<{
  /** Unix time in seconds. */
  now: number;
  /** Start of the day since when logins are noted, Unix seconds. */
  since: number;
  /** The server's own values, by name. */
  server: (user: string) => Readonly<Record<string, string>>;
}>;

type Token = { address: string; mailbox: string; token: string };
type Change = () => void;
type Transaction = { user: string; changes: Change[]; refusal: string };

const day = 86_400;
const place = "vendor/vendor.dovecot/pvt/server/";

/** Thrown where the peer has to be cut off. */
class Nonsense extends Error {}

/** The replies without the texts of refusals, and whether the peer is cut off after them. */
export function referenceDict(input: string, facts: DictFacts): { replies: string[]; isCut: boolean } {
  const tokens: Token[] = [];
  const logins = new Map<string, number>();
  const transactions = new Map<number, Transaction>();
  const replies: string[] = [];
  let greeted = false;

  const valueAt = (key: string, user: string): string | undefined => {
    if (key === "shared/logins-since") return String(facts.since);
    if (key.startsWith("shared/last-login/")) {
      const name = key.slice("shared/last-login/".length);
      return isName(name) ? logins.get(name)?.toString() : undefined;
    }
    const { scope, mailbox, rest } = partsOf(key);
    if (scope === "priv" && rest === "devicetoken") {
      const own = tokens.filter((one) => one.address === user && one.mailbox === mailbox);
      return own.length === 0
        ? undefined
        : own
            .map(({ token }) => token)
            .sort()
            .join(" ");
    }
    const name = rest.slice(`${place}vendor/deltachat/`.length);
    const isServers = scope === "shared" && rest.startsWith(`${place}vendor/deltachat/`);
    return isServers && Object.hasOwn(facts.server(user), name) ? facts.server(user)[name] : undefined;
  };

  const rowsOf = (path: string, user: string): string[] => {
    const { scope, mailbox, rest } = partsOf(path);
    if (scope === undefined) return [];
    const candidates =
      scope === "priv"
        ? [`priv/${mailbox}/devicetoken`]
        : rest.startsWith(place)
          ? Object.keys(facts.server(user)).map(
              (name) => `shared/${mailbox}/${place}vendor/deltachat/${name}`,
            )
          : [];
    return candidates.filter((key) => key.startsWith(path));
  };

  /** A refusal's text, or what it changes. */
  const changeOf = (key: string, value: string | undefined, user: string): string | Change => {
    const name = key.startsWith("shared/last-login/") ? key.slice("shared/last-login/".length) : "";
    if (isName(name)) {
      if (value === undefined) {
        return () => {
          logins.delete(name);
          keep(tokens, ({ address }) => address !== name);
        };
      }
      if (!isNumber(value, 12)) return "a time is a number";
      return () => {
        const [before, then] = [logins.get(name), floorToDay(Number(value))];
        if (before === undefined || before < then || before > then + 366 * day) logins.set(name, then);
      };
    }
    // Since when logins are noted nobody sets, and nobody takes it away.
    if (key === "shared/logins-since") return "nobody's to set";
    const { scope, mailbox, rest } = partsOf(key);
    if (scope === "priv" && rest === "devicetoken") {
      if (user === "") return "whose token?";
      if (value === undefined)
        return () => keep(tokens, (one) => one.address !== user || one.mailbox !== mailbox);
      const isPrintable = [...value].every((character) => character > " " && character < "\x7f");
      if (value === "" || value.length > 4096 || !isPrintable) return "no token";
      return () => {
        keep(tokens, (one) => one.address !== user || one.token !== value);
        // All of one day: whoever has more keeps those that come first in the alphabet.
        const own = tokens.filter(({ address }) => address === user).map(({ token }) => token);
        const staying = new Set(own.sort().slice(0, 31));
        keep(tokens, (one) => one.address !== user || staying.has(one.token));
        tokens.push({ address: user, mailbox, token: value });
      };
    }
    if (scope === "shared" && rest.startsWith(`${place}vendor/deltachat/`)) {
      if (rest.length > `${place}vendor/deltachat/`.length) return "nobody's to set";
    }
    return value === undefined ? () => {} : "nobody's to set";
  };

  const take = (line: string): void => {
    const fields = line.slice(1).split("\t").map(unescaped);
    const field = (index: number): string => {
      if (index >= fields.length) throw new Nonsense();
      return fields[index]!;
    };
    const number = (index: number): number => {
      if (!isNumber(field(index), 10)) throw new Nonsense();
      return Number(field(index));
    };
    const opened = (): Transaction => {
      const found = transactions.get(number(0));
      if (found === undefined) throw new Nonsense();
      return found;
    };
    const write = (value: string | undefined): void => {
      const transaction = opened();
      if (transaction.refusal !== "") return;
      const change = changeOf(field(1), value, transaction.user);
      // What changes nothing takes no room.
      if (transaction.changes.length >= 64) transaction.refusal = "too many";
      else if (typeof change === "string") transaction.refusal = change;
      else if (!isNothing(field(1), value)) transaction.changes.push(change);
    };
    const command = line[0];
    if (command === undefined || !"HLIBSUATVCR".includes(command)) throw new Nonsense();
    if (command === "H") {
      if (number(0) !== 4) throw new Nonsense();
      field(4);
      greeted = true;
      return;
    }
    // A line that is wrong in itself is as bad as one that comes too early.
    if (!greeted) throw new Nonsense();
    switch (command) {
      case "L": {
        const value = valueAt(field(0), fields[1] ?? "");
        replies.push(value === undefined ? "N" : `O${escaped(value)}`);
        return;
      }
      case "I": {
        const [flags, most, path, user] = [number(0), number(1), field(2), fields[3] ?? ""];
        const [recurses, isValueless, isExact] = [1, 8, 16].map((flag) => Math.floor(flags / flag) % 2 === 1);
        const keys = rowsOf(path, user).filter(
          (key) =>
            valueAt(key, user) !== undefined &&
            (isExact ? key === path : recurses || !key.slice(path.length).includes("/")),
        );
        for (const key of most === 0 ? keys : keys.slice(0, most))
          replies.push(`O${escaped(key)}\t${isValueless ? "" : escaped(valueAt(key, user)!)}`);
        replies.push("");
        return;
      }
      case "B": {
        const id = number(0);
        if (transactions.has(id) || transactions.size >= 16) throw new Nonsense();
        transactions.set(id, { user: fields[1] ?? "", changes: [], refusal: "" });
        return;
      }
      case "S":
        number(0);
        field(1);
        write(field(2));
        return;
      case "U":
        number(0);
        field(1);
        write(undefined);
        return;
      case "A":
        number(0);
        field(1);
        opened().refusal ||= "no counting";
        return;
      case "R":
        opened();
        transactions.delete(number(0));
        return;
      case "C": {
        const { changes, refusal } = opened();
        transactions.delete(number(0));
        if (refusal === "") for (const change of changes) change();
        replies.push(refusal === "" ? `O${number(0)}` : `F${number(0)}`);
        return;
      }
      default:
        opened();
    }
  };

  const lines = input.split("\n");
  const last = lines.pop()!;
  try {
    for (const line of lines) {
      if (line.length > 65_536) throw new Nonsense();
      take(line);
    }
    if (last.length > 65_536) throw new Nonsense();
    return { replies, isCut: false };
  } catch (error) {
    if (!(error instanceof Nonsense)) throw error;
    return { replies, isCut: true };
  }
}

function isNothing(key: string, value: string | undefined): boolean {
  const { scope, rest } = partsOf(key);
  const isLogin = key.startsWith("shared/last-login/") && isName(key.slice("shared/last-login/".length));
  return value === undefined && !isLogin && !(scope === "priv" && rest === "devicetoken");
}

function partsOf(key: string): { scope?: "shared" | "priv"; mailbox: string; rest: string } {
  const [scope, mailbox = "", ...rest] = key.split("/");
  const isGuid = mailbox.length === 32 && [...mailbox].every((digit) => "0123456789abcdef".includes(digit));
  return (scope === "shared" || scope === "priv") && isGuid && rest.length > 0
    ? { scope, mailbox, rest: rest.join("/") }
    : { mailbox: "", rest: "" };
}

/** Nobody's name has a line end. */
const isName = (name: string) => name !== "" && !/[\r\n]/.test(name);

const isNumber = (text: string, most: number) =>
  text !== "" && text.length <= most && [...text].every((digit) => digit >= "0" && digit <= "9");

const floorToDay = (time: number) => time - (time % day);

function keep<T>(list: T[], isKept: (one: T) => boolean): void {
  list.splice(0, list.length, ...list.filter(isKept));
}

const codes = new Map([
  ["0", "\0"],
  ["1", "\x01"],
  ["t", "\t"],
  ["r", "\r"],
  ["n", "\n"],
]);

function unescaped(field: string): string {
  let text = "";
  for (let at = 0; at < field.length; at++) {
    if (field[at] !== "\x01") text += field[at];
    else if (++at < field.length) text += codes.get(field[at]!) ?? field[at];
  }
  return text;
}

function escaped(text: string): string {
  return [...text]
    .map((character) => {
      const code = [...codes].find(([, meant]) => meant === character)?.[0];
      return code === undefined ? character : `\x01${code}`;
    })
    .join("");
}
