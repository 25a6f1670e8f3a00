/** Mail for other relays as Postfix hands it over: by HTTPS, left to SMTP, refused or kept, for each recipient. */
import { describe, expect, it } from "vitest";
import type { SmtpMail } from "../../../services/lib/smtp-client.ts";
import { bytesOf, from, names, source } from "./letters.ts";
import { everybodyTaken, type Peer, type RunningTransport, runTransport } from "./running-transport.ts";

describe("mail for other relays", () => {
  it("goes by HTTPS, one request for a domain, byte for byte and with the envelope in the header", async () => {
    await using transport = await runTransport(names);
    const to = ["bob@b.example", "eve@b.example"];
    const outcomes = await transport.offer({ from, to, source });
    expect(outcomes).toEqual([250, 250]);
    expect(transport.requests).toEqual([{ from, to, source, method: "POST" }]);
    expect(transport.counters()).toContain('homing_transport_recipients_total{way="https"} 2');
  });

  it("keeps its connection for the next message", async () => {
    await using transport = await runTransport(names);
    for (let i = 0; i < 3; i++) await transport.offer({ from, to: ["bob@b.example"], source });
    expect(transport.requests).toHaveLength(3);
    expect(transport.connections()).toBe(1);
  });

  it("leaves the sender's field out for a bounce", async () => {
    await using transport = await runTransport(names);
    await transport.offer({ from: "", to: ["bob@b.example"], source });
    expect(transport.requests[0]!.from).toBeUndefined();
  });

  it("goes by HTTPS also when the client asked for SMTPUTF8, as cores always do, unless an address needs it", async () => {
    await using transport = await runTransport(names);
    const parameters = ["BODY=8BITMIME", "SMTPUTF8"];
    const to = ["bob@b.example", "bjørn@b.example"];
    const outcomes = await Promise.all(
      to.map((one) => transport.offer({ from, parameters, to: [one], source })),
    );
    expect(transport.requests.map((request) => request.to)).toEqual([["bob@b.example"]]);
    expect(outcomes).toEqual([[250], ["smtp"]]);
  });

  it("verifies certificates, but for test names: a wrong one means SMTP", async () => {
    await using transport = await runTransport(names, "c.example");
    const to = ["bob@b.example", "eve@_b.test", "joe@c.example"];
    const outcomes = await Promise.all(to.map((one) => transport.offer({ from, to: [one], source })));
    expect(outcomes).toEqual([["smtp"], [250], [250]]);
    expect(transport.requests.map((request) => request.to[0]).sort()).toEqual([
      "eve@_b.test",
      "joe@c.example",
    ]);
  });

  it.each([
    ["a page that is not there", 404, "no such page"],
    ["a web site that likes everything", 200, "<html>Welcome</html>"],
    ["words that are no reply of SMTP", 400, "Bad Request"],
    ["a limit of the web server", 413, "too large"],
    ["an error of the web server", 502, "450 4.3.0 bad gateway"],
  ])("takes %s for no relay, asks it once and leaves the message to SMTP", async (_what, status, text) => {
    await using transport = await runTransport(names);
    transport.setPeer(() => ({ status, text }));
    const outcomes = await transport.offer({ from, to: ["bob@b.example"], source });
    expect(outcomes).toEqual(["smtp"]);
    expect(transport.requests).toHaveLength(1);
  });

  it.each([
    ["523 Encryption Needed: Invalid Unencrypted Mail", 523],
    ["554 5.7.1 No DKIM signature found", 554],
    ["451 4.4.3 DKIM key lookup failed, try again later", "waits"],
    ["450 4.2.0 <bob@b.example> and <eve@b.example> wait", "waits"],
    ["421 4.7.0 too many", "waits"],
  ])("gives the refusal %j on to everybody, and tries no other way", async (text, outcome) => {
    await using transport = await runTransport(names);
    transport.setPeer(() => ({ status: 400, text }));
    const to = ["bob@b.example", "eve@b.example"];
    const outcomes = await transport.offer({ from, to, source });
    expect(outcomes).toEqual([outcome, outcome]);
    expect(transport.requests).toHaveLength(1);
  });

  it("gives the others their message when the relay names who is refused", async () => {
    await using transport = await runTransport(names);
    const refused = "550 5.1.1 <eve@b.example>: Recipient address rejected: User unknown";
    transport.setPeer(({ to }) =>
      to.includes("eve@b.example") ? { status: 400, text: refused } : { status: 200, text: "250 OK" },
    );
    const to = ["bob@b.example", "eve@b.example", "joe@b.example"];
    const outcomes = await transport.offer({ from, to, source });
    expect(outcomes).toEqual([250, 550, 250]);
    expect(transport.requests.map((request) => request.to)).toEqual([to, ["bob@b.example", "joe@b.example"]]);
  });

  it("asks for each alone when a refusal could be about any of them", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(({ to }) =>
      to.includes("eve@b.example")
        ? { status: 400, text: "550 5.1.1 User unknown" }
        : { status: 200, text: "250 OK" },
    );
    const to = ["bob@b.example", "eve@b.example", "joe@b.example"];
    const outcomes = await transport.offer({ from, to, source });
    expect(outcomes).toEqual([250, 550, 250]);
    expect(transport.requests.map((request) => request.to.length)).toEqual([3, 1, 1, 1]);
  });

  it("asks again when the answer was lost, and never tries SMTP for it", async () => {
    await using transport = await runTransport(names);
    let lost = 2;
    transport.setPeer(({ method }, { request }) => {
      if (method === "GET") return { status: 405, text: "" };
      if (lost-- <= 0) return { status: 200, text: "250 OK" };
      request.socket.destroy();
      return undefined;
    });
    const outcomes = await transport.offer({ from, to: ["bob@b.example"], source });
    expect(outcomes).toEqual([250]);
    expect(transport.requests).toHaveLength(3);
  });

  it("leaves a message with Postfix when the answer stays lost", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(({ method }, { request }) => {
      if (method === "GET") return { status: 405, text: "" };
      request.socket.destroy();
      return undefined;
    });
    const outcomes = await transport.offer({ from, to: ["bob@b.example"], source });
    expect(outcomes).toEqual(["waits"]);
  });

  it("goes by SMTP when a web server that is no relay ends the connection instead of answering", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(({ method }, { request }) => {
      if (method === "GET") return { status: 404, text: "" };
      request.socket.destroy();
      return undefined;
    });
    const outcomes = await transport.offer({ from, to: ["bob@b.example"], source });
    expect(outcomes).toEqual(["smtp"]);
  });

  it("goes by SMTP when what speaks TLS there never answers in HTTP", async () => {
    await using transport = await runTransport(names);
    transport.setPeer((_request, { request }) => {
      request.socket.destroy();
      return undefined;
    });
    const outcomes = await transport.offer({ from, to: ["bob@b.example"], source });
    expect(outcomes).toEqual(["smtp"]);
  });

  it("leaves domains that take no mail to SMTP, which has the words for it", async () => {
    await using transport = await runTransport({
      ...names,
      "null.example": { mx: [{ exchange: "", priority: 0 }] },
    });
    const to = ["bob@null.example", "bob@nowhere.example"];
    const outcomes = await Promise.all(to.map((one) => transport.offer({ from, to: [one], source })));
    expect(outcomes).toEqual([["smtp"], ["smtp"]]);
    expect(transport.requests).toEqual([]);
  });

  it("answers for a recipient that is named twice, in another case as well", async () => {
    await using transport = await runTransport(names);
    const to = ["bob@b.example", "BOB@b.example", "bob@b.example"];
    const outcomes = await transport.offer({ from, to, source });
    expect(outcomes).toEqual([250, 250, 250]);
  });
});

