/**
 * What the keys mean that Dovecot asks the dict for. Pure; used by dictionary.ts.
 *
 *   shared/<mailbox guid>/vendor/vendor.dovecot/pvt/server/vendor/deltachat/<name>
 *                                  IMAP METADATA of the server (RFC 5464): /shared/vendor/deltachat/<name> on ""
 *   priv/<mailbox guid>/devicetoken  /private/devicetoken on INBOX: a phone's address for push notifications
 *   shared/last-login/<user>         Dovecot's last_login plugin; removed: the account is gone (services/reaper)
 *   shared/logins-since              since when those are noted (services/reaper)
 */

/** Dovecot gives the server's own attributes this place among those of the INBOX. */
const serverPrefix = "vendor/vendor.dovecot/pvt/server/";
const ourServerPrefix = `${serverPrefix}vendor/deltachat/`;
const deviceTokenName = "devicetoken";

export type DictKey =
  | Readonly<{ kind: "server"; name: string }>
  | Readonly<{ kind: "device-token"; mailbox: string }>
  | Readonly<{ kind: "last-login"; user: string }>
  | Readonly<{ kind: "logins-since" }>
  | Readonly<{ kind: "unknown" }>;

export function parseKey(key: string): DictKey {
  const lastLogin = /^shared\/last-login\/(.+)$/.exec(key);
  if (lastLogin) return { kind: "last-login", user: lastLogin[1]! };
  if (key === "shared/logins-since") return { kind: "logins-since" };
  const [, scope, mailbox, name] = /^(shared|priv)\/([0-9a-f]{32})\/(.+)$/.exec(key) ?? [];
  if (mailbox === undefined || name === undefined) return { kind: "unknown" };
  if (scope === "shared" && name.startsWith(ourServerPrefix)) {
    return { kind: "server", name: name.slice(ourServerPrefix.length) };
  }
  if (scope === "priv" && name === deviceTokenName) return { kind: "device-token", mailbox };
  return { kind: "unknown" };
}

/**
 * All keys that can have a value below the path of an iteration. The server's are not among those of a
 * mailbox as a whole: before Dovecot deletes a mailbox it iterates and removes all that it finds.
 */
export function keysBelow(path: string, serverNames: readonly string[]): string[] {
  const [mailboxPath, scope] = /^(shared|priv)\/[0-9a-f]{32}\//.exec(path) ?? [];
  if (mailboxPath === undefined) return [];
  if (scope === "priv") return [`${mailboxPath}${deviceTokenName}`].filter((key) => key.startsWith(path));
  if (!path.startsWith(mailboxPath + serverPrefix)) return [];
  return serverNames
    .map((name) => mailboxPath + ourServerPrefix + name)
    .filter((key) => key.startsWith(path));
}
