/**
 * Postfix's main.cf (postconf(5), Postfix 3.10) from the relay's settings. What differs between the ports
 * stands in master.cf (postfix-master.ts).
 */
import {
  dataPaths,
  runPaths,
  tlsCertificatePath,
  transportFallbackListen,
  transportFirstAgainListen,
  transportFirstListen,
  transportKnownAgainListen,
  transportKnownListen,
} from "../layout.ts";
import { firstTime, knownByHttps, nextHop } from "../mail-routes.ts";
import type { RelayConfig } from "../relay-config.ts";

/** One parameter a line; the order is the order of reading. */
type Parameters = Readonly<Record<string, string | number>>;

/** Room that the queue leaves, in messages of the largest size: 250 MB unless the settings say otherwise. */
const queueReserveInMessages = 8;

/** Free bytes below which no mail is taken. */
export const queueReserveBytes = (config: RelayConfig): number =>
  queueReserveInMessages * config.messages.maxMessageBytes;

/** A rule of smtpd_command_filter: every VRFY asks for the same name. */
export const vrfyRule = "{/^VRFY([[:space:]].*)?$$/ VRFY postmaster}";

/** The text of main.cf. */
export function postfixMainCf(config: RelayConfig): string {
  const sections: Readonly<Record<string, Parameters>> = {
    "Who we are": identity(config),
    "Mail for this relay goes to Dovecot by way of services/door, to accounts that exist": localDelivery(),
    "Mail for others goes by HTTPS if it can (services/transport), otherwise by SMTP over verified TLS":
      remoteDelivery(config),
    "What we offer to those who connect": serverTls(),
    "What is taken, and what is refused at once": acceptance(config),
    "Every message passes the milter, or waits": milter(),
    "Contents stay as they came, or signatures would break": contents(),
    "How long we try": queue(config),
    "How long a process serves": processes(),
  };
  return `# Made at every boot from relay.toml; changes here are lost.\n${Object.entries(sections)
    .map(([title, parameters]) => `\n# ${title}\n${render(parameters)}`)
    .join("")}`;
}

function render(parameters: Parameters): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name} = ${value}`.trimEnd().concat("\n"))
    .join("");
}

function identity(config: RelayConfig): Parameters {
  return {
    compatibility_level: "3.10",
    myhostname: config.domain,
    mydomain: config.domain,
    myorigin: config.domain,
    mydestination: config.domain,
    inet_interfaces: "all",
    inet_protocols: "all",
    queue_directory: `${dataPaths.postfix}/queue`,
    data_directory: `${dataPaths.postfix}/state`,
    // Never used twice: homing-ctl lists messages and then names some to postsuper(1), while others come and go.
    enable_long_queue_ids: "yes",
    smtpd_banner: "$myhostname ESMTP",
    mail_name: "Homing",
    // Programs on the device have no reason to send mail.
    authorized_submit_users: "root",
    biff: "no",
    default_database_type: "lmdb",
  };
}

const localTransport = `lmtp:unix:${runPaths.doorSocket}`;

/** A text that a regular expression takes as it is. */
function literally(text: string): string {
  return text.replaceAll(/[[\].]/g, "\\$&");
}

function localDelivery(): Parameters {
  return {
    alias_maps: "",
    alias_database: "",
    local_transport: localTransport,
    // Unknown recipients are refused at once; when the account service is away, the sender tries again.
    local_recipient_maps: `socketmap:unix:${runPaths.recipientSocket}:recipients`,
    recipient_delimiter: "",
    // 0: Dovecot's quota decides, and this must not be below message_size_limit.
    mailbox_size_limit: 0,
    lmtp_connection_cache_destinations: "static:all",
    lmtp_connection_cache_time_limit: "30s",
    lmtp_destination_concurrency_limit: 20,
    // While the service restarts, a message waits for its own next attempt alone.
    lmtp_destination_concurrency_failed_cohort_limit: 0,
    // Who wrote from where, and what was signed, is of no use in the mailbox: it was judged when it came in. What is left is
    // the same by whatever way a message comes: services/door knows it by that.
    lmtp_header_checks: "regexp:{{/^(Received|DKIM-Signature|Authentication-Results):/ IGNORE}}",
  };
}

