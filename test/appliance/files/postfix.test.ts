import { describe, expect, it } from "vitest";
import { postfixMainCf } from "../../../appliance/files/postfix-main.ts";
import { postfixMasterCf } from "../../../appliance/files/postfix-master.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { asWaiting } from "../../../services/transport/reply.ts";

const config = parseRelayConfig('domain = "chat.example.org"', "relay.toml");

/** Parameters of main.cf by name. */
function parameters(text: string): Map<string, string> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const [, name, value] = /^([\w-]+) =(?: (.*))?$/.exec(line)!;
      return [name!, value ?? ""];
    }),
  );
}

/** Services of master.cf by name, each with its -o options. */
function services(text: string): Map<string, { line: string; options: Map<string, string> }> {
  const found = new Map<string, { line: string; options: Map<string, string> }>();
  let last: { line: string; options: Map<string, string> } | undefined;
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const option = /^ {2}-o (?:\{ (\w+) = (.*) \}|(\w+)=(\S*))$/.exec(line);
    if (option) last!.options.set(option[1] ?? option[3]!, option[2] ?? option[4]!);
    else {
      last = { line, options: new Map() };
      found.set(`${line.split(" ")[0]} ${line.split(" ")[1]}`, last);
    }
  }
  return found;
}

const main = parameters(postfixMainCf(config));
const master = services(postfixMasterCf(config));

/** A regexp: table as Postfix understands it: `$$` in the configuration is one `$`. */
function inlineRule(text: string, index = 0): { pattern: RegExp; result: string } {
  const rule = [...text.replaceAll("$$", "$").matchAll(/\{\/(.*?)\/ ([^}]*)\}/g)][index]!;
  return {
    pattern: new RegExp(rule[1]!.replaceAll("[[:space:]]", "\\s").replaceAll("[^]]", "[^\\]]"), "i"),
    result: rule[2]!,
  };
}

