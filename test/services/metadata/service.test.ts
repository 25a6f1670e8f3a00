import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemRootsPath } from "../../../appliance/layout.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import { startMetadataService } from "../../../services/metadata/service.ts";
import { openMetadataStore } from "../../../services/metadata/store.ts";
import { answers, startTestProxy } from "../../support/notification-proxy.ts";

const settings = 'domain = "_a.test"\n[messages]\nmax_recipients = 77\n[push]\nkeep_token_days = 3\n';
const guid = "c854a6148b45016b684d000083ecc375";

describe("the metadata service", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-metadata-"));
    await configure(settings);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const configure = (text: string) =>
    writeFile(join(folder, "relay.json"), JSON.stringify(parseRelayConfig(text, "relay.toml")));

  async function start(): Promise<{
    path: string;
    newsPath: string;
    counters: () => string;
    stop: () => Promise<void>;
  }> {
    const path = join(folder, "metadata.sock");
    const newsPath = join(folder, "news.sock");
    const log = createLog(() => {});
    const counters = createCounters({ path: join(folder, "metadata.prom"), log });
    const stateDirectory = join(folder, "state");
    await mkdir(stateDirectory, { recursive: true });
    const steps = await startMetadataService({
      settingsPath: join(folder, "relay.json"),
      dataDirectory: folder,
      stateDirectory,
      problemPath: join(folder, "problem"),
      clockSyncedPath: join(folder, "clock-synced"),
      rootsPath: systemRootsPath,
      turn: {
        secretPath: join(folder, "turn-secret"),
        port: 3478,
        problemPath: join(folder, "turn-problem"),
      },
      listen: { dict: { name: "metadata", path }, news: { name: "news", path: newsPath } },
      counters,
      log,
    });
    return {
      path,
      newsPath,
      counters: counters.text,
      async stop() {
        for (const step of steps) await step.run();
      },
    };
  }

  async function ask(path: string, lines: string): Promise<string> {
    const socket = connect(path);
    socket.write(`H4\t0\t0\t\tmetadata\n${lines}`);
    const [answer] = await once(socket, "data");
    socket.destroy();
    return String(answer);
  }

  it("serves the relay's settings and keeps tokens over a restart, with a connection left open", async () => {
    const first = await start();
    const key = `shared/${guid}/vendor/vendor.dovecot/pvt/server/vendor/deltachat/maxsmtprecipients`;
    expect(await ask(first.path, `L${key}\tabc@_a.test\n`)).toBe("O77\n");
    expect(await ask(first.path, `B1\tabc@_a.test\t0\nS1\tpriv/${guid}/devicetoken\tphone\nC1\n`)).toBe(
      "O1\n",
    );
    const idle = connect(first.path);
    await once(idle, "connect");
    await Promise.all([first.stop(), once(idle.resume(), "end")]);
    const second = await start();
    expect(await ask(second.path, `Lpriv/${guid}/devicetoken\tabc@_a.test\n`)).toBe("Ophone\n");
    await second.stop();
  });

  const setToken = (path: string, user: string, token: string) =>
    ask(path, `B1\t${user}\t0\nS1\tpriv/${guid}/devicetoken\t${token}\nC1\n`);
  const tell = async (path: string, lines: string): Promise<string> => {
    const socket = connect(path);
    socket.end(lines);
    let text = "";
    for await (const chunk of socket) text += chunk;
    return text;
  };

  it("hands over the tokens of those who get mail, and keeps what it could not hand over", async () => {
    await using proxy = await startTestProxy();
    await configure(`${settings}proxy_url = "${proxy.url}"\n`);
    const first = await start();
    for (const token of ["phone", "tablet"]) await setToken(first.path, "abc@_a.test", token);
    await setToken(first.path, "other@_a.test", "others");
    expect(await tell(first.newsPath, "mail ABC@_a.test\nmail nobody@_a.test\n")).toBe("noted\nnoted\n");
    const received = () => proxy.received.map(({ token }) => token).sort();
    await expect.poll(received).toEqual(["phone", "tablet"]);
    await expect.poll(first.counters).toContain('homing_push_requests_total{outcome="accepted"} 2\n');
    expect(first.counters()).toContain("homing_push_tokens 0\n");
    proxy.setMood(answers(500));
    await tell(first.newsPath, "mail other@_a.test\n");
    await expect.poll(received).toContain("others");
    await first.stop();
    proxy.setMood(answers(410));
    const second = await start();
    expect(second.counters()).toContain("homing_push_tokens 3\n");
    expect(second.counters()).toContain("homing_push_queue 1\n");
    await tell(second.newsPath, "mail abc@_a.test\n");
    await expect.poll(second.counters).toContain('homing_push_requests_total{outcome="forgotten"} 2\n');
    expect(await ask(second.path, `Lpriv/${guid}/devicetoken\tabc@_a.test\n`)).toBe("N\n");
    await second.stop();
  });

  it("takes and sends no tokens, and forgets those it has, when push is switched off", async () => {
    await using proxy = await startTestProxy();
    const withProxy = `${settings}proxy_url = "${proxy.url}"\n`;
    await configure(withProxy);
    const on = await start();
    await setToken(on.path, "abc@_a.test", "phone");
    await on.stop();
    await configure(`${withProxy}enabled = false\n`);
    const off = await start();
    expect(await setToken(off.path, "abc@_a.test", "tablet")).toMatch(/^F1\t.*switched off/);
    expect(await tell(off.newsPath, "mail abc@_a.test\n")).toBe("noted\n");
    expect(await ask(off.path, `Lpriv/${guid}/devicetoken\tabc@_a.test\n`)).toBe("N\n");
    await off.stop();
    expect(proxy.received).toEqual([]);
  });

  it.each([
    ["an unknown command", "male abc@_a.test\n"],
    ["too few words", "mail\n"],
    ["too many words", "mail a b\n"],
    ["a NUL", "mail a\0b\n"],
    ["an endless line", "mail ".padEnd(100_000, "x")],
  ])("cuts off who tells of mail with %s, and goes on", async (_what, line) => {
    const { newsPath, stop } = await start();
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const socket = connect(newsPath, () => socket.write(line));
    // It may be cut off before all was written.
    socket.on("error", resolve).on("close", resolve).resume();
    await closed;
    expect(await tell(newsPath, "mail abc@_a.test\n")).toBe("noted\n");
    await stop();
  });

  it("answers clients with damaged files, without the secret for calls, and says what is wrong", async () => {
    const garbage = "not a database".repeat(1000);
    for (const name of ["metadata.sqlite", "notifications.sqlite"])
      await writeFile(join(folder, name), garbage);
    await configure(`${settings}[turn]\nenabled = true\n`);
    const { path, newsPath, stop } = await start();
    const server = `shared/${guid}/vendor/vendor.dovecot/pvt/server/vendor/deltachat`;
    expect(await ask(path, `L${server}/maxsmtprecipients\tabc@_a.test\n`)).toBe("O77\n");
    expect(await ask(path, `L${server}/turn\tabc@_a.test\n`)).toBe("N\n");
    expect(await setToken(path, "abc@_a.test", "phone")).toBe("O1\n");
    expect(await ask(path, `Lpriv/${guid}/devicetoken\tabc@_a.test\n`)).toBe("Ophone\n");
    expect(await ask(path, "Lshared/last-login/abc@_a.test\tabc@_a.test\n")).toMatch(/^F/);
    expect(await tell(newsPath, "mail nobody@_a.test\n")).toBe("noted\n");
    await stop();
    const text = (name: string) => readFile(join(folder, name), "utf8");
    expect(await text("problem")).toMatch(/^cannot use the database .*metadata\.sqlite/);
    expect(await text("metadata.sqlite")).toBe(garbage);
    expect(await text("notifications.sqlite.damaged")).toBe(garbage);
    await rm(join(folder, "metadata.sqlite"));
    const later = await start();
    expect(await ask(later.path, `Lpriv/${guid}/devicetoken\tabc@_a.test\n`)).toBe("Ophone\n");
    expect(await readdir(folder)).not.toContain("problem");
    await later.stop();
  });

  it("leaves nothing open when it cannot start, so that it can be tried again", async () => {
    await writeFile(join(folder, "news.sock"), "in the way");
    await expect(start()).rejects.toThrow(/is not a socket/);
    await rm(join(folder, "news.sock"));
    const { path, stop } = await start();
    expect(await setToken(path, "abc@_a.test", "phone")).toBe("O1\n");
    await stop();
  });

  it("forgets tokens after the days of the settings, once a time server has set the clock", async () => {
    const store = openMetadataStore(join(folder, "metadata.sqlite"), { keepTokenDays: 90 });
    const address = "abc@_a.test";
    const daysAgo = (days: number) => Date.now() / 1000 - days * 86_400;
    for (const days of [5, 4, 3, 2, 1]) {
      store.forgetExpired(daysAgo(days));
      store.apply([{ kind: "add-token", address, mailbox: guid, token: `${days}-days-ago` }], daysAgo(days));
    }
    store.close();
    const kept = async () => {
      const { path, stop } = await start();
      const answer = await ask(path, `Lpriv/${guid}/devicetoken\t${address}\n`);
      await stop();
      return answer;
    };
    expect(await kept()).toBe("O5-days-ago 4-days-ago 3-days-ago 2-days-ago 1-days-ago\n");
    await writeFile(join(folder, "clock-synced"), "");
    expect(await kept()).toBe("O2-days-ago 1-days-ago\n");
  });
});
