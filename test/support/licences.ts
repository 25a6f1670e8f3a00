/**
 * Judges the licences of the npm packages that Homing is made with, as package-lock.json records them.
 * Called by test/check.ts. Packages that only developers use are not judged: nothing of them is passed on.
 */

/** Licences that ask for no more than their text being passed on. */
const permissive = new Set(["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0"]);

/** Packages under other licences, each with the reason why it may be used. */
const exceptions: Readonly<Record<string, string>> = {
  openpgp: "LGPL-3.0+: used unchanged, as its own package, by the image builder only; not on the device",
};

type LockedPackage = Readonly<{ dev?: boolean; license?: string }>;

/** One line per package whose licence is not allowed; empty when all is well. Takes the text of the lock file. */
export function licenceProblems(lockText: string): string[] {
  const { packages } = JSON.parse(lockText) as { packages: Record<string, LockedPackage> };
  const problems: string[] = [];
  for (const [path, { dev, license }] of Object.entries(packages)) {
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    if (path === "" || dev || Object.hasOwn(exceptions, name)) continue;
    if (license === undefined || !isAllowed(license)) {
      problems.push(
        `${name} is under ${license ?? "no known licence"}; allowed: ${[...permissive].join(", ")}`,
      );
    }
  }
  return problems;
}

/** An SPDX expression with "OR" leaves the choice to us; one with "AND" binds to all its parts. */
function isAllowed(expression: string): boolean {
  return expression
    .replaceAll(/[()]/g, "")
    .split(" OR ")
    .some((choice) => choice.split(" AND ").every((licence) => permissive.has(licence.trim())));
}
