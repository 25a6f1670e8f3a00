/** Tests of the dependency resolver on small indexes. */
import { describe, expect, it } from "vitest";
import { indexPackages } from "../../../image/packages/package-index.ts";
import { ResolveError, resolvePackages } from "../../../image/packages/resolve.ts";
import type { PackageSelection } from "../../../image/packages/selection.ts";
import { packageStanza } from "../../support/mirror.ts";

type Fields = Record<string, string>;

/** Resolves `selected` among packages given as name → fields; names may recur by "name@version". */
function resolve(
  release: Record<string, Fields>,
  selected: PackageSelection["packages"] | string[],
  more: Partial<PackageSelection> & {
    security?: Record<string, Fields>;
    backports?: Record<string, Fields>;
  } = {},
) {
  const text = (packages: Record<string, Fields> = {}) =>
    Object.entries(packages)
      .map(([key, fields]) => {
        const [name, version] = key.split("@");
        return packageStanza(name!, { ...(version ? { Version: version } : {}), ...fields });
      })
      .join("");
  const index = indexPackages([
    { archive: "debian", backports: false, text: text(release) },
    { archive: "security", backports: false, text: text(more.security) },
    { archive: "debian", backports: true, text: text(more.backports) },
  ]);
  const packages = selected.map((one) => (typeof one === "string" ? { name: one, reason: "test" } : one));
  return resolvePackages({ packages, leftOut: more.leftOut ?? {}, preferred: more.preferred ?? {} }, index);
}
const names = (locked: ReturnType<typeof resolve>) => locked.map(({ name }) => name);

describe("resolvePackages", () => {
  it("follows Depends and Pre-Depends to the end, also in circles, and sorts by name", () => {
    const locked = resolve(
      { z: { Depends: "b (>= 1)" }, b: { "Pre-Depends": "a:any" }, a: { Depends: "z" }, other: {} },
      ["z"],
    );
    expect(names(locked)).toEqual(["a", "b", "z"]);
  });

  it("takes the newest version, wherever it is, and tells its archive and path", () => {
    const [taken] = resolve({ "a@1-1": {}, "a@1-3": {} }, ["a"], { security: { "a@1-10": {} } });
    expect(taken).toMatchObject({
      version: "1-10",
      archive: "security",
      path: "pool/main/a/a/a_1-10_all.deb",
    });
  });

  it("takes an older version where the newest does not meet the condition", () => {
    expect(resolve({ a: { Depends: "b (= 1)" }, "b@1": {}, "b@2": {} }, ["a"])[1]!.version).toBe("1");
  });

  it("takes the first of alternatives that exists", () => {
    expect(names(resolve({ a: { Depends: "gone | b | c" }, b: {}, c: {} }, ["a"]))).toEqual(["a", "b"]);
  });

  it("takes no alternative when another one is chosen anyway, whatever the order", () => {
    const release = { a: { Depends: "b | c" }, b: {}, c: {}, x: { Depends: "c" } };
    expect(names(resolve(release, ["a", "x"]))).toEqual(["a", "c", "x"]);
  });

  it("lets a chosen package stand in for what it provides, with its version", () => {
    const release = { a: { Depends: "api (>= 2)" }, b: { Provides: "api (= 2.1)" }, api: {} };
    expect(names(resolve(release, ["a", "b"]))).toEqual(["a", "b"]);
  });

  it("does not let a provision without a version meet a condition on it", () => {
    const release = { a: { Depends: "api (>= 2)" }, b: { Provides: "api" } };
    expect(() => resolve(release, ["a", "b"])).toThrow(/a needs api \(>= 2\), which no package offers/);
  });

  it("takes the only provider, and of several the preferred one", () => {
    const release = { a: { Depends: "awk" }, gawk: { Provides: "awk" }, mawk: { Provides: "awk" } };
    expect(names(resolve({ a: release.a, gawk: release.gawk }, ["a"]))).toEqual(["a", "gawk"]);
    expect(names(resolve(release, ["a"], { preferred: { awk: "mawk" } }))).toEqual(["a", "mawk"]);
    expect(() => resolve(release, ["a"])).toThrow(/several packages provide \(gawk, mawk\)/);
  });

  it("leaves out what shall be left out, with all its alternatives", () => {
    const release = {
      a: { Depends: "debconf | debconf-2.0, b" },
      b: {},
      cdebconf: { Provides: "debconf-2.0" },
    };
    expect(names(resolve(release, ["a"], { leftOut: { debconf: "no questions" } }))).toEqual(["a", "b"]);
  });

  it("uses backports only for what asks for it, and what only backports can satisfy", () => {
    const packages = [{ name: "kernel", reason: "test", backports: true as const }];
    const locked = resolve({ "kernel@6": {}, "kmod@1": {} }, packages, {
      backports: { "kernel@7": { Depends: "kmod, modules (= 7)" }, "kmod@2": {}, "modules@7": {} },
    });
    expect(locked.map(({ name, version }) => `${name} ${version}`)).toEqual([
      "kernel 7",
      "kmod 1",
      "modules 7",
    ]);
    expect(resolve({ "kernel@6": {} }, ["kernel"], { backports: { "kernel@7": {} } })[0]!.version).toBe("6");
  });

  it("follows no dependencies of what is not for the root file system", () => {
    const packages = [
      { name: "loader", reason: "test", use: "boot" as const },
      { name: "a", reason: "test" },
    ];
    const locked = resolve({ loader: { Depends: "gone" }, a: {} }, packages);
    expect(locked.map(({ name, use }) => [name, use])).toEqual([
      ["a", "rootfs"],
      ["loader", "boot"],
    ]);
  });

  it.each([
    ["a missing package", { a: { Depends: "b" } }, /a needs b, which no package offers/],
    ["a version that nobody has", { a: { Depends: "b (>= 2)" }, b: {} }, /a needs b \(>= 2\)/],
    [
      "a conflict",
      { a: { Depends: "b" }, b: { Conflicts: "a" } },
      /b conflicts with a, but a 1.0-1 is chosen/,
    ],
    ["a broken one", { a: { Depends: "b" }, b: { Breaks: "a (<< 2)" } }, /b conflicts with a \(<< 2\)/],
    [
      "two wishes for one package that cannot both come true",
      { a: { Depends: "b (= 1), c" }, c: { Depends: "b (= 2)" }, "b@1": {}, "b@2": {} },
      /b [12] is already chosen/,
    ],
  ])("stops at %s and names it", (_what, release, message) => {
    expect(() => resolve(release as Record<string, Fields>, ["a"])).toThrow(ResolveError);
    expect(() => resolve(release as Record<string, Fields>, ["a"])).toThrow(message);
  });

  it("does not take a package for its own enemy", () => {
    expect(names(resolve({ a: { Provides: "mta", Conflicts: "mta" } }, ["a"]))).toEqual(["a"]);
  });

  it("names a selected package that is not there", () => {
    expect(() => resolve({}, ["pigeon"])).toThrow("there is no package pigeon in the release");
  });
});
