/** The relay as a device: its units, its sandboxes, its secrets, its doors, and what a restart keeps. */
import { existsSync } from "node:fs";
import { cp, readdir, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { connect, type PeerCertificate } from "node:tls";
import { describe, expect, it } from "vitest";
import { ports, runPaths } from "../../appliance/layout.ts";
import { beginRotation } from "../../installer/dkim-rotation.ts";
import { makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { canConnect } from "../support/relay.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

/** The goal for our own services; 10 is no protection at all (systemd-analyze(1)). */
const WORST_EXPOSURE = 2.5;
/** Postfix and Dovecot start as root, change users and speak to the network. Debian's own units have 2.9 and 4.2. */
const WORST_MAIL_SERVER_EXPOSURE = 3.2;
/** From the death of a service to its next answer. */
const RESTART_TIMEOUT = 30_000;
const STATUS_TIMEOUT = 60_000;

describeRelays("a relay", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");

  it("has its services active and nothing failed", async () => {
    const units = ["auth", "milter", "web", "mux", "courier"].map((name) => `homing-${name}.service`);
    for (const unit of [
      ...units,
      "dovecot.service",
      "postfix.service",
      "nftables.service",
      "homing.target",
    ]) {
      const state = await relay().exec(["systemctl", "is-active", unit], { anyExitCode: true });
      expect(`${unit} ${state.stdout.trim()}`).toBe(`${unit} active`);
    }
    expect((await relay().exec("systemctl --failed --no-legend")).stdout).toBe("");
  });

  it("started Dovecot first and the others after it, each by itself", async () => {
    const since = async (unit: string, property: string) => {
      const { stdout } = await relay().exec(["systemctl", "show", "--value", `--property=${property}`, unit]);
      return Number(stdout);
    };
    const listening = await since("dovecot.service", "ActiveEnterTimestampMonotonic");
    expect(listening).toBeGreaterThan(0);
    for (const name of ["homing-milter", "homing-web", "homing-courier", "homing-mux"])
      expect(await since(name, "InactiveExitTimestampMonotonic"), name).toBeGreaterThan(listening);
    expect(await since("postfix", "InactiveExitTimestampMonotonic")).toBeGreaterThan(listening);
    expect((await relay().exec("journalctl --boot --output=cat")).stdout).not.toContain("ordering cycle");
  });

  it("lets no service have all of the memory, or any number of processes", async () => {
    const { stdout } = await relay().exec(
      "systemctl list-units --type=service --state=running --plain --no-legend | cut -d' ' -f1 | " +
        "xargs systemctl show --property=Id,MemoryMax,TasksMax",
    );
    const services = stdout.trim().split("\n\n");
    expect(services.length).toBeGreaterThan(7);
    expect(services.filter((service) => service.includes("=infinity"))).toEqual([]);
  });

  it("keeps its own services in tight sandboxes", async () => {
    const units = await relay().exec(
      "systemctl list-units --all --plain --no-legend --type service 'homing-*'",
    );
    const names = units.stdout.split("\n").flatMap((line) => line.split(" ")[0] || []);
    expect(names.length).toBeGreaterThanOrEqual(4);
    for (const name of names) expect(await exposure(name), name).toBeLessThanOrEqual(WORST_EXPOSURE);
  });

  it.each(["postfix.service", "dovecot.service"])("keeps %s in a sandbox", async (unit) => {
    expect(await exposure(unit)).toBeLessThanOrEqual(WORST_MAIL_SERVER_EXPOSURE);
    expect(await relay().journal(unit)).not.toMatch(/Operation not permitted|Permission denied/);
  });

  describe("its status page", () => {
    const page = async () =>
      (await relay().exec(`cat ${runPaths.statusPage} ${runPaths.light}`, { anyExitCode: true })).stdout;
    /** The timer's next look comes within 20 seconds; the first may still wait for the network. */
    const becomes = (what: string, pattern: RegExp) =>
      waitFor(what, STATUS_TIMEOUT, async () => pattern.test(await page()));

    it("names the relay, its addresses and what to do, and costs nothing in between", async () => {
      await becomes("ready", /^homing: ready, relay _a\.test, version /);
      const text = await page();
      expect(text).toContain(`${relay().address}\n`);
      expect(text).toMatch(
        /1\. nothing in DNS or router.*dclogin:NAME@_a\.test\?.*\nhoming: in your network: .*\nhealthy\n$/s,
      );
      const pid = await relay().exec("systemctl show --property=MainPID --value homing-status.service");
      expect(pid.stdout).toBe("0\n");
    });

    it("changes with the services and the addresses by itself", async () => {
      await relay().exec("systemctl stop homing-mux.socket homing-mux.service");
      await becomes("not ready", /^homing: NOT READY, .*\nhoming: homing-mux\.service .*attention\n$/s);
      await relay().exec("ip address add 2001:db8::99/64 dev lo scope global nodad");
      await relay().exec("systemctl start homing-mux.socket homing-mux.service homing-status");
      await becomes("ready again", /^homing: ready, .*, 2001:db8::99\n.*healthy\n$/s);
      await relay().exec("ip address del 2001:db8::99/64 dev lo");
    });

    it("asks nobody to log in", async () => {
      // A process may end while it is looked at.
      const { stdout } = await relay().exec("cat /proc/[0-9]*/comm", { anyExitCode: true });
      expect(stdout).toContain("dovecot\n");
      expect(stdout).not.toMatch(/^(agetty|getty|login|sulogin)$/m);
    });
  });

  it("leaves memory for the others when one service wants it all", async () => {
    const services = ["auth", "milter", "web", "mux", "courier"].map((name) => `homing-${name}`);
    for (const unit of [...services, "dovecot"]) {
      const most = await relay().exec(["systemctl", "show", "--property=MemoryMax", "--value", unit]);
      expect(Number(most.stdout), unit).toBeLessThan(0.8 * totalmem());
    }
  });

  async function exposure(unit: string): Promise<number> {
    const report = await relay().exec(["systemd-analyze", "security", "--no-pager", unit]);
    return Number(/exposure level for \S+: ([\d.]+)/.exec(report.stdout)?.[1]);
  }

  it("answers on the relay's ports and on no other", async () => {
    for (const port of Object.values(ports)) expect(await canConnect(relay().address, port)).toBe(true);
    const listening = await relay().exec("ss --no-header --listening --numeric --tcp | awk '{print $4}'");
    const others = listening.stdout
      .trim()
      .split("\n")
      .map((address) => Number(address.slice(address.lastIndexOf(":") + 1)))
      .filter((port) => !Object.values<number>(ports).includes(port));
    expect(others.length).toBeGreaterThan(0);
    const closed = [22, ...others];
    const open = await Promise.all(closed.map((port) => canConnect(relay().address, port)));
    expect(closed.filter((_port, i) => open[i])).toEqual([]);
  });

  it("shows the shared secret of the account service to nobody else", async () => {
    const readers: string[] = [];
    const users = (await relay().exec("cut -d: -f1,4 /etc/passwd")).stdout.trim().split("\n");
    for (const [user, group] of users.map((line) => line.split(":"))) {
      if (user === "root") continue;
      const read = await relay().exec(
        ["setpriv", `--reuid=${user}`, `--regid=${group}`, "--init-groups", "cat", runPaths.authSecret],
        { anyExitCode: true },
      );
      if (read.code === 0) readers.push(user!);
      else expect(read.stderr).toContain("Permission denied");
    }
    expect(readers.sort()).toEqual(["homing-auth", "homing-dovauth"]);
  });

  it("shows a certificate for its names that is no authority's", async () => {
    for (const port of [465, 993]) {
      const certificate = await certificateAt(relay().address, port);
      expect(certificate.ca).toBe(false);
      expect(certificate.subjectaltname?.split(", ").sort()).toEqual([
        "DNS:_a.test",
        "DNS:mta-sts._a.test",
        "DNS:www._a.test",
      ]);
    }
  });

  it.each([
    "homing-auth",
    "homing-milter",
    "homing-web",
    "homing-mux",
    "homing-courier",
    "dovecot",
    "postfix",
  ])("starts %s again when it is killed", async (unit) => {
    const mainPid = async () =>
      (await relay().exec(["systemctl", "show", "--property=MainPID", "--value", `${unit}.service`])).stdout;
    const before = await mainPid();
    await relay().exec(["systemctl", "kill", "--signal=KILL", `${unit}.service`]);
    await waitFor(`${unit} is back`, RESTART_TIMEOUT, async () => {
      const state = await relay().exec(["systemctl", "is-active", `${unit}.service`], {
        anyExitCode: true,
      });
      return state.stdout === "active\n" && (await mainPid()) !== before;
    });
    await waitFor(`${unit} serves`, RESTART_TIMEOUT, async () => {
      const account = await makeAccount(relay());
      await using session = await openSubmission(relay().address, account.address, account.password);
      const source = await encryptedMail({ from: account.address, to: account.address });
      return (await session.send({ from: account.address, to: [account.address], source })).code === 250;
    });
  });

  describe("after its first boot", () => {
    it("has wiped the keys from the boot partition", async () => {
      const left = await readdir(relay().bootFolder, { recursive: true });
      expect(left.filter((name) => name.endsWith(".pem"))).toEqual([]);
      expect(await readdir(join(relay().dataFolder, "relay", "keys"))).toHaveLength(3);
    });

    it("takes the changed relay folder as its owner copied it, and keeps nothing else of it", async () => {
      const folder = join(ring.network().folder, "_a.test", "relay");
      await beginRotation(folder);
      const copy = join(relay().bootFolder, "relay");
      await cp(folder, copy, { recursive: true });
      await writeFile(join(copy, "keys", "._tls.pem"), "what a Mac adds");
      await relay().restart();
      expect(existsSync(copy)).toBe(false);
      expect((await readdir(join(relay().dataFolder, "relay", "keys"))).sort()).toEqual([
        "acme-account.pem",
        "dkim-homing1.pem",
        "dkim-homing2.pem",
        "tls.pem",
      ]);
      expect(await relay().journal("homing-configure.service")).toMatch(
        /wiped unread, for they are no part of a relay: .*"keys\/\._tls\.pem", "keys\/made-for"/,
      );
    });

    it("has a machine id and a certificate of its own that stay", async () => {
      const id = (await relay().exec("cat /etc/machine-id")).stdout;
      expect(id).toMatch(/^[0-9a-f]{32}\n$/);
      const { fingerprint256 } = await certificateAt(relay().address, 993);
      await relay().restart();
      expect((await relay().exec("cat /etc/machine-id")).stdout).toBe(id);
      expect((await certificateAt(relay().address, 993)).fingerprint256).toBe(fingerprint256);
    });
  });

  it("keeps accounts and mail over a restart, and over a crash", async () => {
    const account = await makeAccount(relay());
    const login = async () => {
      await using session = await openInbox(relay().address, account.address, account.password);
      return await session.fetchSources();
    };
    {
      await using session = await openInbox(relay().address, account.address, account.password);
      const text = "From: <someone@_a.test>\r\nSubject: kept\r\n\r\nkept\r\n";
      const appended = await session.command(`APPEND INBOX {${text.length}+}\r\n${text}`);
      expect(appended.status).toBe("OK");
    }
    await relay().restart();
    expect(await login()).toHaveLength(1);
    await relay().powerCut();
    expect(await login()).toHaveLength(1);
    await expect(openInbox(relay().address, account.address, "another password")).rejects.toThrow("refused");
  });
});

/** A key that opens nothing; only its public half exists. */
const someKey =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl somebody@client.test";
const closedSettings = { ssh: { authorizedKeys: [someKey] }, signUp: { mode: "closed" as const } };

describeRelays(
  "a relay with an administrator and closed sign-up",
  { "_a.test": { settings: closedSettings } },
  (ring) => {
    const relay = () => ring.relay("_a.test");

    it("opens SSH, for keys only", async () => {
      expect(await canConnect(relay().address, 22)).toBe(true);
      const effective = (await relay().exec("sshd -T")).stdout;
      expect(effective).toContain("passwordauthentication no\n");
      expect(effective).toContain("kbdinteractiveauthentication no\n");
      expect(effective).toMatch(/^permitrootlogin (without-password|prohibit-password)$/m);
      const locked = await relay().exec("cut -d: -f2 /etc/shadow | grep -v '^[!*]' || true");
      expect(locked.stdout).toBe("");
    });

    it("makes no new accounts", async () => {
      await expect(makeAccount(relay())).rejects.toThrow("refused");
    });
  },
);

function certificateAt(host: string, port: number): Promise<PeerCertificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate());
      socket.destroy();
    });
    socket.once("error", reject);
  });
}
