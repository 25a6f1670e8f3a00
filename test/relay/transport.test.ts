/** Mail between relays by HTTPS: without port 25, with one policy for both ways, and by SMTP where there is no HTTPS. */
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:https";
import { decrypt, type PublicKey, readMessage } from "openpgp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runPaths } from "../../appliance/layout.ts";
import { selfSignedCertificate } from "../../appliance/life/certificate.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { type Client, createClient, secureJoin } from "../support/client.ts";
import { makeKeyPair } from "../support/encrypted-letter.ts";
import { postMail } from "../support/https-mail.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, plainMail, signMail } from "../support/mail.ts";
import { addClientAddresses } from "../support/network.ts";
import { startPlainMailServer } from "../support/plain-mail-server.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { openThirdHost, THIRD_DOMAIN, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const DELIVERY_TIMEOUT = 60_000;
const MESSAGES = 5;
const STRANGER = `stranger@${THIRD_DOMAIN}`;

const settings = { sending: { perMinute: 600, burst: 100 } };
const relays = { "_a.test": { settings }, "_b.test": { settings } };

describeRelays("mail between relays by HTTPS", relays, (ring) => {
  let alice: Account;
  let bob: Account;
  let thirdHost: ThirdHost;

  beforeAll(async () => {
    thirdHost = await openThirdHost(ring.network());
    alice = await makeAccount(ring.relay("_a.test"));
    bob = await makeAccount(ring.relay("_b.test"));
  });
  afterAll(() => thirdHost?.[Symbol.asyncDispose]());

  const send = async (to: readonly string[], source?: string) => {
    const { address } = ring.relay("_a.test");
    await using session = await openSubmission(address, alice.address, alice.password);
    const mail = source ?? (await encryptedMail({ from: alice.address, to: to[0]! }));
    return await session.send({ from: alice.address, to, source: mail });
  };
  const inbox = (account: Account, domain: string, count: number) =>
    waitFor(`${count} messages for ${account.address}`, DELIVERY_TIMEOUT, async () => {
      await using session = await openInbox(ring.relay(domain).address, account.address, account.password);
      const sources = await session.fetchSources();
      return sources.length >= count && sources;
    });
  /** Waits until the first relay knows the second one by HTTPS, or knows nothing of it any more. */
  const untilKnown = (isKnown: boolean) =>
    waitFor(`the other relay is ${isKnown ? "" : "not "}known`, DELIVERY_TIMEOUT, async () => {
      const { stdout } = await ring.relay("_a.test").exec(`cat ${runPaths.knownWays}`);
      return stdout.includes("_b.test https") === isKnown;
    });
  /** Lines of the log in which Postfix says how it delivered to an address. */
  const deliveries = async (domain: string, to: string) => {
    const entries = await ring.relay(domain).logEntries(/status=/);
    return entries.filter(({ message }) => message.includes(`to=<${to}>`));
  };

  it("arrives, with no trace of its way, and the log says how it went", async () => {
    expect((await send([bob.address])).code).toBe(250);
    const [delivered] = await inbox(bob, "_b.test", 1);
    expect(delivered).not.toMatch(/^(Received|DKIM-Signature):/m);
    const [line] = await deliveries("_a.test", bob.address);
    expect(line).toMatchObject({
      source: "postfix/outgoing-first/smtp",
      message: expect.stringContaining("taken by HTTPS"),
    });
    expect(await ring.relay("_b.test").logEntries(/client=.*\[10\.77\.0\.11\]/)).toMatchObject([
      { source: expect.stringMatching(/^postfix\/https/) },
    ]);
  });

  it("does not pass the service for others when it stays on the relay", async () => {
    const carol = await makeAccount(ring.relay("_a.test"));
    expect((await send([carol.address])).code).toBe(250);
    await inbox(carol, "_a.test", 1);
    const entries = await ring.relay("_a.test").logEntries(/status=sent/);
    const local = entries.filter(({ message }) => message.includes(`to=<${carol.address}>`));
    expect(local.map(({ source }) => source)).toEqual(["postfix/lmtp"]);
  });

  it("comes back as a bounce for who is unknown there, and reaches the others, once the way is known", async () => {
    const nobody = "nobody-is@_b.test";
    await untilKnown(true);
    const before = (await inbox(bob, "_b.test", 1)).length;
    expect((await send([bob.address, nobody])).code).toBe(250);
    await inbox(bob, "_b.test", before + 1);
    const [bounce] = await inbox(alice, "_a.test", 1);
    expect(bounce).toMatch(/^Status: 5\.1\.1/m);
    expect(bounce).toMatch(/^Final-Recipient: rfc822; *nobody-is@_b\.test/im);
    expect(bounce).not.toMatch(new RegExp(`^Final-Recipient: rfc822; *${bob.address}`, "im"));
    // Both were answered at the second offer.
    const ends = [
      ...(await deliveries("_a.test", nobody)),
      ...(await deliveries("_a.test", bob.address)).slice(-1),
    ];
    expect(ends.map(({ source }) => source)).toEqual(["postfix/outgoing/smtp", "postfix/outgoing/smtp"]);
    expect(ends.map(({ message }) => /status=\w+/.exec(message)![0])).toEqual([
      "status=bounced",
      "status=sent",
    ]);
  });

  it("stays on the relay when it is for one of its own addresses", async () => {
    const { address } = ring.relay("_a.test");
    const own = ["nobody@[127.0.0.1]", `nobody@[${address}]`];
    const source = await encryptedMail({ from: alice.address, to: bob.address });
    expect((await send(own, source)).code).toBe(250);
    for (const to of own) {
      const [line] = await waitFor(`what became of ${to}`, DELIVERY_TIMEOUT, async () => {
        const found = await deliveries("_a.test", to);
        return found.length > 0 && found;
      });
      expect(line!.source).toBe("postfix/lmtp");
    }
  });

  it("is judged as on port 25: encrypted, signed, for accounts of the relay", async () => {
    const { key } = thirdHost;
    const encrypted = await encryptedMail({ from: STRANGER, to: bob.address });
    const post = (source: string, to = [bob.address]) =>
      postMail(ring.relay("_b.test"), { from: STRANGER, to, source });
    expect(await post(await signMail(encrypted, key))).toEqual({ status: 200, text: "250 OK" });
    expect(await post(encrypted)).toEqual({ status: 400, text: "554 5.7.1 No DKIM signature found" });
    const plain = await signMail(plainMail({ from: STRANGER, to: bob.address }), key);
    expect(await post(plain)).toMatchObject({ status: 400, text: expect.stringMatching(/^523 /) });
    const signed = await signMail(encrypted, key);
    expect(await post(signed, ["victim@_a.test"])).toMatchObject({
      status: 400,
      text: expect.stringMatching(/^554 /),
    });
    expect(await post(signed, [bob.address, "nobody-is@_b.test"])).toMatchObject({
      status: 400,
      text: expect.stringMatching(/^550 5\.1\.1 <nobody-is@_b\.test>/),
    });
    expect(await post(signed, ["postmaster@_b.test"])).toMatchObject({ status: 400 });
  });

  it("with line feeds alone, dots and no last line end arrives as it would by SMTP", async () => {
    const { key } = thirdHost;
    const signed = await signMail(await encryptedMail({ from: STRANGER, to: bob.address }), key);
    const before = (await inbox(bob, "_b.test", 1)).length;
    const bare = signed.replaceAll("\r\n", "\n");
    const answer = await postMail(ring.relay("_b.test"), { from: STRANGER, to: [bob.address], source: bare });
    expect(answer).toEqual({ status: 200, text: "250 OK" });
    const sources = await inbox(bob, "_b.test", before + 1);
    expect(sources.at(-1)).toContain("-----END PGP MESSAGE-----");
  });

  it("goes by SMTP to a mail server that has no HTTPS", async () => {
    expect((await send([STRANGER])).code).toBe(250);
    const mail = await thirdHost.sink.waitForMail("mail at the third host", (one) =>
      one.to.includes(STRANGER),
    );
    expect(mail.tls).toBe(true);
    // The offer to ourselves does not show, and the signature is whole.
    expect(mail.source).not.toMatch(/^Received:|127\.0\.0\.1/m);
    expect(mail.source).toMatch(/^DKIM-Signature:/m);
  });

  it("goes by SMTP to a relay whose web service is down, and by HTTPS when port 25 is down as well by then", async () => {
    const b = ring.relay("_b.test");
    const web = "homing-web.service homing-web.socket homing-http.socket";
    await b.exec(`systemctl stop ${web}`);
    const before = (await inbox(bob, "_b.test", 1)).length;
    const bounces = (await inbox(alice, "_a.test", 0)).length;
    const nobody = "nobody-else@_b.test";
    // It was known by HTTPS; the message goes on to SMTP in the same attempt.
    expect((await send([bob.address, nobody])).code).toBe(250);
    await inbox(bob, "_b.test", before + 1);
    await inbox(alice, "_a.test", bounces + 1);
    const atOnce = [
      ...(await deliveries("_a.test", bob.address)).slice(-1),
      ...(await deliveries("_a.test", nobody)),
    ];
    expect(atOnce.map(({ source }) => source)).toEqual(["postfix/outgoing/smtp", "postfix/outgoing/smtp"]);
    for (const { message } of atOnce) expect(message).toMatch(/relay=_b\.test\[.*\]:25, /);
    // Postfix holds on to the last way it was told for half a minute: another message ends that.
    await untilKnown(false);
    expect((await send([alice.address])).code).toBe(250);

    await b.exec("nft insert rule inet homing input tcp dport 25 reject with tcp reset");
    expect((await send([bob.address])).code).toBe(250);
    await waitFor("SMTP fails as well", DELIVERY_TIMEOUT, async () =>
      (await deliveries("_a.test", bob.address)).some(({ message }) =>
        /status=deferred.*neither by SMTP nor by HTTPS/.test(message),
      ),
    );
    await b.exec(`systemctl start ${web}`);
    await waitFor("the message at the next attempt", DELIVERY_TIMEOUT, async () => {
      await ring.relay("_a.test").exec("postqueue -f");
      await using session = await openInbox(b.address, bob.address, bob.password);
      return (await session.fetchSources()).length >= before + 2;
    });
    await b.exec("systemctl reload-or-restart nftables.service");
    // A connection to the fallback is never kept, under nobody's name.
    const atFallback = await ring.relay("_a.test").logEntries(/relay=127\.0\.0\.1\[127\.0\.0\.1\]:10027/);
    expect(atFallback).not.toEqual([]);
    expect(atFallback.filter(({ message }) => message.includes("conn_use="))).toEqual([]);
  });
});