describe("a large message for other relays", () => {
  const large = bytesOf(3_000_000);
  const asksFirst = (post: { status: number; text: string }) => ({
    peer: ({ method }: { method: string }) => (method === "GET" ? { status: 405, text: "" } : post),
  });

  it("goes by HTTPS as it comes, once the relay has said that it is one", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(asksFirst({ status: 200, text: "250 OK" }).peer);
    expect(await transport.offer({ from, to: ["bob@b.example"], source: large })).toEqual([250]);
    expect(transport.requests[0]!.source === large).toBe(true);
  });

  it("is left to SMTP unread where there is no relay", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(() => ({ status: 404, text: "" }));
    expect(await transport.offer({ from, to: ["bob@b.example"], source: large })).toEqual(["smtp"]);
    expect(transport.requests).toEqual([]);
  });

  it("goes by SMTP when it is refused in the middle, and the next ones at once", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(asksFirst({ status: 413, text: "too large" }).peer);
    for (let i = 0; i < 2; i++)
      expect(await transport.offer({ from, to: ["bob@b.example"], source: large })).toEqual(["smtp"]);
    expect(transport.requests).toHaveLength(1);
  });

  it("does not arrive when Postfix goes away in the middle", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(asksFirst({ status: 200, text: "250 OK" }).peer);
    const client = await transport.connectTo("first");
    const broken = async function* () {
      yield Buffer.from(large);
      client.destroy();
      yield Buffer.from("more\r\n");
    };
    await expect(client.send({ from, to: ["bob@b.example"], source: broken() })).rejects.toThrow(
      "the mail server went away",
    );
    await transport.offer({ from, to: ["joe@b.example"], source });
    expect(transport.requests.map((request) => request.to)).toEqual([["joe@b.example"]]);
  });
});

