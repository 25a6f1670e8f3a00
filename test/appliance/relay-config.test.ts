/** relay.toml: reading, writing and its error texts (appliance/relay-config.ts, relay-settings.ts). */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DomainError } from "../../appliance/domain.ts";
import {
  parseRelayConfig,
  type RelayConfig,
  RelayConfigError,
  renderRelayToml,
} from "../../appliance/relay-config.ts";
import { relayFilePaths } from "../../appliance/relay-files.ts";
import { ed25519PublicKeyLine } from "../support/ssh-key.ts";

const domainLine = 'domain = "chat.example.org"\n';

/**
 * The sources below folders of the project as one text, without comments, without the settings themselves, and without
 * the web pages, which tell of settings and obey none.
 */
async function sourcesOf(...folders: string[]): Promise<string> {
  const texts: string[] = [];
  for (const folder of folders) {
    const root = join(import.meta.dirname, "../..", folder);
    for (const name of await readdir(root, { recursive: true })) {
      if (
        name.endsWith(".ts") &&
        !/(relay-config|(relay|certificate|client|wifi|push|turn)-settings|web.pages.relay-values)\.ts$/.test(
          name,
        )
      ) {
        texts.push((await readFile(join(root, name), "utf8")).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, ""));
      }
    }
  }
  return texts.join("\n");
}

/** The problems of a text that must not parse. */
function problemsOf(text: string): readonly string[] {
  try {
    parseRelayConfig(text, "relay.toml");
  } catch (error) {
    if (error instanceof RelayConfigError) return error.problems;
    throw error;
  }
  throw new Error("the text parsed although it must not");
}

const defaults: RelayConfig = {
  domain: "chat.example.org",
  contact: "",
  signUp: {
    mode: "open",
    maxLoadAverage: 5,
    minFreeMemoryBytes: 200_000_000,
    minFreeDiskBytes: 1_000_000_000,
    networkBurst: 100,
    networkPerHour: 30,
    relayBurst: 1000,
    relayPerHour: 500,
    refuseAutomaticRelays: false,
  },
  accounts: { localPartMinLength: 9, localPartMaxLength: 9, passwordMinLength: 9, deleteIdleAfterDays: 90 },
  messages: {
    maxMessageBytes: 31_457_280,
    maxRecipients: 1000,
    deleteAfterDays: 20,
    largeMessageBytes: 200_000,
    deleteLargeAfterDays: 7,
    mailboxBytes: 500_000_000,
    purgeAbovePercent: 75,
    purgeToPercent: 70,
    keepNewestHours: 24,
    queueLifetimeDays: 2,
  },
  sending: { perMinute: 60, burst: 10 },
  dkim: { selector: "homing1", nextSelector: "" },
  certificates: {
    source: "acme",
    acmeDirectory: "https://acme-v02.api.letsencrypt.org/directory",
    email: "",
    challenge: "http-01",
    profile: "",
    alsoForIp: [],
    dnsProvider: "rfc2136",
    rfc2136Server: "",
    rfc2136Zone: "",
    rfc2136KeyName: "",
    rfc2136Algorithm: "hmac-sha256",
  },
  wifi: { network: "", country: "", hidden: false, open: false },
  ssh: { authorizedKeys: [] },
  metrics: { network: false, tokenSha256: "" },
  push: {
    enabled: true,
    proxyUrl: "https://notifications.delta.chat/notify",
    keepTokenDays: 90,
    retryHours: 5,
  },
  turn: { enabled: false, firstPort: 49_152, lastPort: 49_407, maxMegabits: 20 },
  clients: { irohRelayUrl: "", appVersions: "" },
};

