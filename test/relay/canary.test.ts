/** What a relay knows of itself: the canary, homing-ctl status, and the status page for those at home. */
import { createSocket } from "node:dgram";
import { request } from "node:http";
import { afterEach, expect, it } from "vitest";
import { type CanaryVerdict, canarySteps } from "../../appliance/canary.ts";
import type { Check } from "../../appliance/ctl/status-checks.ts";
import { runPaths } from "../../appliance/layout.ts";
import { CLIENT_ADDRESS } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { waitFor } from "../support/wait.ts";

const MDNS_TIMEOUT = 15_000;

describeRelays("what a relay knows of itself", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  /** Units that a test stopped. */
  let masked: string[] = [];

  const verdict = async () =>
    JSON.parse((await relay().exec(`cat ${runPaths.canaryVerdict}`)).stdout) as CanaryVerdict;
  const run = async (): Promise<string> => {
    await relay().exec("systemctl start homing-probe.service", { anyExitCode: true });
    const { stdout } = await relay().exec(
      "systemctl show --property ExecMainStatus --value homing-probe.service",
    );
    return stdout.trim();
  };
  const stop = async (...units: string[]) => {
    masked = units;
    await relay().exec(`systemctl mask --runtime --now ${units.join(" ")} 2>&1`);
  };
  afterEach(async () => {
    if (masked.length === 0) return;
    const units = masked.join(" ");
    await relay().exec(`systemctl unmask --runtime ${units} && systemctl start ${units}`);
    masked = [];
  });

  it("finds itself in order, by a message that nobody else can read, and leaves nothing behind", async () => {
    expect(await run()).toBe("0");
    const seen = await verdict();
    expect(seen.steps.filter(({ ok }) => !ok)).toEqual([]);
    expect(seen).toMatchObject({ ok: true, works: true });
    expect(seen.steps.map(({ name }) => name)).toEqual([...canarySteps]);

    const { stdout: screen } = await relay().exec("homing-ctl status --now");
    expect(screen).toMatch(/^_a\.test works\.\n\n/);
    expect(screen).toMatch(
      /^ {2}ok +mail +a message to itself was sent, delivered and read in [\d.]+ s, 0 min ago$/m,
    );

    const { stdout: figures } = await relay().exec(`cat ${runPaths.metrics}/canary.prom`);
    expect(figures).toMatch(/^homing_canary_runs_total\{outcome="ok"\} [2-9]$/m);
    expect(figures).toMatch(/^homing_canary_step_seconds_count\{step="delivery"\} [2-9]$/m);
    const { stdout: left } = await relay().exec(
      "find /data/mail -path '*homing-canary-*' -path '*/cur/*' -type f",
    );
    expect(left).toBe("");
    const { stdout: told } = await relay().exec(
      `cat ${runPaths.canaryVerdict}; journalctl --unit homing-probe`,
    );
    expect(told).not.toContain("homing-canary-");
  });

  it("finds what is not there, and says what to look at", async () => {
    await stop("dovecot.service", "homing-mux.socket", "homing-mux.service");
    expect(await run()).toBe("1");
    const { ok, works, steps } = await verdict();
    expect({ ok, works }).toEqual({ ok: false, works: false });
    expect(steps.filter((step) => !step.ok)).toMatchObject([
      { name: "login", mend: expect.stringMatching(/status dovecot/) },
      { name: "port-443", mend: expect.stringMatching(/status homing-mux/) },
    ]);
  });

  it("tells programs and the console that nobody can send without the mail policy", async () => {
    await stop("homing-milter.socket", "homing-milter.service");
    const answer = await relay().exec("homing-ctl status --now --json", { anyExitCode: true });
    expect(answer.code).toBe(1);
    const { healthy, checks } = JSON.parse(answer.stdout) as { healthy: boolean; checks: Check[] };
    expect(healthy).toBe(false);
    expect(checks.filter((check) => !check.ok)).toMatchObject([
      { name: "services", text: expect.stringMatching(/homing-milter/) },
      { name: "mail", mend: expect.stringMatching(/status homing-milter/) },
    ]);
    const { stdout: page } = await relay().exec(`cat ${runPaths.statusPage}`);
    expect(page).toMatch(/^homing: canary: submission: /m);
  });

  it("is found at home by its name, and gives an invitation to whoever reads its screen", async () => {
    expect(await addressOf("homing.local")).toBe(relay().address);
    const host = "homing.local";
    const { text } = await ask({ host, "accept-language": "de" });
    expect(text).toMatch(/<h1>Dein Relay (läuft|braucht dich)<\/h1>/);
    await relay().exec("homing-ctl sign-up invite");
    const { stdout: page } = await relay().exec(`cat ${runPaths.statusPage}`);
    const pin = /PIN for invitations (\d{4} \d{4})$/m.exec(page)?.[1];
    expect(pin).toBeDefined();
    const invited = await ask(
      { host, origin: "http://homing.local" },
      String(new URLSearchParams({ pin: pin! })),
    );
    expect(invited.text).toMatch(/https:\/\/_a\.test\/i\/[\w-]{24}/);
    const journal = await relay().journal();
    for (const form of [pin!, pin!.replace(" ", "")]) expect(journal).not.toContain(form);
  });

  it("shows that page to nobody from the Internet", async () => {
    await relay().exec("ip address add 203.0.113.9/32 dev lo");
    const program =
      `require("http").get({ host: "${relay().address}", localAddress: "203.0.113.9", ` +
      `headers: { host: "homing.local" } }, (answer) => { console.log(answer.statusCode, answer.headers.location); process.exit() })`;
    const { stdout } = await relay().exec(["/usr/lib/homing/node", "--eval", program]);
    expect(stdout).toBe("301 https://_a.test/\n");
  });

  /** What the relay answers to a question of somebody in its network (RFC 6762 §5.1: from another port, to that port). */
  async function addressOf(name: string): Promise<string | undefined> {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, CLIENT_ADDRESS, resolve));
    socket.setMulticastInterface(CLIENT_ADDRESS);
    let found: string | undefined;
    socket.on("message", (answer) => {
      // The address is the end of a single A record.
      if (answer.readUInt16BE(6) > 0) found = [...answer.subarray(-4)].join(".");
    });
    const labels = name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
    const question = Buffer.concat([
      Buffer.from([0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      ...labels,
      Buffer.from([0, 0, 1, 0, 1]),
    ]);
    try {
      return await waitFor(`an answer for ${name}`, MDNS_TIMEOUT, async () => {
        socket.send(question, 5353, "224.0.0.251");
        return found;
      });
    } finally {
      socket.close();
    }
  }

  function ask(headers: Record<string, string>, form?: string): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const [method, path] = form === undefined ? ["GET", "/"] : ["POST", "/invite"];
      const call = request({ host: relay().address, method, path, headers }, async (response) => {
        let text = "";
        for await (const piece of response) text += piece;
        resolve({ status: response.statusCode!, text });
      });
      call.on("error", reject);
      call.end(form);
    });
  }
});