describe("Postfix", () => {
  it("takes no mail for others on port 25", () => {
    const options = master.get("25 inet")!.options;
    expect(options.get("smtpd_relay_restrictions")).toBe("reject_unauth_destination");
    expect(options.get("smtpd_sasl_auth_enable") ?? main.get("smtpd_sasl_auth_enable")).toBe("no");
    expect(main.get("smtpd_relay_restrictions")).toBe("reject_unauth_destination");
  });

  it.each(["465 inet", "587 inet", "127.0.0.1:10465 inet"])(
    "takes mail on %s only from logged-in accounts, from their own address",
    (name) => {
      const options = master.get(name)!.options;
      expect(options.get("smtpd_relay_restrictions")).toBe("permit_sasl_authenticated,reject");
      expect(options.get("smtpd_client_restrictions")).toBe("permit_sasl_authenticated,reject");
      expect(options.get("smtpd_sender_restrictions")).toMatch(/^reject_sender_login_mismatch,/);
      const owner = inlineRule(options.get("smtpd_sender_login_maps")!);
      expect("alice@chat.example.org".replace(owner.pattern, owner.result)).toBe("alice@chat.example.org");
      expect(options.get("smtpd_tls_mandatory_protocols")).toBe(">=TLSv1.3");
      expect(main.get("smtpd_tls_auth_only")).toBe("yes");
    },
  );

  it("has a listener for every port that is open to the world, and others for the device alone", () => {
    const listeners = [...master.keys()].filter((name) => name.endsWith(" inet"));
    expect(listeners.filter((name) => !name.startsWith("127.0.0.1:"))).toEqual([
      "25 inet",
      "465 inet",
      "587 inet",
    ]);
    expect(listeners).toEqual(expect.arrayContaining(["127.0.0.1:10024 inet", "127.0.0.1:10465 inet"]));
  });

  it("judges what came by HTTPS like what comes on port 25", () => {
    const { syslog_name: _a, ...port25 } = Object.fromEntries(master.get("25 inet")!.options);
    const { syslog_name: _b, ...https } = Object.fromEntries(master.get("127.0.0.1:10024 inet")!.options);
    expect(https).toEqual({
      ...port25,
      smtpd_upstream_proxy_protocol: "haproxy",
      smtpd_upstream_proxy_timeout: "5s",
      smtpd_tls_security_level: "none",
    });
  });

  it("asks for the way to others, never for the way to mailboxes", () => {
    expect(main.get("local_transport")).toBe("lmtp:unix:/run/homing/door.sock");
    const [own, others, ...more] = main.get("transport_maps")!.split(/(?<=\}), /);
    expect([others, more]).toEqual(["socketmap:unix:/run/homing/recipients.sock:routes", []]);
    const { pattern, result } = inlineRule(own!);
    expect(result).toBe("lmtp:unix:/run/homing/door.sock");
    for (const address of ["abc@chat.example.org", "abc@Chat.Example.ORG"])
      expect(pattern.test(address)).toBe(true);
    for (const address of ["abc@chat-example.org", "abc@x.chat.example.org", "abc@chat.example.org.evil"])
      expect(pattern.test(address)).toBe(false);
  });

  it("leaves what has no way to SMTP, apart from domains known to have it, and what HTTPS cannot carry to SMTP alone", () => {
    expect(main.get("default_transport")).toBe("outgoing-first");
    expect(main.get("smtp_fallback_relay")).toBe("[127.0.0.1]:10027");
    expect(master.get("outgoing-first unix")!.options.has("smtp_fallback_relay")).toBe(false);
    expect(master.get("relay unix")!.options.get("smtp_fallback_relay")).toBe("");
  });

  it("waits where the transport service says so, and believes that of nobody else", () => {
    const { options } = master.get("outgoing unix")!;
    expect(master.get("outgoing-first unix")!.options.get("smtp_delivery_status_filter")).toBe(
      options.get("smtp_delivery_status_filter"),
    );
    const { pattern, result } = inlineRule(options.get("smtp_delivery_status_filter")!);
    const said = (host: string, reply: string) =>
      `5.3.0 host ${host} said: ${reply} (in reply to end of DATA command)`;
    const { code, text } = asWaiting({ code: 451, text: "4.4.2 slow" }, "SMTP");
    const ours = said("127.0.0.1[127.0.0.1]", `${code} ${text}`);
    expect(ours.replace(pattern, result)).toBe("4.4.2 slow (in reply to end of DATA command)");
    expect(pattern.test(said("b.example[192.0.2.1]", `${code} ${text}`))).toBe(false);
    expect(pattern.test(said("127.0.0.1[127.0.0.1]", "550 5.1.1 User unknown"))).toBe(false);
    // SMTP holds up nobody known by HTTPS, and nobody else for long.
    expect(options.get("smtp_fallback_relay")).toBe("");
    const first = master.get("outgoing-first unix")!;
    expect(first.line.split(" ").at(-2)).toBe("100");
    for (const phase of ["helo", "starttls", "mail", "rcpt"])
      expect(first.options.get(`smtp_${phase}_timeout`)).toMatch(/^[36]0s$/);
    // A connection to here under the name of another domain, or the other way round, would lead mail astray.
    expect(options.get("smtp_connection_cache_destinations")).toBe("");
    expect(options.get("smtp_connection_cache_on_demand")).toBe("no");
  });

  it("treats what comes in on port 443 as on port 465, and believes only there who the client is said to be", () => {
    const { options } = master.get("127.0.0.1:10465 inet")!;
    expect(options.get("smtpd_upstream_proxy_protocol")).toBe("haproxy");
    const { options: direct } = master.get("465 inet")!;
    expect([...options].filter(([name]) => !name.startsWith("smtpd_upstream_proxy_"))).toEqual([...direct]);
    const believers = [...master].filter(([, { options }]) => options.has("smtpd_upstream_proxy_protocol"));
    for (const [name] of believers) expect(name).toMatch(/^127\.0\.0\.1:/);
  });

  it("lets no message pass without the milter, and tells it which way each comes", () => {
    expect(main.get("milter_default_action")).toBe("tempfail");
    expect(main.get("smtpd_milters")).toBe("unix:/run/homing/milter.sock");
    expect(main.get("non_smtpd_milters")).toBe("unix:/run/homing/milter.sock");
    expect(main.get("internal_mail_filter_classes")).toBe("bounce");
    const names = ["25 inet", "465 inet", "127.0.0.1:10465 inet", "587 inet"].map((name) =>
      master.get(name)!.options.get("milter_macro_daemon_name"),
    );
    expect(names).toEqual(["mx", "smtps", "smtps", "submission"]);
    expect(master.get("cleanup unix")!.options.get("milter_macro_daemon_name")).toBe("bounce");
    // A listener without a name has no rules in the milter, which then defers.
    expect(main.get("milter_macro_daemon_name")).toBe("unknown");
    for (const { options } of master.values()) {
      for (const name of [
        "smtpd_milters",
        "non_smtpd_milters",
        "milter_default_action",
        "receive_override_options",
      ]) {
        expect(options.has(name)).toBe(false);
      }
    }
  });

  it("demands encryption on every port that is open to the world", () => {
    expect(main.get("smtpd_tls_security_level")).toBe("encrypt");
    expect(main.get("smtpd_tls_mandatory_protocols")).toBe(">=TLSv1.2");
    for (const [name, { options }] of master) {
      const isPlain = name.startsWith("127.0.0.1:") && options.get("smtpd_tls_wrappermode") !== "yes";
      expect(options.get("smtpd_tls_security_level")).toBe(isPlain ? "none" : undefined);
    }
  });

  it("verifies other relays, but for address literals and test names", () => {
    expect(main.get("smtp_tls_security_level")).toBe("verify");
    const policies = [0, 1, 2, 3].map((index) => inlineRule(main.get("smtp_tls_policy_maps")!, index));
    const policy = (destination: string) =>
      policies.find(({ pattern }) => pattern.test(destination))?.result ?? "verify";
    expect(["_a.test", "[192.0.2.1]", "[IPv6:2001:db8::1]", "[192.0.2.1]:25"].map(policy)).toEqual(
      Array(4).fill("encrypt"),
    );
    // Or Postfix would keep the connection, under the name of the domain that failed.
    expect(policy("[127.0.0.1]:10027")).toBe("encrypt connection_reuse=no");
    expect([10026, 10028, 10029, 10030].map((port) => policy(`[127.0.0.1]:${port}`))).toEqual([
      ...["none", "none", "none", "none"],
    ]);
    expect(policy("[127.0.0.1]:25")).toBe("encrypt");
    expect(["chat.example.org", "a_b.example", "x[192.0.2.1]"].map(policy)).toEqual(Array(3).fill("verify"));
  });

  it("answers every VRFY alike", () => {
    const { pattern, result } = inlineRule(main.get("smtpd_command_filter")!);
    for (const command of ["VRFY", "vrfy alice@chat.example.org", "VRFY <bob>", "Vrfy\tx"]) {
      expect(command.replace(pattern, result)).toBe("VRFY postmaster");
    }
    for (const command of ["RCPT TO:<vrfy@chat.example.org>", "VRFYX", "NOOP VRFY"]) {
      expect(pattern.test(command)).toBe(false);
    }
  });

  it("removes the client's trace from what accounts send", () => {
    for (const name of ["465 inet", "127.0.0.1:10465 inet", "587 inet"]) {
      expect(master.get(name)!.options.get("cleanup_service_name")).toBe("submission-cleanup");
    }
    const { pattern, result } = inlineRule(
      master.get("submission-cleanup unix")!.options.get("header_checks")!,
    );
    expect(pattern.test("Received: from [192.0.2.1] by chat.example.org")).toBe(true);
    expect(pattern.test("Subject: Received: x")).toBe(false);
    expect(result).toBe("IGNORE");
    // Only here: what comes from elsewhere keeps its trace until it is delivered.
    expect(master.get("25 inet")!.options.has("cleanup_service_name")).toBe(false);
  });

  it("never breaks a line, which would break the signature", () => {
    expect(main.get("smtp_line_length_limit")).toBe("0");
    expect(main.get("lmtp_line_length_limit")).toBe("0");
  });

  it("takes its limits from the settings", () => {
    const other = parameters(
      postfixMainCf({
        ...config,
        messages: { ...config.messages, maxMessageBytes: 1_000_000, maxRecipients: 7, queueLifetimeDays: 3 },
      }),
    );
    expect(other.get("message_size_limit")).toBe("1000000");
    expect(other.get("smtpd_recipient_limit")).toBe("7");
    expect(other.get("maximal_queue_lifetime")).toBe("3d");
    expect(other.get("bounce_queue_lifetime")).toBe("3d");
  });

  it("runs nothing in a chroot and has no delivery agent that runs programs", () => {
    for (const { line } of master.values()) expect(line.split(" ")[4]).toBe("n");
    const commands = [...master.values()].map(({ line }) => line.split(" ").at(-1));
    for (const command of ["local", "virtual", "pipe", "spawn"]) expect(commands).not.toContain(command);
  });
});
