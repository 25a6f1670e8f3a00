/** The relay's figures, as a real Prometheus on the private network gets them: complete, true, and told to nobody else. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { metricsListen } from "../../appliance/layout.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { runCommand, startTied } from "../support/commands.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, plainMail } from "../support/mail.ts";
import {
  expressions,
  missingLabels,
  monitoringFile,
  seriesNamesOf,
  wantedLabels,
  wantedSeries,
} from "../support/monitoring.ts";
import { canConnect } from "../support/relay.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const TIMEOUT = 60_000;
const TOKEN = "a token that only the test knows".replaceAll(" ", "-");
const { port } = metricsListen;
/** Addresses of the documentation (RFC 5737) are nobody's private network. */
const FOREIGN = { relay: "192.0.2.8", client: "192.0.2.7" } as const;
const hasPrometheus = spawnSync("prometheus", ["--version"]).status === 0;

const settings = {
  metrics: { network: true, tokenSha256: createHash("sha256").update(TOKEN).digest("hex") },
};

describeRelays("the figures of a relay", { "_a.test": { settings } }, (ring) => {
  const relay = () => ring.relay("_a.test");
  let alice: Account;

  const scrape = async (headers: Record<string, string> = {}) =>
    await fetch(`http://${relay().address}:${port}/metrics`, {
      headers: { authorization: `Bearer ${TOKEN}`, ...headers },
    });
  const figure = async (series: string) => {
    const line = (await (await scrape()).text()).split("\n").find((one) => one.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  };

  beforeAll(async () => {
    // What the canary does counts as nothing, however often: its message goes the way of all others.
    for (let run = 0; run < 2; run++) await relay().exec("systemctl start homing-probe.service");
    alice = await makeAccount(relay());
    await using session = await openSubmission(relay().address, alice.address, alice.password);
    const from = alice.address;
    const source = await encryptedMail({ from, to: from });
    expect((await session.send({ from, to: [from], source })).code).toBe(250);
    expect((await session.send({ from, to: [from], source: plainMail({ from, to: from }) })).code).toBe(523);
    const toAlice = new RegExp(`^\\S+: to=<${from}>.*status=sent`);
    await waitFor(
      "the message is delivered",
      TIMEOUT,
      async () => (await relay().logEntries(toAlice)).length === 1,
    );
    await using inbox = await openInbox(relay().address, alice.address, alice.password);
    // The dashboard leaves it out of the commands.
    await (await inbox.idle()).done();
    await expect(openInbox(relay().address, alice.address, "a wrong password")).rejects.toThrow(
      /AUTHENTICATION/,
    );
    await relay().exec("systemctl start homing-queue-figures.service homing-store-figures.service");
  });

  it("tell what happened to a message, in both formats", async () => {
    await waitFor(
      "the filter wrote what it counts",
      TIMEOUT,
      async () => (await figure('homing_filter_verdicts_total{door="smtps",outcome="unencrypted"}')) === 1,
    );
    expect(await figure('homing_filter_verdicts_total{door="smtps",outcome="accepted"}')).toBe(1);
    expect(await figure('homing_filter_decision_seconds_count{door="smtps"}')).toBe(1);
    expect(await figure('homing_door_recipients_total{outcome="delivered"}')).toBe(1);
    expect(await figure("homing_delivery_seconds_count")).toBe(1);
    expect(await figure("homing_deliveries_failed_total")).toBe(0);
    expect(await figure('homing_logins_total{protocol="imap",outcome="ok"}')).toBe(2);
    expect(await figure('homing_logins_total{protocol="smtp",outcome="ok"}')).toBe(1);
    expect(await figure('homing_logins_total{protocol="imap",outcome="failed"}')).toBe(1);
    expect(await figure('homing_imap_command_seconds_count{command="SELECT"}')).toBe(2);
    expect(await figure('homing_sign_ups_total{way="login",outcome="made"}')).toBe(1);
    expect(await figure('homing_stored_messages{from_bytes="0"}')).toBe(1);
    expect(await figure("homing_mailboxes")).toBe(1);
    expect(await figure('homing_mail_queue_messages{state="deferred"}')).toBe(0);
    expect(await figure("homing_dovecot_up")).toBe(1);
    expect(await figure('homing_metrics_files{state="broken"}')).toBe(0);
    expect(await figure("homing_certificate_not_after_seconds")).toBeGreaterThan(Date.now() / 1000);
    expect(await figure("homing_memory_available_bytes")).toBeGreaterThan(0);
    // Counted once a minute.
    expect([0, 1]).toContain(await figure('homing_accounts{state="active"}'));
    const unit = "/sys/fs/cgroup/system.slice/homing-auth.service/memory.current";
    const counted = await relay().exec(["cat", unit], { anyExitCode: true });
    const memory = await figure('homing_service_memory_bytes{service="homing-auth"}');
    expect(memory === undefined).toBe(counted.code !== 0);

    const open = await scrape({ accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" });
    expect(open.headers.get("content-type")).toMatch(/^application\/openmetrics-text; version=1\.0\.0/);
    const text = await open.text();
    expect(text).toMatch(/^# TYPE homing_sign_ups counter\nhoming_sign_ups_total\{/m);
    expect(text.endsWith("\n# EOF\n")).toBe(true);
    expect(text).not.toContain(alice.address.split("@")[0]);
  });

  it("count what Dovecot cannot put into a mailbox", async () => {
    const mailbox = `/data/mail/${alice.address}`;
    await relay().exec(["chown", "root", mailbox]);
    const from = alice.address;
    await using session = await openSubmission(relay().address, from, alice.password);
    const source = await encryptedMail({ from, to: from });
    expect((await session.send({ from, to: [from], source })).code).toBe(250);
    await waitFor(
      "the failure is counted",
      TIMEOUT,
      async () => (await figure("homing_deliveries_failed_total")) === 1,
    );
    await relay().exec(["chown", "vmail", mailbox]);
  });

  it("are for who shows the token, by the private network or the device itself", async () => {
    expect((await scrape({ authorization: "Bearer something-else" })).status).toBe(401);
    expect((await fetch(`http://${relay().address}:${port}/metrics`)).status).toBe(401);
    const own = await relay().exec(
      "ss --no-header --listening --numeric --tcp sport = 9464 | awk '{print $4}' | sort",
    );
    expect(own.stdout).toBe("*:9464\n127.0.0.1:9464\n");
    const device =
      (await relay().exec("ip -o route show default | awk '{print $5}'")).stdout.trim() || "host0";
    await relay().exec(`ip address add ${FOREIGN.relay}/24 dev ${device}`);
    await runCommand(["ip", "address", "add", `${FOREIGN.client}/24`, "dev", "homing0"]);
    expect(await canConnect(FOREIGN.relay, 25)).toBe(true);
    expect(await canConnect(FOREIGN.relay, port)).toBe(false);
    await runCommand(["ip", "address", "del", `${FOREIGN.client}/24`, "dev", "homing0"]);
    await relay().exec(`ip address del ${FOREIGN.relay}/24 dev ${device}`);
  });

  it("keep no process when nobody asks, and come again when somebody does", async () => {
    await scrape();
    await relay().exec("systemctl kill --signal=TERM homing-metrics.service");
    await waitFor("the service ended", TIMEOUT, async () => {
      const { stdout } = await relay().exec("systemctl is-active homing-metrics.service", {
        anyExitCode: true,
      });
      return stdout === "inactive\n";
    });
    expect((await scrape()).status).toBe(200);
    const { stdout } = await relay().exec("systemd-analyze security --no-pager homing-metrics.service");
    expect(Number(/exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1])).toBeLessThanOrEqual(2.5);
  });

  describe.skipIf(!hasPrometheus)(`a real Prometheus${hasPrometheus ? "" : " (needs prometheus)"}`, () => {
    it("finds nothing to say against them, scrapes them, and has every series and label that dashboard and alerts ask for", async () => {
      await relay().exec("systemctl start homing-probe.service", { anyExitCode: true });
      const { everywhere } = await wantedSeries();
      // Services write what they count some seconds after their start.
      const text = await waitFor("every service wrote what it counts", TIMEOUT, async () => {
        const said = await (await scrape()).text();
        const there = seriesNamesOf(said);
        const missing = everywhere.filter((name) => !there.has(name));
        if (missing.length > 0) throw new Error(`no ${missing.join(", ")}`);
        return said;
      });
      expect(missingLabels((await expressions()).flatMap(wantedLabels), text)).toEqual([]);
      const checked = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
      expect(`${checked.status} ${checked.stdout}${checked.stderr}`).toBe("0 ");

      const folder = join(ring.network().folder, "prometheus");
      await mkdir(folder);
      await writeFile(join(folder, "token"), TOKEN);
      await writeFile(join(folder, "rules.yml"), await readFile(monitoringFile("alerts.yml")));
      await writeFile(
        join(folder, "prometheus.yml"),
        `global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [rules.yml]
scrape_configs:
  - job_name: homing
    authorization: { credentials_file: ${folder}/token }
    static_configs: [{ targets: ["${relay().address}:${port}"] }]
`,
      );
      const prometheus = startTied(
        [
          ...["prometheus", `--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`],
          ...["--web.listen-address=127.0.0.1:9090", "--log.level=warn"],
        ],
        join(folder, "log"),
      );
      try {
        const query = async (expression: string) => {
          const url = `http://127.0.0.1:9090/api/v1/query?query=${encodeURIComponent(expression)}`;
          const { data } = (await (await fetch(url)).json()) as {
            data: { result: { value: [number, string] }[] };
          };
          return data.result.map(({ value }) => Number(value[1]));
        };
        await waitFor("Prometheus has scraped the relay", TIMEOUT, async () => (await query("up"))[0] === 1);
        expect(await query('homing_filter_verdicts_total{outcome="unencrypted"}')).toEqual([1]);
        const targets = await (await fetch("http://127.0.0.1:9090/api/v1/targets")).json();
        expect(JSON.stringify(targets)).toContain('"lastError":""');
        // Without figures every alert is in order.
        const scraped = Date.now();
        const rules = await waitFor("Prometheus has evaluated every alert", TIMEOUT, async () => {
          const { data } = (await (await fetch("http://127.0.0.1:9090/api/v1/rules")).json()) as {
            data: { groups: { rules: { health: string; lastError?: string; lastEvaluation: string }[] }[] };
          };
          const all = data.groups.flatMap((group) => group.rules);
          return all.every(({ lastEvaluation }) => Date.parse(lastEvaluation) > scraped) ? all : undefined;
        });
        expect(rules.length).toBeGreaterThan(10);
        expect(rules.filter(({ health }) => health !== "ok")).toEqual([]);
      } finally {
        prometheus.kill("SIGTERM");
      }
    });
  });
});
