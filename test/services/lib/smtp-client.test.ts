/** Our client of SMTP, with smtp-server and with servers that break off at the other end. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { afterEach, describe, expect, it } from "vitest";
import { openSmtpClient, type SmtpClientOptions } from "../../../services/lib/smtp-client.ts";

const message = [Buffer.from("Subject: one\r\n\r\n.two\r\n")];
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Refuses recipients that begin with "no". */
async function mailServer() {
  const received: { to: string[]; source: string }[] = [];
  const options: SMTPServerOptions = {
    disabledCommands: ["AUTH", "STARTTLS"],
    logger: false,
    onRcptTo: ({ address }, _session, done) =>
      done(
        address.startsWith("no") ? Object.assign(new Error("5.1.1 unknown"), { responseCode: 550 }) : null,
      ),
    onData: async (stream, { envelope }, done) => {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of stream) chunks.push(chunk as Buffer);
      } catch {
        // The client went away in the middle: nobody hears an answer.
        return;
      }
      const to = envelope.rcptTo.map(({ address }) => address);
      received.push({ to, source: Buffer.concat(chunks).toString() });
      done(null, "2.0.0 queued");
    },
  };
  return { port: await listen(new SMTPServer(options).server), received };
}

function open(port: number, options: Partial<SmtpClientOptions> = {}) {
  return openSmtpClient(connect(port, "127.0.0.1"), {
    name: "client.test",
    deliverTo: "accepted",
    ...options,
  });
}

describe("a client of SMTP", () => {
  it("shows the reply for each recipient and sends to the accepted ones", async () => {
    const { port, received } = await mailServer();
    const client = await open(port);
    const to = ["a@b.example", "no@b.example", "c@b.example"];
    const { replies } = await client.send({ from: "", to, source: message });
    expect(replies.map(({ code }) => code)).toEqual([250, 550, 250]);
    expect(received).toEqual([
      { to: ["a@b.example", "c@b.example"], source: "Subject: one\r\n\r\n.two\r\n" },
    ]);
    client.destroy();
  });

  it("sends to nobody when one is refused, if that is asked for, and goes on", async () => {
    const { port, received } = await mailServer();
    const client = await open(port, { deliverTo: "all" });
    const refused = { from: "x@y.example", to: ["a@b.example", "no@b.example"], source: message };
    expect(await client.send(refused)).toMatchObject({
      offered: false,
      replies: [{ code: 550 }, { code: 550 }],
    });
    expect(received).toEqual([]);
    await client.send({ from: "x@y.example", to: ["a@b.example"], source: message });
    expect(received).toHaveLength(1);
    client.destroy();
  });

  it("delivers nothing when the message breaks off where it comes from", async () => {
    const { port, received } = await mailServer();
    const client = await open(port);
    const broken = async function* () {
      yield Buffer.from("Subject: half\r\n");
      throw new Error("it broke");
    };
    await expect(client.send({ from: "", to: ["a@b.example"], source: broken() })).rejects.toThrow(
      "it broke",
    );
    const other = await open(port);
    await other.send({ from: "", to: ["a@b.example"], source: message });
    expect(received).toHaveLength(1);
    other.destroy();
  });
});

describe("a mail server that breaks off", () => {
  const replies: Readonly<Record<string, string>> = {
    EHLO: "250 x",
    MAIL: "250 x",
    RCPT: "250 x",
    DATA: "354 go",
  };
  /** Answers commands until it ends the connection at `last`. */
  const breaking = (last: string) =>
    createServer((socket: Socket) => {
      socket.on("error", () => {});
      if (last === "connection") return void socket.destroy();
      socket.write("220 x\r\n");
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk.toString();
        for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
          const line = text.slice(0, end);
          text = text.slice(end + 2);
          const verb = line.split(/[ :]/)[0]!;
          if (verb === last) socket.destroy();
          else if (replies[verb] !== undefined) socket.write(`${replies[verb]}\r\n`);
        }
      });
    });

  it.each([
    ["connection", false],
    ["EHLO", false],
    ["RCPT", false],
    ["DATA", false],
    [".", true],
  ])("at %s leaves it uncertain who has the message: %s", async (last, uncertain) => {
    const port = await listen(breaking(last));
    const attempt = open(port).then((client) =>
      client.send({ from: "", to: ["a@b.example"], source: message }),
    );
    await expect(attempt).rejects.toMatchObject({ name: "SmtpClientError", uncertain });
  });

  it("after some refused recipients has refused these, and says nothing of the others", async () => {
    const port = await listen(
      createServer((socket) => {
        socket.on("error", () => {});
        socket.write("220 x\r\n");
        let text = "";
        let recipients = 0;
        socket.on("data", (chunk) => {
          text += chunk.toString();
          for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
            const line = text.slice(0, end);
            text = text.slice(end + 2);
            if (!line.startsWith("RCPT")) socket.write("250 x\r\n");
            else if (recipients++ < 2) socket.write(`550 5.1.1 ${/<.+>/.exec(line)![0]} unknown\r\n`);
            else return void socket.end("421 4.7.0 too many errors\r\n");
          }
        });
      }),
    );
    const client = await open(port, { deliverTo: "all" });
    const to = ["a@b.example", "b@b.example", "c@b.example", "d@b.example"];
    const { replies, offered } = await client.send({ from: "", to, source: message });
    expect(offered).toBe(false);
    expect([...new Set(replies.map(({ text }) => text))]).toEqual([
      "5.1.1 <a@b.example> unknown",
      "5.1.1 <b@b.example> unknown",
    ]);
    client.close();
  });

  it("in the middle of a large message fails, and does not wait for ever", async () => {
    const port = await listen(
      createServer((socket) => {
        socket.on("error", () => {});
        socket.write("220 x\r\n250 x\r\n250 x\r\n250 x\r\n354 go\r\n");
        setTimeout(() => socket.destroy(), 100);
        socket.pause();
      }),
    );
    const client = await open(port);
    const large = Array.from({ length: 400 }, () => Buffer.alloc(65_536, "x"));
    const attempt = client.send({ from: "", to: ["a@b.example"], source: large });
    await expect(attempt).rejects.toMatchObject({ name: "SmtpClientError", uncertain: false });
  });

  it("by talking without end or sense is left", async () => {
    const endless = await listen(createServer((socket) => socket.write(`220-${"x".repeat(20_000)}`)));
    await expect(open(endless)).rejects.toThrow("too long");
    const senseless = await listen(createServer((socket) => socket.write("HTTP/1.1 400 Bad Request\r\n")));
    await expect(open(senseless)).rejects.toThrow("does not speak SMTP");
    const silent = await listen(createServer(() => {}));
    await expect(open(silent, { replyLimitMs: 50 })).rejects.toThrow("silent");
  });
});