/** Postfix hands over so many messages to unknown domains at a time, and a host that is slow keeps each for minutes. */
const FLOOD = 100;

describeRelays("mail to the rest of the world", { "_a.test": { settings } }, (ring) => {
  const relay = () => ring.relay("_a.test");
  let addresses: string[];
  beforeAll(async () => {
    addresses = await addClientAddresses(3);
  });

  /** A chat of a real core with somebody whose key it knows, so that it encrypts. */
  const chatByKey = async (client: Client, address: string, publicKey: PublicKey) => {
    const key = Buffer.from(publicKey.write()).toString("base64");
    const card = [
      ...["BEGIN:VCARD", "VERSION:4.0", `EMAIL:${address}`, "FN:Friend"],
      ...[`KEY:data:application/pgp-keys;base64\\,${key}`, "END:VCARD", ""],
    ];
    const [contact] = await client.rpc.importVcardContents(client.accountId, card.join("\r\n"));
    return await client.rpc.createChatByContactId(client.accountId, contact!);
  };

  it.each([
    ["port 443 closed", "_p.test", 0],
    ["a web site on port 443", "_w.test", 1],
  ])("reaches a plain Postfix with %s, whose refusals come back", async (what, domain, i) => {
    await using stack = new AsyncDisposableStack();
    const options = { network: ring.network(), domain, address: addresses[i]!, mailboxes: ["friend"] };
    const server = stack.use(await startPlainMailServer(options));
    if (what !== "port 443 closed") {
      const site = createServer(server.tls, (_request, response) =>
        response.writeHead(404).end("no such page"),
      );
      await new Promise<void>((resolve) => site.listen(443, server.address, resolve));
      stack.defer(() => site.closeAllConnections());
      stack.defer(() => void site.close());
    }
    const client = stack.use(await createClient("ida"));
    await client.onboard("dcaccount:_a.test");
    const friend = await makeKeyPair(`friend@${domain}`);
    const chat = await chatByKey(client, `friend@${domain}`, friend.publicKey);
    const mailbox = (count: number) =>
      waitFor(`${count} messages in the mailbox`, DELIVERY_TIMEOUT, async () => {
        const found = await server.messages("friend");
        return found.length === count && found;
      });
    // The message is there before its sender has heard so: only then is the connection free for the next one.
    const sentBySmtp = (count: number) =>
      waitFor(`${count} lines of smtp in the log`, DELIVERY_TIMEOUT, async () => {
        const sent = await relay().logEntries(new RegExp(`to=<friend@${domain}>.*status=sent`));
        const bySmtp = sent.filter(({ message }) => /\]:25, /.test(message));
        return bySmtp.length === count && bySmtp;
      });
    await client.sendText(chat, "one");
    await mailbox(1);
    await sentBySmtp(1);
    // Cores since 2.57 do not look at what is not encrypted, bounces among that.
    const ann = await makeAccount(relay());
    const to = `nobody@${domain}`;
    await using session = await openSubmission(relay().address, ann.address, ann.password);
    const source = await encryptedMail({ from: ann.address, to });
    expect((await session.send({ from: ann.address, to: [to], source })).code).toBe(250);
    const [bounce] = await waitFor("a bounce", DELIVERY_TIMEOUT, async () => {
      await using inbox = await openInbox(relay().address, ann.address, ann.password);
      const found = await inbox.fetchSources();
      return found.length > 0 && found;
    });
    expect(bounce).toMatch(/^Status: 5\.1\.1/m);
    expect(bounce).toMatch(new RegExp(`^Final-Recipient: rfc822; *${to}`, "im"));

    // In a minute the relay would know so by itself. Postfix holds on to the last way it was told: Ann's bounce, by now.
    await relay().exec(`echo "${domain} smtp" > ${runPaths.knownWays}`);
    await client.sendText(chat, "two");
    await mailbox(2);
    await sentBySmtp(2);
    await client.sendText(chat, "three");
    const sources = await mailbox(3);
    const texts = sources.map(async (source) => {
      const armoredMessage = /-----BEGIN PGP MESSAGE-----[\s\S]*-----END PGP MESSAGE-----/.exec(source)![0];
      const message = await readMessage({ armoredMessage });
      const { data } = await decrypt({ message, decryptionKeys: friend.privateKey });
      return String(data).trim().split(/\r?\n/).at(-1);
    });
    expect((await Promise.all(texts)).sort()).toEqual(["one", "three", "two"]);
    expect(sources.every((source) => /^DKIM-Signature:/m.test(source))).toBe(true);
    const sent = await sentBySmtp(3);
    expect(sent.map(({ source }) => source)).toEqual([
      ...["postfix/outgoing-first/smtp", "postfix/smtp", "postfix/smtp"],
    ]);
    // The third found the connection of the second.
    expect(sent.map(({ message }) => /conn_use=2/.test(message))).toEqual([false, false, true]);
  });

  it("is not held up by hosts that never answer", async () => {
    await using stack = new AsyncDisposableStack();
    const address = addresses[2]!;
    const key = generateKeyPairSync("ec", { namedCurve: "P-256" })
      .privateKey.export({ type: "pkcs8", format: "pem" })
      .toString();
    const cert = await selfSignedCertificate({ domain: "_0.evil.test", keyPem: key, now: new Date() });
    const silent = createServer({ key, cert }, (request) => request.resume());
    await new Promise<void>((resolve) => silent.listen(443, address, resolve));
    stack.defer(() => silent.closeAllConnections());
    stack.defer(() => void silent.close());
    const domains = Array.from({ length: FLOOD }, (_, i) => `_${i}.evil.test`);
    await ring
      .network()
      .publish(domains.map((name) => ({ name, type: "A", address, ttl: 60, need: "required", purpose: "" })));
    const thirdHost = stack.use(await openThirdHost(ring.network()));
    const [mallory, ann] = [await makeAccount(relay()), await makeAccount(relay())];
    const source = await encryptedMail({ from: mallory.address, to: "x@evil.test" });
    await using flood = await openSubmission(relay().address, mallory.address, mallory.password);
    for (const domain of domains) {
      const reply = await flood.send({ from: mallory.address, to: [`x@${domain}`], source });
      expect(reply.code).toBe(250);
    }
    await using session = await openSubmission(relay().address, ann.address, ann.password);
    const mail = await encryptedMail({ from: ann.address, to: STRANGER });
    expect((await session.send({ from: ann.address, to: [STRANGER], source: mail })).code).toBe(250);
    await thirdHost.sink.waitForMail("Ann's mail", (one) => one.to.includes(STRANGER));
    // The service's "waits" is a refusal to Postfix, which smtp_delivery_status_filter makes a delay again.
    const delay =
      /evil\.test>.* dsn=4\.[34]\.2, status=deferred \((the other side is slow|too many deliveries to slow hosts)/;
    await waitFor("a delivery that is to wait", DELIVERY_TIMEOUT, async () => {
      const entries = await relay().logEntries(delay);
      return entries.some(({ source }) => source === "postfix/outgoing-first/smtp");
    });
    expect(await relay().logEntries(/evil\.test>.*status=bounced/)).toEqual([]);
    const waiting = await relay().logEntries(/evil\.test>.*status=deferred/);
    expect(waiting.filter(({ message }) => !/slow/.test(message))).toEqual([]);
    await relay().exec(["postsuper", "-d", "ALL"]);
  });
});

