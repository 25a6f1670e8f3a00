/**
 * Dovecot's configuration (Dovecot 2.4) from the relay's settings: IMAP for accounts, LMTP for Postfix, SASL
 * for Postfix; accounts are asked of services/auth by Lua, metadata of services/metadata by the dict protocol.
 */
import { basename } from "node:path";
import { canaryRange } from "../canary.ts";
import { contactUri } from "../contact.ts";
import { authListen, dataPaths, muxBackends, ports, runPaths, tlsCertificatePath, users } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { imapConnections, type Machine, mostImapConnections, mostMessages } from "./capacity.ts";
import { dovecotAuthLuaPath } from "./dovecot-auth-lua.ts";
import { fullNoteScript } from "./reaper.ts";

/** Dovecot's name for the script that notes a mailbox as nearly full. */
const fullNoteService = "note-full-mailbox";

/** IMAP connections on the largest machine, one process each. */
const maxImapProcesses = mostImapConnections;

/**
 * Processes for those who log in, with 1000 places each (default_client_limit): one for every connection that is
 * logged in, since its TLS stays there, and 1000 more. A stranger in a place costs up to 100 kB; when there is none
 * left, the oldest who did not log in makes room.
 */
const maxLoginProcesses = maxImapProcesses / 1000 + 1;

/**
 * Connections of one account from one address. A Delta Chat client keeps one or two and opens two more at times: five
 * devices. A family behind one address shares the address, not the account.
 */
const maxConnectionsOfAccount = 20;

/** Folders of an account, each with some ten files and directories. Delta Chat uses three. */
const maxFolders = 50;

/** The text of dovecot.conf. */
export function dovecotConf(config: RelayConfig, machine: Machine): string {
  return `# Made at every boot from relay.toml; changes here are lost.
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1

protocols {
  imap = yes
  lmtp = yes
}
# A new certificate is taken over by a reload, six seconds after which the usual "yes" ends all connections of before.
shutdown_clients = no
${authentication()}
${mailboxes(config)}
${imap(config, machine)}
${lmtp()}
${statistics()}
${tls()}`;
}

function authentication(): string {
  const lua = `{
  lua_file = ${dovecotAuthLuaPath}
  lua_settings {
    url = http://${authListen.host}:${authListen.port}
    secret_file = ${runPaths.authSecret}
  }
}`;
  return `
# Accounts: asked of the account service.
auth_mechanisms = plain login
auth_username_format = %{user | lower}
# A wrong password waits (against guessing), the address it came from does not: phones share addresses.
auth_failure_delay = 2 secs
passdb lua ${lua}
userdb lua ${lua}
service auth {
  # Every process that asks holds a connection: each of the imap ones, and the login and lmtp processes.
  client_limit = ${maxImapProcesses + 1000}
  unix_listener auth-postfix {
    mode = 0600
    user = postfix
  }
}
service auth-worker {
  user = ${users.dovecotAuth.name}
  extra_groups = $SET:default_internal_group
}
service anvil {
  unix_listener anvil {
    mode = 0660
    group = ${users.vmail.name}
  }
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}`;
}

function mailboxes(config: RelayConfig): string {
  return `
# Mailboxes.
mail_driver = maildir
mail_home = ${dataPaths.mail}/%{user | lower}
mail_path = ~/mail
# Written often and a little at a time, so they lie where a power cut leaves no half of it (system.ts, tmpfiles).
mail_index_path = ${dataPaths.mailIndex}/%{user | lower}
mail_control_path = ${dataPaths.mailIndex}/%{user | lower}
mail_uid = ${users.vmail.name}
mail_gid = ${users.vmail.name}
first_valid_uid = ${users.vmail.id}
last_valid_uid = ${users.vmail.id}
first_valid_gid = ${users.vmail.id}
last_valid_gid = ${users.vmail.id}
mail_cache_max_size = 512 k
mail_log_prefix = "%{protocol}(%{user}): "
namespace inbox {
  inbox = yes
  separator = .
}
mail_plugins {
  quota = yes
  mail_compress = yes
}
mail_compress_write_method = gz
quota "User quota" {
  driver = count
  storage_size = ${config.messages.mailboxBytes} B
  storage_grace = 0
  message_count = ${mostMessages(config.messages.mailboxBytes)}
  # Who stores the message that fills the mailbox so far has it noted; services/reaper makes room.
  warning storage {
    quota_storage_percentage = ${config.messages.purgeAbovePercent}
    execute ${fullNoteService} {
      args = %{user}
    }
  }
  warning messages {
    quota_warning_resource = message
    quota_message_percentage = ${config.messages.purgeAbovePercent}
    execute ${fullNoteService} {
      args = %{user}
    }
  }
}
service ${fullNoteService} {
  executable = script ${fullNoteScript.path}
  user = ${users.vmail.name}
  process_limit = 2
  unix_listener ${fullNoteService} {
    mode = 0600
    user = ${users.vmail.name}
  }
}
quota_mailbox_count = ${maxFolders}
quota_exceeded_message = Mailbox is full
mail_attribute {
  dict proxy {
    name = metadata
    socket_path = ${runPaths.metadataSocket}
  }
}`;
}

