/**
 * The device without our services, for the bench of the boot: the same packages, network and sandbox, Postfix and Dovecot
 * with the relay's own configuration made beforehand, but one account in a passwd-file, a ready certificate, and nothing
 * that asks a program of ours. Follows what appliance/ writes; a line that is no longer there is an error.
 */
import { generateKeyPairSync } from "node:crypto";
import { deviceFiles } from "../../appliance/files/device-files.ts";
import { runPaths, tlsCertificatePath, users } from "../../appliance/layout.ts";
import { selfSignedCertificate } from "../../appliance/life/certificate.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import type { RootfsSpec, SpecFile } from "../../image/spec.ts";
import type { Account } from "../support/accounts.ts";

const folder = "/etc/plain";
const keyPath = `${folder}/key.pem`;
const certificatePath = `${folder}/certificate.pem`;
const accountsPath = `${folder}/accounts`;

/** Every unit that is ours. */
export const ourUnits: readonly string[] = rootfsSpec()
  .files.flatMap(({ path }) => /\/(homing[\w-]*\.[a-z]+)$/.exec(path)?.[1] ?? [])
  .filter((name) => /\.(service|socket|timer|target|path)$/.test(name));

/** What goes out of each text, and what comes in its place. */
type Change = readonly [part: RegExp | string, replacement: string];

const ownCertificate: readonly Change[] = [
  [runPaths.tlsKey, keyPath],
  [tlsCertificatePath, certificatePath],
];
const passwordFile = `{\n  passwd_file_path = ${accountsPath}\n}\n`;
const changes: Readonly<Record<string, readonly Change[]>> = {
  "/etc/dovecot/dovecot.conf": [
    ...ownCertificate,
    [/^passdb lua \{[\s\S]*?^\}\n/m, `passdb passwd-file ${passwordFile}`],
    [/^userdb lua \{[\s\S]*?^\}\n/m, `userdb passwd-file ${passwordFile}`],
    [/^mail_attribute \{[\s\S]*?^\}\n/m, ""],
    [/^imap_metadata = yes\n/m, ""],
    [/^ {4}last_login = yes\n/m, ""],
    [/^ {2}last_login \{[\s\S]*?^ {2}\}\n/m, ""],
  ],
  "/etc/postfix/main.cf": [
    ...ownCertificate,
    [/^local_recipient_maps = .*\n/m, "local_recipient_maps =\n"],
    [/^(?:non_)?smtpd_milters = .*\n/gm, ""],
  ],
  // Nothing of theirs waits for anything of ours, nor for each other.
  "/usr/lib/systemd/system/dovecot.service.d/homing.conf": [[/^(?:Requires|Wants|After)=.*\n/gm, ""]],
  "/usr/lib/systemd/system/postfix.service.d/homing.conf": [[/^(?:Requires|Wants|After)=.*\n/gm, ""]],
};

function changed(path: string, content: string): string {
  return (changes[path] ?? []).reduce((text, [part, replacement]) => {
    const next =
      typeof part === "string" ? text.replaceAll(part, replacement) : text.replace(part, replacement);
    if (next === text) throw new Error(`${path} has nothing like ${part}:\n${text}`);
    return next;
  }, content);
}

/** The root file system of such a machine; `account` can log in. */
export function plainSpec(config: RelayConfig, memoryBytes: number, account: Account): RootfsSpec {
  const spec = rootfsSpec();
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const certificate = selfSignedCertificate({ domain: config.domain, keyPem, now: new Date() });
  const { id } = users.vmail;
  const files: readonly SpecFile[] = [
    ...deviceFiles(config, { memoryBytes }),
    { path: keyPath, content: keyPem, mode: 0o600 },
    { path: certificatePath, content: certificate },
    { path: accountsPath, content: `${account.address}:{PLAIN}${account.password}:${id}:${id}::::\n` },
  ];
  const given = new Set(files.map(({ path }) => path));
  return {
    ...spec,
    files: [...spec.files.filter(({ path }) => !given.has(path)), ...files].map((file) => ({
      ...file,
      content: typeof file.content === "string" ? changed(file.path, file.content) : file.content,
    })),
    enable: [...spec.enable.filter((unit) => !ourUnits.includes(unit)), "dovecot.service", "postfix.service"],
    mask: [...spec.mask, ...ourUnits],
  };
}
