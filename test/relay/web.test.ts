/** The web pages of a running relay, through its doors: port 80 and, by way of services/mux, port 443. */
import { once } from "node:events";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { get as httpGet, type IncomingMessage } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { get as httpsGet } from "node:https";
import { join } from "node:path";
import { expect, it } from "vitest";
import { mtaStsPolicy } from "../../appliance/dns/records.ts";
import { addClientAddresses } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { waitFor } from "../support/wait.ts";

/** From the end of a restart, when ports answer, to what the pages say. */
const PAGES_TIMEOUT = 30_000;
/** They are written every 15 seconds. */
const COUNTERS_TIMEOUT = 45_000;

describeRelays("the web pages of a relay", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");

  async function read(response: IncomingMessage) {
    const pieces: Buffer[] = [];
    for await (const piece of response) pieces.push(piece as Buffer);
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces).toString() };
  }

  async function fetchPage(
    path: string,
    {
      host = "_a.test",
      secure = true,
      language = "en",
      localAddress,
    }: { host?: string; secure?: boolean; language?: string; localAddress?: string } = {},
  ) {
    const options = {
      host: relay().address,
      path,
      headers: { host, "accept-language": language },
      // Addresses have no certificate; that of a test relay is its own.
      servername: host,
      rejectUnauthorized: false,
      agent: false as const,
      ...(localAddress !== undefined && { localAddress }),
    };
    const [response] = (await once(secure ? httpsGet(options) : httpGet(options), "response")) as [
      IncomingMessage,
    ];
    return read(response);
  }

  it("are there over HTTPS, in the reader's language", async () => {
    const page = await fetchPage("/");
    expect(page.status).toBe(200);
    expect(page.body).toContain('href="dcaccount:https://_a.test/new"');
    // A browser that was told so would refuse the self-signed certificate for good.
    expect(page.headers["strict-transport-security"]).toBeUndefined();
    expect((await fetchPage("/privacy", { language: "de" })).body).toContain("<h1>Datenschutz</h1>");
    expect((await fetchPage("/logo.svg")).headers["content-type"]).toBe("image/svg+xml");
  });

  it("are there over HTTP/2", async () => {
    const session = connectHttp2(`https://${relay().address}`, {
      servername: "_a.test",
      rejectUnauthorized: false,
    });
    const stream = session.request({ ":path": "/en/info", ":authority": "_a.test" });
    let body = "";
    for await (const piece of stream.setEncoding("utf8")) body += piece;
    session.close();
    expect(body).toContain("<h1>About this relay</h1>");
  });

  it("are reached from port 80 and from the other names", async () => {
    const moved = { status: 301, headers: { location: "https://_a.test/info" } };
    expect(await fetchPage("/info", { secure: false })).toMatchObject(moved);
    expect(await fetchPage("/info", { secure: false, host: "www._a.test" })).toMatchObject(moved);
    expect(await fetchPage("/info", { host: "www._a.test" })).toMatchObject(moved);
  });

  it("come with what programs look for", async () => {
    const policy = await fetchPage("/.well-known/mta-sts.txt", { host: "mta-sts._a.test" });
    expect(policy.body).toBe(mtaStsPolicy("_a.test"));
    const config = await fetchPage("/.well-known/autoconfig/mail/config-v1.1.xml");
    expect(config.body.match(/<port>\d+/g)).toEqual(
      ["993", "143", "443", "465", "587", "443"].map((port) => `<port>${port}`),
    );
    const challenge = "x".repeat(43);
    await relay().exec(`echo ${challenge}.thumb > /run/homing/acme-challenge/${challenge}`);
    const answer = await fetchPage(`/.well-known/acme-challenge/${challenge}`, { secure: false });
    expect(answer.body).toBe(`${challenge}.thumb\n`);
  });

  it("leave no trace of who looked at them", async () => {
    // An address that nobody else in this ring asks from: the log may name those of the network for other reasons.
    const [localAddress = ""] = await addClientAddresses(1);
    await fetchPage("/en/info?looked-for", { localAddress });
    await fetchPage("/info", { localAddress, secure: false });
    await fetchPage("/nowhere-at-all", { localAddress });
    const journal = await relay().journal();
    expect(journal).not.toMatch(/looked-for|nowhere-at-all/);
    expect(localAddress).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(journal).not.toContain(localAddress);
    const counted = () => relay().exec("cat /run/homing/metrics/web.prom", { anyExitCode: true });
    await waitFor("the counters", COUNTERS_TIMEOUT, async () =>
      /homing_web_answers_total\{status="404"\} \d/.test((await counted()).stdout),
    );
    expect((await counted()).stdout).not.toContain(localAddress);
  });

  it("are the operator's own after the relay folder brought them", async () => {
    const folder = join(ring.network().folder, "_a.test", "relay");
    await mkdir(join(folder, "web", "en"), { recursive: true });
    await writeFile(join(folder, "web", "en", "rules.md"), "# Rules of {{domain}}\n\nBe kind.\n");
    await writeFile(join(folder, "web", "theme.css"), ":root { --paper: pink }\n");
    await cp(folder, join(relay().bootFolder, "relay"), { recursive: true });
    await relay().restart();
    await waitFor(
      "the operator's page",
      PAGES_TIMEOUT,
      async () => (await fetchPage("/rules")).status === 200,
    );
    expect((await fetchPage("/rules")).body).toContain("<h1>Rules of _a.test</h1>");
    expect((await fetchPage("/theme.css")).body).toContain("pink");
    expect((await fetchPage("/en/")).body).toContain('<a href="/en/rules">');
    // They stay over a restart.
    await relay().restart();
    expect((await fetchPage("/rules")).status).toBe(200);
    // The service sees the pages, and nothing else of the folder.
    const pid = (
      await relay().exec("systemctl show --property=MainPID --value homing-web.service")
    ).stdout.trim();
    for (const path of ["/data/relay", "/data/accounts", "/data/mail", "/boot"]) {
      const listed = await relay().exec(
        [
          "nsenter",
          "--target",
          pid,
          "--mount",
          "setpriv",
          "--reuid=homing-web",
          "--clear-groups",
          "ls",
          path,
        ],
        {
          anyExitCode: true,
        },
      );
      expect([path, listed.code === 0]).toEqual([path, false]);
    }
  });
});
