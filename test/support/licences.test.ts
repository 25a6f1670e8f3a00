/** What the licence check of `npm run check` lets pass (test/support/licences.ts). */
import { expect, it } from "vitest";
import { licenceProblems } from "./licences.ts";

const lock = (packages: object) => JSON.stringify({ packages: { "": { license: "MIT" }, ...packages } });

it("lets permissive licences, choices that include one, and the named exceptions pass", () => {
  const packages = {
    "node_modules/a": { license: "MIT" },
    "node_modules/b": { license: "(GPL-3.0 OR Apache-2.0)" },
    "node_modules/c": { license: "MIT AND BSD-3-Clause" },
    "node_modules/openpgp": { license: "LGPL-3.0+" },
  };
  expect(licenceProblems(lock(packages))).toEqual([]);
});

it("names every other package that users get, also nested and scoped ones", () => {
  const packages = {
    "node_modules/a": { license: "GPL-3.0" },
    "node_modules/b/node_modules/@scope/c": {},
    "node_modules/d": { license: "MIT AND GPL-3.0" },
  };
  expect(licenceProblems(lock(packages)).map((problem) => problem.split(";")[0])).toEqual([
    "a is under GPL-3.0",
    "@scope/c is under no known licence",
    "d is under MIT AND GPL-3.0",
  ]);
});

it("does not judge what only developers use", () => {
  expect(licenceProblems(lock({ "node_modules/a": { dev: true, license: "MPL-2.0" } }))).toEqual([]);
});
