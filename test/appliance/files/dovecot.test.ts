import { describe, expect, it } from "vitest";
import { connectionsOfSource, imapConnections } from "../../../appliance/files/capacity.ts";
import { dovecotConf } from "../../../appliance/files/dovecot.ts";
import { dovecotAuthLua } from "../../../appliance/files/dovecot-auth-lua.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";

const config = parseRelayConfig('domain = "chat.example.org"', "relay.toml");
const machine = { memoryBytes: 8 * 2 ** 30 };

/** The value of a setting outside all blocks. */
function setting(text: string, name: string): string | undefined {
  return new RegExp(`^${name} = (.*)$`, "m").exec(text)?.[1];
}

describe("Dovecot", () => {
  const text = dovecotConf(config, machine);

  it("begins with the two versions, as 2.4 demands", () => {
    const lines = text.split("\n").filter((line) => !line.startsWith("#"));
    expect(lines.slice(0, 2)).toEqual(["dovecot_config_version = 2.4.1", "dovecot_storage_version = 2.4.1"]);
  });

  it("lets nobody log in without TLS 1.3", () => {
    expect(setting(text, "ssl")).toBe("required");
    expect(setting(text, "ssl_min_protocol")).toBe("TLSv1.3");
    expect(text).not.toContain("auth_allow_cleartext");
  });

  it("asks the account service, and nobody else, who may log in", () => {
    expect([...text.matchAll(/^passdb (\w+)/gm)].map((match) => match[1])).toEqual(["lua"]);
    expect([...text.matchAll(/^userdb (\w+)/gm)].map((match) => match[1])).toEqual(["lua"]);
  });

  it("does not hibernate idle connections, which would lose notices of new mail", () => {
    expect(setting(text, "imap_hibernate_timeout")).toBe("0");
  });

  it("advertises XDELTAPUSH only while push is on", () => {
    expect(text).toMatch(/^ {2}XCHATMAIL = yes$/m);
    expect(text).toMatch(/^ {2}XDELTAPUSH = yes$/m);
    expect(dovecotConf({ ...config, push: { ...config.push, enabled: false } }, machine)).not.toContain(
      "XDELTAPUSH",
    );
  });

  it("gives a mailbox the size of the settings", () => {
    const small = dovecotConf(
      { ...config, messages: { ...config.messages, mailboxBytes: 12_345_678 } },
      machine,
    );
    expect(small).toMatch(/^ {2}storage_size = 12345678 B$/m);
    // And as many messages as have blocks of the disk in it.
    expect(small).toMatch(/^ {2}message_count = 3015$/m);
  });

  it.each([
    [256, 60],
    [480, 60],
    [1024, 144],
    [4096, 707],
    [65_536, 5000],
  ])("serves with %i MiB of memory %i connections at once", (mebibytes, processes) => {
    const memory = { memoryBytes: mebibytes * 2 ** 20 };
    expect(imapConnections(memory)).toBe(processes);
    expect(dovecotConf(config, memory)).toContain(
      `service imap {\n  # By the memory of this machine.\n  process_limit = ${processes}\n`,
    );
    // One network leaves half of the places to the others.
    expect(connectionsOfSource(memory)).toBeLessThanOrEqual(processes / 2);
  });

  it("shows the contact as a URI, and nothing without one", () => {
    expect(setting(text, "mail_server_admin")).toBeUndefined();
    const shown = dovecotConf({ ...config, contact: "me@chat.example.org" }, machine);
    expect(setting(shown, "mail_server_admin")).toBe('"mailto:me@chat.example.org"');
  });

  it("opens no port but those of IMAP, and one on loopback that is told who the client is", () => {
    const listeners = [...text.matchAll(/^ {2}inet_listener \S+ \{\n((?: {4}.*\n)+)/gm)].map(
      (match) => match[1]!,
    );
    const portOf = (listener: string) => Number(/port = (\d+)/.exec(listener)?.[1]);
    expect(listeners.map(portOf)).toEqual([143, 993, 10993]);
    const believers = listeners.filter((listener) => listener.includes("haproxy = yes"));
    expect(believers.map(portOf)).toEqual([10993]);
    for (const listener of believers) expect(listener).toContain("listen = 127.0.0.1\n");
    expect(setting(text, "haproxy_trusted_networks")).toBe("127.0.0.1");
  });

  it("has balanced braces, each at a line's end or alone", () => {
    let depth = 0;
    for (const line of text.split("\n").filter((line) => !line.startsWith("#"))) {
      if (/[{}]/.test(line.replace(/%\{[^}]*\}/g, ""))) {
        expect(line.replace(/%\{[^}]*\}/g, "")).toMatch(/^[^{}]*\{$|^\s*\}$/);
        depth += line.endsWith("{") ? 1 : -1;
      }
      expect(depth).toBeGreaterThanOrEqual(0);
    }
    expect(depth).toBe(0);
  });
});

describe("the Lua script of the auth worker", () => {
  it("never turns an unexpected answer into a wrong password or an unknown user", () => {
    for (const name of ["auth_password_verify", "auth_userdb_lookup"]) {
      const body = new RegExp(`function ${name}[\\s\\S]*?\\nend`).exec(dovecotAuthLua)![0];
      expect(body.trim().split("\n").at(-2)).toMatch(/INTERNAL_FAILURE, nil$/);
    }
  });

  it("holds no secret itself", () => {
    expect(dovecotAuthLua).toContain('settings["secret_file"]');
  });
});
