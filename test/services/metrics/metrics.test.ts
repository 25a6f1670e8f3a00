/** The service that tells Prometheus how a relay does, over real sockets, with a folder for /proc, /sys, /run and /data. */
import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createLog } from "../../../services/lib/log.ts";
import { startMetricsService } from "../../../services/metrics/service.ts";

const TOKEN = "token-of-the-test";

/** What Dovecot 2.4.1 says, cut short. */
const DOVECOT = `# HELP process_start_time_seconds Timestamp of service start
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1795331017
# HELP dovecot_logins Total number of all events of this kind
# TYPE dovecot_logins counter
dovecot_logins_total{protocol="imap"} 3
dovecot_logins_total{protocol="smtp"} 2
dovecot_logins_count 5
# HELP dovecot_logins_failed Total number of all events of this kind
# TYPE dovecot_logins_failed counter
dovecot_logins_failed_total{protocol="imap"} 5
# HELP dovecot_imap_command Histogram
# TYPE dovecot_imap_command histogram
dovecot_imap_command_bucket{cmd_name="SELECT",le="0.001024"} 0
dovecot_imap_command_bucket{cmd_name="SELECT",le="0.004096"} 1
dovecot_imap_command_bucket{cmd_name="SELECT",le="+Inf"} 1
dovecot_imap_command_sum{cmd_name="SELECT"} 0.003109
dovecot_imap_command_count{cmd_name="SELECT"} 1
# HELP dovecot_delivery_failed Total number of all events of this kind
# TYPE dovecot_delivery_failed counter
dovecot_delivery_failed_total 4
# EOF
`;

