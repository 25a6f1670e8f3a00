/**
 * A relay gets its certificate from a real authority (Pebble): services/web shows the proof, and everything that speaks
 * TLS shows the certificate, without a connection lost. Renewal with the clock turned; then by a proof at a real name
 * server (Knot), and the operator's own certificates.
 */
import { copyFile, cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { covers, parseCertificateChain } from "../../appliance/certificate-chain.ts";
import {
  certificateNextPath,
  certificateStatePath,
  clockSyncedPath,
  dataPaths,
  runPaths,
  tlsCertificatePath,
  users,
} from "../../appliance/layout.ts";
import { type RelayOverrides, renderRelayToml } from "../../appliance/relay-config.ts";
import { makeAccount } from "../support/accounts.ts";
import { runCommand } from "../support/commands.ts";
import { openInbox } from "../support/imap-session.ts";
import { type Knot, missingKnot, startKnot } from "../support/knot.ts";
import { encryptedMail } from "../support/mail.ts";
import { addClientAddresses, CLIENT_ADDRESS } from "../support/network.ts";
import { missingPebble, type Pebble, startPebble } from "../support/pebble.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission, type SmtpSession } from "../support/smtp-session.ts";
import { makeEcPem, makeTestAuthority } from "../support/test-authority.ts";
import { waitFor } from "../support/wait.ts";

const DOMAIN = "c.test";
const AUTHORITY = "authority.test";
const PORT = 14_000;
const names = [DOMAIN, `www.${DOMAIN}`, `mta-sts.${DOMAIN}`];
const settings = { certificates: { acmeDirectory: `https://${AUTHORITY}:${PORT}/dir` } };
const updateKey = { name: "update-key", algorithm: "hmac-sha256" } as const;
const updateSecret = Buffer.alloc(32, "secret").toString("base64");
const RELOAD_TIMEOUT = 60_000;
/** Dovecot ends processes of before a reload so late (SERVICE_DIE_TIMEOUT_MSECS of its master), and a little more. */
const DOVECOT_PATIENCE = 7000;
/** Postfix counts a hundred such commands before it slows down (smtpd_junk_command_limit). */
const TALK_PAUSE = 5000;
/** Two thirds of the 90 days that Pebble's certificates live here. */
const UNTIL_RENEWAL = "+61d";
const missing = missingPebble ?? missingKnot;

describe.skipIf(missing !== undefined)(`with an authority (${missing ?? "here"})`, () => {
  describeRelays("a relay with a certificate", { [DOMAIN]: { settings } }, (ring) => {
    const relay = () => ring.relay(DOMAIN);
    let folder: string;
    let knot: Knot;
    let pebble: Pebble;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "homing-pebble-"));
      // The zone of the domain, as the authority sees it and for proofs in it; the relay asks the network's resolver.
      const [nameServer] = (await addClientAddresses(1)) as [string];
      const records = names.map((name) => `${name}. 60 A ${relay().address}`);
      knot = await startKnot(folder, DOMAIN, records, [{ ...updateKey, secret: updateSecret }], {
        publicAddress: nameServer,
      });
      await ring.network().dns.delegate(DOMAIN, { [`ns.${DOMAIN}`]: nameServer });
      await ring
        .network()
        .publish([
          { name: AUTHORITY, type: "A", address: CLIENT_ADDRESS, ttl: 60, need: "required", purpose: "" },
        ]);
      pebble = await startPebble({
        ...{ folder, address: CLIENT_ADDRESS, host: AUTHORITY, port: PORT },
        ...{ dnsServer: knot.server, httpPort: 80, badNonces: 10 },
      });
      // The timer shall not come in between; what it did before there was an authority is forgotten.
      await trustAuthority();
      await relay().exec(`rm -f ${dataPaths.certificates}/* ${runPaths.certificateProblem}`);
    });
    afterAll(async () => {
      await pebble?.[Symbol.asyncDispose]();
      await knot?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    });

    const setEnvironment = async (lines: readonly string[]) => {
      const unit = "/run/systemd/system/homing-certificates.service.d";
      await relay().exec(`mkdir -p ${unit} && cat > ${unit}/test.conf <<'END'
[Service]
${lines.map((line) => `Environment=${line}`).join("\n")}
END
systemctl daemon-reload`);
    };
    const trustAuthority = async () => {
      await relay().exec("systemctl stop homing-certificates.timer homing-certificates.service");
      await writeFile(join(relay().dataFolder, "authority.pem"), pebble.trusted);
      await relay().exec("install -m 644 /data/authority.pem /etc/authority.pem");
      await setEnvironment(["NODE_EXTRA_CA_CERTS=/etc/authority.pem"]);
    };
    /** Starts the relay anew with these settings and files, copied to the boot partition as its owner does. */
    const restartWith = async (
      certificates: RelayOverrides["certificates"],
      files: Readonly<Record<string, string>> = {},
    ) => {
      const copy = join(relay().bootFolder, "relay");
      await cp(join(ring.network().folder, DOMAIN, "relay"), copy, { recursive: true });
      await writeFile(join(copy, "relay.toml"), renderRelayToml(DOMAIN, { ...relay().config, certificates }));
      for (const [name, content] of Object.entries(files)) await writeFile(join(copy, "keys", name), content);
      await relay().restart();
    };
    const look = async () => {
      await relay().exec(["systemctl", "start", "homing-certificates.service"], { timeout: 120_000 });
      expect(await relay().journal("homing-certificates.service")).not.toContain("Failed");
    };
    const inUse = async () => parseCertificateChain((await relay().exec(["cat", tlsCertificatePath])).stdout);
    const fingerprintsShown = async () => [
      await fingerprintAt(relay().address, 465),
      await fingerprintAt(relay().address, 993),
      await fingerprintAt(relay().address, 443),
    ];
    const isShown = (what: string, fingerprint: string) =>
      waitFor(what, RELOAD_TIMEOUT, async () => {
        if (!(await fingerprintsShown()).every((shown) => shown === fingerprint)) return false;
        // New processes show it before the last reload is done.
        const unit = "homing-certificate-load.service";
        const state = await relay().exec(["systemctl", "show", "--property=ActiveState", unit]);
        return state.stdout === "ActiveState=inactive\n";
      });

    it("shows it everywhere, and no open connection notices", async () => {
      const first = await inUse();
      expect(first.isSelfSigned).toBe(true);
      await isShown("the self-signed certificate is shown", first.leaf.fingerprint256);
      const account = await makeAccount(relay());
      await using inbox = await openInbox(relay().address, account.address, account.password);
      await using mail = await openSubmission(relay().address, account.address, account.password);
      await using incoming = await openSmtp({ host: relay().address, port: 25 });
      const idle = await inbox.idle();
      const talk = [keepTalking(mail), keepTalking(incoming)];

      await look();
      const chain = await inUse();
      expect(chain.isSelfSigned).toBe(false);
      expect(chain.leaf.subjectAltName?.split(", ").sort()).toEqual(
        names.map((name) => `DNS:${name}`).sort(),
      );
      // Clients remember it.
      expect(chain.leaf.publicKey.equals(first.leaf.publicKey)).toBe(true);
      await isShown("the new certificate is shown", chain.leaf.fingerprint256);
      await delay(DOVECOT_PATIENCE);

      for (const { stop } of talk) expect(new Set(await stop())).toEqual(new Set([250]));
      const notice = idle.next();
      const source = await encryptedMail({ from: account.address, to: account.address });
      expect((await mail.send({ from: account.address, to: [account.address], source })).code).toBe(250);
      expect((await notice).exists).toBe(1);
      await idle.done();
      expect((await inbox.command("NOOP")).status).toBe("OK");
      expect((await incoming.command("NOOP")).code).toBe(250);
    });

    it("tells the operator about it", async () => {
      const { stdout } = await relay().exec(["homing-ctl", "certificate"]);
      expect(stdout).toMatch(
        /^Certified until 20.*: c\.test, .*\nIt will be renewed on 20.*\nNext look: .*\nAuthority: .*\nAccount .*my-account\/\w+\n$/,
      );
      await relay().exec(["homing-ctl", "certificate", "retry"]);
      expect(await relay().exec(`cat ${runPaths.metrics}/certificates.prom`)).toMatchObject({
        stdout: expect.stringContaining("homing_certificate_from_authority 1\n"),
      });
    });

    it("keeps the keys from everybody, and the certificate for all", async () => {
      const owners = await relay().exec(
        `stat -c '%U %a' ${tlsCertificatePath} ${certificateStatePath} ${runPaths.acmeAccountKey} ${runPaths.tlsKey}`,
      );
      const { name } = users.certificates;
      expect(owners.stdout).toBe(`${name} 644\n${name} 600\nroot 600\nroot 600\n`);
      expect(await relay().journal()).not.toMatch(/PRIVATE KEY/);
      // The answers to the challenges are gone again.
      expect((await relay().exec(["ls", runPaths.acmeChallenges])).stdout).toBe("");
    });

    it("does not start Node while nothing is due", async () => {
      await look();
      const result = await relay().exec("systemctl show --property=Result homing-certificates");
      expect(result.stdout).toContain("Result=exec-condition\n");
    });

    it("renews it when it is time, as the clock says", async () => {
      const before = await inUse();
      const { stdout } = await runCommand(["dpkg", "--listfiles", "libfaketime"]);
      const library = /^.*\/libfaketime\.so\.1$/m.exec(stdout)![0];
      await copyFile(library, join(relay().dataFolder, "libfaketime.so.1"));
      await relay().exec(`install -m 755 /data/libfaketime.so.1 /usr/lib/ && rm /data/libfaketime.so.1
mkdir -p $(dirname ${clockSyncedPath}) && touch ${clockSyncedPath}`);
      await setEnvironment([
        ...["NODE_EXTRA_CA_CERTS=/etc/authority.pem", "LD_PRELOAD=/usr/lib/libfaketime.so.1"],
        ...["FAKETIME_DISABLE_SHM=1", `FAKETIME=${UNTIL_RENEWAL}`],
      ]);
      await look();
      const after = await inUse();
      expect(after.leaf.serialNumber).not.toBe(before.leaf.serialNumber);
      await isShown("the renewed certificate is shown", after.leaf.fingerprint256);
    });

    it("keeps it over a restart", async () => {
      const { pem } = await inUse();
      await restartWith(
        {
          ...{ ...settings.certificates, challenge: "dns-01", rfc2136Server: knot.server },
          ...{ rfc2136Zone: DOMAIN, rfc2136KeyName: updateKey.name, rfc2136Algorithm: updateKey.algorithm },
        },
        { "dns-update.key": updateSecret },
      );
      expect((await inUse()).pem).toBe(pem);
    });

    it("gets another by a proof in the DNS when the settings say so, and leaves the zone as it was", async () => {
      const before = await inUse();
      await trustAuthority();
      // Without them the present one is a stranger's.
      await relay().exec(["rm", "-f", certificateStatePath, certificateNextPath]);
      await look();
      const after = await inUse();
      expect(after.leaf.serialNumber).not.toBe(before.leaf.serialNumber);
      expect(after.leaf.publicKey.equals(before.leaf.publicKey)).toBe(true);
      await isShown("the certificate proved by the DNS is shown", after.leaf.fingerprint256);
      for (const name of names) {
        expect(covers(after, name)).toBe(true);
        await expect(knot.lookups.resolveTxt(`_acme-challenge.${name}`)).rejects.toThrow(/ENODATA|ENOTFOUND/);
      }
      expect(await readFile(join(folder, "knot", "log"), "utf8")).toMatch(/\[c\.test\.\] DDNS, finished/);
    });

    it("shows the operator's own instead, and the one that takes its place with a key of its own", async () => {
      const authority = await makeTestAuthority();
      const shown: string[] = [];
      for (let i = 0; i < 2; i++) {
        const key = makeEcPem();
        const chain = (await authority.certify(key, [DOMAIN])) + authority.intermediate;
        await restartWith({ source: "files" }, { "certificate.pem": chain, "certificate-key.pem": key });
        const { leaf } = parseCertificateChain(chain);
        expect(await fingerprintsShown()).toEqual(Array(3).fill(leaf.fingerprint256));
        shown.push(leaf.fingerprint256);
      }
      expect(new Set(shown).size).toBe(2);
    });
  });
});

/**
 * Says something every few seconds, also while all is slow: Postfix hangs up on who is silent for two minutes. `stop`
 * gives the code of each answer.
 */
function keepTalking(session: SmtpSession): { stop: () => Promise<number[]> } {
  const stopped = new AbortController();
  const codes: number[] = [];
  const done = (async () => {
    while (!stopped.signal.aborted) {
      codes.push((await session.command("NOOP")).code);
      await delay(TALK_PAUSE, undefined, { signal: stopped.signal }).catch(() => {});
    }
    return codes;
  })();
  // Who fails before it stops is told so by that failure.
  done.catch(() => {});
  return {
    stop: () => {
      stopped.abort();
      return done;
    },
  };
}

function fingerprintAt(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}
