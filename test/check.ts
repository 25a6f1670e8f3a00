/**
 * `npm run check`: what can be said of the sources without running them. Types (tsc), lint and format
 * (biome), dead code and unused packages (knip), licences of the npm packages. Runs all four, even when one
 * fails, and ends with code 1 unless all are clean.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { licenceProblems } from "./support/licences.ts";

const project = join(import.meta.dirname, "..");

/** Runs a program of an npm package with this Node and this terminal; resolves to whether it was content. */
function runTool(script: string, ...args: string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(project, "node_modules", script), ...args], {
      cwd: project,
      stdio: "inherit",
    });
    child.once("error", reject);
    child.once("exit", (code) => resolve(code === 0));
  });
}

async function checkLicences(): Promise<boolean> {
  const problems = licenceProblems(await readFile(join(project, "package-lock.json"), "utf8"));
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

const checks: readonly [title: string, run: () => Promise<boolean>][] = [
  ["Types", () => runTool("typescript/bin/tsc", "--noEmit", "--project", ".")],
  ["Lint and format", () => runTool("@biomejs/biome/bin/biome", "check", "--error-on-warnings")],
  ["Dead code and unused packages", () => runTool("knip/bin/knip.js", "--no-progress")],
  ["Licences", checkLicences],
];

const failed: string[] = [];
for (const [title, run] of checks) {
  console.log(`\n== ${title}`);
  if (!(await run())) failed.push(title);
}
console.log(failed.length === 0 ? "\nAll checks passed." : `\nNot clean: ${failed.join(", ")}.`);
process.exitCode = failed.length === 0 ? 0 : 1;
