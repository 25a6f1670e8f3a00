/** The web service as a whole, on loopback: what a browser, a mail program or a certificate authority gets. */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { webDefaultsFolder } from "../../../appliance/web-defaults.ts";
import { type Counters, createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import type { RequestHead } from "../../../services/web/exchange.ts";
import { startWebService } from "../../../services/web/service.ts";
import { createSite } from "../../../services/web/site.ts";
import { waitFor } from "../../support/wait.ts";
import { proxyHeader, readToEnd } from "./running-front.ts";

const domain = "chat.example.org";

let folder: string;
let httpPort: number;
let stop: () => Promise<void>;
const log: string[] = [];
let counters: Counters;
const nowhere = createLog(() => {});

async function writeCertificate(): Promise<void> {
  const keyPem = await keyOnce;
  const pem = await selfSignedCertificate({ domain, keyPem, now: new Date() });
  await writeFile(join(folder, "tls", "new"), pem);
  await rename(join(folder, "tls", "new"), join(folder, "tls", "certificate.pem"));
}
const keyOnce = Promise.resolve(
  generateKeyPairSync("ec", { namedCurve: "P-256" })
    .privateKey.export({ type: "pkcs8", format: "pem" })
    .toString(),
);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-web-"));
  for (const name of ["tls", "acme", "pages/de"]) await mkdir(join(folder, name), { recursive: true });
  const settings = `domain = "${domain}"\ncontact = "op@example.org"\n`;
  await writeFile(join(folder, "relay.json"), JSON.stringify(parseRelayConfig(settings, "relay.toml")));
  await writeFile(join(folder, "key.pem"), await keyOnce);
  await writeFile(join(folder, "pages", "theme.css"), ":root { --paper: pink }");
  await writeFile(join(folder, "pages", "de", "home.md"), "# Eigene Seite von {{domain}}\n\n{{nonsense}}");
  await writeCertificate();
  counters = createCounters({ path: join(folder, "web.prom"), log: createLog((line) => log.push(line)) });
  const { front, stop: steps } = await start("web.sock", "pages", counters);
  httpPort = (front.http.address() as { port: number }).port;
  stop = async () => {
    for (const step of steps) await step.run();
  };
});
afterAll(async () => {
  await stop();
  await rm(folder, { recursive: true });
});

/** The service with the operator's pages of that folder. */
function start(
  socket: string,
  pages: string,
  counted = createCounters({ path: join(folder, `${socket}.prom`), log: nowhere }),
) {
  return startWebService({
    settingsPath: join(folder, "relay.json"),
    certificate: { chain: join(folder, "tls", "certificate.pem"), key: join(folder, "key.pem") },
    acmeChallenges: join(folder, "acme"),
    mail: { host: "127.0.0.1", port: 10024 },
    acceptedMail: join(folder, "accepted"),
    pages: [webDefaultsFolder, join(folder, pages)],
    signUpSocket: join(folder, "nobody-listens"),
    status: { facts: join(folder, "status.json"), canary: join(folder, "verdict.json") },
    listen: {
      http: { name: "http", host: "127.0.0.1", port: 0 },
      tls: { name: "web", path: join(folder, socket) },
    },
    counters: counted,
    log: createLog((line) => log.push(line)),
  });
}

