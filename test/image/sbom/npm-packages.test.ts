/** Which npm packages are in a program, by the project's own package-lock.json and real bundles. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { bundlePrograms } from "../../../image/rootfs/runtime.ts";
import { packagesOfInputs, readNpmLock } from "../../../image/sbom/npm-packages.ts";

const project = join(import.meta.dirname, "../../..");

it("finds the packages of a real program, with what package-lock.json pins", async () => {
  const lock = await readNpmLock(project);
  const bundles = await bundlePrograms([{ name: "settings", entry: "appliance/relay-config.ts" }], project);
  const found = packagesOfInputs(bundles.get("settings")!.inputs, lock);
  expect(found.map(({ name }) => name)).toEqual(["smol-toml", "zod"]);
  for (const { version, license, sha512 } of found) {
    expect(version).toMatch(/^\d+\.\d+\.\d+/);
    expect(license).not.toBe("");
    expect(sha512).toMatch(/^[0-9a-f]{128}$/);
  }
});

it("tells nested packages of one name apart and knows scopes", () => {
  const one = (name: string, version: string) => ({ name, version, license: "MIT", sha512: "" });
  const packages = new Map([
    ["node_modules/tslib", one("tslib", "2.0.0")],
    ["node_modules/a/node_modules/tslib", one("tslib", "1.0.0")],
    ["node_modules/@b/c", one("@b/c", "3.0.0")],
  ]);
  const inputs = [
    "services/auth/main.ts",
    "node_modules/tslib/tslib.es6.js",
    "node_modules/a/node_modules/tslib/tslib.js",
    "node_modules/@b/c/lib/index.js",
    "node_modules/@b/c/lib/other.js",
  ];
  const found = packagesOfInputs(inputs, { version: "0.1.0", packages });
  expect(found.map(({ name, version }) => `${name} ${version}`)).toEqual([
    "@b/c 3.0.0",
    "tslib 1.0.0",
    "tslib 2.0.0",
  ]);
});

it("refuses a program with code of a package that is not pinned", () => {
  const inputs = ["node_modules/stray/index.js"];
  expect(() => packagesOfInputs(inputs, { version: "0.1.0", packages: new Map() })).toThrow(
    /stray\/index\.js is in a program of the image, but package-lock\.json does not pin node_modules\/stray/,
  );
});
