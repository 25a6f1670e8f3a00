/**
 * Makes the index of kernel modules that modprobe and udev read: what `depmod` would write. Called by
 * image/rootfs/kernel.ts; pure. Sources: depmod(8), modules.dep(5), modprobe.d(5), and kmod's
 * tools/depmod.c for the order of modules and dependencies.
 */
import type { ModuleContent } from "./module-elf.ts";
import { encodeTrie, type TrieEntry } from "./module-trie.ts";

/** The index cannot be made; the message names the module or file at fault. */
export class ModuleIndexError extends Error {
  override name = "ModuleIndexError";
}

type Module = {
  /** As installed, relative to the folder of the kernel's modules. */
  path: string;
  name: string;
  /** Place in the order of loading preference; the priority of its names. */
  index: number;
  exports: readonly string[];
  imports: readonly string[];
  aliases: string[];
  softDependencies: string[];
  weakDependencies: string[];
  /** Modules whose symbols it uses, in the order it first names them. */
  dependencies: Set<Module>;
  /** Place in the order of dependence: users before what they use. */
  rank: number;
};

/**
 * The index files by name (modules.dep, modules.alias.bin …), to be put beside modules.order.
 *
 * `modules`: what was read from each, by the path it is **installed** under, relative to
 * /usr/lib/modules/RELEASE (kernel/fs/ext4/ext4.ko.xz): these paths stand in the index.
 * `kernelFiles`: modules.order, modules.builtin and modules.builtin.modinfo as the kernel's package has them.
 *
 * Throws ModuleIndexError: two modules of one name, a circle of dependencies, a missing kernel file.
 */
export function buildModuleIndex(
  modules: ReadonlyMap<string, ModuleContent>,
  kernelFiles: Readonly<Record<string, Uint8Array>>,
): Map<string, Uint8Array> {
  const kernelFile = (name: string): string => {
    const content = kernelFiles[name];
    if (content === undefined) throw new ModuleIndexError(`the kernel's ${name} is missing`);
    return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("latin1");
  };

  const all = loadModules(modules, kernelFile("modules.order"));
  const owners = resolveDependencies(all);
  rankByDependence(all);

  const dependencyLines = all.map((module) => [module.path, dependenciesOf(module)] as const);
  const aliases = all.flatMap((module) => module.aliases.map((alias) => ({ alias, module })));
  const lines = (text: readonly string[]) => Buffer.from(text.map((line) => `${line}\n`).join(""), "latin1");
  const withoutEmpty = ({ key }: TrieEntry) => key !== "";

  return new Map<string, Uint8Array>([
    ["modules.dep", lines(dependencyLines.map(([path, paths]) => [`${path}:`, ...paths].join(" ")))],
    [
      "modules.dep.bin",
      encodeTrie(
        dependencyLines.map(([path, paths], index) => ({
          key: all[index]!.name,
          value: [`${path}:`, ...paths].join(" "),
          priority: index,
        })),
      ),
    ],
    [
      "modules.alias",
      lines([
        "# Aliases extracted from modules themselves.",
        ...aliases.map(({ alias, module }) => `alias ${alias} ${module.name}`),
      ]),
    ],
    [
      "modules.alias.bin",
      encodeTrie(
        aliases
          .map(({ alias, module }) => ({
            key: normalizeAlias(alias),
            value: module.name,
            priority: module.index,
          }))
          .filter(withoutEmpty),
      ),
    ],
    [
      "modules.symbols",
      lines([
        "# Aliases for symbols, used by symbol_request().",
        ...[...owners].map(([symbol, module]) => `alias symbol:${symbol} ${module.name}`),
      ]),
    ],
    [
      "modules.symbols.bin",
      encodeTrie(
        [...owners].map(([symbol, module]) => ({
          key: `symbol:${symbol}`,
          value: module.name,
          priority: module.index,
        })),
      ),
    ],
    [
      "modules.softdep",
      lines([
        "# Soft dependencies extracted from modules themselves.",
        ...all.flatMap(({ name, softDependencies }) =>
          softDependencies.map((text) => `softdep ${name} ${text}`),
        ),
      ]),
    ],
    [
      "modules.weakdep",
      lines([
        "# Weak dependencies extracted from modules themselves.",
        ...all.flatMap(({ name, weakDependencies }) =>
          weakDependencies.map((text) => `weakdep ${name} ${text}`),
        ),
      ]),
    ],
    ["modules.devname", lines(deviceNames(all))],
    [
      "modules.builtin.bin",
      encodeTrie(
        kernelFile("modules.builtin")
          .split("\n")
          .filter((line) => line !== "")
          .map((path) => ({ key: moduleName(path), value: "", priority: 0 })),
      ),
    ],
    [
      "modules.builtin.alias.bin",
      encodeTrie(builtInAliases(kernelFile("modules.builtin.modinfo")).filter(withoutEmpty)),
    ],
  ]);
}