describe("mail for several recipients of one relay", () => {
  const refusesEve: Peer = ({ to }) =>
    to.includes("eve@b.example")
      ? { status: 400, text: "550 5.1.1 <eve@b.example>: User unknown" }
      : { status: 200, text: "250 OK" };
  const mail = (to: readonly string[], text = source) => ({ from, to, source: [Buffer.from(text)] });
  const to = ["bob@b.example", "eve@b.example"];
  const other = `${source}other\r\n`;
  const doors = async (transport: RunningTransport) => {
    const [first, second] = [await transport.connectTo("first"), await transport.connectTo("first again")];
    const replies = async (replier: typeof first, one: SmtpMail) =>
      (await replier.send(one)).replies.map(({ code }) => code);
    return { first: (one: SmtpMail) => replies(first, one), second: (one: SmtpMail) => replies(second, one) };
  };
  const textsFor = (transport: RunningTransport, address: string) =>
    transport.requests.filter((request) => request.to.join() === address).map((request) => request.source);

  it("tells each message who is refused, when two of a sender are under way at once", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(refusesEve);
    const { first, second } = await doors(transport);
    expect(await first(mail(to))).toEqual([451, 451]);
    expect(await first(mail(to, other))).toEqual([451, 451]);
    expect(await second(mail(to))).toEqual([250, 550]);
    expect(await second(mail(to, other))).toEqual([250, 550]);
    expect(textsFor(transport, "bob@b.example")).toEqual([source, other]);
    // A third one asks anew, neither earlier nor later.
    transport.setPeer(everybodyTaken);
    expect(await first(mail(["eve@b.example"]))).toEqual([250]);
  });

  it("never gives a refusal or SMTP to who has it, when nobody knows any more who was refused", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(refusesEve);
    const { first, second } = await doors(transport);
    expect(await first(mail(to))).toEqual([451, 451]);
    expect(await second(mail(["eve@b.example"], other))).toEqual([550]);
    const client = await transport.connectTo("first again");
    const { replies } = await client.send(mail(to));
    expect(replies).toMatchObject(
      [0, 1].map(() => ({ code: 550, text: expect.stringMatching(/waits: 4\./) })),
    );
    // Postfix's next attempt.
    expect(await first(mail(to))).toEqual([250, 550]);
    expect(textsFor(transport, "bob@b.example")).toEqual([source]);
  });

  it("leaves nobody to SMTP who has it, when the relay is gone for the others", async () => {
    await using transport = await runTransport(names);
    let posts = 0;
    transport.setPeer(({ to: asked }) => {
      if (asked.includes("eve@b.example") && asked.length > 1) return { status: 400, text: "550 5.1.1 no" };
      return posts++ === 0 ? { status: 200, text: "250 OK" } : { status: 404, text: "" };
    });
    expect(await transport.offer({ from, to, source })).toEqual([250, "smtp"]);
    expect(textsFor(transport, "bob@b.example")).toEqual([source]);
  });

  it("is offered once to each, also when Postfix comes much later to hear who was refused", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(refusesEve);
    const { first, second } = await doors(transport);
    expect(await first(mail(to))).toEqual([451, 451]);
    // Another's message is not refused for it.
    transport.setPeer(everybodyTaken);
    expect(await first({ ...mail(["eve@b.example"]), from: "other@a.example" })).toEqual([250]);
    expect(await second(mail(to))).toEqual([250, 550]);
    expect(transport.requests.map((request) => request.to)).toEqual([
      to,
      ["bob@b.example"],
      ["eve@b.example"],
    ]);
  });

  it("goes out in as many requests as its envelope needs", async () => {
    await using transport = await runTransport(names);
    const to = Array.from({ length: 50 }, (_, i) => `${"a".repeat(100)}${i}@b.example`);
    const outcomes = await transport.offer({ from, to, source });
    expect(outcomes).toEqual(to.map(() => 250));
    expect(transport.requests).toHaveLength(2);
    expect(transport.requests.flatMap((request) => request.to)).toEqual(to);
  });
});

it("finishes the message under way when it is stopped", async () => {
  await using transport = await runTransport(names);
  const { promise: asked, resolve: isAsked } = Promise.withResolvers<void>();
  let answer: () => void = () => {};
  transport.setPeer((_request, { response }) => {
    answer = () => response.writeHead(200).end("250 OK");
    isAsked();
    return undefined;
  });
  const sent = transport.offer({ from, to: ["bob@b.example"], source });
  await asked;
  const stopped = transport.stop();
  answer();
  expect(await sent).toEqual([250]);
  await stopped;
});