describe.skipIf(process.platform !== "linux")("the metrics service", () => {
  let root: string;
  let lines: string[];
  let idle: number;
  const cleanup: (() => Promise<unknown> | unknown)[] = [];
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "homing-metrics-"));
    lines = [];
    idle = 0;
    for (const folder of ["queue", "prom"]) await mkdir(join(root, folder));
    await mkdir(join(root, "data"));
  });
  afterEach(async () => {
    for (const step of cleanup.splice(0).reverse()) await step();
    await rm(root, { recursive: true });
  });

  const put = async (path: string, content: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  };
  const dovecot = async (text: string) => {
    const server = createServer((_request, response) => response.end(text));
    await new Promise<void>((resolve) => server.listen(join(root, "dovecot"), resolve));
    cleanup.push(() => server.close());
  };
  const start = async (settings = "", idleMs = 60_000) => {
    const config = parseRelayConfig(`domain = "a.test"\n${settings}`, "relay.toml");
    await put("relay.json", JSON.stringify(config));
    const { servers, stop } = await startMetricsService({
      settingsPath: join(root, "relay.json"),
      folders: [join(root, "queue"), join(root, "prom")],
      dovecotSocket: join(root, "dovecot"),
      certificatePath: join(root, "certificate.pem"),
      root,
      listen: [{ name: "metrics", host: "127.0.0.1", port: 0 }],
      idleMs,
      onIdle: () => (idle += 1),
      log: createLog((line) => lines.push(line), false),
    });
    cleanup.push(async () => {
      for (const { run } of stop) await run();
    });
    const { port } = servers[0]!.address() as AddressInfo;
    return (path = "/metrics", init: RequestInit = {}) => fetch(`http://127.0.0.1:${port}${path}`, init);
  };
  const scrape = async () => await (await (await start())()).text();

  it("puts together what services, Dovecot and the kernel say", async () => {
    await dovecot(DOVECOT);
    await put(
      "prom/mux.prom",
      '# HELP homing_x_total What.\n# TYPE homing_x_total counter\nhoming_x_total{by="a\\"b"} 7\n',
    );
    await put("proc/loadavg", "0.50 0.25 0.10 1/200 4711\n");
    await put("proc/cmdline", "quiet homing.disk=1234 homing.slot=b\n");
    await put("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n");
    await put("proc/vmstat", "nr_x 1\noom_kill 2\n");
    await put(
      "proc/pressure/io",
      "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0 total=1\n",
    );
    await put("sys/class/thermal/thermal_zone0/temp", "48312\n");
    await put("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
    await put("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n");
    await put("sys/class/thermal/cooling_device0/cur_state", "1\n");
    await put("sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    await put("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    await put("sys/block/mmcblk0/device/life_time", "0x02 0x01\n");
    await put("sys/block/mmcblk0/device/pre_eol_info", "0x01\n");
    await put("sys/block/mmcblk0/stat", "1 2 3 4 5 6 700 8\n");
    await put("sys/block/zram0/stat", "1 2 3 4 5 6 700 8\n");
    await put("sys/fs/ext4/mmcblk0p4/errors_count", "3\n");
    await put("sys/fs/cgroup/system.slice/homing-auth.service/memory.current", "123456\n");
    await put("sys/fs/cgroup/system.slice/homing-auth.service/memory.events", "oom 1\noom_kill 1\n");
    await put("sys/fs/cgroup/system.slice/ssh.service/memory.current", "1\n");
    await put("run/homing/light", "attention\n");
    await put("data/reaper/state.json", "{}");
    await utimes(join(root, "data/reaper/state.json"), 1_800_000_000, 1_800_000_000.5);
    await put("run/systemd/timesync/synchronized", "");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const keyPem = String(privateKey.export({ type: "pkcs8", format: "pem" }));
    const pem = selfSignedCertificate({ domain: "_a.test", keyPem, now: new Date() });
    await put("certificate.pem", pem);
    const certificate = new X509Certificate(pem);
    const notBefore = Math.floor(certificate.validFromDate.getTime() / 1000);
    const notAfter = Math.floor(certificate.validToDate.getTime() / 1000);
    const text = await scrape();
    for (const line of [
      'homing_x_total{by="a\\"b"} 7',
      'homing_logins_total{protocol="imap",outcome="ok"} 3',
      'homing_logins_total{protocol="imap",outcome="failed"} 5',
      'homing_imap_command_seconds_bucket{command="SELECT",le="0.004096"} 1',
      'homing_imap_command_seconds_count{command="SELECT"} 1',
      "homing_deliveries_failed_total 4",
      "homing_dovecot_up 1",
      'homing_load_average{minutes="5"} 0.25',
      "homing_memory_bytes 1024000",
      "homing_memory_available_bytes 409600",
      "homing_memory_kills_total 2",
      'homing_pressure_seconds_total{resource="io"} 2.5',
      'homing_temperature_celsius{sensor="cpu-thermal"} 48.312',
      "homing_processor_throttled 1",
      "homing_undervoltage 1",
      'homing_card_life_used{device="mmcblk0"} 0.2',
      'homing_card_reserve_state{device="mmcblk0"} 1',
      'homing_disk_written_bytes_total{device="mmcblk0"} 358400',
      'homing_disk_errors_total{device="mmcblk0p4"} 3',
      'homing_service_memory_bytes{service="homing-auth"} 123456',
      'homing_service_memory_kills_total{service="homing-auth"} 1',
      "homing_needs_attention 1",
      "homing_reaper_last_run_timestamp_seconds 1800000000",
      "homing_clock_synchronized 1",
      `homing_certificate_not_before_seconds ${notBefore}`,
      `homing_certificate_not_after_seconds ${notAfter}`,
      'homing_metrics_files{state="good"} 1',
      'homing_metrics_files{state="broken"} 0',
    ])
      expect(text.split("\n")).toContain(line);
    expect(text).toMatch(/^homing_info\{version="[\d.]+",slot="b"\} 1$/m);
    expect(text).toMatch(/^homing_data_free_bytes \d+$/m);
    expect(text).not.toMatch(/zram0|ssh|_count 5|process_start/);
  });

  it("says nothing of what a machine does not have, and goes on without Dovecot", async () => {
    const text = await scrape();
    expect(text).not.toMatch(
      /undervoltage|temperature|card_|throttled|needs_attention|not_after|not_before|reaper|NaN/,
    );
    expect(text).toContain('slot="unknown"} 1\n');
    expect(text).toContain("homing_dovecot_up 0\n");
    expect(text).toContain("homing_clock_synchronized 0\n");
    expect(lines.join("")).toContain("Dovecot does not tell");
  });

  it.each([
    ["no series", "homing_a{ 1\n"],
    ["a series without a type", "homing_a 1\n"],
    ["a line that is cut off", "# TYPE homing_a gauge\nhoming_a"],
    ["a value that is none", "# TYPE homing_a gauge\nhoming_a NaN\n"],
    ["the same series twice", "# TYPE homing_a gauge\nhoming_a 1\nhoming_a 2\n"],
    ["an unknown type", "# TYPE homing_a thing\nhoming_a 1\n"],
    ["somebody's address", '# TYPE homing_a gauge\nhoming_a{who="x@a.test"} 1\n'],
    ["a label without end", `# TYPE homing_a gauge\nhoming_a{what="${"x".repeat(200)}"} 1\n`],
    ["a comment of another kind", "# EOF\n"],
    ["what this service counts itself", "# TYPE homing_dovecot_up gauge\nhoming_dovecot_up 1\n"],
    [
      "more than it should",
      `# TYPE homing_a gauge\n${Array.from({ length: 5001 }, (_, i) => `homing_a{i="${i}"} 1\n`).join("")}`,
    ],
    ["too many bytes", `${"# TYPE homing_a gauge\n\n"}${"\n".repeat(200_000)}`],
  ])("leaves out a file with %s, and only that", async (_what, content) => {
    await put("prom/bad.prom", content);
    await put("prom/good.prom", "# TYPE homing_good gauge\nhoming_good 1\n");
    const ask = await start();
    const text = await (await ask()).text();
    await ask();
    expect(text).not.toMatch(/^homing_a\b/m);
    expect(text).not.toContain("\nhoming_dovecot_up 1\n");
    expect(text).toContain("\nhoming_good 1\n");
    expect(text).toContain('homing_metrics_files{state="broken"} 1\n');
    expect(lines.filter((line) => line.includes("left out"))).toHaveLength(1);
    expect(lines.join("")).not.toContain("x@a.test");
  });

  it("reads a file again when it was replaced, and forgets it when it is gone", async () => {
    const of = (value: string) => `# TYPE homing_a gauge\nhoming_a ${value}\n`;
    await put("prom/a.prom", of("1"));
    const ask = await start();
    const line = async () => /^homing_a .*$/m.exec(await (await ask()).text())?.[0];
    expect([await line(), await line()]).toEqual(["homing_a 1", "homing_a 1"]);
    await put("prom/next", of("2"));
    await rename(join(root, "prom/next"), join(root, "prom/a.prom"));
    expect(await line()).toBe("homing_a 2");
    await rm(join(root, "prom/a.prom"));
    expect(await line()).toBeUndefined();
  });

  it("takes figures of the queue from nobody else", async () => {
    const of = (value: string) => `# TYPE homing_mail_queue_bytes gauge\nhoming_mail_queue_bytes ${value}\n`;
    await put("prom/a.prom", of("1e15"));
    await put("queue/queue.prom", of("4096"));
    const text = await scrape();
    expect(text.match(/^homing_mail_queue_bytes .*$/gm)).toEqual(["homing_mail_queue_bytes 4096"]);
    expect(text).toContain('homing_metrics_files{state="broken"} 1\n');
  });

  it("follows no link out of the folder", async () => {
    await put("secret", "# TYPE homing_secret gauge\nhoming_secret 1\n");
    await symlink(join(root, "secret"), join(root, "prom", "link.prom"));
    expect(await scrape()).not.toContain("homing_secret");
  });

  it("answers nothing but GET /metrics", async () => {
    const ask = await start();
    expect((await ask("/")).status).toBe(404);
    expect((await ask("/metrics/../etc/passwd")).status).toBe(404);
    expect((await ask("/metrics", { method: "POST", body: "x" })).status).toBe(405);
    expect((await ask("/metrics?x=1")).status).toBe(200);
  });

  it("gives OpenMetrics to who asks for it", async () => {
    await put("prom/a.prom", "# HELP homing_a_total A.\n# TYPE homing_a_total counter\nhoming_a_total 1\n");
    const ask = await start();
    const inFormat = async (accept: string) => {
      const answer = await ask("/metrics", { headers: { accept } });
      return { type: answer.headers.get("content-type"), text: await answer.text() };
    };
    const open = await inFormat(
      "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
    );
    expect(open.type).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(open.text).toContain("# HELP homing_a A.\n# TYPE homing_a counter\nhoming_a_total 1\n");
    expect(open.text.endsWith("\n# EOF\n")).toBe(true);
    const plain = await inFormat("text/plain,application/openmetrics-text;q=0.1");
    expect(plain.type).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(plain.text).toContain("# TYPE homing_a_total counter\nhoming_a_total 1\n");
  });

  it("tells nothing to who does not show the token", async () => {
    const hash = createHash("sha256").update(TOKEN).digest("hex");
    const ask = await start(`[metrics]\ntoken_sha256 = "${hash}"`);
    const status = async (authorization?: string) =>
      (await ask("/metrics", { headers: authorization === undefined ? {} : { authorization } })).status;
    expect(await status()).toBe(401);
    expect(await status(`Bearer ${hash}`)).toBe(401);
    expect(await status(`Basic ${TOKEN}`)).toBe(401);
    expect(await status(`Bearer ${TOKEN}`)).toBe(200);
  });

  it("says when nobody has asked for a while", async () => {
    await start("", 10);
    await expect.poll(() => idle).toBe(1);
  });
});