async function secure() {
  const raw = connect(join(folder, "web.sock"));
  raw.write(proxyHeader);
  const socket = tlsConnect({ socket: raw, servername: domain, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return socket;
}

async function ask(host: string, path: string, fields: readonly string[] = [], plain = false) {
  const socket = plain ? connect(httpPort, "127.0.0.1") : await secure();
  socket.write(
    [`GET ${path} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...fields, "", ""].join("\r\n"),
  );
  const [head = "", ...body] = Buffer.from(await readToEnd(socket), "latin1")
    .toString()
    .split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), head, body: body.join("\r\n\r\n") };
}

describe("the pages", () => {
  it("come in the reader's language, and in the one that the address names", async () => {
    const english = await ask(domain, "/info");
    expect(english.head).toMatch(/content-language: en\r\n/);
    expect(english.head).toMatch(/vary: accept-language\r\n/);
    expect(english.body).toContain("About this relay");
    expect((await ask(domain, "/info", ["Accept-Language: fr, de-AT;q=0.8, en;q=0.5"])).body).toContain(
      "Über dieses Relay",
    );
    const german = await ask(domain, "/de/privacy", ["Accept-Language: en"]);
    expect(german.body).toMatch(/<html lang="de">/);
    expect(german.body).toContain('href="/de/info"');
  });

  it("take the operator's files over their own, file by file, and say what is wrong with them", async () => {
    expect((await ask(domain, "/de/")).body).toMatch(
      /<h1>Eigene Seite von chat\.example\.org<\/h1>\s*<p>\{\{nonsense\}\}/,
    );
    expect((await ask(domain, "/theme.css")).body).toBe(":root { --paper: pink }");
    expect((await ask(domain, "/en/")).body).toContain("Chat with the people you like");
    expect(log.join("")).toContain("de/home.md: there is no {{nonsense}}");
  });

  it("are the usual ones when none can be made of the operator's", async () => {
    await mkdir(join(folder, "broken"));
    await writeFile(join(folder, "broken", "layout.html"), "");
    const { front, stop: steps } = await start("second.sock", "broken");
    expect(front.http.listening).toBe(true);
    for (const step of steps) await step.run();
    expect(log.join("")).toMatch(/operator's pages cannot be shown, showing the usual ones.*layout\.html/);
  });

  it.each([
    ["stand where the service itself answers", "own-paths"],
    ["are for a language that is none", "no-language"],
    ["cannot be read", "no-folder"],
  ])("keep nothing from starting when the operator's %s", async (_what, pages) => {
    const files = {
      "own-paths/security.txt": "mine",
      "own-paths/en/new.md": "mine",
      "own-paths/en/mxdeliv.md": "mine",
      "own-paths/new/home.md": "mine",
      "no-language/en-v2/home.md": "mine",
      "no-folder": "a file",
    };
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
    const { front, stop: steps } = await start(`${pages}.sock`, pages);
    expect(front.http.listening).toBe(true);
    for (const step of steps) await step.run();
  });

  it("never stand where a program answers", () => {
    const of = (status: number) => ({ GET: () => ({ status }) });
    const site = createSite({
      domain,
      everywhere: {},
      mtaSts: {},
      relay: [{ "/new": of(201) }],
      pages: { "/new": of(200), "/rules": of(200) },
    });
    const statusAt = (path: string) => {
      const head = { host: domain, isSecure: true, method: "GET", path } as RequestHead;
      return (site.find(head).handler as unknown as () => { status: number })().status;
    };
    expect([statusAt("/new"), statusAt("/rules")]).toEqual([201, 200]);
  });

  it("are kept by browsers as long as they stay the same", async () => {
    const first = await ask(domain, "/en/");
    const tag = /etag: (".*?")/.exec(first.head)?.[1];
    const again = await ask(domain, "/en/", [`If-None-Match: "x", W/${tag}`]);
    expect(again).toMatchObject({ status: 304, body: "" });
    const style = /href="(\/style\.css\?v=[^"]+)"/.exec(first.body)?.[1];
    expect((await ask(domain, style!)).head).toMatch(/cache-control: public, max-age=31536000, immutable/);
    expect((await ask(domain, "/style.css?v=other")).head).toMatch(/cache-control: no-cache/);
  });

  it("say how much has room and whom to ask, from the settings", async () => {
    const { body } = await ask(domain, "/en/");
    expect(body).toContain("31\u00a0MB");
    expect(body).toContain('href="mailto:op@example.org"');
    expect(body).toContain('href="dcaccount:https://chat.example.org/new"');
  });

  it("help whoever went astray, in their language", async () => {
    const lost = await ask(domain, "/de/nirgends", ["Accept: text/html,*/*"]);
    expect(lost.status).toBe(404);
    expect(lost.body).toContain("Hier ist nichts");
    const program = await ask(domain, "/nowhere");
    expect(program.head).toMatch(/content-type: text\/plain/);
  });

  it("let nothing in from elsewhere, and are shown in no frame", async () => {
    const { head, body } = await ask(domain, "/");
    expect(head).toMatch(/content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'/);
    expect(head).toMatch(/frame-ancestors 'none'/);
    expect(head).toMatch(/strict-transport-security: max-age=31536000\r\n/);
    expect(head).not.toMatch(/set-cookie|server:/i);
    expect(body).not.toMatch(/<[^>]+\s(?:src|style|on\w+)="(?!\/)/);
  });
});

describe("what programs look for", () => {
  it("is the settings of mail programs, with the ports in their order", async () => {
    const path = "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=x@y";
    const { status, head, body } = await ask(domain, path);
    expect(status).toBe(200);
    expect(head).toMatch(/content-type: application\/xml/);
    const ports = [...body.matchAll(/<port>(\d+)<\/port>\s*<socketType>(\w+)</g)].map(
      ([, port, kind]) => `${port} ${kind}`,
    );
    expect(ports).toEqual(["993 SSL", "143 STARTTLS", "443 SSL", "465 SSL", "587 STARTTLS", "443 SSL"]);
  });

  it("is at no name that has no record in the DNS", async () => {
    const { status, head } = await ask(`autoconfig.${domain}`, "/mail/config-v1.1.xml", [], true);
    expect(status).toBe(307);
    expect(head).toContain(`location: https://${domain}/mail/config-v1.1.xml\r\n`);
    expect((await ask(domain, "/mail/config-v1.1.xml")).status).toBe(404);
  });

  it("is the TLS policy for mail, at its own name and over TLS alone", async () => {
    const policy = await ask(`mta-sts.${domain}`, "/.well-known/mta-sts.txt");
    expect(policy.body).toBe(`version: STSv1\r\nmode: enforce\r\nmx: ${domain}\r\nmax_age: 2419200\r\n`);
    expect(policy.head).toMatch(/content-type: text\/plain/);
    const plain = await ask(`mta-sts.${domain}`, "/.well-known/mta-sts.txt", [], true);
    expect(plain.head).toMatch(
      /^HTTP\/1.1 301 .*location: https:\/\/mta-sts\.chat\.example\.org\/\.well-known\/mta-sts\.txt\r\n/s,
    );
    expect((await ask(`mta-sts.${domain}`, "/")).status).toBe(404);
    expect((await ask(domain, "/.well-known/mta-sts.txt")).status).toBe(404);
  });

  it("is whom to tell of a weakness, for some time to come", async () => {
    const { body } = await ask(domain, "/.well-known/security.txt");
    expect(body).toMatch(
      /^Contact: mailto:op@example\.org\nExpires: .*\nCanonical: https:\/\/chat\.example\.org\//,
    );
    const expires = Date.parse(/Expires: (.*)/.exec(body)![1]!);
    expect(expires - Date.now()).toBeGreaterThan(170 * 86_400_000);
    expect(expires - Date.now()).toBeLessThan(365 * 86_400_000);
  });

  it("is what crawlers may visit", async () => {
    expect((await ask(domain, "/robots.txt")).body).toMatch(/^User-agent: \*\nDisallow: \/i\/\n/);
  });
});

describe("what is counted", () => {
  it("is answers by their status, and nobody's address", async () => {
    const count = (status: number) =>
      Number(
        new RegExp(`homing_web_answers_total\\{status="${status}"\\} (\\d+)`).exec(counters.text())?.[1] ?? 0,
      );
    const before = [count(200), count(404)];
    await ask(domain, "/info");
    await ask(domain, "/nowhere");
    expect([count(200), count(404)]).toEqual(before.map((one) => one + 1));
    expect(counters.text()).not.toContain("192.0.2.7");
  });
});

describe("names and ports", () => {
  it("lead to the relay's own name and to TLS", async () => {
    const location = async (host: string, plain: boolean) => {
      const { status, head } = await ask(host, "/info", [], plain);
      return [status, /location: (.*)\r/.exec(head)?.[1]];
    };
    const target = [301, `https://${domain}/info`];
    expect(await location(`www.${domain}`, false)).toEqual(target);
    expect(await location(`www.${domain}`, true)).toEqual(target);
    expect(await location(domain, true)).toEqual(target);
    // A trial on this computer has neither name nor port of its own.
    expect((await ask("127.0.0.1:8443", "/info")).status).toBe(200);
  });
});

describe("challenges of a certificate authority", () => {
  const token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

  it("are answered from their folder, over plain HTTP, at every name", async () => {
    await writeFile(join(folder, "acme", token), `${token}.thumb`);
    for (const host of [domain, `www.${domain}`, `mta-sts.${domain}`, "192.0.2.1"]) {
      const { status, body } = await ask(host, `/.well-known/acme-challenge/${token}`, [], true);
      expect([status, body]).toEqual([200, `${token}.thumb`]);
    }
  });

  it("lead to no other file", async () => {
    await writeFile(join(folder, "acme", "secret"), "too short a name");
    await symlink(join(folder, "key.pem"), join(folder, "acme", "a".repeat(30)));
    for (const path of [
      "../key.pem",
      "..%2fkey.pem",
      "%2e%2e/key.pem",
      "..%5ckey.pem",
      "secret",
      `${token}%00`,
      `${token}/`,
      `${token}/..`,
      `./${token}`,
      `${"a".repeat(30)}`,
      "",
    ]) {
      const { status, body } = await ask(domain, `/.well-known/acme-challenge/${path}`, [], true);
      expect([path, body.includes("PRIVATE")]).toEqual([path, false]);
      expect(status, path).not.toBe(200);
    }
  });
});

describe("TLS", () => {
  async function shake(options: ConnectionOptions): Promise<string> {
    const raw = connect(join(folder, "web.sock"));
    raw.write(proxyHeader);
    const socket = tlsConnect({ socket: raw, servername: domain, rejectUnauthorized: false, ...options });
    const outcome = Promise.withResolvers<string>();
    socket.once("secureConnect", () => outcome.resolve(`${socket.getProtocol()} ${socket.alpnProtocol}`));
    socket.once("error", (error: NodeJS.ErrnoException) => outcome.resolve(error.code ?? error.message));
    socket.once("close", () => outcome.resolve("closed"));
    const result = await outcome.promise;
    raw.destroy();
    return result;
  }
  const old = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;

  it("speaks 1.3 and 1.2, and HTTP/2 to those who can", async () => {
    expect(await shake({ ALPNProtocols: ["h2", "http/1.1"] })).toBe("TLSv1.3 h2");
    expect(await shake({ ...old, ALPNProtocols: ["http/1.1", "h2"] })).toBe("TLSv1.2 h2");
    expect(await shake({ ALPNProtocols: ["http/1.1"] })).toBe("TLSv1.3 http/1.1");
    // Delta Chat says nothing of it.
    expect(await shake({})).toBe("TLSv1.3 false");
  });

  it.each([
    ["an older version", { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" } as const],
    ["a suite without authenticated encryption", { ...old, ciphers: "ECDHE-ECDSA-AES128-SHA256" }],
    ["a suite without fresh keys", { ...old, ciphers: "AES128-GCM-SHA256" }],
    ["no protocol of ours", { ALPNProtocols: ["spdy/1"] }],
  ])("refuses %s", async (_what, options) => {
    expect(await shake(options)).toMatch(/ALERT|closed|ECONNRESET/);
  });
});

describe("a new certificate", () => {
  it("is shown to those who connect from then on, while others go on", async () => {
    const old = await secure();
    const before = old.getPeerX509Certificate()!.fingerprint256;
    await writeCertificate();
    await waitFor("the new certificate", 5_000, async () => {
      const socket = await secure();
      const now = socket.getPeerX509Certificate()!.fingerprint256;
      socket.destroy();
      return now !== before;
    });
    old.write(`GET /info HTTP/1.1\r\nHost: ${domain}\r\nConnection: close\r\n\r\n`);
    expect(await readToEnd(old)).toMatch(/^HTTP\/1.1 200 OK/);
  });

  it("that is broken is not shown, and the log says so", async () => {
    await writeFile(join(folder, "tls", "new"), "nothing");
    await rename(join(folder, "tls", "new"), join(folder, "tls", "certificate.pem"));
    await waitFor("the log", 5_000, async () => log.join("").includes("the new certificate cannot be used"));
    expect((await ask(domain, "/info")).status).toBe(200);
  });
});
