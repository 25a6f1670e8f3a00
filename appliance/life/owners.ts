/**
 * Names of users and groups → ids, from the device's own /etc/passwd and /etc/group (passwd(5), group(5)).
 * Used by configure.ts to give files their owners.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export type Owners = Readonly<{
  /** @throws UnknownOwnerError */
  uid(name: string): number;
  /** @throws UnknownOwnerError */
  gid(name: string): number;
}>;

/** A user or group is missing in the root file system. */
export class UnknownOwnerError extends Error {
  override name = "UnknownOwnerError";
}

/** Parses the texts of passwd and group. */
export function parseOwners(passwd: string, group: string): Owners {
  const users = ids(passwd);
  const groups = ids(group);
  return { uid: (name) => find(users, name, "user"), gid: (name) => find(groups, name, "group") };
}

/** Reads both files below `root`. */
export async function readOwners(root: string): Promise<Owners> {
  const [passwd, group] = await Promise.all(
    ["etc/passwd", "etc/group"].map((path) => readFile(join(root, path), "utf8")),
  );
  return parseOwners(passwd ?? "", group ?? "");
}

/** In both files the name is the first field and the id the third. */
function ids(text: string): Map<string, number> {
  const lines = text.split("\n").map((line) => line.split(":"));
  return new Map(
    lines.filter((fields) => fields.length >= 3).map((fields) => [fields[0]!, Number(fields[2])]),
  );
}

function find(map: ReadonlyMap<string, number>, name: string, kind: string): number {
  const id = map.get(name);
  if (id === undefined) throw new UnknownOwnerError(`the root file system has no ${kind} ${name}`);
  return id;
}
