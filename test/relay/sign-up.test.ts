/** Friends get an account in one tap: real Delta Chat cores at `/new`, with and without invitations, and homing-ctl. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isDeepStrictEqual } from "node:util";
import { afterAll, expect, it } from "vitest";
import { relayRecords } from "../../appliance/dns/records.ts";
import { dataPaths, runPaths } from "../../appliance/layout.ts";
import { type Account, inventAccount, makeAccount } from "../support/accounts.ts";
import { type Client, createClient, secureJoin } from "../support/client.ts";
import { openImap, openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { startMailSink } from "../support/mail-sink.ts";
import { CLIENT_ADDRESS } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission, type SmtpSession } from "../support/smtp-session.ts";
import { THIRD_DOMAIN } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const TIMEOUT = 30_000;

type Answer = Readonly<{ status: number; headers: Readonly<Record<string, unknown>>; text: string }>;

describeRelays("sign-up over HTTPS", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const clients: Client[] = [];
  const client = async (name: string): Promise<Client> => {
    const made = await createClient(name);
    clients.push(made);
    return made;
  };
  afterAll(async () => {
    for (const one of clients) await one[Symbol.asyncDispose]();
  });

  const ctl = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { stdout } = await relay().exec(["homing-ctl", ...args, "--json"]);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const ask = async (method: string, path: string, language = "en"): Promise<Answer> => {
    const call = request({
      host: relay().address,
      servername: "_a.test",
      headers: { host: "_a.test", "accept-language": language, accept: "text/html" },
      rejectUnauthorized: false,
      agent: false,
      method,
      path,
    });
    call.end();
    const [response] = await once(call, "response");
    let text = "";
    for await (const piece of response) text += piece;
    return { status: response.statusCode, headers: response.headers, text };
  };
  const storedPassword = (address: string): string => {
    const path = join(relay().dataFolder, dataPaths.accounts.slice("/data/".length), "accounts.sqlite");
    const list = new DatabaseSync(path, { readOnly: true });
    try {
      return String(list.prepare("SELECT password FROM accounts WHERE address = ?").get(address)?.password);
    } finally {
      list.close();
    }
  };
  /** What a first login with a name of one's own comes to. */
  const login = async (): Promise<string> => {
    const { address, password } = inventAccount("_a.test");
    await using session = await openImap(relay().address);
    return (await session.command(`LOGIN ${address} ${password}`)).status;
  };

  let alice: Client;

  it("a core gets its account from /new, whose name and password the relay invented", async () => {
    alice = await client("alice");
    const { address } = await alice.onboard("dcaccount:https://_a.test/new");
    expect(address).toMatch(/^[a-z0-9]{9}@_a\.test$/);
    expect((await alice.rpc.getInfo(alice.accountId)).is_chatmail).toBe("true");
    expect(storedPassword(address)).toMatch(/^\$hmac-sha256\$/);
  });

  it("whoever opens /new in a browser is sent to the app", async () => {
    const { status, headers } = await ask("GET", "/new");
    expect(status).toBe(302);
    expect(headers.location).toBe("dcaccount:https://_a.test/new");
  });

  it("by invitation only: a core gets in with one, and a page shows it", async () => {
    expect(await ctl("sign-up", "invite")).toEqual({ mode: "invite", settings: "open" });
    const { token, link } = (await ctl("invite", "create", "--note", "Bob")) as Record<string, string>;
    expect(link).toBe(`https://_a.test/i/${token}`);
    // Looking at it uses nothing up.
    for (let i = 0; i < 3; i++) {
      const page = await ask("GET", `/i/${token}`);
      expect(page.status).toBe(200);
      expect(page.text).toContain(`dcaccount:https://_a.test/new?t=${token}`);
      expect(page.headers["cache-control"]).toBe("no-store");
    }
    const bob = await client("bob");
    await bob.onboard(`dcaccount:https://_a.test/new?t=${token}`);
    // Those who were there before go on.
    const { inviterChat, joinerChat } = await secureJoin(alice, bob);
    await alice.sendText(inviterChat, "welcome");
    await bob.waitForMessages(joinerChat, 1, (message) => message.text === "welcome");

    const late = await client("late");
    const refusal = await late.rpc
      .addTransportFromQr(late.accountId, `dcaccount:https://_a.test/new?t=${token}`)
      .then(
        () => "",
        (error: { message: string }) => error.message,
      );
    expect(refusal).toContain("This invitation was used already");
    const page = await ask("GET", `/i/${token}`, "de-AT,de;q=0.9");
    expect(page.status).toBe(410);
    expect(page.text).toContain("Diese Einladung wurde schon benutzt");
    const again = await ask("POST", `/new?t=${token}`, "de");
    expect(again.status).toBe(410);
    expect(JSON.parse(again.text).reason).toContain("Diese Einladung wurde schon benutzt");
  });

  it("without an invitation neither /new nor a login makes an account", async () => {
    const { status, text } = await ask("POST", "/new");
    expect(status).toBe(403);
    expect(JSON.parse(text).reason).toContain("invitation");
    expect(await login()).toBe("NO");
  });

  it("closed: nobody gets in, also after the service started anew, and those who have an account go on", async () => {
    const { token } = (await ctl("invite", "create")) as Record<string, string>;
    await ctl("sign-up", "closed");
    await relay().exec("systemctl restart homing-auth");
    expect(await ctl("sign-up")).toEqual({ mode: "closed", settings: "open" });
    expect((await ask("POST", `/new?t=${token}`)).status).toBe(403);
    expect((await ask("GET", `/i/${token}`)).status).toBe(403);
    expect(await login()).toBe("NO");
    const [transport] = await alice.rpc.listTransports(alice.accountId);
    await using session = await openImap(relay().address);
    expect((await session.command(`LOGIN ${transport!.addr} ${transport!.password}`)).status).toBe("OK");
    // The console says so at its next look.
    await relay().exec("systemctl start homing-status");
    expect((await relay().exec(["cat", runPaths.statusPage])).stdout).toContain("sign-up is closed");
  });

  it("open again: at once, and the invitation is unused", async () => {
    await ctl("sign-up", "open");
    expect(await login()).toBe("OK");
    expect((await ask("POST", "/new")).status).toBe(200);
    const invites = (await ctl("invite", "list")) as unknown as { usesLeft: number }[];
    expect(invites.map(({ usesLeft }) => usesLeft)).toEqual([0, 1]);
  });

  it("an account that the operator blocks ends at once: its sessions, its logins, its mail; until it is unblocked; deleted, it is gone", async () => {
    const [bob, carol] = [await makeAccount(relay()), await makeAccount(relay())];
    const openImapOf = ({ address, password }: Account) => openInbox(relay().address, address, password);
    const openSmtpOf = ({ address, password }: Account) => openSubmission(relay().address, address, password);
    const begin = async (session: SmtpSession, from: Account, to: Account) => {
      await session.command(`MAIL FROM:<${from.address}>`);
      return (await session.command(`RCPT TO:<${to.address}>`)).code;
    };
    const refusalAtPort25 = async (address: string) => {
      await using session = await openSmtp({ host: relay().address, port: 25 });
      await session.startTls();
      await session.command("MAIL FROM:<stranger@_c.test>");
      const { code, text } = await session.command(`RCPT TO:<${address}>`);
      return `${code} ${text.replaceAll(address, "")}`;
    };
    await using idling = await openImapOf(bob);
    await using sending = await openSmtpOf(bob);
    await using inChunks = await openSmtpOf(bob);
    await using others = await openSmtpOf(carol);
    const idleEnds = expect((await idling.idle()).next()).rejects.toThrow("closed");
    expect(await begin(sending, bob, carol)).toBe(250);
    expect(await begin(inChunks, bob, carol)).toBe(250);

    expect(await ctl("account", "block", bob.address)).toEqual({
      address: bob.address,
      state: "blocked",
      held: 0,
    });
    await idleEnds;
    expect(await sending.command("DATA")).toMatchObject({ code: 421 });
    // In chunks (RFC 3030).
    inChunks.write("BDAT 4 LAST\r\nA: b");
    expect(await inChunks.reply()).toMatchObject({ code: 421 });
    expect(await begin(others, carol, carol)).toBe(250);
    expect(await others.command("DATA")).toMatchObject({ code: 354 });
    // The same words as for a wrong password, but the log says why.
    await expect(openImapOf(bob)).rejects.toThrow("NO [AUTHENTICATIONFAILED]");
    expect(await relay().logEntries(new RegExp(`user disabled.*user=<${bob.address}>`))).toHaveLength(1);
    expect(await refusalAtPort25(bob.address)).toBe(await refusalAtPort25("nobody123@_a.test"));
    const shown = await ctl("account", "show", bob.address);
    expect(shown).toMatchObject({ address: bob.address, state: "blocked", messages: 0, sessions: 0 });
    expect(shown.lastLoginDay).toBe(shown.createdDay);

    expect(await ctl("account", "unblock", bob.address)).toEqual({
      address: bob.address,
      state: "active",
      released: 0,
    });
    await using again = await openImapOf(bob);
    expect(await refusalAtPort25(bob.address)).toMatch(/^250 /);

    const mailbox = join(relay().dataFolder, "mail", bob.address);
    expect(existsSync(mailbox)).toBe(true);
    expect(await ctl("account", "delete", bob.address, "--yes")).toEqual({
      address: bob.address,
      state: "deleted",
    });
    expect(existsSync(mailbox)).toBe(false);
    await expect(again.command("NOOP")).rejects.toThrow("closed");
    // Whoever comes next gets a new one of that name.
    await using _next = await openImapOf({ ...bob, password: "another-password" });
  });

  it("what a blocked account sent before stays here until it is unblocked, or goes with the account", async () => {
    const [bob, carol] = [await makeAccount(relay()), await makeAccount(relay())];
    const send = async ({ address, password }: Account, to: string) => {
      await using session = await openSubmission(relay().address, address, password);
      const source = await encryptedMail({ from: address, to });
      expect(await session.send({ from: address, to: [to], source })).toMatchObject({ code: 250 });
    };
    /** Queue and sender of what waits. */
    const waiting = async () =>
      (await relay().exec(["postqueue", "-j"])).stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as { queue_name: string; sender: string })
        .map(({ queue_name, sender }) => `${queue_name} ${sender === bob.address ? "bob" : "carol"}`)
        .sort();
    const becomes = (...expected: string[]) =>
      waitFor(`the queue holds ${expected}`, TIMEOUT, async () =>
        isDeepStrictEqual(await waiting(), expected),
      );

    // Its mail server does not run yet.
    await ring
      .network()
      .publish(relayRecords({ domain: THIRD_DOMAIN, dkim: [], addresses: [CLIENT_ADDRESS] }));
    await send(bob, `x@${THIRD_DOMAIN}`);
    await send(carol, `x@${THIRD_DOMAIN}`);
    await becomes("deferred bob", "deferred carol");
    expect(await ctl("account", "block", bob.address)).toMatchObject({ state: "blocked", held: 1 });
    await becomes("deferred carol", "hold bob");
    {
      await using sink = await startMailSink(CLIENT_ADDRESS, THIRD_DOMAIN);
      await relay().exec(["postqueue", "-f"]);
      await becomes("hold bob");
      expect(sink.received().map(({ from }) => from)).toEqual([carol.address]);
      expect(await ctl("account", "unblock", bob.address)).toMatchObject({ state: "active", released: 1 });
      await relay().exec(["postqueue", "-f"]);
      await sink.waitForMail("what bob sent", ({ from }) => from === bob.address);
      await becomes();
    }
    await send(bob, `x@${THIRD_DOMAIN}`);
    await becomes("deferred bob");
    await ctl("account", "delete", bob.address, "--yes");
    await becomes();
  });

  it("root alone speaks to the control socket, the web service alone to that for sign-up", async () => {
    const { stdout } = await relay().exec([
      "stat",
      "--format",
      "%a %U %G",
      runPaths.controlSocket,
      runPaths.signUpSocket,
    ]);
    expect(stdout.trim().split("\n")).toEqual(["600 root root", "660 root homing-web"]);
    const asNobody = await relay()
      .exec(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "homing-ctl", "sign-up"])
      .then(() => "", String);
    expect(asNobody).toContain("only root may do this");
  });
});