function remoteDelivery(config: RelayConfig): Parameters {
  const fallback = nextHop(transportFallbackListen);
  const onDevice = [
    transportKnownListen,
    transportKnownAgainListen,
    transportFirstListen,
    transportFirstAgainListen,
  ]
    .map(nextHop)
    .map(literally)
    .join("|");
  return {
    // Mail for this relay asks nobody for its way. For others services/auth names services/transport and behind it the
    // domain itself; no table of Postfix could do the like, for transport_maps allows none to put the domain in.
    transport_maps: `regexp:{{/@${literally(config.domain)}$$/ ${localTransport}}}, socketmap:unix:${runPaths.recipientSocket}:routes`,
    // What has no way of its own goes by SMTP first: address literals, since those of this machine are ours, which Postfix
    // alone knows, and domains in other than plain characters, for which HTTPS has no room.
    default_transport: firstTime,
    ...Object.fromEntries(
      [knownByHttps, firstTime].flatMap((name) => [
        // As many as services/transport opens to one relay (https-post.ts), from the first message on. While something
        // restarts, a message waits for its own next attempt alone.
        [`${name}_destination_concurrency_limit`, 20],
        [`${name}_initial_destination_concurrency`, 20],
        [`${name}_destination_concurrency_failed_cohort_limit`, 0],
        [`${name}_destination_recipient_limit`, 50],
      ]),
    ),
    // What neither worked by HTTPS nor works by SMTP is tried by HTTPS again: a line may have port 25 closed.
    smtp_fallback_relay: fallback,
    // For each of at most smtp_mx_address_limit (5) addresses: services/transport/destinations.ts counts on it.
    smtp_connect_timeout: "10s",
    smtp_tls_security_level: "verify",
    smtp_tls_CAfile: "/etc/ssl/certs/ca-certificates.crt",
    // SNI, so that a host with many names shows the right certificate.
    smtp_tls_servername: "hostname",
    smtp_tls_mandatory_protocols: ">=TLSv1.2",
    // Address literals and test names (with a leading underscore) can have no certificate that verifies.
    smtp_tls_policy_maps: `regexp:{{/^(${onDevice})$$/ none} {/^${literally(fallback)}$$/ encrypt connection_reuse=no} {/^\\[[^]]+\\](:|$$)/ encrypt} {/^_/ encrypt}}`,
    smtp_tls_session_cache_database: "lmdb:$data_directory/smtp_sessions",
    smtp_tls_loglevel: 1,
    // The next message of a conversation finds a connection, with its TLS in tlsproxy(8): eight round trips less. But
    // none to the fallback: Postfix would keep it under the name of the domain that failed, and when it has ended, try
    // the fallback's port at that domain's own hosts. One with TLS of its own (see the policy above) is never kept.
    smtp_tls_connection_reuse: "yes",
    smtp_connection_cache_destinations: "static:all",
    smtp_connection_cache_time_limit: "30s",
    // The cache keeps nothing longer than this, whatever its users ask for.
    connection_cache_ttl_limit: "30s",
    smtp_destination_recipient_limit: 50,
    smtp_address_preference: "any",
  };
}

function serverTls(): Parameters {
  return {
    smtpd_tls_chain_files: `${runPaths.tlsKey}, ${tlsCertificatePath}`,
    smtpd_tls_security_level: "encrypt",
    smtpd_tls_mandatory_protocols: ">=TLSv1.2",
    smtpd_tls_mandatory_ciphers: "high",
    // With TLS 1.2 only what RFC 9325 §4.2 recommends: a server that shows its certificate (Postfix would let
    // a client do without), fresh keys, and authenticated encryption, which leaves no suite with a hash of its own.
    smtpd_tls_mandatory_exclude_ciphers: "aNULL, eNULL, kRSA, SHA1, SHA256, SHA384",
    smtpd_tls_auth_only: "yes",
    tls_preempt_cipherlist: "yes",
    tls_ssl_options: "NO_COMPRESSION, NO_RENEGOTIATION",
    smtpd_tls_loglevel: 1,
    smtpd_sasl_type: "dovecot",
    smtpd_sasl_path: "/run/dovecot/auth-postfix",
    smtpd_sasl_security_options: "noanonymous",
    smtpd_sasl_auth_enable: "no",
  };
}

