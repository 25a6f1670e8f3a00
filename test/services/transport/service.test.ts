/** Mail for other relays as Postfix hands it over: by HTTPS, back to go by SMTP, refused or kept, for each recipient. */
import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { MAX_SLOW } from "../../../services/transport/places.ts";
import { waitFor } from "../../support/wait.ts";
import { runTransport } from "./running-transport.ts";

const from = "alice@a.example";
const source = "From: <alice@a.example>\r\n\r\n.hidden\r\n..\r\nend\r\n";
const names = { "b.example": {}, "_b.test": {}, "c.example": {} };
const codes = (replies: readonly { code: number }[]) => replies.map(({ code }) => code);

function bytesOf(size: number): string {
  return `From: <alice@a.example>\r\n\r\n${"0123456789abcdef\r\n".repeat(Math.ceil(size / 18))}`;
}

describe("mail for other relays", () => {
  it("goes by HTTPS, one request for a domain, byte for byte and with the envelope in the header", async () => {
    await using transport = await runTransport(names);
    const client = await transport.lmtp();
    const to = ["bob@b.example", "eve@b.example"];
    const { replies } = await client.send({ from, to, source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250, 250]);
    expect(transport.requests).toEqual([{ from, to, source, method: "POST" }]);
    expect(transport.handedBack).toEqual([]);
    expect(transport.counters()).toContain('homing_transport_recipients_total{way="https"} 2');
  });

  it("keeps its connection for the next message", async () => {
    await using transport = await runTransport(names);
    const client = await transport.lmtp();
    for (let i = 0; i < 3; i++)
      await client.send({ from, to: ["bob@b.example"], source: [Buffer.from(source)] });
    expect(transport.requests).toHaveLength(3);
    expect(transport.connections()).toBe(1);
  });

  it("leaves the sender's field out for a bounce", async () => {
    await using transport = await runTransport(names);
    const client = await transport.lmtp();
    await client.send({ from: "", to: ["bob@b.example"], source: [Buffer.from(source)] });
    expect(transport.requests[0]!.from).toBeUndefined();
  });

  it("goes by HTTPS also when the client asked for SMTPUTF8, as cores always do, unless an address needs it", async () => {
    await using transport = await runTransport(names);
    const client = await transport.lmtp();
    const parameters = ["BODY=8BITMIME", "SMTPUTF8"];
    const to = ["bob@b.example", "bjørn@b.example"];
    for (const one of to) await client.send({ from, parameters, to: [one], source: [Buffer.from(source)] });
    expect(transport.requests.map((request) => request.to)).toEqual([["bob@b.example"]]);
    expect(transport.handedBack.map((mail) => mail.to)).toEqual([["bjørn@b.example"]]);
  });

  it("verifies certificates, but for test names: a wrong one means SMTP", async () => {
    await using transport = await runTransport(names, "c.example");
    const client = await transport.lmtp();
    const to = ["bob@b.example", "eve@_b.test", "joe@c.example"];
    const { replies } = await client.send({ from, to, source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250, 250, 250]);
    expect(transport.requests.map((request) => request.to[0]).sort()).toEqual([
      "eve@_b.test",
      "joe@c.example",
    ]);
    expect(transport.handedBack).toEqual([{ from, to: ["bob@b.example"], source }]);
  });

  it.each([
    ["a page that is not there", 404, "no such page"],
    ["a web site that likes everything", 200, "<html>Welcome</html>"],
    ["words that are no reply of SMTP", 400, "Bad Request"],
    ["a limit of the web server", 413, "too large"],
    ["an error of the web server", 502, "450 4.3.0 bad gateway"],
  ])("takes %s for no relay and hands the message back", async (_what, status, text) => {
    await using transport = await runTransport(names);
    transport.setPeer(() => ({ status, text }));
    const client = await transport.lmtp();
    const { replies } = await client.send({ from, to: ["bob@b.example"], source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250]);
    expect(transport.handedBack).toEqual([{ from, to: ["bob@b.example"], source }]);
  });

  it.each([
    ["523 Encryption Needed: Invalid Unencrypted Mail", 523],
    ["554 5.7.1 No DKIM signature found", 554],
    ["451 4.4.3 DKIM key lookup failed, try again later", 451],
    ["421 4.7.0 too many", 451],
  ])("gives the refusal %j on to everybody, and tries no other way", async (text, code) => {
    await using transport = await runTransport(names);
    transport.setPeer(() => ({ status: 400, text }));
    const client = await transport.lmtp();
    const to = ["bob@b.example", "eve@b.example"];
    const { replies } = await client.send({ from, to, source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([code, code]);
    expect(replies[0]!.text).toBe(text.slice(4));
    expect(transport.requests).toHaveLength(1);
    expect(transport.handedBack).toEqual([]);
  });

  it("gives the others their message when the relay names who is refused", async () => {
    await using transport = await runTransport(names);
    const refused = "550 5.1.1 <eve@b.example>: Recipient address rejected: User unknown";
    transport.setPeer(({ to }) =>
      to.includes("eve@b.example") ? { status: 400, text: refused } : { status: 200, text: "250 OK" },
    );
    const client = await transport.lmtp();
    const to = ["bob@b.example", "eve@b.example", "joe@b.example"];
    const { replies } = await client.send({ from, to, source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250, 550, 250]);
    expect(transport.requests.map((request) => request.to)).toEqual([to, ["bob@b.example", "joe@b.example"]]);
  });

  it("asks for each alone when a refusal could be about any of them", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(({ to }) =>
      to.includes("eve@b.example")
        ? { status: 400, text: "550 5.1.1 User unknown" }
        : { status: 200, text: "250 OK" },
    );
    const client = await transport.lmtp();
    const to = ["bob@b.example", "eve@b.example", "joe@b.example"];
    const { replies } = await client.send({ from, to, source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250, 550, 250]);
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
    const client = await transport.lmtp();
    const { replies } = await client.send({ from, to: ["bob@b.example"], source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250]);
    expect(transport.requests).toHaveLength(3);
    expect(transport.handedBack).toEqual([]);
  });

  it("leaves a message with Postfix when the answer stays lost", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(({ method }, { request }) => {
      if (method === "GET") return { status: 405, text: "" };
      request.socket.destroy();
      return undefined;
    });
    const client = await transport.lmtp();
    const { replies } = await client.send({ from, to: ["bob@b.example"], source: [Buffer.from(source)] });
    expect(replies[0]).toMatchObject({ code: 451, text: expect.stringContaining("answer") });
    expect(transport.handedBack).toEqual([]);
  });

  it("goes by SMTP when a web server that is no relay ends the connection instead of answering", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(({ method }, { request }) => {
      if (method === "GET") return { status: 404, text: "" };
      request.socket.destroy();
      return undefined;
    });
    const client = await transport.lmtp();
    const { replies } = await client.send({ from, to: ["bob@b.example"], source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250]);
    expect(transport.handedBack).toHaveLength(1);
  });

  it("goes by SMTP when what speaks TLS there never answers in HTTP", async () => {
    await using transport = await runTransport(names);
    transport.setPeer((_request, { request }) => {
      request.socket.destroy();
      return undefined;
    });
    const client = await transport.lmtp();
    const { replies } = await client.send({ from, to: ["bob@b.example"], source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250]);
    expect(transport.handedBack).toHaveLength(1);
  });

  it("leaves domains that take no mail to SMTP, which has the words for it", async () => {
    await using transport = await runTransport({
      ...names,
      "null.example": { mx: [{ exchange: "", priority: 0 }] },
    });
    const client = await transport.lmtp();
    const to = ["bob@null.example", "bob@nowhere.example"];
    const { replies } = await client.send({ from, to, source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250, 250]);
    expect(transport.requests).toEqual([]);
    expect(transport.handedBack.map((mail) => mail.to)).toEqual([to]);
  });

  it("answers for a recipient that is named twice, in another case as well", async () => {
    await using transport = await runTransport(names);
    const client = await transport.lmtp();
    const to = ["bob@b.example", "BOB@b.example", "bob@b.example"];
    const { replies } = await client.send({ from, to, source: [Buffer.from(source)] });
    expect(codes(replies)).toEqual([250, 250, 250]);
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
    const client = await transport.lmtp();
    const { replies } = await client.send({ from, to: ["bob@b.example"], source: [Buffer.from(large)] });
    expect(codes(replies)).toEqual([250]);
    expect(transport.requests[0]!.source === large).toBe(true);
  });

  it("is handed back whole where there is no relay, and for several domains", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(() => ({ status: 404, text: "" }));
    const client = await transport.lmtp();
    for (const to of [["bob@b.example"], ["bob@b.example", "joe@c.example"]]) {
      const { replies } = await client.send({ from, to, source: [Buffer.from(large)] });
      expect(codes(replies)).toEqual(to.map(() => 250));
    }
    expect(transport.requests).toEqual([]);
    expect(transport.handedBack.every((mail) => mail.source === large)).toBe(true);
  });

  it("is never handed back in part: refused in the middle it stays with Postfix, and goes by SMTP the next time", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(asksFirst({ status: 413, text: "too large" }).peer);
    const client = await transport.lmtp();
    const mail = { from, to: ["bob@b.example"], source: [Buffer.from(large)] };
    expect(codes((await client.send(mail)).replies)).toEqual([451]);
    expect(transport.handedBack).toEqual([]);
    expect(codes((await client.send(mail)).replies)).toEqual([250]);
    expect(transport.handedBack.map((one) => one.source === large)).toEqual([true]);
  });

  it("does not arrive when Postfix goes away in the middle", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(asksFirst({ status: 200, text: "250 OK" }).peer);
    const client = await transport.lmtp();
    const broken = async function* () {
      yield Buffer.from(large);
      client.destroy();
      yield Buffer.from("more\r\n");
    };
    await expect(client.send({ from, to: ["bob@b.example"], source: broken() })).rejects.toThrow(
      "closed the connection",
    );
    const again = await transport.lmtp();
    await again.send({ from, to: ["joe@b.example"], source: [Buffer.from(source)] });
    expect(transport.requests.map((request) => request.to)).toEqual([["joe@b.example"]]);
    expect(transport.handedBack).toEqual([]);
  });
});

