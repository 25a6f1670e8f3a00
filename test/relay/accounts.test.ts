/**
 * Logins through the real Dovecot and Postfix: what SASL may carry, what guessing leads to, and who on the
 * relay itself may ask the account service.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeAll, describe, expect, it } from "vitest";
import { authListen, nodeBinary, runPaths } from "../../appliance/layout.ts";
import { type Account, inventAccount, makeAccount } from "../support/accounts.ts";
import { openImap } from "../support/imap-session.ts";
import { addClientAddresses } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, type SmtpSession } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

/** More than the service looks at from one address for one account (services/auth/guess-limits.ts). */
const GUESSES = 14;
/** First logins at once, again and again, from one address. */
const FLOOD_CONNECTIONS = 60;
/** Wrong passwords under way at once: Dovecot's workers ask 30 at a time, so this is more than strangers can do. */
const FLOOD_QUESTIONS = 200;
/** The longest that a flood may last, in milliseconds. */
const FLOOD_LIMIT = 20_000;
/** Of a processor, what the account service gets: a hash then takes as long as on the smallest Pi, or longer. */
const SLOW_PROCESSOR = "20%";
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const encode = (text: string | Uint8Array) => Buffer.from(text).toString("base64");

describeRelays("accounts", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  let alice: Account;
  let ownersAddress: string;
  let guessersAddress: string;
  let neighboursAddress: string;

  beforeAll(async () => {
    [ownersAddress, guessersAddress, neighboursAddress] = (await addClientAddresses(3)) as [
      string,
      string,
      string,
    ];
    alice = await makeAccount(relay());
  });

  const submission = (localAddress?: string): Promise<SmtpSession> =>
    openSmtp({
      host: relay().address,
      port: 465,
      implicitTls: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });

  /** AUTH LOGIN: the code of the last answer. */
  const authLogin = async (session: SmtpSession, ...answers: string[]): Promise<number> => {
    let reply = await session.command("AUTH LOGIN");
    for (const answer of answers) {
      if (reply.code !== 334) break;
      reply = await session.command(answer);
    }
    return reply.code;
  };

  /** AUTHENTICATE (RFC 9051 §6.2.2), the answers sent without waiting to be asked: OK, NO or BAD. */
  const imapAuthenticate = async (mechanism: string, ...answers: string[]): Promise<string> => {
    await using session = await openImap(relay().address);
    return (await session.command([`AUTHENTICATE ${mechanism}`, ...answers].join("\r\n"))).status;
  };

  describe("SASL", () => {
    it("takes PLAIN and LOGIN on both, in one step or two", async () => {
      const plain = encode(`\0${alice.address}\0${alice.password}`);
      const answers = [encode(alice.address), encode(alice.password)];
      {
        await using session = await submission();
        expect((await session.command(`AUTH PLAIN ${plain}`)).code).toBe(235);
      }
      {
        await using session = await submission();
        expect((await session.command("AUTH PLAIN")).code).toBe(334);
        expect((await session.command(plain)).code).toBe(235);
      }
      {
        await using session = await submission();
        expect(await authLogin(session, ...answers)).toBe(235);
      }
      expect(await imapAuthenticate("PLAIN", plain)).toBe("OK");
      expect(await imapAuthenticate("LOGIN", ...answers)).toBe("OK");
    });

    it("knows an account in any case of its letters, and makes no second one", async () => {
      const loud = `\0${alice.address.toUpperCase()}\0${alice.password}`;
      expect(await imapAuthenticate("PLAIN", encode(loud))).toBe("OK");
      expect(await imapAuthenticate("PLAIN", encode(loud.replace(alice.password, "another-password")))).toBe(
        "NO",
      );
    });

    it("lets nobody act for another (authzid)", async () => {
      const bob = await makeAccount(relay());
      const forOther = encode(`${bob.address}\0${alice.address}\0${alice.password}`);
      expect(await imapAuthenticate("PLAIN", forOther)).toBe("NO");
      await using session = await submission();
      expect((await session.command(`AUTH PLAIN ${forOther}`)).code).toBeGreaterThanOrEqual(500);
    });

    const fresh = () => inventAccount("_a.test").address;
    // Side by side, for every refusal takes 2 s.
    it.concurrent.each<[string, () => string | Uint8Array]>([
      ["an empty name", () => `\0\0${alice.password}`],
      ["an empty password", () => `\0${alice.address}\0`],
      ["nothing at all", () => ""],
      ["no password field", () => `\0${alice.address}`],
      ["a NUL in the password", () => `\0${alice.address}\0${alice.password}\0more`],
      ["a NUL in a new account's password", () => `\0${fresh()}\0long-enough\0password`],
      ["bytes that are not UTF-8", () => Buffer.from(`\0${fresh()}\0\xff\xfe\xfd-long-enough`, "latin1")],
      ["a name that is not UTF-8", () => Buffer.from("\0\xe4bc12345\xff@_a.test\0long-enough-pw", "latin1")],
      ["a letter that looks like another", () => `\0\u0430bc123xyz@_a.test\0long-enough-password`],
      [
        "a letter that folds into another (Kelvin sign)",
        () => `\0\u212abc123xyz@_a.test\0long-enough-password`,
      ],
      ["a full-width at sign", () => "\0abc123xyz\uff20_a.test\0long-enough-password"],
      ["a name with a plus", () => "\0abcd+wxyz@_a.test\0long-enough-password"],
      ["a leading dot", () => "\0.bcd1wxyz@_a.test\0long-enough-password"],
      ["a double dot", () => "\0abc..wxyz@_a.test\0long-enough-password"],
      ["a blank in the name", () => "\0abc wxyz1@_a.test\0long-enough-password"],
      ["a line end in the name", () => "\0abc\r\nwxyz@_a.test\0long-enough-password"],
      ["a tab in the name", () => "\0abc\twxyz1@_a.test\0long-enough-password"],
      ["no domain", () => "\0abc123xyz\0long-enough-password"],
      ["two domains", () => "\0abc123xyz@_a.test@_a.test\0long-enough-password"],
      ["a path for a name", () => "\0../../etc@_a.test\0long-enough-password"],
      ["the name of a role", () => "\0webmaster@_a.test\0long-enough-password"],
      ["a name that is too long", () => `\0${"a".repeat(2_000)}@_a.test\0long-enough-password`],
      ["a password that is too long", () => `\0${fresh()}\0${"p".repeat(600)}`],
    ])("refuses %s on SMTP and IMAP, and makes nothing", async (_what, response) => {
      const before = accountCount();
      const encoded = encode(response());
      await using session = await submission();
      const [reply, imapStatus] = await Promise.all([
        session.command(`AUTH PLAIN ${encoded === "" ? "=" : encoded}`),
        imapAuthenticate("PLAIN", encoded),
      ]);
      // 500: the line is too long (RFC 5321 §4.5.3.1.4); 535: wrong; 501: not in the form of PLAIN.
      expect([500, 501, 535]).toContain(reply.code);
      expect(["NO", "BAD"]).toContain(imapStatus);
      expect(accountCount()).toBe(before);
      // The session goes on.
      expect((await session.login(alice.address, alice.password)).code).toBe(235);
    });

    it("ends an exchange at *, at wrong base64 and at a line that never ends, and goes on", async () => {
      await using session = await submission();
      expect((await session.command("AUTH PLAIN")).code).toBe(334);
      expect((await session.command("*")).code).toBe(501);
      expect(await authLogin(session, encode(alice.address), "*")).toBe(501);
      expect((await session.command("AUTH PLAIN not/base64!")).code).toBeGreaterThanOrEqual(500);
      expect(await authLogin(session, "%%%")).toBeGreaterThanOrEqual(500);
      expect((await session.command("AUTH CRAM-MD5")).code).toBeGreaterThanOrEqual(500);
      expect((await session.command("AUTH ANONYMOUS")).code).toBeGreaterThanOrEqual(500);
      expect((await session.login(alice.address, alice.password)).code).toBe(235);
      expect(await imapAuthenticate("PLAIN", "*")).toBe("BAD");
      expect(await imapAuthenticate("PLAIN", "not/base64!")).not.toBe("OK");
      await using endless = await submission();
      const answer = await endless
        .command(`AUTH PLAIN ${"A".repeat(200_000)}`)
        .catch((error: Error) => error);
      expect(answer instanceof Error || answer.code >= 500).toBe(true);
      expect((await (await submission()).login(alice.address, alice.password)).code).toBe(235);
    });
  });

  describe("a guesser", () => {
    it("is told to come later after some tries, on SMTP as on IMAP, and only from there", async () => {
      const owner = await makeAccount(relay());
      // Each server waits before it says no: the tries run side by side.
      const replies = await Promise.all(
        Array.from({ length: GUESSES }, async (_, i) => {
          await using session = await submission(guessersAddress);
          return (await session.login(owner.address, `not-the-password-${i}`)).code;
        }),
      );
      // Postfix calls it wrong either way; what counts is that it told Dovecot where the tries came from.
      expect(new Set(replies)).toEqual(new Set([535]));
      expect(await imapLogin(owner.address, "yet-another-password", guessersAddress)).toMatch(
        /^NO .*UNAVAILABLE/,
      );
      // The right password from elsewhere, and a wrong one too, are judged as ever.
      expect(await imapLogin(owner.address, "a-wrong-password", neighboursAddress)).toMatch(
        /AUTHENTICATIONFAILED/,
      );
      expect(await imapLogin(owner.address, owner.password, ownersAddress)).toMatch(/^OK/);
      // The owner was here a moment ago: from the guesser's address too.
      expect(await imapLogin(owner.address, owner.password, guessersAddress)).toMatch(/^OK/);
    });

    it("who makes accounts without end from one address locks nobody out", async () => {
      const owner = await makeAccount(relay());
      await relay().exec(["systemctl", "restart", "homing-auth.service"]);
      let made = 0;
      let ownerIsIn = false;
      const flood = Array.from({ length: FLOOD_CONNECTIONS }, async () => {
        while (!ownerIsIn) {
          const { address, password } = inventAccount("_a.test");
          await using session = await submission(guessersAddress).catch(() => undefined);
          const reply = await session?.login(address, password).catch(() => undefined);
          if (reply?.code === 235) made += 1;
        }
      });
      await waitFor("the flood to run", 30_000, () => made > FLOOD_CONNECTIONS);
      // Not remembered after the restart, so it has to be hashed like theirs.
      const login = await imapLogin(owner.address, owner.password, ownersAddress).finally(() => {
        ownerIsIn = true;
      });
      expect(login).toMatch(/^OK/);
      await Promise.all(flood);
    });

    it("who sends wrong passwords as fast as they can be hashed, from eight networks, delays no owner", async () => {
      const owners: Account[] = [];
      for (let count = 0; count < 5; count++) owners.push(await makeAccount(relay()));
      // Afterwards nobody is remembered, and every login has to be hashed.
      const slowly = (quota: string) =>
        relay().exec(
          `systemctl set-property --runtime homing-auth.service CPUQuota=${quota} && ` +
            "systemctl restart homing-auth.service",
        );
      await slowly(SLOW_PROCESSOR);
      const flood = relay().exec([nodeBinary, "-e", floodProgram]);
      const times: number[] = [];
      try {
        await waitFor("the flood to run", FLOOD_LIMIT, async () => {
          const connections = await relay().exec("wc -l < /proc/net/tcp");
          return Number(connections.stdout) > FLOOD_QUESTIONS;
        });
        for (const owner of owners) {
          const start = performance.now();
          expect(await imapLogin(owner.address, owner.password, ownersAddress)).toMatch(/^OK/);
          times.push(performance.now() - start);
        }
      } finally {
        await relay().exec(["touch", floodOver]);
        await slowly("");
      }
      const waits = JSON.parse((await flood).stdout) as number[];
      expect(waits.length).toBeGreaterThan(FLOOD_QUESTIONS);
      // Networks take turns: without, an owner would wait as long as they do.
      expect(median(times), `the flood waits ${median(waits)} ms`).toBeLessThan(median(waits) / 2);
    });

    const floodOver = "/run/flood-over";
    /** Tries ever new names that cannot become accounts, each of which takes a hash; prints how long each took. */
    const floodProgram = `
      const { existsSync, readFileSync } = require("node:fs");
      const { Agent, request } = require("node:http");
      const secret = readFileSync(${JSON.stringify(runPaths.authSecret)}, "utf8").trim();
      const agent = new Agent({ keepAlive: true });
      const end = performance.now() + ${FLOOD_LIMIT};
      const waits = [];
      let next = 0;
      const ask = () => new Promise((resolve) => {
        const start = performance.now();
        const number = next++;
        const user = String(number).padStart(9, "0") + "@_a.test";
        const body = String(new URLSearchParams({ user, password: "short", ip: "198.51.100." + (number % 8) }));
        const call = request({
          agent, host: ${JSON.stringify(authListen.host)}, port: ${authListen.port}, path: "/verify", method: "POST",
          headers: { Authorization: "Bearer " + secret, "Content-Length": body.length },
        }, (answer) => answer.resume().once("end", () => {
          if (answer.statusCode === 403) waits.push(performance.now() - start);
          resolve();
        }));
        call.once("error", resolve);
        call.end(body);
      });
      const client = async () => {
        while (!existsSync(${JSON.stringify(floodOver)}) && performance.now() < end) await ask();
      };
      Promise.all(Array.from({ length: ${FLOOD_QUESTIONS} }, client)).then(() => {
        console.log(JSON.stringify(waits));
        process.exit();
      });`;

    const imapLogin = async (user: string, password: string, localAddress: string): Promise<string> => {
      await using session = await openImap(relay().address, 993, { localAddress });
      const { status, text } = await session.command(`LOGIN "${user}" "${password}"`);
      return `${status} ${text}`;
    };
  });

  describe("on the relay itself", () => {
    /** Runs as another user: connects, says `text` and gives the first that comes back, or an error's code. */
    const ask = async (user: string, target: object, text: string): Promise<string> => {
      const program = `
        const socket = require("node:net").connect(${JSON.stringify(target)}, () => socket.write(${JSON.stringify(text)}));
        socket.once("data", (data) => { console.log(String(data).split("\\r\\n")[0]); process.exit(); });
        socket.once("error", (error) => { console.log(error.code); process.exit(); });
        socket.once("close", () => { console.log("closed"); process.exit(); });`;
      return (await as(user, nodeBinary, "-e", program)).stdout.trim();
    };
    const as = async (user: string, ...command: string[]) => {
      const group = (await relay().exec(["id", "--group", user])).stdout.trim();
      return relay().exec(
        ["setpriv", `--reuid=${user}`, `--regid=${group}`, "--init-groups", "--", ...command],
        { anyExitCode: true },
      );
    };

    const strangers = [
      "nobody",
      "vmail",
      "homing-milter",
      "homing-courier",
      "postfix",
      "dovenull",
      "dovecot",
    ];
    it.each(strangers)("%s can neither read the secret nor get an answer without it", async (user) => {
      const read = await as(user, "cat", runPaths.authSecret);
      expect(`${read.stdout}${read.stderr}`).toMatch(/^cat: .*Permission denied\n$/);
      for (const authorization of [
        "",
        "Authorization: Bearer \r\n",
        `Authorization: Bearer ${"0".repeat(64)}\r\n`,
      ]) {
        const form = `user=${alice.address}&password=${alice.password}`;
        const request =
          `POST /verify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${authorization}` +
          `Content-Length: ${form.length}\r\n\r\n${form}`;
        expect(await ask(user, authListen, request)).toBe("HTTP/1.1 401 Unauthorized");
      }
    });

    it("the secret is made at boot: long, in memory, for two groups of processes", async () => {
      const path = runPaths.authSecret;
      const found = await relay().exec(
        `stat --file-system --format %T ${path}; stat --format '%a %U %G' ${path}; wc -c < ${path}`,
      );
      expect(found.stdout).toBe("tmpfs\n440 homing-auth homing-dovauth\n64\n");
    });

    it("nobody but Postfix may ask for recipients", async () => {
      const question = `recipients ${alice.address}`;
      const request = `${question.length}:${question},`;
      for (const user of strangers.filter((name) => name !== "postfix").concat("homing-dovauth")) {
        expect(`${user} ${await ask(user, { path: runPaths.recipientSocket }, request)}`).toBe(
          `${user} EACCES`,
        );
      }
      expect(await ask("postfix", { path: runPaths.recipientSocket }, request)).toBe("10:OK account,");
    });
  });

  const accountCount = (): number => {
    const path = join(relay().dataFolder, "accounts", "accounts.sqlite");
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      return Number(database.prepare("SELECT count(*) AS count FROM accounts").get()?.count);
    } finally {
      database.close();
    }
  };
});
