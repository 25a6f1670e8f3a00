// The first start: brings the npm packages of package-lock.json into node_modules. Called by installer/launch.mjs; plain
// JavaScript that Node 20 can run, for there is nothing else yet.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withNpm } from "./running-npm.mjs";
import { takeSetupLock } from "./setup-lock.mjs";

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

/**
 * Installs the npm packages unless node_modules already answers to package-lock.json. Throws with a mend, or
 * StoppedError (installer/running-npm.mjs).
 */
export async function installDependencies() {
  if (isInstalled()) return;
  const lock = takeSetupLock(project);
  try {
    if (isInstalled()) return;
    process.stderr.write(
      "homing: installing the npm packages of package-lock.json into node_modules (once, about 650 MB on the disk)\n",
    );
    // An npm that is ended on its way leaves node_modules half removed or half filled.
    rmSync(stampFile, { force: true });
    const surroundings = { cwd: project, env: { ...process.env, ...proxiesForNpm() }, onStart: lock.nameNpm };
    await withNpm((npm) => install((words, options) => npm(words, { ...surroundings, ...options })));
    writeFileSync(stampFile, lockFingerprint());
  } catch (error) {
    if (error.code !== "ENOENT" || error.syscall !== "spawn npm") throw error;
    throw new Error(
      "npm, which comes with Node.js from https://nodejs.org, was not found. Install it (Debian: apt install npm), then " +
        "run the same command again.",
    );
  } finally {
    lock.release();
  }
}

const CI = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
/**
 * On a line that is there but loses connections each request is made four times, after 1, 3 and 9 seconds. Whatever breaks
 * off in the middle npm gives up; the next start has the rest from its cache.
 */
const PATIENT = [
  "--prefer-offline",
  "--fetch-retries=3",
  "--fetch-retry-mintimeout=1000",
  "--fetch-retry-factor=3",
];
/**
 * npm ci asks for every package, however many requests have failed: without a network that takes it minutes. So a single
 * request comes first, made three times, after 1 and 2 seconds.
 */
const PING = [
  ...["ping", "--loglevel=error"],
  ...["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-factor=2"],
];
/**
 * In milliseconds, for where packets vanish: npm would wait minutes for a connection. Long enough for a name server that
 * is asked in vain before another one answers.
 */
const PING_LIMIT = 20_000;

async function install(npm) {
  const ping = await npm(PING, { quiet: true, limit: PING_LIMIT });
  const problem = connectionProblem(ping);
  if (problem !== undefined) {
    // What npm has kept of another checkout is enough, or what is missing shows at once.
    if ((await npm([...CI, "--offline"], { quiet: true })).code === 0) return;
    throw new Error(unreachableText(problem));
  }
  const result = await npm([...CI, ...PATIENT]);
  if (result.code === 0) return;
  const how = result.signal ? `was ended by ${result.signal}` : `ended with code ${result.code}`;
  throw new Error(
    `installing the npm packages failed (npm ci ${how}). Check that the network is up and the disk has room, then run ` +
      "the same command again: npm keeps what has come.",
  );
}

const UNKNOWN_AUTHORITY = /SELF_SIGNED_CERT|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT)/;
const NO_CONNECTION =
  /^(EAI_\w+|ENOTFOUND|ECONN(REFUSED|RESET)|E(NET|HOST)(UNREACH|DOWN)|EPIPE|E\w*TIME(D)?OUT|FETCH_ERROR|ERR_SOCKET_TIMEOUT)$/;

/**
 * Why npm cannot talk to the registry, in its own words; undefined when it can. Any other failure is an answer, say of a
 * registry that knows no ping (E404).
 */
function connectionProblem({ late, complaint }) {
  if (late) return `it did not answer within ${PING_LIMIT / 1000} seconds`;
  const code = /^npm (?:error|ERR!) code (\S+)/m.exec(complaint)?.[1] ?? "";
  if (UNKNOWN_AUTHORITY.test(code)) return code;
  if (!NO_CONNECTION.test(code)) return undefined;
  return /\b(request to .*|.*timeout.*)$/im.exec(complaint)?.[1] ?? code;
}

function unreachableText(problem) {
  const mend = UNKNOWN_AUTHORITY.test(problem)
    ? "Its certificate is signed by an authority that npm does not know, as behind a proxy that opens encrypted " +
      "connections. Name the authority's certificate (npm config set cafile FILE)"
    : `Check the network connection${proxyMend()}`;
  return (
    `the npm registry, from which the first start takes packages, cannot be reached (${problem}). ` +
    `${mend}, then run the same command again.`
  );
}

const PROXY_NAMES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"].filter((name) =>
  process.env[name]?.trim(),
);

function proxyMend() {
  const names = PROXY_NAMES.join(", ");
  return names === "" ? "" : ` and the proxy that the environment names (${names})`;
}

/**
 * The proxies of the environment in the form that npm takes: curl and apt are content with "proxy:3128", by which npm
 * fails (EINVALIDPROXY). What image/packages/proxy.ts does for builds; nothing of TypeScript can be loaded yet.
 */
function proxiesForNpm() {
  const bare = PROXY_NAMES.filter((name) => !process.env[name].includes("://"));
  return Object.fromEntries(bare.map((name) => [name, `http://${process.env[name].trim()}`]));
}
