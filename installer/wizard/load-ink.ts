/**
 * Loads Ink in half of its time: of es-toolkit/compat, hundreds of files, it uses `throttle` alone, so that one file is
 * given to it instead. Called by start.ts. An Ink that wanted more would not load at all, which every test of the wizard
 * in a terminal would show; where the file is not found, the whole is loaded as it is written.
 */
import { existsSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

export async function loadInk(): Promise<typeof import("ink")> {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      if (specifier !== "es-toolkit/compat" || !context.parentURL?.includes("/ink/build/")) return found;
      const one = new URL("./function/throttle.mjs", found.url);
      return existsSync(fileURLToPath(one)) ? { ...found, url: one.href, format: "module" } : found;
    },
  });
  try {
    return await import("ink");
  } finally {
    hooks.deregister();
  }
}
