/** What a relay knows of itself: the canary, homing-ctl status, and the status page for those at home. */
import { request } from "node:http";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { type CanaryVerdict, canarySteps } from "../../appliance/canary.ts";
import type { Check } from "../../appliance/ctl/status-checks.ts";
import { runPaths } from "../../appliance/layout.ts";
import { runCommand } from "../support/commands.ts";
import { openMdns } from "../support/mdns.ts";
import { BRIDGE } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { waitFor } from "../support/wait.ts";

const MDNS_TIMEOUT = 15_000;
/** So often is asked by both families: whoever keeps silent in all of them does so. */
const MDNS_ROUNDS = 3;
/** RFC 6762 §8.3: at least two. */
const MDNS_ANNOUNCEMENTS = 2;

/** As a router gives them out to all in its network. */
const RELAY_IPV6 = "2001:db8:77::11";
const CLIENT_IPV6 = "2001:db8:77::1";

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
    const host = "homing.local";
    const { text } = await ask({ host, "accept-language": "de" });
    expect(text).toMatch(/<h1>Dein Relay (läuft|braucht dich)<\/h1>/);
    await relay().exec("homing-ctl sign-up invite");
    const { stdout: page } = await relay().exec(`cat ${runPaths.statusPage}`);
    const pin = /PIN for invitations (\d{4} \d{4})$/m.exec(page)?.[1];
    expect(pin).toBeDefined();
    const invited = await ask(
      { host, origin: "http://homing.local" },
      { form: String(new URLSearchParams({ pin: pin! })) },
    );
    expect(invited.text).toMatch(/https:\/\/_a\.test\/i\/[\w-]{24}/);
    const journal = await relay().journal();
    for (const form of [pin!, pin!.replace(" ", "")]) expect(journal).not.toContain(form);
  });

  describe("in a network with public addresses of IPv6", () => {
    beforeAll(async () => {
      await runCommand(["ip", "-6", "address", "add", `${CLIENT_IPV6}/64`, "dev", BRIDGE, "nodad"]);
      await relay().exec(`ip -6 address add ${RELAY_IPV6}/64 dev eth0 nodad`);
    });

    it("tells as its address at home none but those at which the page is", async () => {
      await using mdns = await openMdns("one");
      for (let round = 1; round <= MDNS_ROUNDS; round++) {
        mdns.ask(6, "homing.local", "A");
        mdns.ask(6, "homing.local", "AAAA");
        mdns.ask(4, "homing.local", "AAAA");
        await waitFor(`answer ${round} for homing.local`, MDNS_TIMEOUT, () => {
          mdns.ask(4, "homing.local", "A");
          return mdns.told.filter(({ by }) => by === 4).length >= round;
        });
      }
      const addresses = [...new Set(mdns.told.map(({ address }) => address))];
      expect(addresses).toContain(relay().address);
      for (const address of addresses) {
        const { status } = await ask({ host: "homing.local" }, { address });
        expect({ address, status }).toEqual({ address, status: 200 });
      }
    });

    it("announces itself to nobody by IPv6, as a hoster's other customers are its neighbours there", async () => {
      await using mdns = await openMdns("all");
      await relay().exec("systemctl restart systemd-resolved.service");
      const by = (family: number) =>
        mdns.told.filter((one) => one.by === family && one.name === "homing.local");
      await waitFor("two announcements", MDNS_TIMEOUT, () => by(4).length >= MDNS_ANNOUNCEMENTS);
      expect(by(6)).toEqual([]);
    });

    it("shows the page to no public address, and tells it nothing that a browser keeps", async () => {
      const refused = await ask({ host: "homing.local" }, { address: RELAY_IPV6 });
      expect(refused).toMatchObject({ status: 403, location: undefined });
      expect(refused.text).toContain(CLIENT_IPV6);
      const led = await ask({ host: `[${RELAY_IPV6}]` }, { address: RELAY_IPV6 });
      expect(led).toMatchObject({ status: 307, location: "https://_a.test/", caching: "no-store" });
    });
  });

  type Reply = Readonly<{ status: number; text: string; location?: string; caching?: string }>;
  type Asking = Readonly<{ address?: string; form?: string }>;

  function ask(
    headers: Record<string, string>,
    { address = relay().address, form }: Asking = {},
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const [method, path] = form === undefined ? ["GET", "/"] : ["POST", "/invite"];
      const call = request({ host: address, method, path, headers }, async (response) => {
        let text = "";
        for await (const piece of response) text += piece;
        const { location, "cache-control": caching } = response.headers;
        resolve({ status: response.statusCode!, text, location, caching });
      });
      call.on("error", reject);
      call.end(form);
    });
  }
});
