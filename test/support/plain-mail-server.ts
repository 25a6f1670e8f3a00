/**
 * A mail server that is no relay: Postfix as Debian sets it up (its master.cf, a certificate of its own, TLS if the other
 * side wants it), with mailboxes on disk, at an address of its own in ring 2's network. It runs in the root file system
 * of the relays, with nothing of ours. For tests of mail to the rest of the world.
 */
import { generateKeyPairSync } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { users } from "../../appliance/layout.ts";
import { selfSignedCertificate } from "../../appliance/life/certificate.ts";
import { startTied, waitForExit } from "./commands.ts";
import type { TestNetwork } from "./network.ts";
import { canConnect } from "./relay.ts";
import { waitFor } from "./wait.ts";

export type PlainMailServer = AsyncDisposable &
  Readonly<{
    address: string;
    /** Certificate and key of the domain, PEM, for a web server at the same address. */
    tls: Readonly<{ cert: string; key: string }>;
    /** Sources of the messages in a mailbox. */
    messages: (name: string) => Promise<string[]>;
  }>;

export type PlainMailServerOptions = Readonly<{
  network: TestNetwork;
  domain: string;
  /** One of this machine, where nothing listens on port 25. */
  address: string;
  mailboxes: readonly string[];
}>;

const START_TIMEOUT = 30_000;
const STOP_TIMEOUT = 20_000;

/** Publishes the domain's records and serves when it resolves. */
export async function startPlainMailServer(options: PlainMailServerOptions): Promise<PlainMailServer> {
  const { network, domain, address, mailboxes } = options;
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" })
    .privateKey.export({ type: "pkcs8", format: "pem" })
    .toString();
  const cert = await selfSignedCertificate({ domain, keyPem: key, now: new Date() });
  const home = join(network.folder, `plain-${domain}`);
  const [configuration, mail, root] = [join(home, "configuration"), join(home, "mail"), join(home, "root")];
  for (const folder of [configuration, mail, root]) await mkdir(folder, { recursive: true });
  await writeFile(join(configuration, "tls.pem"), key + cert);
  await writeFile(join(configuration, "main.cf"), mainCf(options));
  const record = { name: domain, ttl: 60, need: "required", purpose: "" } as const;
  await network.publish([
    { ...record, type: "A", address },
    { ...record, type: "MX", preference: 10, exchange: domain },
  ]);
  // The mounts are this process's own and end with it.
  const script = `set -e
mount -t tmpfs tmpfs ${root}
mkdir ${root}/upper ${root}/work ${root}/all
mount -t overlay -o lowerdir=${join(network.folder, "root")},upperdir=${root}/upper,workdir=${root}/work overlay ${root}/all
cd ${root}/all
mount --rbind /dev dev
cp ${configuration}/* etc/postfix/
cp etc/postfix/master.cf.proto etc/postfix/master.cf
chown ${users.vmail.id}:${users.vmail.id} ${mail}
mount --bind ${mail} var/mail
chroot . /usr/sbin/postconf -F '*/*/chroot=n'
exec chroot . /usr/sbin/postfix start-fg`;
  const isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child"];
  const program = startTied([...isolated, "sh", "-c", script], join(home, "log"));
  const stop = async () => {
    if (program.exitCode !== null || program.signalCode !== null) return;
    const ending = waitForExit(program, `Postfix of ${domain}`, STOP_TIMEOUT);
    // The first process of its namespace, with which all others end. That unshare ends does not reach it: Postfix changes
    // its user for a moment, and the kernel forgets then whom the end of its parent shall kill (PR_SET_PDEATHSIG(2const)).
    const children = await readFile(`/proc/${program.pid}/task/${program.pid}/children`, "utf8");
    for (const child of children.split(" ").filter(Boolean)) process.kill(Number(child), "SIGKILL");
    if (children.trim() === "") program.kill("SIGKILL");
    await ending;
  };
  try {
    await waitFor(`${domain} takes mail`, START_TIMEOUT, async () => {
      if (program.exitCode !== null) throw new Error(await readFile(join(home, "log"), "utf8"));
      return await canConnect(address, 25);
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    address,
    tls: { cert, key },
    messages: async (name) => {
      if (!mailboxes.includes(name)) throw new Error(`${domain} has no mailbox ${name}`);
      const folder = join(mail, name, "new");
      const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return [];
        throw error;
      });
      return await Promise.all(files.map((file) => readFile(join(folder, file), "latin1")));
    },
    [Symbol.asyncDispose]: stop,
  };
}

function mainCf({ domain, address, mailboxes }: PlainMailServerOptions): string {
  const rows = mailboxes.map((name) => `{ ${name}@${domain} = ${name}/ }`);
  return `compatibility_level = 3.10
myhostname = ${domain}
mydestination =
alias_maps =
inet_interfaces = ${address}
inet_protocols = ipv4
maillog_file = /var/log/postfix.log
smtpd_tls_chain_files = /etc/postfix/tls.pem
smtpd_tls_security_level = may
smtpd_peername_lookup = no
virtual_mailbox_domains = ${domain}
virtual_mailbox_base = /var/mail
virtual_mailbox_maps = inline:{ ${rows.join(", ")} }
virtual_uid_maps = static:${users.vmail.id}
virtual_gid_maps = static:${users.vmail.id}
`;
}
