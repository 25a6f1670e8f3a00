import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createLog } from "../../../services/lib/log.ts";
import { startMetadataService } from "../../../services/metadata/service.ts";
import { openMetadataStore } from "../../../services/metadata/store.ts";

const settings = 'domain = "_a.test"\n[messages]\nmax_recipients = 77\n[push]\nkeep_token_days = 3\n';
const guid = "c854a6148b45016b684d000083ecc375";

describe("the metadata service", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-metadata-"));
    await writeFile(join(folder, "relay.json"), JSON.stringify(parseRelayConfig(settings, "relay.toml")));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function start(): Promise<{ path: string; stop: () => Promise<void> }> {
    const path = join(folder, "metadata.sock");
    const steps = await startMetadataService({
      settingsPath: join(folder, "relay.json"),
      databasePath: join(folder, "metadata.sqlite"),
      listen: { name: "metadata", path },
      log: createLog(() => {}),
    });
    return {
      path,
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

  it("forgets tokens after the days of the settings", async () => {
    const store = openMetadataStore(join(folder, "metadata.sqlite"), { keepTokenDays: 90 });
    const address = "abc@_a.test";
    const daysAgo = (days: number) => Date.now() / 1000 - days * 86_400;
    store.apply([{ kind: "add-token", address, mailbox: guid, token: "lost" }], daysAgo(5));
    store.apply([{ kind: "add-token", address, mailbox: guid, token: "kept" }], daysAgo(1));
    store.close();
    const { path, stop } = await start();
    expect(await ask(path, `Lpriv/${guid}/devicetoken\t${address}\n`)).toBe("Okept\n");
    await stop();
  });
});
