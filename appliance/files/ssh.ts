/**
 * SSH for the administrators that relay.toml names: keys only, root only (sshd_config(5)). Without a key
 * there is no authorized_keys file, the service does not start and its port is closed.
 */
import { dataPaths, metricsListen } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";

export const authorizedKeysPath = "/etc/ssh/authorized_keys";
export const sshHostKeyPath = `${dataPaths.ssh}/ssh_host_ed25519_key`;

/** The same on every relay. */
export const sshdConfig = `Port 22
HostKey ${sshHostKeyPath}
AuthorizedKeysFile ${authorizedKeysPath}
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
HostbasedAuthentication no
GSSAPIAuthentication no
PermitEmptyPasswords no
PermitRootLogin prohibit-password
AllowUsers root
StrictModes yes
UsePAM yes
UseDNS no
LoginGraceTime 30
MaxAuthTries 3
MaxStartups 5:30:20
X11Forwarding no
AllowAgentForwarding no
# What a relay tells Prometheus (docs/metrics.md), and nothing else.
AllowTcpForwarding local
PermitOpen ${metricsListen.host}:${metricsListen.port}
PermitTunnel no
PermitUserEnvironment no
AcceptEnv LANG LC_*
PrintMotd no
Subsystem sftp internal-sftp
`;

/** authorized_keys, one key a line; undefined when the relay shall have no SSH. */
export function authorizedKeys(config: RelayConfig): string | undefined {
  const keys = config.ssh.authorizedKeys;
  return keys.length === 0 ? undefined : `${keys.join("\n")}\n`;
}