describe("mail that SMTP could not deliver", () => {
  const mail = (to: readonly string[]) => ({ from, to, source: [Buffer.from(source)] });

  it("is tried by HTTPS again", async () => {
    await using transport = await runTransport(names);
    const client = await transport.fallback();
    expect((await client.send(mail(["bob@b.example", "eve@b.example"]))).replies[0]!.code).toBe(250);
    expect(transport.requests[0]).toMatchObject({ to: ["bob@b.example", "eve@b.example"], source });
    expect(transport.handedBack).toEqual([]);
  });

  it("waits when neither works, and is refused for domains that take none", async () => {
    await using transport = await runTransport({
      ...names,
      "null.example": { mx: [{ exchange: "", priority: 0 }] },
    });
    transport.setPeer(() => ({ status: 404, text: "" }));
    const client = await transport.fallback();
    const answer = async (to: string) => (await client.send(mail([to]))).replies[0]!.code;
    expect(await answer("bob@b.example")).toBe(451);
    expect(await answer("bob@null.example")).toBe(556);
    expect(await answer("bob@nowhere.example")).toBe(550);
  });

  it("goes to nobody when some are refused, who hear it at the next attempt", async () => {
    await using transport = await runTransport(names);
    transport.setPeer(({ to }) =>
      to.includes("eve@b.example")
        ? { status: 400, text: "550 5.1.1 <eve@b.example>: User unknown" }
        : { status: 200, text: "250 OK" },
    );
    const client = await transport.fallback();
    const to = ["bob@b.example", "eve@b.example"];
    expect(codes((await client.send(mail(to))).replies)).toEqual([451, 451]);
    // Another's message is not refused for it.
    const other = { ...mail(["eve@b.example"]), from: "other@a.example" };
    transport.setPeer(() => ({ status: 200, text: "250 OK" }));
    expect(codes((await client.send(other)).replies)).toEqual([250]);
    expect(codes((await client.send(mail(to))).replies)).toEqual([250, 550]);
    expect(transport.requests.map((request) => request.to)).toEqual([
      to,
      ["eve@b.example"],
      ["bob@b.example"],
    ]);
  });
});

