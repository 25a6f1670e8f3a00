/**
 * Postfix's master.cf (master(5)): port 25 for other relays, 465 and 587 for accounts, and the daemons
 * behind them. Nothing runs in a chroot: systemd's sandbox stands around all of it.
 */
import { httpsMailListen, muxBackends, ports, runPaths } from "../layout.ts";
import { firstTime, knownByHttps, neverByHttps } from "../mail-routes.ts";
import type { RelayConfig } from "../relay-config.ts";
import { vrfyRule } from "./postfix-main.ts";

/** Options of one service, as -o lines. */
type Options = Readonly<Record<string, string>>;

/**
 * For accounts: logged in over TLS 1.3, from their own address, to anywhere. An unknown recipient here is
 * not refused but bounces, or one deleted account would stop every message to its groups.
 */
const submissionOptions: Options = {
  smtpd_tls_mandatory_protocols: ">=TLSv1.3",
  smtpd_sasl_auth_enable: "yes",
  // An address in the shape of a login belongs to this login alone.
  smtpd_sender_login_maps: "regexp:{{/^(.*)$$/ $$1}}",
  smtpd_client_restrictions: "permit_sasl_authenticated,reject",
  smtpd_sender_restrictions: "reject_sender_login_mismatch,permit_sasl_authenticated,reject",
  smtpd_relay_restrictions: "permit_sasl_authenticated,reject",
  // A session outlives what it logged in to: an account that was blocked or deleted meanwhile sends nothing more.
  smtpd_data_restrictions: `check_sasl_access socketmap:unix:${runPaths.recipientSocket}:logins,reject_unauth_pipelining`,
  smtpd_reject_unlisted_recipient: "no",
  cleanup_service_name: "submission-cleanup",
};

/** TLS from the first byte. */
const submissionsOptions: Options = {
  syslog_name: "postfix/smtps",
  smtpd_tls_wrappermode: "yes",
  milter_macro_daemon_name: "smtps",
  ...submissionOptions,
};

/**
 * Postfix takes mail for these without asking whether they exist. Nobody reads them here: readable mail is
 * refused anyway, so RFC 5321 §4.5.1's postmaster could not be written to by those who need one.
 */
const namesWithoutMailbox = "/^(postmaster|mailer-daemon)(@.*)?$$/";

/**
 * Postfix takes the recipient "postmaster" from everyone before it asks any restriction, in whatever spelling
 * comes down to that word: quoted, with a comment, after a source route. So port 25 sees no recipient but
 * <name@domain> in plain characters, which all accounts are; what is written otherwise asks for a name that
 * no account has.
 */
function recipientRules(domain: string): string {
  const plain = '[^][()<>,:;@"\\[:space:]]+';
  const path = `<${plain}@${plain}>`;
  return (
    "{if /^RCPT[[:space:]]/} " +
    `{!/^RCPT[[:space:]]+TO:[[:space:]]*${path}([[:space:]].*)?$$/ RCPT TO:<postmaster@${domain}>} ` +
    "{endif}"
  );
}

/**
 * What a message may grow by from the port to the queue: the port counts the message alone, as it says in SIZE
 * (RFC 1870 §3), but the cleanup services count recipients (1000 of 100 bytes) and the fields we add as well.
 */
const queueFileOverhead = 1_000_000;

/** For other relays: to accounts of ours alone, which the policy then judges as mail from outside. */
function incomingOptions(domain: string): Options {
  return {
    milter_macro_daemon_name: "mx",
    smtpd_relay_restrictions: "reject_unauth_destination",
    smtpd_command_filter: `regexp:{${vrfyRule} ${recipientRules(domain)}}`,
    smtpd_recipient_restrictions: `check_recipient_access regexp:{{${namesWithoutMailbox} 550 5.1.1 User unknown}}`,
  };
}

/**
 * Processes of each way on which HTTPS is tried, with one message each: services/transport/places.ts counts on so many.
 * Those for unknown domains go on to SMTP, where each lasts as long as the other side likes.
 */
const knownProcesses = 60;
const firstTimeProcesses = 100;

/**
 * Of SMTP's replies one stops Postfix from going on to the next host: a refusal. So services/transport says with a
 * refusal of its own that a message is to wait (services/transport/reply.ts), which this makes a delay again.
 */
const waitRule =
  "{/^5\\.[0-9.]+ host 127\\.0\\.0\\.1\\[127\\.0\\.0\\.1\\] said: 550 5\\.3\\.0 waits: (4\\.[0-9]+\\.[0-9]+ .*)$$/ $$1}";

/** No connection is kept: Postfix keeps one under the name of the first host, whatever host it leads to. */
const httpsFirstOptions: Options = {
  smtp_delivery_status_filter: `regexp:{${waitRule}}`,
  smtp_connection_cache_destinations: "",
  smtp_connection_cache_on_demand: "no",
  smtp_tls_connection_reuse: "no",
};

/**
 * A mail server that is silent gives its process back soon, where RFC 5321 §4.5.3.2 has five minutes for each: pauses that
 * servers make on purpose are below one. The ten minutes after the message stay, for who gives up then delivers twice.
 */
const firstTimeOptions: Options = {
  ...httpsFirstOptions,
  smtp_helo_timeout: "60s",
  smtp_starttls_timeout: "30s",
  smtp_mail_timeout: "30s",
  smtp_rcpt_timeout: "60s",
};

