/**
 * Looks up packages in the Packages indexes of several suites. Called by the resolver. An index of Debian has
 * 70 000 stanzas of which a few hundred are needed, so each is only read when it is asked for.
 */
import { parseStanzas, type Stanza } from "./deb822.ts";
import type { ArchiveKind } from "./lock.ts";
import { parseRelations, type Relation } from "./relation.ts";
import { compareVersions } from "./version.ts";

/** The text of one Packages index and where it comes from. */
export type IndexText = Readonly<{ archive: ArchiveKind; backports: boolean; text: string }>;

/** A package of the index that could be taken. */
export type Candidate = Readonly<{
  name: string;
  version: string;
  archive: ArchiveKind;
  backports: boolean;
  /** Below the archive's root. */
  path: string;
  /** In bytes. */
  size: number;
  sha256: string;
  /** Depends and Pre-Depends. */
  depends: readonly (readonly Relation[])[];
  provides: readonly Relation[];
  /** Conflicts and Breaks. */
  conflicts: readonly Relation[];
}>;

export type PackageIndex = Readonly<{
  /** All of that name: the release's before backports, of each the newest first. */
  named: (name: string) => readonly Candidate[];
  /** The packages that provide a name, in the same order. */
  providing: (name: string) => readonly Candidate[];
}>;

/** A stanza of an index lacks what every stanza must have. */
export class PackageIndexError extends Error {
  override name = "PackageIndexError";
}

export function indexPackages(indexes: readonly IndexText[]): PackageIndex {
  type Block = { index: IndexText; text: string; candidate?: Candidate };
  const byName = new Map<string, Block[]>();
  const byProvided = new Map<string, Set<string>>();
  for (const index of indexes) {
    for (const text of index.text.split("\n\n")) {
      const name = /^Package: *(.+)$/m.exec(text)?.[1];
      if (!name) continue; // the blank behind the last stanza
      const blocks = byName.get(name);
      if (blocks) blocks.push({ index, text });
      else byName.set(name, [{ index, text }]);
      for (const [relation] of parseRelations(/^Provides: *(.+)$/m.exec(text)?.[1])) {
        const names = byProvided.get(relation!.name);
        if (names) names.add(name);
        else byProvided.set(relation!.name, new Set([name]));
      }
    }
  }
  const named = (name: string): Candidate[] =>
    (byName.get(name) ?? [])
      .map((block) => {
        block.candidate ??= readCandidate(parseStanzas(block.text)[0]!, block.index);
        return block.candidate;
      })
      .sort(bestFirst);
  return {
    named,
    providing: (name) =>
      [...(byProvided.get(name) ?? [])]
        .flatMap(named)
        .filter(({ provides }) => provides.some((provided) => provided.name === name))
        .sort(bestFirst),
  };
}

function bestFirst(a: Candidate, b: Candidate): number {
  return Number(a.backports) - Number(b.backports) || compareVersions(b.version, a.version);
}

function readCandidate(stanza: Stanza, { archive, backports }: IndexText): Candidate {
  const field = (name: string) => {
    const value = stanza.get(name);
    if (value) return value;
    throw new PackageIndexError(`the package ${stanza.get("package")} has no field ${name} in the index`);
  };
  return {
    name: field("package"),
    version: field("version"),
    archive,
    backports,
    path: field("filename"),
    size: Number(field("size")),
    sha256: field("sha256"),
    depends: [...parseRelations(stanza.get("pre-depends")), ...parseRelations(stanza.get("depends"))],
    provides: parseRelations(stanza.get("provides")).flat(),
    conflicts: [...parseRelations(stanza.get("conflicts")), ...parseRelations(stanza.get("breaks"))].flat(),
  };
}
