/**
 * The default page files (the project's folder `web`), read for the root file system (rootfs.ts) and for
 * `./homing web preview`. Does I/O on that folder only.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { SpecFile } from "../image/spec.ts";
import { webDirectory } from "./layout.ts";
import { isWebFilePath } from "./web-files.ts";

/** The folder on the builder's computer. */
export const webDefaultsFolder = fileURLToPath(new URL("../web", import.meta.url));

/** As files of the root file system, in the same order on every computer. */
export function readWebDefaults(): SpecFile[] {
  return readdirSync(webDefaultsFolder, { recursive: true, encoding: "utf8" })
    .map((path) => path.split(sep).join("/"))
    .filter(isWebFilePath)
    .sort()
    .map((path) => ({
      path: `${webDirectory}/${path}`,
      content: readFileSync(join(webDefaultsFolder, path)),
    }));
}