describeRelays("two relays without port 25", relays, (ring) => {
  let ann: Client;
  let ben: Client;

  beforeAll(async () => {
    for (const domain of Object.keys(relays)) {
      await ring.relay(domain).exec("nft insert rule inet homing input tcp dport 25 drop");
    }
    ann = await createClient("ann");
    ben = await createClient("ben");
  });
  afterAll(async () => {
    for (const client of [ann, ben]) await client?.[Symbol.asyncDispose]();
  });

  it("let people meet and chat", async () => {
    await ann.onboard("dcaccount:_a.test");
    await ben.onboard("dcaccount:_b.test");
    const { inviterChat, joinerChat } = await secureJoin(ann, ben);
    for (let i = 0; i < MESSAGES; i++) {
      await ann.sendText(inviterChat, `ann says ${i}`);
      await ben.sendText(joinerChat, `ben says ${i}`);
    }
    const of = (who: string) => (message: { text: string }) => message.text.startsWith(`${who} says `);
    const seen = [
      await ben.waitForMessages(joinerChat, MESSAGES, of("ann")),
      await ann.waitForMessages(inviterChat, MESSAGES, of("ben")),
    ];
    expect(seen.map((messages) => messages.length)).toEqual([MESSAGES, MESSAGES]);
    expect(seen.flat().every((message) => message.showPadlock)).toBe(true);
    for (const domain of Object.keys(relays)) {
      const sources = (await ring.relay(domain).logEntries(/status=/)).map(({ source }) => source);
      expect(sources.filter((source) => !/^postfix\/(lmtp|outgoing(-first)?\/smtp)$/.test(source))).toEqual(
        [],
      );
    }
  });
});
