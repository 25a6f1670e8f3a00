/** Port 443: IMAP, submission and the web behind one door, for those whose network lets nothing else pass. */
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runPaths } from "../../appliance/layout.ts";
import { type Account, inventAccount, makeAccount } from "../support/accounts.ts";
import { type Client, createClient, secureJoin } from "../support/client.ts";
import { openImap } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { addClientAddresses, CLIENT_ADDRESS } from "../support/network.ts";
import { openRaw } from "../support/raw-connection.ts";
import { canConnect } from "../support/relay.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const PORT = 443;
const TIMEOUT = 60_000;
/** smtpd_client_connection_count_limit (appliance/files/postfix-main.ts). */
const MAX_SMTP_CONNECTIONS = 50;
/** mail_max_userip_connections (appliance/files/dovecot.ts). */
const MAX_ACCOUNT_CONNECTIONS = 20;

describeRelays("port 443", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const host = () => relay().address;
  let alice: Account;
  let elsewhere: string;

  beforeAll(async () => {
    [elsewhere] = (await addClientAddresses(1)) as [string];
    alice = await makeAccount(relay());
  });

  const counter = async (name: string) => {
    const text = (await relay().exec(`cat ${runPaths.metrics}/mux.prom`, { anyExitCode: true })).stdout;
    const line = text.split("\n").find((one) => one.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  };

  /** What the web answers to a request for its first page, by HTTP/1.1. */
  const firstPage = async (protocols?: string[]) => {
    await using raw = await openRaw({ host: host(), port: PORT });
    const tls = await raw.secure({ servername: "_a.test", ...(protocols && { ALPNProtocols: protocols }) });
    await raw.write("GET / HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    return { protocol: tls.alpnProtocol, answer: await raw.rest() };
  };

  it("leads to IMAP, which knows where the client is", async () => {
    await using session = await openImap(host(), PORT, { localAddress: elsewhere });
    expect(session.greeting).toMatch(/^\* OK \[CAPABILITY .*IMAP4rev1.*AUTH=PLAIN/);
    expect(await session.command(`LOGIN ${alice.address} ${alice.password}`)).toMatchObject({ status: "OK" });
    await waitFor("Dovecot logs the login", TIMEOUT, async () =>
      (await relay().logEntries(/imap-login: Logged in/)).some(
        ({ message }) => message.includes(`rip=${elsewhere},`) && message.includes(`lip=${host()}`),
      ),
    );
  });

  it("leads to submission, which knows where the client is and tells nobody", async () => {
    await using waiting = await openImap(host(), PORT);
    await waiting.command(`LOGIN ${alice.address} ${alice.password}`);
    await waiting.command("SELECT INBOX");
    const idle = await waiting.idle();
    const arrival = idle.next();
    await using session = await openSmtp({
      host: host(),
      port: PORT,
      implicitTls: true,
      localAddress: elsewhere,
    });
    expect(session.greeting).toMatchObject({ code: 220 });
    expect(session.extensions()).not.toContain("STARTTLS");
    expect((await session.command(`MAIL FROM:<${alice.address}>`)).code).toBeGreaterThanOrEqual(500);
    expect(await session.login(alice.address, alice.password)).toMatchObject({ code: 235 });
    const source = await encryptedMail({ from: alice.address, to: alice.address });
    const sent = await session.send({ from: alice.address, to: [alice.address], source });
    expect(sent).toMatchObject({ code: 250 });
    await arrival;
    await idle.done();
    const [delivered] = await waiting.fetchSources();
    expect(delivered).not.toContain(elsewhere);
    expect(await relay().journal("postfix.service")).toContain(`client=unknown[${elsewhere}]`);
  });

  it("tells Dovecot and Postfix addresses of IPv6 too", async () => {
    for (const [protocol, lastWords, answer] of [
      ["imap", "x LOGOUT", /^\* BYE/m],
      ["smtp", "quit", /^221 /m],
    ] as const) {
      const client = `timeout 20 openssl s_client -quiet -connect '[::1]:${PORT}' -alpn ${protocol}`;
      const heard = await relay().exec(`printf '${lastWords}\r\n' | ${client} 2>&1`, { anyExitCode: true });
      expect(heard.stdout).toMatch(answer);
    }
    const journal = await relay().journal();
    expect(journal).toMatch(/imap-login: .*rip=::1,/);
    expect(journal).toMatch(/postfix\/smtps\/smtpd\[\d+\]: connect from unknown\[::1\]/);
  });

  it.each([[undefined], [["http/1.1"]], [["h2", "http/1.1"]]])(
    "leads to the web with ALPN %j",
    async (protocols) => {
      if (protocols?.includes("h2")) {
        await using raw = await openRaw({ host: host(), port: PORT });
        expect((await raw.secure({ ALPNProtocols: protocols })).alpnProtocol).toBe("h2");
        return;
      }
      const { protocol, answer } = await firstPage(protocols);
      expect(protocol).toBe(protocols?.[0] ?? false);
      expect(answer).toMatch(/^HTTP\/1\.1 \d{3} /);
    },
  );

  it.each([
    ["HTTP", "GET / HTTP/1.1\r\nHost: _a.test\r\n\r\n"],
    ["a PROXY header of a stranger's own", "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"],
    ["one of version 2", `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c${"\x01".repeat(12)}\x16\x03\x01`],
    ["SMTP", "EHLO client.test\r\n"],
  ])("says nothing to %s", async (_what, bytes) => {
    await using raw = await openRaw({ host: host(), port: PORT });
    await raw.write(bytes);
    expect(await raw.rest()).toBe("");
  });

  describe("gives a crowd no more than the ports behind it", () => {
    it(`Postfix: ${MAX_SMTP_CONNECTIONS} connections of one address, and others theirs`, async () => {
      const crowd = await Promise.all(
        Array.from({ length: MAX_SMTP_CONNECTIONS + 5 }, () => submit(elsewhere).catch(() => undefined)),
      );
      expect(crowd.filter((session) => session?.greeting.code === 220)).toHaveLength(MAX_SMTP_CONNECTIONS);
      await using other = await submit(CLIENT_ADDRESS);
      expect(other.greeting.code).toBe(220);
      for (const session of crowd) await session?.[Symbol.asyncDispose]();
    });

    it(`Dovecot: ${MAX_ACCOUNT_CONNECTIONS} connections of an account from one address, and from another as well`, async () => {
      const bob = await makeAccount(relay());
      const login = async (localAddress: string) => {
        const session = await openImap(host(), PORT, { localAddress });
        return { session, status: (await session.command(`LOGIN ${bob.address} ${bob.password}`)).status };
      };
      const crowd = [];
      for (let i = 0; i < MAX_ACCOUNT_CONNECTIONS; i++) crowd.push(await login(elsewhere));
      expect(crowd.every(({ status }) => status === "OK")).toBe(true);
      const tooMany = await login(elsewhere);
      expect(tooMany.status).toBe("NO");
      const other = await login(CLIENT_ADDRESS);
      expect(other.status).toBe("OK");
      for (const { session } of [...crowd, tooMany, other]) await session[Symbol.asyncDispose]();
    });

    const submit = (localAddress: string) =>
      openSmtp({ host: host(), port: PORT, implicitTls: true, localAddress, ehlo: false });
  });

  it("takes every connection while its service starts anew", async () => {
    let isOver = false;
    let taken = 0;
    const knock = async () => {
      while (!isOver) {
        await new Promise<void>((resolve, reject) => {
          const socket = connectTls({
            host: host(),
            port: PORT,
            rejectUnauthorized: false,
            ALPNProtocols: ["imap"],
          });
          socket.once("error", reject);
          socket.once("data", () => {
            taken++;
            socket.destroy();
            resolve();
          });
        });
      }
    };
    const knocking = knock();
    await waitFor("the first is taken", TIMEOUT, () => taken > 3);
    const before = taken;
    await relay().exec("systemctl restart homing-mux.service");
    await waitFor("more are taken", TIMEOUT, () => taken > before + 3);
    isOver = true;
    await knocking;
  });

  it("closes at once when the server behind it is down, and goes on when it is back", async () => {
    await relay().exec("systemctl stop homing-web.socket homing-web.service");
    try {
      await expect(firstPage()).rejects.toThrow(/ended the connection|ECONNRESET|socket disconnected/);
      await using session = await openImap(host(), PORT);
      expect(session.greeting).toContain("* OK");
    } finally {
      await relay().exec("systemctl start homing-web.socket homing-web.service");
    }
    expect((await firstPage()).answer).toMatch(/^HTTP\/1\.1 \d{3} /);
    await waitFor("the log", TIMEOUT, async () =>
      (await relay().journal("homing-mux.service")).includes("answers again"),
    );
  });

  describe("for a Delta Chat core that finds every other port closed", () => {
    const others = [143, 465, 587, 993];
    let client: Client | undefined;
    beforeAll(async () => {
      await relay().exec(
        `nft insert rule inet homing input tcp dport { ${others.join(", ")} } reject with tcp reset`,
      );
      for (const port of others) expect(await canConnect(host(), port), `${port}`).toBe(false);
    });
    afterAll(async () => {
      await client?.[Symbol.asyncDispose]();
      await relay().exec("systemctl restart nftables.service");
    });

    it("is the way in, found by itself or named, and messages go through it", async () => {
      client = await createClient("behind-a-wall");
      const way = `ih=_a.test&ip=${PORT}&is=ssl&sh=_a.test&sp=${PORT}&ss=ssl`;
      const { address } = await client.onboard("dcaccount:_a.test");
      expect(await client.rpc.getConfig(client.accountId, "configured_addr")).toBe(address);
      await using friend = await createClient("friend");
      const their = inventAccount("_a.test");
      await friend.onboard(`dclogin:${their.address}?p=${their.password}&v=1&${way}`);
      const { inviterChat, joinerChat } = await secureJoin(client, friend);
      await client.sendText(inviterChat, "through the only door");
      await friend.waitForMessages(joinerChat, 1, ({ text }) => text === "through the only door");
    });
  });

  it("has counted what it did, and whom it did for nowhere", async () => {
    const down = 'homing_mux_refused_total{reason="back end down",backend="web"}';
    await waitFor("the counters", TIMEOUT, async () => (await counter(down)) >= 1);
    expect(await counter('homing_mux_connections_total{backend="imap"}')).toBeGreaterThan(1);
    expect(await counter('homing_mux_connections_total{backend="smtp"}')).toBeGreaterThan(0);
    const told =
      (await relay().exec(`cat ${runPaths.metrics}/mux.prom`)).stdout +
      (await relay().journal("homing-mux.service"));
    for (const address of [CLIENT_ADDRESS, elsewhere]) expect(told).not.toContain(address);
  });
});
