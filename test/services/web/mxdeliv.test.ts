/** Mail by HTTPS, from the request to what Postfix is told: smtp-server behind the real reader of PROXY headers. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { proxyHeader } from "../../../services/lib/proxy-header.ts";
import { takeProxyHeader } from "../../../services/lib/proxy-protocol.ts";
import { openAccepted } from "../../../services/web/accepted.ts";
import { mxdelivLimits, mxdelivRoutes } from "../../../services/web/mxdeliv.ts";
import { waitFor } from "../../support/wait.ts";
import { type RunningFront, readToEnd, runFront } from "./running-front.ts";
import { proxyHeaderOf } from "./running-sign-up.ts";

const maxMessageBytes = 100_000;
const sourceOf = (subject: string) => `Subject: ${subject}\r\n\r\n.two\r\n`;

type Received = { peer: string; from: string; to: string[]; source: string };

describe("POST /mxdeliv", () => {
  const received: Received[] = [];
  /** What the mail server says at the end of a message. */
  let verdict: { code: number; text: string } | "silence";
  let front: RunningFront;
  /** Another one in each test: the same would be known. */
  let source: string;
  let stopPostfix: () => void;
  let connections = 0;
  let folder: string;
  const log: string[] = [];
  let number = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-mxdeliv-"));
    const postfix = new SMTPServer({
      disabledCommands: ["AUTH", "STARTTLS"],
      logger: false,
      onRcptTo: ({ address }, _session, done) => {
        const text = `5.1.1 <${address}>: User unknown`;
        done(address.startsWith("no") ? Object.assign(new Error(text), { responseCode: 550 }) : null);
      },
      onData: async (stream, { envelope, remoteAddress }, done) => {
        const chunks: Buffer[] = [];
        try {
          for await (const chunk of stream) chunks.push(chunk as Buffer);
        } catch {
          return;
        }
        const from = envelope.mailFrom === false ? "" : envelope.mailFrom.address;
        const to = envelope.rcptTo.map(({ address }) => address);
        received.push({ peer: remoteAddress, from, to, source: Buffer.concat(chunks).toString("latin1") });
        if (verdict === "silence") return;
        const { code, text } = verdict;
        if (code < 300) done(null, text);
        else done(Object.assign(new Error(text), { responseCode: code }));
      },
    });
    const door = createServer(async (socket) => {
      connections++;
      socket.on("error", () => socket.destroy());
      const peer = await takeProxyHeader(socket, 5000);
      postfix.connect(socket, { id: "", remoteAddress: peer?.address ?? "", remotePort: 0 });
    });
    door.listen(0, "127.0.0.1");
    await once(door, "listening");
    stopPostfix = () => door.close();
    const { port } = door.address() as AddressInfo;
    front = await runFront({
      relay: mxdelivRoutes({
        domain: "_a.test",
        postfix: { host: "127.0.0.1", port },
        maxMessageBytes,
        maxRecipients: 3,
        accepted: openAccepted(
          join(folder, "accepted"),
          createLog(() => {}),
        ),
        limits: { ...mxdelivLimits, ofNetwork: 2, ofSite: 3, ofAll: 12, replyMs: 2000, hurriedGraceMs: 300 },
        log: createLog((line) => log.push(line)),
      }),
    });
  });
  afterAll(async () => {
    await front?.[Symbol.asyncDispose]();
    stopPostfix?.();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => {
    received.length = 0;
    verdict = { code: 250, text: "2.0.0 queued" };
    source = sourceOf(`message ${number++}`);
  });

  const request = (lines: readonly string[], body: string) =>
    [
      "POST /mxdeliv HTTP/1.1",
      "Host: _a.test",
      "Connection: close",
      `Content-Length: ${body.length}`,
      ...lines,
      "",
      body,
    ].join("\r\n");
  /** Status and body of the answer. */
  const post = async (lines: readonly string[], body: string = source) => {
    const socket = await front.secure();
    socket.write(request(lines, body));
    const answer = await readToEnd(socket);
    return { status: Number(answer.slice(9, 12)), text: answer.slice(answer.indexOf("\r\n\r\n") + 4) };
  };
  const from = "X-MAIL-FROM: joe@b.example";

  it("hands the message to Postfix with the peer's address, byte for byte", async () => {
    const answer = await post([from, "X-MAIL-TO: ann@a.example", "X-MAIL-TO: bob@a.example"]);
    expect(answer).toEqual({ status: 200, text: "250 OK" });
    const to = ["ann@a.example", "bob@a.example"];
    expect(received).toEqual([{ peer: "192.0.2.7", from: "joe@b.example", to, source }]);
  });

  it("takes a bounce, and recipients that were joined on the way", async () => {
    expect((await post(["X-MAIL-TO: ann@a.example, bob@a.example"])).status).toBe(200);
    expect(received[0]).toMatchObject({ from: "", to: ["ann@a.example", "bob@a.example"] });
  });

  it("gives nobody the message when some are refused, and names each", async () => {
    const to = ["ann", "no1", "no2"].map((name) => `X-MAIL-TO: ${name}@a.example`);
    expect(await post([from, ...to])).toEqual({
      status: 400,
      text: "550 5.1.1 <no1@a.example>: User unknown\r\n550 5.1.1 <no2@a.example>: User unknown",
    });
    expect(received).toEqual([]);
  });

  it("gives on what the policy says of the message, once", async () => {
    verdict = { code: 523, text: "Encryption Needed: Invalid Unencrypted Mail" };
    const answer = await post([from, "X-MAIL-TO: ann@a.example", "X-MAIL-TO: bob@a.example"]);
    expect(answer).toEqual({ status: 400, text: "523 Encryption Needed: Invalid Unencrypted Mail" });
  });

  it.each([
    ["no recipient", [from], "503 5.5.1"],
    ["too many recipients", [from, "X-MAIL-TO: a@b.c,b@b.c,c@b.c,d@b.c"], "452 4.5.3"],
    ["a sender with a space", ["X-MAIL-FROM: a b@c.d", "X-MAIL-TO: a@b.c"], "501 5.1.7"],
    ["brackets", [from, "X-MAIL-TO: <a@b.c>"], "501 5.1.3"],
    ["a second command", [from, "X-MAIL-TO: a@b.c>\tRCPT TO:<c@d.e"], "501 5.1.3"],
    ["no domain", [from, "X-MAIL-TO: postmaster"], "501 5.1.3"],
  ])("refuses %s", async (_what, lines, text) => {
    const answer = await post(lines);
    expect(answer).toMatchObject({ status: 400, text: expect.stringContaining(text) });
    expect(received).toEqual([]);
  });

  it("refuses a message over the size, announced or not, and delivers nothing of it", async () => {
    const large = "x".repeat(maxMessageBytes + 1);
    expect((await post([from, "X-MAIL-TO: ann@a.example"], large)).status).toBe(413);
    const socket = await front.secure();
    socket.write(
      `POST /mxdeliv HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n${from}\r\nX-MAIL-TO: ann@a.example\r\n\r\n`,
    );
    socket.write(`${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`);
    expect((await readToEnd(socket)).slice(9, 12)).toBe("413");
    expect(received).toEqual([]);
    const largest = sourceOf("x".repeat(maxMessageBytes - sourceOf("").length));
    expect(largest).toHaveLength(maxMessageBytes);
    expect((await post([from, "X-MAIL-TO: ann@a.example"], largest)).status).toBe(200);
    expect(received).toMatchObject([{ source: largest }]);
  });

  it("delivers nothing when the peer goes away in the middle", async () => {
    const socket = await front.secure();
    const whole = request([from, "X-MAIL-TO: ann@a.example"], source + "x".repeat(mxdelivLimits.heldBytes));
    const before = connections;
    socket.write(whole.slice(0, -3));
    await expect.poll(() => connections).toBe(before + 1);
    socket.destroy();
    expect((await post([from, "X-MAIL-TO: bob@a.example"])).status).toBe(200);
    expect(received.map(({ to }) => to[0])).toEqual(["bob@a.example"]);
  });

  it("asks Postfix nothing for who dawdles over his first words, nor for what came already", async () => {
    const lines = [from, "X-MAIL-TO: ann@a.example"];
    expect((await post(lines)).status).toBe(200);
    const before = connections;
    const socket = await front.secure();
    socket.write(request(lines, source).slice(0, -3));
    expect(await post(lines)).toEqual({ status: 200, text: "250 OK" });
    socket.destroy();
    expect(connections).toBe(before);
  });

  it("hurries everybody while half of the places are taken", async () => {
    const dawdlers: Socket[] = [];
    for (const client of [20, 20, 21, 21, 22, 22]) {
      const socket = await front.secure("http/1.1", proxyHeaderOf(client));
      socket.write(request([from, "X-MAIL-TO: ann@a.example"], source).slice(0, -3));
      dawdlers.push(socket.resume());
    }
    // Each has 20 s to begin with, and the patience is shorter.
    await waitFor("one of them is sent away", 15_000, () => dawdlers.some(({ closed }) => closed));
    for (const socket of dawdlers) socket.destroy();
  });

  it("takes the same message for the same recipients once, and says so to who asks again", async () => {
    const lines = [from, "X-MAIL-TO: ann@a.example", "X-MAIL-TO: bob@a.example"];
    for (let i = 0; i < 2; i++) expect(await post(lines)).toEqual({ status: 200, text: "250 OK" });
    expect(received).toHaveLength(1);
    expect((await post([from, "X-MAIL-TO: joe@a.example"])).status).toBe(200);
    expect((await post(["X-MAIL-TO: ann@a.example", "X-MAIL-TO: bob@a.example"])).status).toBe(200);
    expect(received).toHaveLength(3);
  });

  it("takes again what was refused the first time", async () => {
    verdict = { code: 451, text: "4.7.1 later" };
    expect((await post([from, "X-MAIL-TO: ann@a.example"])).status).toBe(400);
    verdict = { code: 250, text: "2.0.0 queued" };
    expect((await post([from, "X-MAIL-TO: ann@a.example"])).status).toBe(200);
    expect(received).toHaveLength(2);
  });

  it("takes POST alone", async () => {
    const socket = await front.secure();
    socket.write("GET /mxdeliv HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    expect((await readToEnd(socket)).slice(9, 12)).toBe("405");
  });

  it("lets one network have so many messages under way, and says so to the next", async () => {
    const open = await Promise.all([front.secure(), front.secure()]);
    const texts = open.map((_, i) => request([from, "X-MAIL-TO: ann@a.example"], sourceOf(`open ${i}`)));
    for (const [i, socket] of open.entries()) socket.write(texts[i]!.slice(0, -2));
    await expect.poll(async () => (await post([from, "X-MAIL-TO: bob@a.example"])).status).toBe(429);
    const answers = open.map(readToEnd);
    for (const [i, socket] of open.entries()) socket.write(texts[i]!.slice(-2));
    expect((await Promise.all(answers)).map((answer) => answer.slice(9, 12))).toEqual(["200", "200"]);
    expect((await post([from, "X-MAIL-TO: bob@a.example"])).status).toBe(200);
  });

  it("lets all networks of one site together have so many under way", async () => {
    const local = { address: "2001:db8:ffff::1", port: 443 };
    const from48 = (site: number, link: number) =>
      front.secure("http/1.1", proxyHeader({ address: `2001:db8:${site}:${link}::1`, port: 4321 }, local));
    const open = await Promise.all([1, 2, 3].map((link) => from48(1, link)));
    for (const [i, socket] of open.entries())
      socket.write(request([from, "X-MAIL-TO: ann@a.example"], sourceOf(`site ${i}`)).slice(0, -2));
    const postFrom = async (site: number) => {
      const socket = await from48(site, 4);
      socket.write(request([from, "X-MAIL-TO: ann@a.example"], source));
      return (await readToEnd(socket)).slice(9, 12);
    };
    await expect.poll(() => postFrom(1)).toBe("429");
    expect(await postFrom(2)).toBe("200");
    const answers = open.map(readToEnd);
    for (const socket of open) socket.destroy();
    await Promise.all(answers);
    await expect.poll(() => postFrom(1)).toBe("200");
  });

  it("says to try again when Postfix is silent, and when it is away, in few lines of the log", async () => {
    verdict = "silence";
    expect(await post([from, "X-MAIL-TO: ann@a.example"])).toMatchObject({
      status: 400,
      text: expect.stringMatching(/^451 4\.3\.2/),
    });
    stopPostfix();
    for (let i = 0; i < 3; i++)
      expect(await post([from, "X-MAIL-TO: ann@a.example"])).toMatchObject({
        status: 400,
        text: expect.stringMatching(/^451 4\.3\.2/),
      });
    expect(log.map((line) => /cause="([^"]*)"/.exec(line)?.[1])).toEqual([
      expect.stringContaining("silent"),
      expect.stringContaining("ECONNREFUSED"),
    ]);
  });
});
