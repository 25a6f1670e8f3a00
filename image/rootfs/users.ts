/**
 * Users and groups: /etc/passwd, group, shadow and gshadow from the templates of base-passwd, the users that
 * Debian's packages would make at installation, and the appliance's own. Called by assemble.ts.
 * Ids are fixed: files on the data partition carry them from one version of the image to the next.
 */
import type { SystemUser } from "../spec.ts";
import { readText, setFile, type Tree } from "./tree.ts";

type PackageUser = Readonly<{
  name: string;
  id: number;
  home: string;
  /** Group, where it is not one of the same name and id. */
  groupId?: number;
  comment: string;
}>;

const NOGROUP = 65534;

/** Users that packages make in their postinst scripts or by sysusers.d. Never renumber: see above. */
export const packageUsers: readonly PackageUser[] = [
  { name: "systemd-network", id: 998, home: "/", comment: "systemd Network Management" },
  { name: "systemd-resolve", id: 997, home: "/", comment: "systemd Resolver" },
  { name: "systemd-timesync", id: 996, home: "/", comment: "systemd Time Synchronization" },
  { name: "messagebus", id: 995, home: "/nonexistent", comment: "System Message Bus" },
  { name: "sshd", id: 994, home: "/run/sshd", groupId: NOGROUP, comment: "sshd" },
  { name: "postfix", id: 993, home: "/var/spool/postfix", comment: "Postfix" },
  { name: "dovecot", id: 992, home: "/usr/lib/dovecot", comment: "Dovecot" },
  { name: "dovenull", id: 991, home: "/nonexistent", comment: "Dovecot login processes" },
];

/** Groups without a user of their name, from udev's and systemd's sysusers.d, postfix and openssh-client. */
export const packageGroups: Readonly<Record<string, number>> = {
  "systemd-journal": 999,
  render: 984,
  kvm: 983,
  clock: 982,
  sgx: 981,
  input: 980,
  postdrop: 979,
  _ssh: 978,
};

/** The last-change field of shadow(5) in days; a password that never existed has no better date than this. */
const SHADOW_DAYS = 20_000;

/** A user or group of the appliance takes a name or an id that is in use already. */
export class UserError extends Error {
  override name = "UserError";
}

/** Group id by name: the templates' and the tables' above. */
export type GroupIds = ReadonlyMap<string, number>;

/** Writes the four files; `own` are the appliance's users. Returns all group ids by name. */
export function writeUsers(tree: Tree, own: readonly SystemUser[]): GroupIds {
  const passwd = templateLines(tree, "usr/share/base-passwd/passwd.master");
  const group = templateLines(tree, "usr/share/base-passwd/group.master");
  for (const { name, id, home, groupId, comment } of packageUsers) {
    passwd.push(`${name}:x:${id}:${groupId ?? id}:${comment}:${home}:/usr/sbin/nologin`);
    if (groupId === undefined) group.push(`${name}:x:${id}:`);
  }
  for (const [name, id] of Object.entries(packageGroups)) group.push(`${name}:x:${id}:`);
  for (const { name, id, home } of own) {
    passwd.push(`${name}:x:${id}:${id}::${home ?? "/nonexistent"}:/usr/sbin/nologin`);
    group.push(`${name}:x:${id}:`);
  }
  for (const user of own) {
    for (const name of user.groups ?? []) addMember(group, name, user.name);
  }
  refuseDuplicates("user", passwd);
  refuseDuplicates("group", group);
  const shadow = passwd.map((line) => `${nameOf(line)}:*:${SHADOW_DAYS}:0:99999:7:::`);
  const gshadow = group.map((line) => `${nameOf(line)}:*::${line.split(":")[3] ?? ""}`);
  const groupIds = new Map(group.map((line) => [nameOf(line), Number(line.split(":")[2])]));
  const shadowGroup = { mode: 0o640, gid: groupIds.get("shadow") ?? 0 };
  setFile(tree, "etc/passwd", text(passwd));
  setFile(tree, "etc/group", text(group));
  setFile(tree, "etc/shadow", text(shadow), shadowGroup);
  setFile(tree, "etc/gshadow", text(gshadow), shadowGroup);
  return groupIds;
}

/** The templates give "*" where an installed system has "x" (password in shadow). */
function templateLines(tree: Tree, path: string): string[] {
  return readText(tree, path)
    .trim()
    .split("\n")
    .map((line) => line.replace(/^([^:]+):\*:/, "$1:x:"));
}

const nameOf = (line: string): string => line.slice(0, line.indexOf(":"));
const text = (lines: readonly string[]): string => `${lines.join("\n")}\n`;

function addMember(group: string[], groupName: string, user: string): void {
  const index = group.findIndex((line) => nameOf(line) === groupName);
  const line = group[index];
  if (line === undefined)
    throw new UserError(`the user ${user} wants the group ${groupName}, which does not exist`);
  group[index] = line.endsWith(":") ? line + user : `${line},${user}`;
}

function refuseDuplicates(what: string, lines: readonly string[]): void {
  const names = new Set<string>();
  const ids = new Map<string, string>();
  for (const line of lines) {
    const name = nameOf(line);
    const id = line.split(":")[2] ?? "";
    if (names.has(name)) throw new UserError(`the ${what} ${name} is there twice`);
    const other = ids.get(id);
    if (other !== undefined) throw new UserError(`the ${what}s ${other} and ${name} share the id ${id}`);
    names.add(name);
    ids.set(id, name);
  }
}
