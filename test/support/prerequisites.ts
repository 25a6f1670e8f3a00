/**
 * What a ring of tests needs of the machine: called by test/run.ts before the ring. On Debian and its
 * relatives, as root, missing packages are installed by apt; elsewhere the caller is told what is missing.
 */
import { spawn, spawnSync } from "node:child_process";

export type Prerequisites = Readonly<{
  /** Debian package names. */
  packages: readonly string[];
  needsRoot: boolean;
  /** Whether the ring is skipped as a whole without them (its tests skip one by one otherwise). */
  required: boolean;
  /** A command that must end with 0, once the packages are there, and what it means when it does not. */
  probe?: Readonly<{ command: readonly string[]; otherwise: string }>;
}>;

function installed(name: string): boolean {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the field syntax of dpkg-query(1)
  const query = spawnSync("dpkg-query", ["--show", "--showformat", "${db:Status-Status}", name], {
    encoding: "utf8",
  });
  return query.status === 0 && query.stdout === "installed";
}

function runApt(args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const apt = spawn("apt-get", args, {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    apt.once("error", reject);
    apt.once("exit", (code) => resolve(code ?? 1));
  });
}

/**
 * Makes sure that the prerequisites are there.
 * Returns undefined when they are, otherwise one line for people: what is missing and how to mend it.
 */
export async function installPrerequisites(wanted: Prerequisites): Promise<string | undefined> {
  if (process.platform !== "linux") return `needs Linux (this is ${process.platform})`;
  const root = process.getuid?.() === 0;
  if (wanted.needsRoot && !root)
    return "needs root (network namespaces and containers): run npm test as root";
  if (spawnSync("dpkg-query", ["--version"]).error) {
    return `needs a Debian-like system with these packages: ${wanted.packages.join(" ")}`;
  }
  return (await installPackages(wanted.packages, root)) ?? failedProbe(wanted.probe);
}

function failedProbe(probe: Prerequisites["probe"]): string | undefined {
  if (probe === undefined) return undefined;
  const [program, ...args] = probe.command;
  return spawnSync(program!, args, { stdio: "ignore" }).status === 0 ? undefined : probe.otherwise;
}

async function installPackages(packages: readonly string[], root: boolean): Promise<string | undefined> {
  const missing = packages.filter((name) => !installed(name));
  if (missing.length === 0) return undefined;
  const byHand = `apt-get install ${missing.join(" ")}`;
  if (!root) return `missing Debian packages; install them with: sudo ${byHand}`;
  console.log(`Installing Debian packages for these tests: ${missing.join(" ")}`);
  const install = ["install", "--yes", "--quiet", "--no-install-recommends", ...missing];
  if ((await runApt(["update", "--quiet"])) !== 0)
    console.log("apt-get update failed; trying with the old lists");
  if ((await runApt(install)) !== 0) return `apt-get could not install them; try by hand: ${byHand}`;
  return undefined;
}
