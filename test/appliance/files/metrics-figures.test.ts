/** The scripts that count mail on the disk for Prometheus (appliance/files/metrics-figures.ts), with real find and mawk. */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { queueFiguresScript, storeFiguresScript } from "../../../appliance/files/metrics-figures.ts";
import { dataPaths, runPaths } from "../../../appliance/layout.ts";
import { parseFamilies } from "../../../services/metrics/text-format.ts";

const works = process.platform === "linux" && spawnSync("mawk", ["-W", "version"]).status === 0;

describe.skipIf(!works)(`the scripts that count mail${works ? "" : " (needs mawk)"}`, () => {
  const [queue, store] = [runPaths.queueFigures, `${runPaths.metrics}/store.prom`];
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "homing-figures-"));
    for (const path of [queue, store]) await mkdir(join(root, dirname(path)), { recursive: true });
    await mkdir(join(root, dataPaths.postfix, "queue"), { recursive: true });
    await mkdir(join(root, dataPaths.mail), { recursive: true });
  });
  afterEach(() => rm(root, { recursive: true }));

  const put = async (path: string, bytes: number) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), Buffer.alloc(bytes));
  };
  const run = async (script: { content: string }, path: string) => {
    const ended = spawnSync("sh", ["-s", root], { input: script.content, encoding: "utf8" });
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    const families = parseFamilies(await readFile(join(root, path), "utf8"));
    return Object.fromEntries(
      families.flatMap(({ samples }) =>
        samples.map(({ name: series, labels, value }) => [
          [series, ...Object.values(labels)].join(" "),
          value,
        ]),
      ),
    );
  };

  it("count the queue by state, and how long the oldest has waited", async () => {
    await put("data/postfix/queue/deferred/A/A1", 10);
    await put("data/postfix/queue/deferred/B/B1", 10);
    await put("data/postfix/queue/active/C1", 10);
    await put("data/postfix/queue/hold/E1", 1_000_000);
    await put("data/postfix/queue/maildrop/D1", 10);
    const figures = await run(queueFiguresScript, queue);
    expect(figures).toMatchObject({
      "homing_mail_queue_messages incoming": 0,
      "homing_mail_queue_messages active": 1,
      "homing_mail_queue_messages deferred": 2,
      "homing_mail_queue_messages corrupt": 0,
      "homing_mail_queue_bytes incoming": 0,
      "homing_mail_queue_oldest_seconds incoming": 0,
    });
    // In whole blocks of whatever file system is here.
    expect(figures["homing_mail_queue_bytes hold"]).toBeGreaterThanOrEqual(1_000_000);
    expect(figures["homing_mail_queue_bytes hold"]).toBeLessThan(1_200_000);
    expect(figures["homing_mail_queue_oldest_seconds deferred"]).toBeGreaterThanOrEqual(0);
    expect(figures["homing_mail_queue_oldest_seconds deferred"]).toBeLessThan(60);
  });

  it("count messages by size, and nothing else as messages", async () => {
    await put("data/mail/alice@a.test/mail/cur/1.x,S=1:2,S", 1000);
    await put("data/mail/alice@a.test/mail/new/2.x", 102_399);
    await put("data/mail/alice@a.test/mail/.DeltaChat/cur/3.x:2,", 102_400);
    await put("data/mail/bob@a.test/mail/cur/4.x:2,", 20_000_000);
    await put("data/mail/bob@a.test/mail/tmp/5.x", 7);
    // The canary counts nowhere.
    await put("data/mail/homing-canary-abc@a.test/mail/cur/6.x:2,", 1000);
    await put("data/mail/homing-canary-abc@a.test/mail/tmp/7.x", 7);
    await put("data/mail/index/homing-canary-abc@a.test/.INBOX/dovecot.index.log", 300);
    await put("data/mail/index/alice@a.test/.INBOX/dovecot.index.log", 300);
    await put("data/mail/index/alice@a.test/mail/cur/6", 5);
    expect(await run(storeFiguresScript, store)).toEqual({
      homing_mailboxes: 2,
      "homing_stored_messages 0": 2,
      "homing_stored_messages 102400": 1,
      "homing_stored_messages 524288": 0,
      "homing_stored_messages 1048576": 0,
      "homing_stored_messages 2097152": 0,
      "homing_stored_messages 5242880": 0,
      "homing_stored_messages 10485760": 1,
      "homing_stored_message_bytes 0": 103_399,
      "homing_stored_message_bytes 102400": 102_400,
      "homing_stored_message_bytes 524288": 0,
      "homing_stored_message_bytes 1048576": 0,
      "homing_stored_message_bytes 2097152": 0,
      "homing_stored_message_bytes 5242880": 0,
      "homing_stored_message_bytes 10485760": 20_000_000,
      homing_stored_other_bytes: 312,
    });
  });

  it("say that there is nothing before there is something", async () => {
    expect(await run(queueFiguresScript, queue)).toMatchObject({
      "homing_mail_queue_messages deferred": 0,
    });
    expect(await run(storeFiguresScript, store)).toMatchObject({
      homing_mailboxes: 0,
      homing_stored_other_bytes: 0,
    });
  });
});
