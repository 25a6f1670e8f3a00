/** What a slow, silent, vanishing or hostile peer can do to a milter connection: nothing for long. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import {
  type ConnectionLimits,
  connectionLimits,
  type RunningConnection,
  serveConnection,
} from "../../../services/milter/connection.ts";
import type { Decision, MessageHandler } from "../../../services/milter/message.ts";
import { encodePacket } from "../../../services/milter/protocol.ts";
import { waitFor } from "../../support/wait.ts";
import { connectMilter, offerData, postfixOffer, strings } from "./milter-client.ts";

const PATIENCE = 10_000;

const negotiation = encodePacket("O", offerData(postfixOffer));
const greeting = [
  encodePacket("D", strings("C{daemon_name}", "mx")),
  encodePacket("C", Buffer.from("host\x004\x9c\x40192.0.2.1\0", "latin1")),
];
const mail = [...greeting, encodePacket("M", strings("<a@b.test>"))];

describe("a milter connection", () => {
  let folder: string;
  let path: string;
  let server: Server;
  let log: string[];
  let limits: ConnectionLimits;
  let served: RunningConnection[];
  /** Decides the messages that reach their end. */
  let decide: () => Promise<Decision>;
  const clients = new Set<Socket>();

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-milter-"));
    path = join(folder, "milter.sock");
    log = [];
    limits = connectionLimits;
    served = [];
    decide = async () => ({ changes: [] });
    const handler = (): MessageHandler => ({
      recipient() {},
      header() {},
      endOfHeader: () => "more",
      body: () => "more",
      end: () => decide(),
    });
    const daemons = new Map([["mx", handler]]);
    server = createServer((socket) =>
      served.push(
        serveConnection(socket, { daemons, log: createLog((line) => log.push(line), true), limits }),
      ),
    );
    server.listen(path);
    await once(server, "listening");
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    clients.clear();
    await Promise.all(served.map(({ done }) => done));
    server.close();
    await once(server, "close");
    await rm(folder, { recursive: true });
  });

  const open = async (...packets: Buffer[]): Promise<Socket> => {
    const socket = connect(path);
    clients.add(socket);
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(Buffer.concat(packets));
    return socket;
  };
  const closedByPeer = async (socket: Socket): Promise<void> => {
    socket.resume();
    // Not by once(): what is written at that moment may end in EPIPE, which is as good a close.
    await new Promise((resolve) => socket.once("close", resolve));
  };

  describe("is closed", () => {
    it.each<[string, keyof ConnectionLimits, Buffer[], string]>([
      ["without negotiation", "negotiationMs", [], "the negotiation"],
      ["with half a negotiation", "packetMs", [negotiation.subarray(0, 9)], "the rest of a packet"],
      ["with half a length", "packetMs", [negotiation, Buffer.from([0, 0])], "the rest of a packet"],
      [
        "with half a piece of the body",
        "packetMs",
        [negotiation, ...mail, encodePacket("B", Buffer.alloc(9)).subarray(0, 10)],
        "the rest of a packet",
      ],
      ["without another command", "idleMs", [negotiation, ...greeting], "a command"],
      ["in the middle of a message", "idleMs", [negotiation, ...mail], "a command"],
    ])("%s after its time", async (_what, limit, packets, awaited) => {
      limits = { ...connectionLimits, [limit]: 20 };
      await closedByPeer(await open(...packets));
      await served[0]!.done;
      expect(log).toEqual([
        `<4>a milter connection was closed: its peer was too slow waitedFor="${awaited}"\n`,
      ]);
    });

    it("when a packet comes so slowly that it is never whole, though something always comes", async () => {
      limits = { ...connectionLimits, packetMs: 200 };
      const socket = await open(negotiation, Buffer.from([0, 3, 0, 0, "L".charCodeAt(0)]));
      const drip = setInterval(() => socket.write("x"), 20);
      await closedByPeer(socket);
      clearInterval(drip);
      expect(log.join()).toContain("the rest of a packet");
    });

    it("when its peer sends commands and never reads the answers", async () => {
      limits = { ...connectionLimits, answerMs: 50, unreadBytes: 1000 };
      const socket = await open(negotiation, ...greeting);
      socket.pause();
      const command = Buffer.concat(Array.from({ length: 5000 }, () => encodePacket("H", strings("x"))));
      let isOpen = true;
      void served.at(-1)?.done.then(() => {
        isOpen = false;
      });
      // Until both directions are full of what nobody reads.
      await waitFor("the milter has given up", PATIENCE, () => {
        if (socket.writableLength < command.length) socket.write(command);
        return !isOpen;
      });
      expect(log.join()).toContain('waitedFor="reading our answers"');
    });

    it.each<[string, Buffer[]]>([
      ["a command before the negotiation", [encodePacket("H", strings("x"))]],
      ["a message before CONNECT", [negotiation, encodePacket("M", strings("<>"))]],
      ["a recipient outside a message", [negotiation, ...greeting, encodePacket("R", strings("<>"))]],
      ["a header field outside a message", [negotiation, ...greeting, encodePacket("L", strings("a", "b"))]],
      ["a body outside a message", [negotiation, ...greeting, encodePacket("B", Buffer.from("x"))]],
      ["the end of no message", [negotiation, ...greeting, encodePacket("E")]],
      ["a message inside a message", [negotiation, ...mail, encodePacket("M", strings("<>"))]],
      ["a client inside a message", [negotiation, ...mail, greeting[1]!]],
      ["a negotiation inside a session", [negotiation, ...mail, negotiation]],
      [
        "a header field after the body",
        [negotiation, ...mail, encodePacket("B", Buffer.from("x")), encodePacket("L", strings("a", "b"))],
      ],
      [
        "a recipient after the header",
        [negotiation, ...mail, encodePacket("N"), encodePacket("R", strings("<>"))],
      ],
      ["a second end of the header", [negotiation, ...mail, encodePacket("N"), encodePacket("N")]],
      ["an unknown command", [negotiation, encodePacket("?")]],
      ["a command of no ASCII", [negotiation, encodePacket("\xff")]],
      ["an envelope command without address", [negotiation, ...greeting, encodePacket("M")]],
      ["a header field without value", [negotiation, ...mail, encodePacket("L", strings("a"))]],
      ["a packet of four gigabytes", [negotiation, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x42])]],
      ["an empty packet", [negotiation, Buffer.alloc(4)]],
    ])("at once by %s, and the log says so in one line", async (_what, packets) => {
      await closedByPeer(await open(...packets));
      await served[0]!.done;
      expect(log).toHaveLength(1);
      expect(log[0]).toMatch(/^<3>a milter connection broke off cause="MilterProtocolError: /);
    });

    it("when its peer goes away inside a packet", async () => {
      const socket = await open(negotiation, encodePacket("L", strings("a", "b")).subarray(0, 6));
      socket.end();
      await served[0]!.done;
      expect(log.join()).toContain("the connection ended inside a packet");
    });
  });

  it("takes any number of messages, pipelined, with everything in one write", async () => {
    const message = [
      mail[2]!,
      encodePacket("L", strings("a", "b")),
      encodePacket("N"),
      encodePacket("B", Buffer.from("x")),
      encodePacket("E"),
    ];
    const socket = await open(
      negotiation,
      ...greeting,
      ...message,
      encodePacket("A"),
      ...message,
      encodePacket("K"),
      ...greeting,
      ...message,
      encodePacket("Q"),
    );
    const received: Buffer[] = [];
    socket.on("data", (bytes: Buffer) => received.push(bytes));
    await once(socket, "close");
    const answer = "\0\0\0\x01c";
    expect(Buffer.concat(received).toString("latin1").slice(17)).toBe(answer.repeat(4 * 3));
    expect(log).toEqual([]);
  });

  it("tells the mail server that it is at work, and defers what is never decided", async () => {
    limits = { ...connectionLimits, progressMs: 10, decisionMs: 100 };
    decide = () => new Promise(() => {});
    const milter = await connectMilter(path);
    await milter.session("mx");
    const text = "From: x\r\n\r\nhello\r\n";
    expect(await milter.message({ from: "<>", to: [], text })).toBe(
      "reply 451 4.3.0 Internal error, try again later",
    );
    expect(milter.transcript.filter((line) => line === "< progress").length).toBeGreaterThanOrEqual(2);
    expect(log.join("")).toContain("the end of a message was not decided in time");
    decide = async () => ({ changes: [] });
    expect(await milter.message({ from: "<>", to: [], text })).toBe("continue");
    await milter.quit();
  });

  it("keeps quiet about a decision that comes too late or for nobody", async () => {
    limits = { ...connectionLimits, progressMs: 10, decisionMs: 20 };
    const late = Promise.withResolvers<Decision>();
    decide = () => late.promise;
    const milter = await connectMilter(path);
    await milter.session("mx");
    const text = "From: x\r\n\r\nhello\r\n";
    expect(await milter.message({ from: "<>", to: [], text })).toMatch(/^reply 451 /);
    late.reject(new Error("a bug that nobody waits for"));
    decide = async () => ({ changes: [] });
    expect(await milter.message({ from: "<>", to: [], text })).toBe("continue");
    expect(log.filter((line) => line.includes("could not be judged"))).toEqual([]);
    await milter.quit();
  });

  it("ends when its peer vanishes while a message is decided", async () => {
    limits = { ...connectionLimits, progressMs: 10 };
    const asked = Promise.withResolvers<void>();
    decide = () => {
      asked.resolve();
      return new Promise(() => {});
    };
    const socket = await open(negotiation, ...mail, encodePacket("N"), encodePacket("E"));
    await asked.promise;
    socket.destroy();
    await served[0]!.done;
    expect(log.filter((line) => /^<[0-4]>/.test(line))).toEqual([]);
  });

  it("leaves nothing behind, in whatever state hundreds of peers vanish", async () => {
    const states = [
      [],
      [negotiation.subarray(0, 7)],
      [negotiation],
      [negotiation, ...greeting],
      [negotiation, ...mail],
      [negotiation, ...mail, encodePacket("B", Buffer.alloc(60_000)).subarray(0, 40_000)],
      [negotiation, ...mail, encodePacket("L", Buffer.alloc(200_000)).subarray(0, 150_000)],
      [negotiation, ...mail, encodePacket("E"), encodePacket("M", strings("<>"))],
    ];
    const resources = () => process.getActiveResourcesInfo().length;
    const before = resources();
    for (let round = 0; round < 5; round++) {
      const sockets = await Promise.all(
        Array.from({ length: 100 }, (_, index) => open(...states[index % states.length]!)),
      );
      for (const [index, socket] of sockets.entries()) {
        if (index % 2 === 0) socket.destroy();
        else socket.end();
        socket.resume();
      }
      await waitFor("all connections are over", PATIENCE, async () => {
        const open = await new Promise<number>((resolve) =>
          server.getConnections((_error, count) => resolve(count)),
        );
        return open === 0;
      });
      await Promise.all(served.map(({ done }) => done));
      clients.clear();
    }
    await waitFor("sockets and timers are gone", PATIENCE, () => resources() <= before);
  });
});
