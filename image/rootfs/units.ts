/**
 * Enables and masks systemd units in a tree as `systemctl --root enable` and `mask` would, by reading their
 * [Install] sections (systemd.unit(5)). Called by assemble.ts with the lists of the RootfsSpec.
 */
import { readText, setSymlink, type Tree } from "./tree.ts";

/** A unit to enable is not there, or has nothing that enabling would do. */
export class UnitError extends Error {
  override name = "UnitError";
}

/** Where units are looked for, in systemd's own order of precedence. */
const UNIT_FOLDERS = ["etc/systemd/system", "usr/lib/systemd/system"] as const;

const INSTALL_LINKS = { WantedBy: "wants", RequiredBy: "requires", UpheldBy: "upholds" } as const;

/** Enables every unit of `names` with what their `Also=` names. */
export function enableUnits(tree: Tree, names: readonly string[]): void {
  const done = new Set<string>();
  const queue = [...names];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (done.has(name)) continue;
    done.add(name);
    queue.push(...enableUnit(tree, name));
  }
}

export function maskUnits(tree: Tree, names: readonly string[]): void {
  for (const name of names) setSymlink(tree, `etc/systemd/system/${name}`, "/dev/null");
}

/** Returns the units that `Also=` asks for. */
function enableUnit(tree: Tree, name: string): string[] {
  const template = name.replace(/@[^.]*\./, "@.");
  const path = UNIT_FOLDERS.flatMap((folder) => [`${folder}/${name}`, `${folder}/${template}`]).find(
    (candidate) => tree.get(candidate)?.type === "file",
  );
  if (!path) throw new UnitError(`the unit ${name} is to be enabled, but nothing brings it`);
  const install = installSection(readText(tree, path));
  let links = 0;
  for (const [key, folder] of Object.entries(INSTALL_LINKS)) {
    for (const by of install.get(key) ?? []) {
      setSymlink(tree, `etc/systemd/system/${by}.${folder}/${name}`, `/${path}`);
      links++;
    }
  }
  for (const alias of install.get("Alias") ?? []) {
    if (alias === name) continue;
    setSymlink(tree, `etc/systemd/system/${alias}`, `/${path}`);
    links++;
  }
  const also = install.get("Also") ?? [];
  if (links === 0 && also.length === 0) {
    throw new UnitError(`the unit ${name} is to be enabled, but /${path} has no [Install] section for it`);
  }
  return also;
}

/** The keys of [Install]; each a list of words, an empty assignment clears what came before. */
function installSection(unit: string): Map<string, string[]> {
  const keys = new Map<string, string[]>();
  let inside = false;
  for (const line of unit.replaceAll("\\\n", " ").split("\n")) {
    const trimmed = line.trim();
    if (trimmed.startsWith("[")) inside = trimmed === "[Install]";
    const assignment = inside ? /^(\w+)\s*=(.*)$/.exec(trimmed) : null;
    if (!assignment) continue;
    const [, key, value] = assignment;
    const words = value!.split(/\s+/).filter((word) => word !== "");
    keys.set(key!, words.length === 0 ? [] : [...(keys.get(key!) ?? []), ...words]);
  }
  return keys;
}
