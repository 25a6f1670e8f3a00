/**
 * The door of the mailboxes with a real Postfix before it and a real Dovecot behind it: the same message is delivered
 * once, and where nobody saw how a delivery ended, the mailbox tells.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { dataPaths, runPaths } from "../../appliance/layout.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const TIMEOUT = 60_000;
/** A record of the list (services/door/delivered-list.ts) and its word for a delivery that ended well. */
const RECORD_BYTES = 12;
const DELIVERED = "dlv\n";

describeRelays("the door of the mailboxes", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  let alice: Account;
  let kept: string;
  let gone: string;
  beforeAll(async () => {
    alice = await makeAccount(relay());
    kept = await encryptedMail({ from: alice.address, to: alice.address });
    gone = await encryptedMail({ from: alice.address, to: alice.address });
  });

  const answersOf = async () =>
    (await relay().logEntries(/^\S+: to=<.*status=sent/)).map(({ message }) => message);
  /** Sends it and waits for what Postfix hears at the door. */
  const deliver = async (source: string): Promise<string> => {
    const before = (await answersOf()).length;
    await using session = await openSubmission(relay().address, alice.address, alice.password);
    expect((await session.send({ from: alice.address, to: [alice.address], source })).code).toBe(250);
    return await waitFor("the message is delivered", TIMEOUT, async () => (await answersOf())[before]);
  };
  const identifiers = async (): Promise<string[]> => {
    await using inbox = await openInbox(relay().address, alice.address, alice.password);
    return (await inbox.fetchSources()).flatMap((source) => /^Message-ID: (\S+)/m.exec(source)?.[1] ?? []);
  };
  const identifierOf = (source: string) => /^Message-ID: (\S+)/m.exec(source)![1]!;

  it("delivers the same message once", async () => {
    expect(await deliver(kept)).toContain("Saved");
    expect(await deliver(kept)).toContain("250 2.0.0 it was delivered before");
    expect(await deliver(gone)).toContain("Saved");
    expect(await identifiers()).toEqual([identifierOf(kept), identifierOf(gone)]);
  });

  it("asks the mailbox for what was begun when it was killed", async () => {
    await using inbox = await openInbox(relay().address, alice.address, alice.password);
    await inbox.command("STORE 2 +FLAGS (\\Deleted)");
    await inbox.command("EXPUNGE");
    await relay().exec("systemctl stop homing-courier.service");
    const path = join(relay().dataFolder, dataPaths.door.replace(/^\/data/, ""), "delivered");
    const list = await readFile(path);
    const records = Array.from({ length: list.length / RECORD_BYTES }, (_, i) =>
      list.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES),
    );
    expect(records.filter((one) => one.toString("latin1", 8) === DELIVERED).length).toBe(2);
    await writeFile(path, Buffer.concat(records.filter((one) => one.toString("latin1", 8) !== DELIVERED)));
    await relay().exec("systemctl start homing-courier.service");

    expect(await deliver(kept)).toContain("250 2.0.0 it was delivered before");
    expect(await deliver(gone)).toContain("Saved");
    expect(await identifiers()).toEqual([identifierOf(kept), identifierOf(gone)]);
    await waitFor("the counters say what was found", TIMEOUT, async () =>
      (await relay().exec(`cat ${runPaths.metrics}/door.prom`)).stdout.includes('outcome="found"} 1\n'),
    );
  });

  it("lets nobody but itself deliver, and itself not read what is in the mailboxes", async () => {
    const { stdout } = await relay().exec("stat -c '%U %a' /run/dovecot/lmtp /run/dovecot/doveadm-look");
    expect(stdout).toBe("homing-courier 600\nhoming-courier 600\n");
    const fetching = [
      "VERSION\\tdoveadm-server\\t1\\t0\\n",
      `\\t${alice.address}\\tfetch\\ttext\\tall\\n`,
    ].join("");
    const heard = await relay().exec(
      `/usr/lib/homing/node -e 'const s=require("net").connect("/run/dovecot/doveadm-look",()=>s.write("${fetching}"));` +
        `let t="";s.on("data",d=>t+=d);s.on("close",()=>console.log(JSON.stringify(t)))'`,
    );
    expect(heard.stdout.trim()).toBe(JSON.stringify("+\n"));
  });
});