describe("parseRelayConfig", () => {
  it("gives a file with nothing but the domain all defaults", () => {
    expect(parseRelayConfig(domainLine, "relay.toml")).toEqual(defaults);
  });

  it("takes the values of the file", () => {
    const config = parseRelayConfig(
      'domain = "Bücher.Example"\n[sign_up]\nmode = "closed"\nmax_load_average = 2.5\n[messages]\ndelete_after_days = 1_0\n',
      "relay.toml",
    );
    expect(config.domain).toBe("xn--bcher-kva.example");
    expect(config.signUp).toEqual({ ...defaults.signUp, mode: "closed", maxLoadAverage: 2.5 });
    expect(config.messages.deleteAfterDays).toBe(10);
  });

  it("understands the other notations of TOML: dotted keys, inline tables and Windows line ends", () => {
    const text = 'domain = "a.example"\r\nsending.burst = 3\r\naccounts = { password_min_length = 12 }\r\n';
    const config = parseRelayConfig(text, "relay.toml");
    expect(config.sending.burst).toBe(3);
    expect(config.accounts.passwordMinLength).toBe(12);
  });

  it("names file, line, key, what was found and what is allowed", () => {
    const text = `${domainLine}\n[accounts]\n# comment\nlocal_part_min_length = "nine"\n`;
    expect(() => parseRelayConfig(text, "chat/relay.toml")).toThrow(
      "chat/relay.toml has one mistake:\n" +
        '  line 5, accounts.local_part_min_length: found the text "nine"; allowed: a whole number from 1 to 64',
    );
  });

  it.each([
    ["[sending]\nburst = 0", "line 3, sending.burst: found 0; allowed: a whole number from 1 to 100000"],
    ["[sending]\nburst = 1.5", "line 3, sending.burst: found 1.5; allowed: a whole number"],
    ["[sending]\nburst = nan", "line 3, sending.burst: found NaN; allowed: a whole number"],
    ["[sending]\nburst = 1979-05-27", "line 3, sending.burst: found the date"],
    ["[sending]\nburst = [1, 2]", "line 3, sending.burst: found a list of 2; allowed: a whole number"],
    ["sending = 60", "line 2, sending: found 60; allowed: a section, written as [sending]"],
    ["[[sending]]\nburst = 60", "line 2, sending: found a list of 1; allowed: a section"],
    ["[push]\nenabled = 1", "line 3, push.enabled: found 1; allowed: true or false"],
    ...["http://push.example.org/", "https://a:b@push.example.org/", "ftp://push.example.org/", "push"].map(
      (url): [string, string] => [
        `[push]\nproxy_url = "${url}"`,
        `line 3, push.proxy_url: found the text ${JSON.stringify(url)}; allowed: a link that begins with https://, with a path, without “#”, at most 500 characters`,
      ],
    ),
    [
      '[sign_up]\nmode = "Open"',
      'line 3, sign_up.mode: found the text "Open"; allowed: “open”, “invite” or “closed”',
    ],
    ["contact = '''a\nb'''", 'line 2, contact: found the text "a\\nb"; allowed: an e-mail address or a link'],
    ['contact = "me"', 'line 2, contact: found the text "me"; allowed: an e-mail address or a link'],
    ['[dkim]\nselector = "../tls"', 'line 3, dkim.selector: found the text "../tls"; allowed: 1 to 32'],
    ["[dkim.selector]\na = 1", "dkim.selector: found a section; allowed: 1 to 32"],
    ['[ssh]\nauthorized_keys = "x"', 'line 3, ssh.authorized_keys: found the text "x"; allowed: a list'],
    [
      '[ssh]\nauthorized_keys = [\n  "x",\n  5,\n]',
      "line 3, ssh.authorized_keys, entry 2: found 5; allowed: a list",
    ],
    [
      "[accounts]\nlocal_part_min_length = 12",
      "line 3, accounts.local_part_min_length: found 12; allowed: at most local_part_max_length, which is 9",
    ],
    [
      "[messages]\nmailbox_bytes = 1_000_000",
      "messages.max_message_bytes: found 31457280; allowed: at most mailbox_bytes, which is 1000000",
    ],
    [
      "[messages]\npurge_to_percent = 80",
      "line 3, messages.purge_to_percent: found 80; allowed: less than purge_above_percent, which is 75",
    ],
  ])("refuses %j", (text, problem) => {
    expect(problemsOf(domainLine + text).join("\n")).toContain(problem);
  });

  it("says that the domain is missing, and what is wrong with a bad one", () => {
    expect(problemsOf("")).toEqual([
      "domain: it is missing; needed is a domain name in quotes, like “chat.example.org”",
    ]);
    expect(problemsOf('domain = "192.0.2.7"\n')[0]).toMatch(
      /^line 1, domain: “192\.0\.2\.7” .* it is an IP address/,
    );
  });

  it.each([
    ["local_part_min_lenght = 9", "did you mean “local_part_min_length”?"],
    ["localPartMinLength = 9", "did you mean “local_part_min_length”?"],
    ["burst = 3", "there is no such setting in [accounts]; it belongs into [sending]"],
    ['contact = "x"', "it belongs at the top of the file, before the first [section]"],
    [
      "colour = 3",
      "known in [accounts] are: local_part_min_length, local_part_max_length, password_min_length",
    ],
  ])("answers the unknown key of %j with the way out", (line, advice) => {
    const [problem, ...more] = problemsOf(`${domainLine}[accounts]\n${line}\n`);
    expect(more).toEqual([]);
    expect(problem).toMatch(/^line 3, accounts\./);
    expect(problem).toContain(advice);
  });

  it("knows sections by name too", () => {
    expect(problemsOf(`${domainLine}[account]\n`)[0]).toBe(
      "line 2, account: there is no such setting; did you mean “accounts”?",
    );
    expect(problemsOf(`${domainLine}burst = 3\n`)[0]).toContain("it belongs into [sending]");
  });

  it("does not take keys of JavaScript objects for settings", () => {
    for (const key of ["toString", "hasOwnProperty"]) {
      expect(problemsOf(`${domainLine}${key} = 1\n`)[0]).toContain("there is no such setting");
    }
    expect(problemsOf(`${domainLine}__proto__ = 1\n`).join()).toContain("line 2");
  });

  it("lists all problems in the order of the lines", () => {
    const problems = problemsOf("[sending]\nburst = 0\n[puhs]\n[accounts]\npassword_min_length = 0\n");
    expect(problems.map((problem) => problem.split(":")[0])).toEqual([
      "domain",
      "line 2, sending.burst",
      "line 3, puhs",
      "line 5, accounts.password_min_length",
    ]);
  });

  it("finds the line of a value that spans lines, and is not misled by text that looks like a setting", () => {
    const text = `${domainLine}contact = """\nburst = 1\n"""\n\n# burst = 2\n[sending]\n\nburst = 0\n`;
    expect(problemsOf(text).map((problem) => problem.split(":")[0])).toEqual([
      "line 2, contact",
      "line 9, sending.burst",
    ]);
  });

  it("counts lines the same with Windows line ends", () => {
    const text = `${domainLine}\n[accounts]\n# comment\n\npassword_min_length = 0\n`;
    expect(problemsOf(text)[0]).toMatch(/^line 6, accounts\.password_min_length/);
    expect(problemsOf(text.replaceAll("\n", "\r\n"))).toEqual(problemsOf(text));
  });

  it.each([
    ["blank lines", "\n".repeat(60_000), 60_002],
    ["comments", "#\n".repeat(30_000), 30_002],
    ["unknown keys", Array.from({ length: 6000 }, (_, index) => `k${index} = 1\n`).join(""), 2],
  ])("explains a file full of %s at once", (_, filling, line) => {
    const before = process.cpuUsage();
    expect(problemsOf(`${domainLine}${filling}x = 1\n`)[0]).toMatch(new RegExp(`^line ${line}, `));
    const { user, system } = process.cpuUsage(before);
    // It takes some hundredths of a second of the processor; asking the parser line by line took 20 seconds.
    expect((user + system) / 1e6).toBeLessThan(5);
  });

  it("shows line, column and text of what is not TOML", () => {
    const problems = problemsOf(`${domainLine}contact = = 4\n`);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^line 2, column 11: not valid TOML, .*\n.*2: {2}contact = = 4/s);
    expect(problemsOf(`${domainLine}${domainLine}`)[0]).toMatch(/^line 2, column \d+: /);
  });

  it("refuses a file that is far too long", () => {
    expect(problemsOf(`#${"x".repeat(70_000)}`)[0]).toContain("at most 65536 are allowed");
  });

  it("cuts long values in its texts", () => {
    expect(problemsOf(`${domainLine}contact = "${"x".repeat(300)}"`)[0]?.length).toBeLessThan(200);
  });
});