function acceptance(config: RelayConfig): Parameters {
  return {
    message_size_limit: config.messages.maxMessageBytes,
    smtpd_recipient_limit: config.messages.maxRecipients,
    // No network is trusted: who wants to send has to log in.
    mynetworks: "127.0.0.1/32 [::1]/128",
    smtpd_relay_restrictions: "reject_unauth_destination",
    smtpd_helo_required: "yes",
    // No reverse look-ups: slow, and of no use to a relay that asks for DKIM.
    smtpd_peername_lookup: "no",
    // RFC 5321 §3.5.3 allows 252 for every address: which accounts exist stays unsaid.
    smtpd_command_filter: `regexp:{${vrfyRule}}`,
    smtpd_discard_ehlo_keywords: "silent-discard, etrn, dsn",
    fast_flush_domains: "",
    smtpd_data_restrictions: "reject_unauth_pipelining",
    smtpd_forbid_bare_newline: "normalize",
    show_user_unknown_table_name: "no",
    // The address itself asks for nothing special: no routes, no @ in local parts.
    allow_percent_hack: "no",
    swap_bangpath: "no",
    allow_untrusted_routing: "no",
    append_dot_mydomain: "no",
    local_header_rewrite_clients: "",
    ...crowdsAndDawdlers(),
  };
}

/**
 * A port has 100 processes (default_process_limit), and each connection takes one. While all are taken, Postfix
 * starts new ones with "stress", in which every limit of time is ten seconds and the first error the last.
 */
function crowdsAndDawdlers(): Parameters {
  return {
    // Half of a port: other relays open at most 20, a hall full of phones behind one address sends in turns.
    smtpd_client_connection_count_limit: 50,
    // IPv6 sources count by /64, as in the firewall.
    smtpd_client_ipv6_prefix_length: 64,
    // For a whole command, or a message at smtpd_min_data_rate (500 bytes/s): without this a byte now and then
    // holds a process for ever. Shorter than the 5 minutes of RFC 5321 §4.5.3.2.7, which hardly a sender needs.
    smtpd_per_request_deadline: "yes",
    smtpd_timeout: timeLimit(120),
    // A handshake is two round trips.
    smtpd_starttls_timeout: timeLimit(30),
  };
}

/** So many seconds, and ten under stress. */
function timeLimit(seconds: number): string {
  return `\${stress?{10}:{${seconds}}}s`;
}

function milter(): Parameters {
  return {
    smtpd_milters: `unix:${runPaths.milterSocket}`,
    non_smtpd_milters: `unix:${runPaths.milterSocket}`,
    // Our own bounces are signed too.
    internal_mail_filter_classes: "bounce",
    // Every service of master.cf gives its own name; one that forgot to gets its mail deferred.
    milter_macro_daemon_name: "unknown",
    milter_protocol: 6,
    milter_default_action: "tempfail",
    milter_connect_timeout: "10s",
    milter_command_timeout: "30s",
    milter_content_timeout: "60s",
  };
}

function contents(): Parameters {
  return {
    // A line over 998 bytes would be broken in two after it was signed.
    smtp_line_length_limit: 0,
    lmtp_line_length_limit: 0,
    disable_mime_input_processing: "yes",
    disable_mime_output_conversion: "yes",
  };
}

function queue(config: RelayConfig): Parameters {
  return {
    maximal_queue_lifetime: `${config.messages.queueLifetimeDays}d`,
    bounce_queue_lifetime: `${config.messages.queueLifetimeDays}d`,
    // Phones expect an answer in minutes, not hours, when a relay was away for a moment.
    minimal_backoff_time: "60s",
    maximal_backoff_time: "30m",
    queue_run_delay: "60s",
    // With less room on the data partition MAIL is answered 452, and Postfix itself asks for 1.5 messages (postconf(5)).
    // The more is for those already on their way in, for what the queue still delivers to mailboxes on the same
    // partition, and for accounts and indexes, which go on meanwhile.
    queue_minfree: queueReserveBytes(config),
    // A bounce must not send the (encrypted, large) message back in full.
    bounce_size_limit: 1000,
  };
}

function processes(): Parameters {
  return {
    // A daemon ends after so many messages or connections, against leaks. Starting those that a message passes
    // costs 17 ms of CPU: with Postfix's own 100 that makes 2 % of what a message needs.
    max_use: 1000,
  };
}
