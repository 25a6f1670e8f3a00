/** What the reaper takes away while real clients look on: old messages, what fills a mailbox, accounts that are gone. */
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { dataPaths, nodeBinary, runPaths, users } from "../../appliance/layout.ts";
import type { ReaperReport } from "../../appliance/reaper-report.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { writeReaperState } from "../support/reaper-state.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const DAY = 86_400;
const TIMEOUT = 30_000;
const settings = {
  messages: { mailboxBytes: 1_000_000, maxMessageBytes: 500_000, largeMessageBytes: 50_000 },
};

describeRelays("the reaper", { "_a.test": { settings } }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const open = ({ address, password }: Account) => openInbox(relay().address, address, password);
  const mailOf = ({ address }: Account) => join(relay().dataFolder, "mail", address);

  /** As delivered so many days ago: what the relay's clock said then is in the name. */
  async function deliver({ address }: Account, days: number, size: number, count = 1): Promise<void> {
    const stamp = Math.floor(Date.now() / 1000 - days * DAY);
    const text = `Subject: ${days} days\\r\\n\\r\\n`;
    const length = size - (text.length - 4) - 2;
    const folder = `${dataPaths.mail}/${address}/mail/new`;
    await relay().exec(`
      for i in $(seq ${count}); do
        file=${folder}/${stamp}.M${size}$i.P1.homing,S=${size},W=${size}
        { printf '${text}'; head -c ${length} /dev/zero | tr '\\0' x; printf '\\r\\n'; } >"$file"
        chown ${users.vmail.name}: "$file"
      done`);
  }

  /** Runs a program in the relay that may change what its databases say. */
  const inNode = (script: string) => relay().exec([nodeBinary, "--input-type=module", "--eval", script]);

  const expire = async (...options: string[]) =>
    JSON.parse((await relay().exec(["homing-ctl", "expire", "--json", ...options])).stdout) as ReaperReport;

  beforeAll(async () => {
    // No time server is here, and the clock is right.
    await relay().exec("mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized");
    await writeReaperState(relay());
  });

  it("removes what is old under the eyes of clients, who see right lists and a right quota", async () => {
    const alice = await makeAccount(relay());
    await using watching = await open(alice);
    await deliver(alice, 21, 10_000, 3);
    await deliver(alice, 8, 60_000);
    await deliver(alice, 8, 20_000);
    await watching.command("NOOP");
    expect((await watching.command("UID SEARCH ALL")).untagged).toEqual(["SEARCH 1 2 3 4 5"]);
    const would = await expire("--dry-run");
    expect(would.removed).toMatchObject({ age: { messages: 3, bytes: 30_000 }, large: { messages: 1 } });
    expect((await watching.command("NOOP")).untagged).toEqual([]);
    const done = await expire();
    expect(done).toMatchObject({ dryRun: false, removed: would.removed, failures: 0 });
    const news: string[] = [];
    await waitFor("the open session hears of it", TIMEOUT, async () => {
      news.push(...(await watching.command("NOOP")).untagged.filter((line) => line.endsWith(" EXPUNGE")));
      return news.length === 4;
    });
    const [, left] = /SEARCH (\d+)$/.exec((await watching.command("UID SEARCH ALL")).untagged[0]!) ?? [];
    await using later = await open(alice);
    for (const session of [watching, later]) {
      expect((await session.command("UID SEARCH ALL")).untagged).toEqual([`SEARCH ${left}`]);
      expect(await session.fetchSources()).toEqual([
        expect.stringMatching(/^Subject: 8 days\r\n\r\nx+\r\n$/),
      ]);
      const quota = (await session.command("GETQUOTAROOT INBOX")).untagged.join("\n");
      expect(quota).toMatch(/STORAGE (19|20) \d+ MESSAGE 1 /);
    }
  });

  it("makes room in a mailbox that is nearly full, at once and without anybody asking", async () => {
    const bob = await makeAccount(relay());
    await using session = await open(bob);
    await deliver(bob, 3, 45_000, 14);
    await session.command("NOOP");
    const text = `Subject: today\r\n\r\n${"x".repeat(199_978)}\r\n`;
    expect(await session.command(`APPEND INBOX {${text.length}+}\r\n${text}`)).toMatchObject({
      status: "OK",
    });
    await waitFor("the mailbox is below 70 %", TIMEOUT, async () => {
      const quota = (await session.command("GETQUOTAROOT INBOX")).untagged.join("\n");
      const [, used, limit] = /STORAGE (\d+) (\d+)/.exec(quota) ?? [];
      return Number(used) <= 0.7 * Number(limit);
    });
    const sources = await session.fetchSources();
    // No more than had to go, and the oldest.
    expect(sources.filter((source) => source.startsWith("Subject: 3 days"))).toHaveLength(11);
    expect(sources.at(-1)).toMatch(/^Subject: today/);
  });

  it("makes room when others' mail fills a mailbox, sparing the last day's, and its owner hears of nothing", async () => {
    const [bob, carol] = [await makeAccount(relay()), await makeAccount(relay())];
    await using session = await open(bob);
    const old = 45_000;
    await deliver(bob, 3, old, 7);
    await session.command("NOOP");
    await using sending = await openSubmission(relay().address, carol.address, carol.password);
    let sent = 0;
    const send = async (count: number) => {
      for (let i = 0; i < count; i++) {
        // Some 90 kB in armor.
        const text = randomBytes(49_500).toString("base64");
        const source = await encryptedMail({ from: carol.address, to: bob.address }, text);
        const message = { from: carol.address, to: [bob.address], source };
        expect(await sending.send(message)).toMatchObject({ code: 250 });
        sent += 1;
      }
    };
    const heard: string[] = [];
    const look = async () => {
      const answers = [await session.command("NOOP"), await session.command("GETQUOTAROOT INBOX")];
      heard.push(...answers.flatMap(({ untagged, text }) => [...untagged, text]));
      const [, used, limit] = /STORAGE (\d+) (\d+)/.exec(answers[1]!.untagged.join("\n")) ?? [];
      const sources = await session.fetchSources();
      const isOld = (source: string) => source.startsWith("Subject: 3 days");
      const left = sources.filter(isOld).length;
      return { part: Number(used) / Number(limit), left, fresh: sources.length - left };
    };
    const { purgeAbovePercent, purgeToPercent } = relay().config.messages;
    const becomes = (what: string, check: (seen: Awaited<ReturnType<typeof look>>) => boolean) =>
      waitFor(what, TIMEOUT, async () => {
        const seen = await look();
        return seen.fresh === sent && check(seen) && seen;
      });

    // Below what Dovecot has noted: all stay.
    await send(4);
    const before = await becomes("they are there", () => true);
    expect(before).toMatchObject({ left: 7 });
    expect(before.part * 100).toBeLessThan(purgeAbovePercent);
    await send(1);
    const first = await becomes("the oldest go", ({ part }) => part * 100 <= purgeToPercent);
    // No more of them than had to.
    expect((first.part + old / settings.messages.mailboxBytes) * 100).toBeGreaterThan(purgeToPercent);
    // And all of them before any of the last day's, also where that is not enough. Never so many at once that the mailbox
    // is full before the reaper is there.
    await send(2);
    await becomes("more of the old ones go", ({ part }) => part * 100 <= purgeToPercent);
    await send(2);
    const second = await becomes("all of the old ones go", ({ left }) => left === 0);
    expect(second.part * 100).toBeGreaterThan(purgeToPercent);
    expect(heard.filter((line) => /ALERT|OVERQUOTA/i.test(line))).toEqual([]);
    // Nor does the sender.
    await using sender = await open(carol);
    expect(await sender.fetchSources()).toEqual([]);
  });

  it("deletes accounts without a login for too long, but none that is connected, and frees the name last", async () => {
    const idle = await makeAccount(relay());
    const connected = await makeAccount(relay());
    const fresh = await makeAccount(relay());
    await using session = await open(connected);
    const token = "SETMETADATA INBOX (/private/devicetoken {5+}\r\ntoken)";
    {
      await using once = await open(idle);
      expect(await once.command(token)).toMatchObject({ status: "OK" });
    }
    await deliver(idle, 1, 5_000);
    await inNode(`
      import { DatabaseSync } from "node:sqlite";
      const long = Math.floor(Date.now() / 1000) - ${91 * DAY};
      const accounts = new DatabaseSync("${dataPaths.accounts}/accounts.sqlite", { timeout: 5000 });
      accounts.exec("UPDATE accounts SET created_day = " + long);
      const logins = new DatabaseSync("${dataPaths.metadata}/metadata.sqlite", { timeout: 5000 });
      for (const address of ["${idle.address}", "${connected.address}"])
        logins.prepare("UPDATE last_logins SET day = ? WHERE address = ?").run(long, address);`);
    const before = await readdir(join(relay().dataFolder, "mail"));
    expect(await expire()).toMatchObject({ accounts: { idle: 1, asked: 0 }, failures: 0 });
    const after = await readdir(join(relay().dataFolder, "mail"));
    expect(before.filter((name) => !after.includes(name))).toEqual([idle.address]);
    expect(await readdir(join(relay().dataFolder, "mail", "index"))).not.toContain(idle.address);
    expect((await session.command("NOOP")).status).toBe("OK");
    // For a run that looks while this client is away.
    const shown = await relay().exec(["homing-ctl", "account", "show", connected.address, "--json"]);
    expect(JSON.parse(shown.stdout).lastLoginDay).toBeGreaterThan(Date.now() / 1000 - 2 * DAY);
    await using other = await open(fresh);
    expect(other.greeting).toContain("OK");
    // The name is anybody's again, and nothing of before is left for him.
    await using next = await open({ ...idle, password: `${idle.password}other` });
    expect((await next.command("UID SEARCH ALL")).untagged).toEqual(["SEARCH"]);
    const tokens = await next.command("GETMETADATA INBOX /private/devicetoken");
    expect(tokens.untagged.join("\n")).toMatch(/NIL/);
  });

  it("deletes an account that somebody asked to delete, whatever the clock says", async () => {
    const leaving = await makeAccount(relay());
    await relay().exec("rm /run/systemd/timesync/synchronized");
    await inNode(`
      import { request } from "node:http";
      const call = request({ socketPath: "${runPaths.controlSocket}", method: "POST", path: "/accounts/${leaving.address}/leave" });
      call.on("response", (response) => { response.resume(); process.exitCode = response.statusCode === 200 ? 0 : 1; }).end();`);
    await relay().exec("systemctl start homing-reaper@leaving.service");
    await expect(readdir(mailOf(leaving))).rejects.toThrow(/ENOENT/);
    const metrics = (await relay().exec(`cat ${runPaths.metrics}/reaper.prom`)).stdout;
    expect(metrics).toContain('homing_reaper_accounts_removed_total{reason="asked"} 1\n');
    expect(metrics).toMatch(/^homing_reaper_messages_removed_total\{reason="age"\} 3$/m);
    expect(metrics).toMatch(/^homing_reaper_clock_trusted 1$/m);
  });

  it("leaves no complaint in anybody's log", async () => {
    const complaints = await relay().logEntries(
      /^(?!imap-login: ).*(Error|Warning|Panic|Fatal|cannot|failed)/,
    );
    expect(complaints.filter(({ source }) => /^(dovecot|homing-reaper)/.test(source))).toEqual([]);
  });
});
