/**
 * Dovecot's dict protocol, version 4 (Dovecot 2.4, src/lib-dict-extra/dict-client.h): lines of tab-separated
 * fields, the command being the first byte. Pure: bytes of a line in, a command out; replies as text.
 * Lines are handled as Latin-1, one character a byte, so that any value passes through unchanged.
 *
 *   H<major>\t<minor>\t<value type>\t<user>\t<dict name>     hello, no reply
 *   L<key>\t<user>                                            → O<value> | N | F<error>
 *   I<flags>\t<max rows>\t<path>\t<user>                      → O<key>\t<value> …, then an empty line
 *   B<id>\t<user>\t<expire secs>   S<id>\t<key>\t<value>   U<id>\t<key>   A<id>\t<key>\t<diff>
 *   T<id>\t<secs>\t<nsecs>   V<id>\t<hide values>   R<id>     no reply
 *   C<id>                                                     → O<id> | F<id>\t<error>
 */

/** DICT_CLIENT_MAX_LINE_LENGTH of Dovecot; a longer line cannot come from it. In bytes. */
export const maxLineBytes = 64 * 1024;

/** The major version that Dovecot 2.4 speaks. */
const protocolVersion = 4;

/** DICT_ITERATE_FLAG_* of Dovecot's lib-dict/dict.h, as far as they matter here. */
const iterateFlags = { recurse: 1, noValue: 8, exactKey: 16 } as const;

/** The peer does not speak the protocol; the connection is of no use any more. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

export type DictCommand =
  | Readonly<{ kind: "hello"; dictionary: string }>
  | Readonly<{ kind: "lookup"; key: string; user: string }>
  | Readonly<{
      kind: "iterate";
      path: string;
      user: string;
      recurse: boolean;
      exactKey: boolean;
      withValues: boolean;
      /** 0: no limit. */
      maxRows: number;
    }>
  | Readonly<{ kind: "begin"; id: number; user: string }>
  | Readonly<{ kind: "set"; id: number; key: string; value: string }>
  | Readonly<{ kind: "unset"; id: number; key: string }>
  | Readonly<{ kind: "increment"; id: number; key: string }>
  /** Timestamps and log hints, which change nothing here. */
  | Readonly<{ kind: "remark"; id: number }>
  | Readonly<{ kind: "commit"; id: number }>
  | Readonly<{ kind: "rollback"; id: number }>;

/** Reads one line without its line end. @throws ProtocolError */
export function parseCommand(line: string): DictCommand {
  const fields = line.slice(1).split("\t").map(unescapeField);
  const text = (index: number): string => {
    const field = fields[index];
    if (field === undefined) throw new ProtocolError(`the command ${line[0]} lacks a field`);
    return field;
  };
  const id = (): number => number(text(0));
  switch (line[0]) {
    case "H":
      if (number(text(0)) !== protocolVersion) {
        throw new ProtocolError(`dict protocol ${text(0)} is spoken, known is ${protocolVersion}`);
      }
      return { kind: "hello", dictionary: text(4) };
    case "L":
      return { kind: "lookup", key: text(0), user: fields[1] ?? "" };
    case "I": {
      const flags = number(text(0));
      return {
        kind: "iterate",
        path: text(2),
        user: fields[3] ?? "",
        recurse: (flags & iterateFlags.recurse) !== 0,
        exactKey: (flags & iterateFlags.exactKey) !== 0,
        withValues: (flags & iterateFlags.noValue) === 0,
        maxRows: number(text(1)),
      };
    }
    case "B":
      return { kind: "begin", id: id(), user: fields[1] ?? "" };
    case "S":
      return { kind: "set", id: id(), key: text(1), value: text(2) };
    case "U":
      return { kind: "unset", id: id(), key: text(1) };
    case "A":
      return { kind: "increment", id: id(), key: text(1) };
    case "T":
    case "V":
      return { kind: "remark", id: id() };
    case "C":
      return { kind: "commit", id: id() };
    case "R":
      return { kind: "rollback", id: id() };
    default:
      throw new ProtocolError("an unknown command came");
  }
}

/** Replies, each with its line end. */
export const replies = {
  value: (value: string): string => `O${escapeField(value)}\n`,
  notFound: "N\n",
  failed: (error: string): string => `F${escapeField(error)}\n`,
  row: (key: string, value: string): string => `O${escapeField(key)}\t${escapeField(value)}\n`,
  endOfRows: "\n",
  committed: (id: number): string => `O${id}\n`,
  notCommitted: (id: number, error: string): string => `F${id}\t${escapeField(error)}\n`,
} as const;

const escapes = { "\0": "0", "\x01": "1", "\t": "t", "\r": "r", "\n": "n" } as const;
const unescapes: Readonly<Record<string, string>> = { 0: "\0", 1: "\x01", t: "\t", r: "\r", n: "\n" };

/** str_append_tabescaped_n() of Dovecot. */
export function escapeField(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters the protocol escapes.
  return text.replace(/[\0\x01\t\r\n]/g, (character) => `\x01${escapes[character as keyof typeof escapes]}`);
}

/** str_append_tabunescaped() of Dovecot: an unknown escape stands for its character, a lone end for nothing. */
export function unescapeField(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: 0x01 is the protocol's escape character.
  return text.replace(/\x01([\s\S]?)/g, (_, code: string) => unescapes[code] ?? code);
}

function number(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new ProtocolError("a number was expected");
  return Number(text);
}
