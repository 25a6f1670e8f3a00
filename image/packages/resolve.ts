/**
 * Finds everything that the selected packages need: for each dependency the newest fitting package of the
 * release, alternatives in the order the packages name them. It never goes back on a choice: where a choice
 * does not work out it stops and says so, and the selection is to be made clearer. Called by `./homing lock`.
 */
import type { LockedPackage } from "./lock.ts";
import type { Candidate, PackageIndex } from "./package-index.ts";
import { meets, type Relation, relationText } from "./relation.ts";
import type { PackageSelection, SelectedPackage } from "./selection.ts";

/** The selection cannot be met by the index. */
export class ResolveError extends Error {
  override name = "ResolveError";
}

/** All packages of an image, sorted by name. Throws ResolveError naming the package and what it needs. */
export function resolvePackages(selection: PackageSelection, index: PackageIndex): LockedPackage[] {
  const inRootfs = new Map<string, Candidate>();
  const asked: { group: readonly Relation[]; by: string }[] = [];
  const take = (candidate: Candidate) => {
    inRootfs.set(candidate.name, candidate);
    for (const group of candidate.depends) asked.push({ group, by: candidate.name });
  };

  const roots = selection.packages.map((selected) => ({ selected, candidate: findRoot(selected, index) }));
  for (const { selected, candidate } of roots) {
    if ((selected.use ?? "rootfs") === "rootfs") take(candidate);
  }
  for (;;) {
    // What leaves no choice goes first, because it may settle what leaves one.
    const next = asked.findIndex(({ group }) => group.length === 1);
    const [question] = asked.splice(Math.max(next, 0), 1);
    if (!question) break;
    if (question.group.some((relation) => isMet(relation, inRootfs) || relation.name in selection.leftOut)) {
      continue;
    }
    take(choose(question.group, question.by, selection, index, inRootfs));
  }
  checkConflicts(inRootfs);

  const locked = [...inRootfs.values()].map((candidate) => lockedPackage(candidate, "rootfs"));
  for (const { selected, candidate } of roots) {
    if (!inRootfs.has(candidate.name)) locked.push(lockedPackage(candidate, selected.use ?? "rootfs"));
  }
  return locked.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function findRoot({ name, backports }: SelectedPackage, index: PackageIndex): Candidate {
  const candidate = index.named(name).find((one) => one.backports === (backports ?? false));
  if (candidate) return candidate;
  throw new ResolveError(`there is no package ${name} in ${backports ? "backports" : "the release"}`);
}

/** Whether a chosen package answers to the relation, by its own name or by what it provides. */
function isMet(relation: Relation, chosen: ReadonlyMap<string, Candidate>): boolean {
  const own = chosen.get(relation.name);
  if (own && meets(own.version, relation)) return true;
  for (const candidate of chosen.values()) {
    if (provides(candidate, relation)) return true;
  }
  return false;
}

function provides(candidate: Candidate, relation: Relation): boolean {
  return candidate.provides.some(({ name, version }) => name === relation.name && meets(version, relation));
}

function choose(
  group: readonly Relation[],
  by: string,
  { preferred }: PackageSelection,
  index: PackageIndex,
  chosen: ReadonlyMap<string, Candidate>,
): Candidate {
  const wanted = group.map(relationText).join(" | ");
  for (const relation of group) {
    const own = index.named(relation.name).find(({ version }) => meets(version, relation));
    const candidate = own ?? provider(relation, wanted, by, preferred, index);
    if (!candidate) continue;
    const other = chosen.get(candidate.name);
    if (!other) return candidate;
    throw new ResolveError(
      `${by} needs ${wanted}, but ${other.name} ${other.version} is already chosen; ` +
        "perhaps the mirror is being renewed: try again later",
    );
  }
  throw new ResolveError(`${by} needs ${wanted}, which no package offers`);
}

function provider(
  relation: Relation,
  wanted: string,
  by: string,
  preferred: Readonly<Record<string, string>>,
  index: PackageIndex,
): Candidate | undefined {
  const candidates = index.providing(relation.name).filter((candidate) => provides(candidate, relation));
  const names = [...new Set(candidates.map(({ name }) => name))];
  if (names.length <= 1) return candidates[0];
  const found = candidates.find(({ name }) => name === preferred[relation.name]);
  if (found) return found;
  throw new ResolveError(
    `${by} needs ${wanted}, which several packages provide (${names.join(", ")}): ` +
      "name the right one in image/packages/selection.ts",
  );
}

/** Policy §7.3, §7.4: a package never conflicts with itself, even if it provides what it conflicts with. */
function checkConflicts(chosen: ReadonlyMap<string, Candidate>): void {
  for (const candidate of chosen.values()) {
    for (const relation of candidate.conflicts) {
      for (const other of chosen.values()) {
        if (other === candidate) continue;
        const named = other.name === relation.name && meets(other.version, relation);
        if (named || provides(other, relation)) {
          throw new ResolveError(
            `${candidate.name} conflicts with ${relationText(relation)}, but ${other.name} ${other.version} is chosen`,
          );
        }
      }
    }
  }
}

function lockedPackage(candidate: Candidate, use: LockedPackage["use"]): LockedPackage {
  const { name, version, archive, path, size, sha256 } = candidate;
  return { name, version, archive, path, size, sha256, use };
}