/** modules.dep(5): the kernel takes "-" and "_" in names as the same; "_" is the stored form. */
export function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf("/") + 1);
  return file.replace(/\..*$/, "").replaceAll("-", "_");
}

/** Like a module's name, but what stands in brackets is a range of characters. "" when they do not match. */
function normalizeAlias(alias: string): string {
  if (!/^([^[\]]|\[[^\]]*\])*$/.test(alias)) return "";
  return alias.replace(/\[[^\]]*\]|-/g, (part) => (part === "-" ? "_" : part));
}

/** Modules in the order of modules.order, those not in it behind, by path. */
function loadModules(modules: ReadonlyMap<string, ModuleContent>, order: string): Module[] {
  const place = new Map(order.split("\n").map((path, index) => [path, index]));
  const placeOf = (path: string) => place.get(path.replace(/(\.ko)\.\w+$/, "$1")) ?? place.size;
  const paths = [...modules.keys()].sort((a, b) => placeOf(a) - placeOf(b) || (a < b ? -1 : 1));

  const byName = new Map<string, string>();
  return paths.map((path, index) => {
    const name = moduleName(path);
    const same = byName.get(name);
    if (same !== undefined) throw new ModuleIndexError(`${same} and ${path} are modules of the same name`);
    byName.set(name, path);
    const { exports, imports, info } = modules.get(path)!;
    const valuesOf = (key: string) => info.filter(([k]) => k === key).map(([, value]) => value);
    return {
      path,
      name,
      index,
      exports,
      imports,
      aliases: valuesOf("alias"),
      softDependencies: valuesOf("softdep"),
      weakDependencies: valuesOf("weakdep"),
      dependencies: new Set(),
      rank: 0,
    };
  });
}

/** Finds whose symbols each module uses; returns the owner of every exported symbol. */
function resolveDependencies(all: readonly Module[]): Map<string, Module> {
  const owners = new Map<string, Module>();
  for (const module of all) for (const symbol of module.exports) owners.set(symbol, module);
  for (const module of all) {
    for (const symbol of module.imports) {
      // Symbols without an owner are the kernel's own.
      const owner = owners.get(symbol);
      if (owner !== undefined) module.dependencies.add(owner);
    }
  }
  return owners;
}

/** Sets every module's rank. depmod's own way (a stack of modules nobody uses), so that the order is its order. */
function rankByDependence(all: readonly Module[]): void {
  const users = new Map(all.map((module) => [module, 0]));
  for (const { dependencies } of all) for (const used of dependencies) users.set(used, users.get(used)! + 1);
  const unused = all.filter((module) => users.get(module) === 0);
  let rank = 0;
  for (let module = unused.pop(); module !== undefined; module = unused.pop()) {
    module.rank = rank++;
    for (const used of module.dependencies) {
      const left = users.get(used)! - 1;
      users.set(used, left);
      if (left === 0) unused.push(used);
    }
  }
  if (rank < all.length) {
    const circle = all.filter((module) => users.get(module)! > 0).map(({ name }) => name);
    throw new ModuleIndexError(`modules depend on each other in a circle: ${circle.join(", ")}`);
  }
}

/** Paths of all a module needs, directly or not, users before what they use. */
function dependenciesOf(module: Module): string[] {
  const found = new Set<Module>();
  const add = ({ dependencies }: Module): void => {
    for (const used of dependencies) {
      if (found.has(used)) continue;
      found.add(used);
      add(used);
    }
  };
  add(module);
  return [...found].sort((a, b) => a.rank - b.rank).map(({ path }) => path);
}

/** modules.devname: device nodes whose opening loads a module. */
function deviceNames(all: readonly Module[]): string[] {
  const lines: string[] = [];
  for (const { name, aliases } of all) {
    const node = aliases.find((alias) => alias.startsWith("devname:"))?.slice("devname:".length);
    const number = aliases
      .map((alias) => /^(char|block)-major-(\d+)-(\d+)/.exec(alias))
      .find((match) => match);
    if (node !== undefined && number) {
      const [, type, major, minor] = number;
      lines.push(`${name} ${node} ${type === "char" ? "c" : "b"}${major}:${minor}`);
    }
  }
  return lines.length === 0 ? [] : ["# Device nodes to trigger on-demand module loading.", ...lines];
}

/** Entries for "module.alias=value", NUL-separated, of drivers that are part of the kernel. */
function builtInAliases(modinfo: string): TrieEntry[] {
  return modinfo.split("\0").flatMap((line) => {
    const match = /^([^.]+)\.alias=(.+)$/s.exec(line);
    return match ? [{ key: normalizeAlias(match[2]!), value: match[1]!, priority: 0 }] : [];
  });
}
