/** The command line: help, unknown words, exit codes (installer/main.ts, installer/command.ts). */
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseCommandArgs, UsageError } from "../../installer/command.ts";
import { explain, verbs } from "../../installer/main.ts";
import packageJson from "../../package.json" with { type: "json" };
import { captureStream, runHoming } from "../support/command-io.ts";

describe("./homing", () => {
  it.each([[["--help"]], [["-h"]], [["help"]], [["help", "help"]], [["help", "--help"]]])(
    "prints the overview with %j",
    async (args) => {
      const { code, stdout, stderr } = await runHoming(args);
      expect(code).toBe(0);
      expect(stderr).toBe("");
      expect(stdout).toContain("./homing COMMAND [OPTIONS]");
      const width = Math.max(...Object.keys(verbs).map((verb) => verb.length));
      for (const [verb, { summary }] of Object.entries(verbs))
        expect(stdout).toContain(`${verb.padEnd(width)}  ${summary}`);
    },
  );

  it("names the commands where there is no terminal to ask questions in", async () => {
    const { code, stdout, stderr } = await runHoming([]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("needs a terminal");
    for (const verb of Object.keys(verbs)) expect(stderr).toContain(verb);
  });

  it.each([["--version"], ["-V"]])("says the version of package.json with %s", async (arg) => {
    expect(await runHoming([arg])).toEqual({
      code: 0,
      stdout: `homing ${packageJson.version}\n`,
      stderr: "",
    });
  });

  it.each([
    ["inti", "there is no command “inti”. Did you mean “init”?"],
    ["biuld", "Did you mean “build”?"],
    ["frobnicate", "there is no command “frobnicate”.\n"],
    ["--hlep", "there is no option “--hlep”. Did you mean “--help”?"],
    ["constructor", "there is no command “constructor”.\n"],
    ["../main", "there is no command “../main”."],
  ])("answers %s with the nearest it knows, exit code 2", async (word, text) => {
    const { code, stdout, stderr } = await runHoming([word]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(text);
  });

  it("suggests for “help” too", async () => {
    expect((await runHoming(["help", "inti"])).stderr).toContain("Did you mean “init”?");
  });

  it.each([
    ["help", "init"],
    ["init", "--help"],
    ["init", "chat.example.org", "-h"],
  ])("explains a command with %s %s", async (...args) => {
    const { code, stdout } = await runHoming(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: \.\/homing init DOMAIN .*\n\n/);
    expect(stdout).toContain("--ssh-key FILE");
  });

  it("knows every file in commands/ under its name and summary", async () => {
    const folder = join(import.meta.dirname, "../../installer/commands");
    const files = await readdir(folder);
    expect(Object.keys(verbs).sort()).toEqual(files.map((file) => file.replace(/\.ts$/, "")).sort());
    for (const [name, { summary, load }] of Object.entries(verbs)) {
      const { command } = await load();
      expect([command.name, command.summary]).toEqual([name, summary]);
      expect(command.usage.split(" ")[0]).toBe(name);
    }
  });
});

it
  .skipIf(process.platform === "win32")
  .each(["build x --target vm", "init a.example", "vm x", "keys show x"])(
  "says in one line that the current folder is gone: %s (Unix)",
  async (command) => {
    const gone = await mkdtemp(join(tmpdir(), "homing-gone-"));
    const main = join(import.meta.dirname, "../../installer/main.ts");
    const script = `cd "${gone}" && rmdir "${gone}" && exec "${process.execPath}" "${main}" ${command}`;
    const { status, stdout, stderr } = spawnSync("sh", ["-c", script], { encoding: "utf8" });
    expect([status, stdout, stderr]).toEqual([
      1,
      "",
      "homing: the current folder was removed; change to another one and start again.\n",
    ]);
  },
);

describe("explain", () => {
  class RelayFolderError extends Error {
    override name = "RelayFolderError";
  }
  const command = { name: "build", usage: "build FOLDER", summary: "", help: "", run: async () => 0 };

  function explained(error: unknown, abortedBy?: string) {
    const stderr = captureStream();
    const signal = abortedBy ? AbortSignal.abort(abortedBy) : new AbortController().signal;
    const code = explain(error, command, { stdout: captureStream(), stderr, env: {}, signal });
    return { code, text: stderr.text() };
  }

  it("prints an error with a name of its own as one text", () => {
    expect(explained(new RelayFolderError("a is missing. Make it."))).toEqual({
      code: 1,
      text: "homing: a is missing. Make it.\n",
    });
  });

  it("prints wrong usage with the usage line, exit code 2", () => {
    expect(explained(new UsageError("build needs a folder"))).toEqual({
      code: 2,
      text: "homing: build needs a folder\nUsage: ./homing build FOLDER\n",
    });
  });

  it("prints what the operating system refused as path and reason", () => {
    const error = Object.assign(new Error("ENOSPC: no space left on device, write"), {
      syscall: "write",
      code: "ENOSPC",
    });
    expect(explained(error).text).toBe("homing: ENOSPC: no space left on device, write\n");
    const named = Object.assign(new Error("x"), {
      syscall: "open",
      code: "EACCES",
      errno: -13,
      path: "keys/tls.pem",
    });
    expect(explained(named).text).toBe("homing: keys/tls.pem: permission denied (EACCES)\n");
  });

  it("prints mistakes of the program with their stack", () => {
    const { code, text } = explained(new TypeError("undefined is not a function"));
    expect(code).toBe(1);
    expect(text).toMatch(/please report this:\nTypeError: undefined is not a function\n +at /);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ])("says that it was stopped after %s, exit code %i", (signal, code) => {
    expect(explained(signal, signal)).toEqual({ code, text: "homing: build was stopped.\n" });
  });
});

describe("parseCommandArgs", () => {
  it("gives options and positionals", () => {
    const { values, positionals } = parseCommandArgs(["a", "--dir", "d", "b"], { dir: { type: "string" } });
    expect([values.dir, positionals]).toEqual(["d", ["a", "b"]]);
  });

  it.each([
    [["--dri", "x"], "Unknown option '--dri'"],
    [["--dir"], "argument missing"],
  ])("makes a UsageError of %j", (args, text) => {
    const parse = () => parseCommandArgs(args, { dir: { type: "string" } });
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(text);
  });
});