describe("hosts that never answer", () => {
  const silentDomains = Array.from({ length: 250 }, (_, i) => `_${i}.evil.test`);
  const mallory = "mallory@a.example";
  /** Messages to 50 such hosts each, which together want more connections than there are. */
  const floods = Array.from({ length: 5 }, (_, i) =>
    silentDomains.slice(50 * i, 50 * (i + 1)).map((domain) => `x@${domain}`),
  );

  it("keep nobody else's mail waiting, and theirs stays with Postfix", async () => {
    await using transport = await runTransport({
      ...names,
      ...Object.fromEntries(silentDomains.map((domain) => [domain, {}])),
    });
    const waiting: ServerResponse[] = [];
    transport.setPeer(({ to }, { response }) => {
      if (!to[0]!.includes("evil")) return { status: 200, text: "250 OK" };
      waiting.push(response);
      return undefined;
    });
    const honest = await transport.lmtp();
    const write = (to: readonly string[]) => honest.send({ from, to, source: [Buffer.from(source)] });
    await write(["bob@b.example"]);
    const flooded = floods.map(async (to) => {
      const session = await transport.lmtp();
      return await session.send({ from: mallory, to, source: [Buffer.from(source)] });
    });
    await waitFor("the hosts have connections", 10_000, async () => transport.connections() > 50);
    expect(codes((await write(["bob@b.example"])).replies)).toEqual([250]);
    // To one that nobody wrote to before, too.
    expect(codes((await write(["eve@_b.test"])).replies)).toEqual([250]);
    const isDeferred = await Promise.race(
      flooded.map(async (flood) => (await flood).replies.every(({ code }) => code === 451)),
    );
    expect(isDeferred).toBe(true);
    expect(codes((await write(["bob@b.example"])).replies)).toEqual([250]);
    // Of the 50 that wait, so many may go on.
    await waitFor("slow deliveries give up their places", 10_000, async () => {
      return waiting.filter(({ closed }) => !closed).length === MAX_SLOW;
    });
    for (const response of waiting.filter(({ closed }) => !closed)) response.writeHead(200).end("250 OK");
    const outcomes = (await Promise.all(flooded)).flatMap(({ replies }) => codes(replies));
    expect(outcomes.filter((code) => code === 250)).toHaveLength(MAX_SLOW);
    expect(outcomes.filter((code) => code === 451)).toHaveLength(silentDomains.length - MAX_SLOW);
    expect(transport.handedBack).toEqual([]);
    expect(transport.requests.map(({ to }) => to[0]).filter((to) => !to!.includes("evil"))).toEqual([
      ...["bob@b.example", "bob@b.example", "eve@_b.test", "bob@b.example"],
    ]);
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
  const client = await transport.lmtp();
  const sent = client.send({ from, to: ["bob@b.example"], source: [Buffer.from(source)] });
  await asked;
  const stopped = transport.stop();
  answer();
  expect(codes((await sent).replies)).toEqual([250]);
  await stopped;
});
