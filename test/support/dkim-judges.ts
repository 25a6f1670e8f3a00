/**
 * Independent programs that judge DKIM signatures: OpenDKIM's filter in its test mode, and dkimpy (Debian packages
 * opendkim and python3-dkim). The key is handed to them: no DNS is asked.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectMilter } from "../services/milter/milter-client.ts";
import { runCommand, startTied, waitForExit } from "./commands.ts";
import { waitFor } from "./wait.ts";

export type DkimJudge = Readonly<{
  name: string;
  /** Why it cannot judge here, undefined when it can. */
  missing: string | undefined;
  /** Whether each message has a valid signature. `keys` are TXT records by name. */
  judge(messages: readonly Uint8Array[], keys: Readonly<Record<string, string>>): Promise<boolean[]>;
}>;

/** Long enough for messages of 30 MB on a busy machine, in milliseconds. */
const JUDGE_TIMEOUT = 120_000;

const START_TIMEOUT = 20_000;

/** The system's Python, where Debian's python3-dkim is. */
const python = "/usr/bin/python3";
const openDkim = "/usr/sbin/opendkim";

const dkimpyProgram = `
import dkim, json, sys
keys = json.load(open(sys.argv[1] + "/keys.json"))
def find(name, timeout=5):
    return keys.get(name.decode().rstrip("."), "").encode()
for index in range(int(sys.argv[2])):
    print(dkim.verify(open(f"{sys.argv[1]}/{index}.eml", "rb").read(), dnsfunc=find))
`;

/** Runs `body` in a folder that holds the messages as 0.eml, 1.eml, … */
async function withMessages<T>(
  messages: readonly Uint8Array[],
  body: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "homing-dkim-"));
  try {
    for (const [index, message] of messages.entries()) await writeFile(join(folder, `${index}.eml`), message);
    return await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const dkimpy: DkimJudge = {
  name: "dkimpy",
  missing: spawnSync(python, ["-c", "import dkim"]).status === 0 ? undefined : "needs python3-dkim",
  judge: (messages, keys) =>
    withMessages(messages, async (folder) => {
      await writeFile(join(folder, "keys.json"), JSON.stringify(keys));
      const command = [python, "-c", dkimpyProgram, folder, String(messages.length)];
      const { stdout } = await runCommand(command, { timeout: JUDGE_TIMEOUT });
      return stdout
        .trim()
        .split("\n")
        .map((line) => line === "True");
    }),
};

const opendkim: DkimJudge = {
  name: "OpenDKIM",
  missing: spawnSync(openDkim, ["-V"]).status === 0 ? undefined : "needs opendkim",
  // Asked over the milter protocol, octet for octet: its own test mode reads files by lines and changes them.
  judge: async (messages, keys) => {
    const folder = await mkdtemp(join(tmpdir(), "homing-opendkim-"));
    try {
      const records = Object.entries(keys).map(([name, record]) => `${name} ${record}\n`);
      await writeFile(join(folder, "keys"), records.join(""));
      // Its limit on the header is off: that is not what is judged.
      const settings = [
        "Mode v",
        "AlwaysAddARHeader yes",
        `TestPublicKeys ${join(folder, "keys")}`,
        "MaximumHeaders 0",
      ];
      await writeFile(join(folder, "conf"), `${settings.join("\n")}\n`);
      const socket = join(folder, "milter.sock");
      const daemon = startTied(
        [openDkim, "-f", "-x", join(folder, "conf"), "-p", `local:${socket}`],
        join(folder, "log"),
      );
      try {
        const verdicts: boolean[] = [];
        for (const message of messages) {
          const client = await waitFor("OpenDKIM listens", START_TIMEOUT, () => connectMilter(socket));
          await client.session("mx");
          await client.message({ from: "<>", to: ["<a@b.test>"], text: Buffer.from(message) });
          const results = client.changes.map(({ data }) => data.toString("latin1"));
          verdicts.push(results.some((text) => /Authentication-Results\0.*\bdkim=pass\b/s.test(text)));
          await client.quit();
        }
        return verdicts;
      } finally {
        daemon.kill("SIGKILL");
        await waitForExit(daemon, "OpenDKIM", START_TIMEOUT);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

export const dkimJudges: readonly DkimJudge[] = [opendkim, dkimpy];