function imap(config: RelayConfig, machine: Machine): string {
  return `
# Whose word counts for who a client is, on listeners that ask for it.
haproxy_trusted_networks = ${muxBackends.imap.host}
# IMAP. Idle connections are kept as they are: hibernating ones lose the announcement of new mail.
imap_hibernate_timeout = 0
imap_metadata = yes${contact(config)}
imap_capability {
  XCHATMAIL = yes${config.push.enabled ? "\n  XDELTAPUSH = yes" : ""}
}
mail_max_userip_connections = ${maxConnectionsOfAccount}
protocol imap {
  # What clients store (APPEND) is bounded as what they send.
  quota_mail_size = ${config.messages.maxMessageBytes} B
  mail_plugins {
    imap_quota = yes
    last_login = yes
  }
  last_login {
    dict proxy {
      name = lastlogin
      socket_path = ${runPaths.metadataSocket}
    }
    precision = s
  }
}
service imap-login {
  process_min_avail = 2
  process_limit = ${maxLoginProcesses}
  restart_request_count = unlimited
  inet_listener imap {
    port = ${ports.imap}
  }
  inet_listener imaps {
    port = ${ports.imaps}
    ssl = yes
  }
  # What comes in on port ${ports.https}; services/mux says who the client is.
  inet_listener imaps-mux {
    listen = ${muxBackends.imap.host}
    port = ${muxBackends.imap.port}
    ssl = yes
    haproxy = yes
  }
}
service imap {
  # By the memory of this machine.
  process_limit = ${imapConnections(machine)}
  # A process serves many connections one after the other: twice the logins per second.
  restart_request_count = 1000
  extra_groups = $SET:default_internal_group
}`;
}

/** Shown as /shared/admin of METADATA. A URI has neither quotes nor backslashes, nor "%{" or "%%". */
function contact(config: RelayConfig): string {
  const uri = contactUri(config.contact);
  return uri === undefined ? "" : `\nmail_server_admin = "${uri}"`;
}

function lmtp(): string {
  return `
# Delivery. Two processes wait, since starting one would cost a message 25 ms.
lmtp_add_received_header = no
lmtp_user_concurrency_limit = 1000
protocol lmtp {
  auth_username_format = %{user | lower}
  mail_plugins {
    notify = yes
  }
}
service lmtp {
  user = ${users.vmail.name}
  process_min_avail = 2
  restart_request_count = 1000
  unix_listener lmtp {
    mode = 0600
    user = ${users.courier.name}
  }
}
# Who asks here may search mailboxes and see who is connected, and do nothing else of what doveadm can.
doveadm_allowed_commands = search who
service doveadm {
  unix_listener ${basename(runPaths.dovecotLook)} {
    mode = 0600
    user = ${users.courier.name}
  }
  unix_listener ${basename(runPaths.whoIsConnected)} {
    # Dovecot asks no password of a socket that has one user alone.
    mode = 0600
    user = ${users.vmail.name}
  }
}`;
}

/**
 * Bounds of histograms: powers of 2 in microseconds, from a millisecond to 8 seconds (Dovecot takes the bases 2 and 10 alone, and its
 * stats process refuses to start with another); a label for each command that
 * Dovecot knows, "unknown" for the rest. What a message or an error says is in no label.
 */
function statistics(): string {
  const bySeconds = `group_by duration {
    method exponential {
      base = 2
      min_magnitude = 10
      max_magnitude = 23
    }
  }`;
  const by = (field: string) => `group_by ${field} {
    method discrete {
    }
  }`;
  // An event that has no user matches as well.
  const isPeoples = `NOT user="${canaryRange.from}*"`;
  return `
# What services/metrics asks for, without what the canary does. Its name is anybody's to try with a wrong password.
service stats {
  unix_listener ${basename(runPaths.dovecotStats)} {
    type = http
    mode = 0600
    user = ${users.metrics.name}
  }
}
metric logins {
  filter = event=auth_request_finished AND success=yes AND ${isPeoples}
  ${by("protocol")}
}
metric logins_failed {
  filter = event=auth_request_finished AND NOT success=yes
  ${by("protocol")}
}
metric imap_command {
  filter = event=imap_command_finished AND ${isPeoples}
  ${by("cmd_name")}
  ${bySeconds}
}
metric delivery {
  filter = event=mail_delivery_finished AND ${isPeoples}
  ${bySeconds}
}
metric delivery_failed {
  filter = event=mail_delivery_finished AND error=* AND ${isPeoples}
}`;
}

function tls(): string {
  return `
ssl = required
ssl_min_protocol = TLSv1.3
ssl_server {
  cert_file = ${tlsCertificatePath}
  key_file = ${runPaths.tlsKey}
}
`;
}