/** HTTPS; SMTP for a few when it fails (services/transport/smtp-after-https.ts). What fails twice comes again the other way. */
const knownOptions: Options = { ...firstTimeOptions, smtp_fallback_relay: "" };

/** The text of master.cf. */
export function postfixMasterCf(config: RelayConfig): string {
  const queueFileLimit = `${config.messages.maxMessageBytes + queueFileOverhead}`;
  const services = [
    service(`${ports.smtp}`, "inet", "n", "smtpd", {
      syslog_name: "postfix/mx",
      ...incomingOptions(config.domain),
    }),
    // The same for mail that came by HTTPS, which had TLS; the peer's address stands in front.
    service(`${httpsMailListen.host}:${httpsMailListen.port}`, "inet", "n", "smtpd", {
      syslog_name: "postfix/https",
      ...incomingOptions(config.domain),
      smtpd_upstream_proxy_protocol: "haproxy",
      smtpd_upstream_proxy_timeout: "5s",
      smtpd_tls_security_level: "none",
    }),
    service(`${ports.submissions}`, "inet", "n", "smtpd", submissionsOptions),
    // The same for what comes in on port 443; services/mux says who the client is.
    service(`${muxBackends.smtp.host}:${muxBackends.smtp.port}`, "inet", "n", "smtpd", {
      ...submissionsOptions,
      smtpd_upstream_proxy_protocol: "haproxy",
      smtpd_upstream_proxy_timeout: "5s",
    }),
    service(`${ports.submission}`, "inet", "n", "smtpd", {
      syslog_name: "postfix/submission",
      milter_macro_daemon_name: "submission",
      ...submissionOptions,
    }),
    // Postfix's own Received header names the client's address; the milter cannot see it, this can.
    service(
      "submission-cleanup",
      "unix",
      "n",
      "cleanup",
      {
        syslog_name: "postfix/submission",
        header_checks: "regexp:{{/^Received:/ IGNORE}}",
        always_add_missing_headers: "yes",
        message_size_limit: queueFileLimit,
      },
      "0",
    ),
    // services/transport first, then SMTP. Each has processes of its own, so that who is slow by SMTP does not hold up
    // those known by HTTPS.
    service(
      knownByHttps,
      "unix",
      "-",
      "smtp",
      { syslog_name: `postfix/${knownByHttps}`, ...knownOptions },
      `${knownProcesses}`,
    ),
    service(
      firstTime,
      "unix",
      "-",
      "smtp",
      { syslog_name: `postfix/${firstTime}`, ...firstTimeOptions },
      `${firstTimeProcesses}`,
    ),
    service("pickup", "unix", "n", "pickup", {}, "1", "60"),
    // What reaches the milter from here, not from a port, is our own bounces (internal_mail_filter_classes).
    service(
      "cleanup",
      "unix",
      "n",
      "cleanup",
      { milter_macro_daemon_name: "bounce", message_size_limit: queueFileLimit },
      "0",
    ),
    service("qmgr", "unix", "n", "qmgr", {}, "1", "300"),
    service("tlsmgr", "unix", "-", "tlsmgr", {}, "1", "1000?"),
    // Holds the TLS of connections to others that are kept for the next message.
    service("tlsproxy", "unix", "-", "tlsproxy", {}, "0"),
    service("rewrite", "unix", "-", "trivial-rewrite"),
    service("bounce", "unix", "-", "bounce", {}, "0"),
    service("defer", "unix", "-", "bounce", {}, "0"),
    service("trace", "unix", "-", "bounce", {}, "0"),
    service("verify", "unix", "-", "verify", {}, "1"),
    service("flush", "unix", "n", "flush", {}, "0", "1000?"),
    service("proxymap", "unix", "-", "proxymap"),
    service("proxywrite", "unix", "-", "proxymap", {}, "1"),
    service("smtp", "unix", "-", "smtp"),
    // For recipients that services/transport cannot take, not even when SMTP failed: its refusal would be a bounce.
    service(neverByHttps, "unix", "-", "smtp", {
      syslog_name: `postfix/${neverByHttps}`,
      smtp_fallback_relay: "",
    }),
    service("showq", "unix", "n", "showq"),
    service("error", "unix", "-", "error"),
    service("retry", "unix", "-", "error"),
    service("discard", "unix", "-", "discard"),
    service("lmtp", "unix", "-", "lmtp"),
    service("anvil", "unix", "-", "anvil", {}, "1"),
    service("scache", "unix", "-", "scache", {}, "1"),
    service("postlog", "unix-dgram", "n", "postlogd", {}, "1"),
  ];
  return `# Made at every boot from relay.toml; changes here are lost.
# service type private unpriv chroot wakeup maxproc command
${services.join("")}`;
}

function service(
  name: string,
  type: "inet" | "unix" | "unix-dgram",
  isPrivate: "n" | "-",
  command: string,
  options: Options = {},
  processes = "-",
  wakeup = "-",
): string {
  const lines = Object.entries(options).map(([key, value]) =>
    // A value with blanks stands in braces (master(5), "-o { name = value }").
    /\s/.test(value) ? `  -o { ${key} = ${value} }\n` : `  -o ${key}=${value}\n`,
  );
  return `${name} ${type} ${isPrivate} - n ${wakeup} ${processes} ${command}\n${lines.join("")}`;
}
