/**
 * Reads relationship fields of packages (Depends, Provides, Conflicts, …): Debian Policy, chapter 7, and
 * deb-control(5). Called by the resolver.
 */
import { compareVersions } from "./version.ts";

/** One package name, perhaps with a condition on its version. */
export type Relation = Readonly<{
  name: string;
  operator?: "<<" | "<=" | "=" | ">=" | ">>";
  version?: string;
}>;

/** The relationship field is malformed. */
export class RelationError extends Error {
  override name = "RelationError";
}

/** "a (>= 1) | b, c:any" → [[a >= 1, b], [c]]: all of the groups, of each group one. */
export function parseRelations(field: string | undefined): Relation[][] {
  if (!field) return [];
  return field
    .split(",")
    .filter((group) => group.trim() !== "")
    .map((group) => group.split("|").map(parseRelation));
}

function parseRelation(text: string): Relation {
  // The architecture behind a colon only matters on systems with several of them; images have one.
  const found =
    /^\s*([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^\s)]+)\s*\))?\s*$/.exec(
      text.replace(/\n/g, " "),
    );
  if (!found) throw new RelationError(`"${text.trim()}" is not a relationship between packages`);
  const [, name, operator, version] = found;
  return operator ? { name: name!, operator: operator as Relation["operator"], version } : { name: name! };
}

/** Whether the version of a package, or of what it provides (undefined: without one), meets the condition. */
export function meets(version: string | undefined, relation: Relation): boolean {
  if (!relation.operator) return true;
  // Policy §7.5: a package provided without a version meets no condition on versions.
  if (version === undefined) return false;
  const order = compareVersions(version, relation.version!);
  switch (relation.operator) {
    case "<<":
      return order < 0;
    case "<=":
      return order <= 0;
    case "=":
      return order === 0;
    case ">=":
      return order >= 0;
    case ">>":
      return order > 0;
  }
}

export function relationText({ name, operator, version }: Relation): string {
  return operator ? `${name} (${operator} ${version})` : name;
}