describe("renderRelayToml", () => {
  it("shows every setting, each with one comment line, and parses back to the defaults", () => {
    const text = renderRelayToml("chat.example.org");
    expect(parseRelayConfig(text, "relay.toml")).toEqual(defaults);
    const lines = text.split("\n");
    const settings = lines.flatMap((line, index) => (/^[a-z0-9_]+ = /.test(line) ? [index] : []));
    const values = Object.values(defaults).flatMap((value) =>
      typeof value === "object" ? Object.values(value) : [value],
    );
    expect(settings).toHaveLength(values.length);
    for (const index of settings) {
      expect(lines[index - 1]).toMatch(/^# .+/);
      expect(lines[index - 2], `before line ${index - 1}`).not.toMatch(/^# /);
    }
  });

  it("fits a terminal of 120 columns", () => {
    for (const line of renderRelayToml("chat.example.org").split("\n"))
      expect(line.length).toBeLessThanOrEqual(120);
  });

  it("says of exactly those settings that no program reads that they do nothing in this version", async () => {
    const text = renderRelayToml("chat.example.org");
    const silent = [...text.matchAll(/^# .* in this version\)\.\n([a-z_]+) = /gm)].map(([, key]) => key);
    const programs = await sourcesOf("appliance", "services");
    const keys = Object.entries(defaults).flatMap(([key, value]) =>
      typeof value === "object" ? Object.keys(value) : [key],
    );
    const unread = keys
      // With a colon behind it a name is written, not read.
      .filter((key) => !new RegExp(`\\b${key}\\b(?!:)`).test(programs))
      .map((key) => key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
    expect(silent.toSorted()).toEqual(unread.toSorted());
  });

  it("writes what differs from the defaults", () => {
    const key = ed25519PublicKeyLine("me@laptop");
    const text = renderRelayToml("_A.test", {
      signUp: { mode: "closed" },
      ssh: { authorizedKeys: [key, key] },
    });
    const config = parseRelayConfig(text, "relay.toml");
    expect(config).toEqual({
      ...defaults,
      domain: "_a.test",
      signUp: { ...defaults.signUp, mode: "closed" },
      ssh: { authorizedKeys: [key, key] },
    });
  });

  it("parses back any link and any number it is given", () => {
    fc.assert(
      fc.property(
        fc
          .string({ unit: "binary", maxLength: 100 })
          .filter((text) => /^[^\p{C}#]*$/u.test(text) && text.length <= 180),
        fc.integer({ min: 65_536, max: 200_000_000 }),
        fc.double({ min: 0.1, max: 1000, noNaN: true }),
        (path, maxMessageBytes, maxLoadAverage) => {
          const contact = `https://a.example/${path}`;
          const overrides = { contact, messages: { maxMessageBytes }, signUp: { maxLoadAverage } };
          const config = parseRelayConfig(renderRelayToml("a.example", overrides), "relay.toml");
          expect(config.contact).toBe(contact);
          expect(config.messages.maxMessageBytes).toBe(maxMessageBytes);
          expect(config.signUp.maxLoadAverage).toBe(maxLoadAverage);
        },
      ),
    );
  });

  it("refuses wrong values and domains before anything is written", () => {
    expect(() => renderRelayToml("localhost")).toThrow(DomainError);
    expect(() => renderRelayToml("a.example", { sending: { burst: 0 } })).toThrow(
      "sending.burst: found 0; allowed: a whole number from 1 to 100000",
    );
  });
});

describe("relayFilePaths", () => {
  it("names the DKIM key after its selector", () => {
    expect(relayFilePaths(defaults).dkimKey).toBe("keys/dkim-homing1.pem");
  });
});
