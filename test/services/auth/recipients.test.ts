import { once } from "node:events";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRecipientServer } from "../../../services/auth/recipients.ts";
import { createLog } from "../../../services/lib/log.ts";

const known = "abc123xyz@chat.example.org";

describe("the recipient socket", () => {
  let server: Server;
  let socket: Socket;
  let received: string;
  let logged: string;

  beforeEach(async () => {
    received = "";
    logged = "";
    server = await start();
    socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.on("data", (data) => {
      received += data;
    });
    await once(socket, "connect");
  });
  afterEach(() => {
    socket.destroy();
    server.close();
  });

  async function start(limits?: { maxConnections: number; idleLimitMs: number }): Promise<Server> {
    const started = createRecipientServer({
      exists: (address) => {
        if (address === "broken@chat.example.org") throw new Error("disk failure");
        return address === known;
      },
      route: (address) => (address.endsWith("@b.example") ? "smtp:" : undefined),
      log: createLog((line) => {
        logged += line;
      }),
      ...(limits === undefined ? {} : { limits }),
    });
    started.listen(0, "127.0.0.1");
    await once(started, "listening");
    return started;
  }

  async function ask(...requests: string[]): Promise<string> {
    received = "";
    const answers = requests.length;
    socket.write(requests.map((text) => `${Buffer.byteLength(text)}:${text},`).join(""));
    while ((received.match(/\d+:[^,]*,/g) ?? []).length < answers) await once(socket, "data");
    return received;
  }

  it("knows an account and no other address", async () => {
    expect(await ask(`recipients ${known}`)).toBe("10:OK account,");
    expect(await ask("recipients nobody@chat.example.org")).toBe("9:NOTFOUND ,");
  });

  it("tells the ways to other domains", async () => {
    expect(await ask("routes bob@b.example", "routes bob@c.example", "routes *")).toBe(
      "8:OK smtp:,9:NOTFOUND ,9:NOTFOUND ,",
    );
  });

  it("ends the session of a login that would be refused now, and no other", async () => {
    expect(await ask(`logins ${known}`)).toBe("9:NOTFOUND ,");
    expect(await ask("logins nobody@chat.example.org")).toBe("25:OK 421 4.7.0 Log in again,");
    expect(await ask("logins broken@chat.example.org")).toContain(":TEMP ");
  });

  it("finds nothing for the parts of an address that Postfix also asks for", async () => {
    expect(await ask("recipients abc123xyz", "recipients @chat.example.org", "recipients ")).toBe(
      "9:NOTFOUND ,".repeat(3),
    );
  });

  it("answers questions that arrive in pieces or together, in order", async () => {
    const request = `recipients ${known}`;
    for (const byte of `${request.length}:${request},`) socket.write(byte);
    while (received === "") await once(socket, "data");
    expect(received).toBe("10:OK account,");
    expect(await ask(request, "recipients nobody@chat.example.org", request)).toBe(
      "10:OK account,9:NOTFOUND ,10:OK account,",
    );
  });

  it("says that it cannot tell when the store fails, so that mail waits", async () => {
    expect(await ask("recipients broken@chat.example.org")).toMatch(/^\d+:TEMP /);
    expect(logged).toContain("disk failure");
  });

  it.each(["hello\n", "99999:x", "5001:", "3:abc;", ":x,", "-1:x,"])(
    "cuts off a peer that sends %j",
    async (bytes) => {
      socket.on("error", () => {});
      socket.write(bytes);
      await once(socket, "close");
      expect(received).toBe("");
      expect(logged).toContain("cut off");
    },
  );

  describe("in a crowd", () => {
    let crowded: Server;
    let peers: Socket[];
    afterEach(async () => {
      for (const peer of peers) peer.destroy();
      crowded.close();
      await once(crowded, "close");
    });
    const crowd = async (limits: { maxConnections: number; idleLimitMs: number }): Promise<void> => {
      peers = [];
      crowded = await start(limits);
    };
    /** Both ends of a new connection. */
    const join = async (): Promise<{ peer: Socket; served: Promise<Socket> }> => {
      const served = once(crowded, "connection").then(([end]) => end as Socket);
      const peer = connect((crowded.address() as AddressInfo).port, "127.0.0.1");
      peers.push(peer);
      peer.on("error", () => peer.destroy());
      await once(peer, "connect");
      return { peer, served };
    };

    it("serves no more connections than its number, says so once, and serves others afterwards", async () => {
      await crowd({ maxConnections: 2, idleLimitMs: 60_000 });
      const first = await join();
      await first.served;
      await (await join()).served;
      for (let i = 0; i < 5; i++) await once((await join()).peer.resume(), "close");
      expect(logged.match(/too many connections/g)).toHaveLength(1);
      first.peer.destroy();
      await once(await first.served, "close");
      const { peer } = await join();
      peer.write("12:recipients x,");
      expect(String((await once(peer, "data"))[0])).toBe("9:NOTFOUND ,");
    });

    it("lets go of a peer that says nothing", async () => {
      await crowd({ maxConnections: 2, idleLimitMs: 100 });
      const { peer } = await join();
      await once(peer.resume(), "close");
      expect(logged).toBe("");
    });

    const questions = 1_000_000;

    it("takes no more questions of a peer that does not read, and lets it go when it never does", async () => {
      await crowd({ maxConnections: 2, idleLimitMs: 500 });
      const { peer, served } = await join();
      const end = await served;
      const closed = once(end, "close");
      peer.write("1:x,".repeat(questions));
      let most = 0;
      end.on("data", () => {
        most = Math.max(most, end.writableLength);
      });
      await expect.poll(() => end.isPaused(), { timeout: 20_000, interval: 5 }).toBe(true);
      await closed;
      expect(end.bytesRead).toBeLessThan(4 * questions);
      // The answers to one read of 64 KiB, and to what was taken before it.
      expect(most).toBeLessThan(500_000);
    });

    it("answers every question of a peer that reads late", async () => {
      await crowd({ maxConnections: 2, idleLimitMs: 60_000 });
      const { peer, served } = await join();
      const end = await served;
      peer.write("1:x,".repeat(questions));
      await expect.poll(() => end.isPaused(), { timeout: 20_000, interval: 5 }).toBe(true);
      const expected = Buffer.from("9:NOTFOUND ,".repeat(questions));
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of peer as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        length += chunk.length;
        if (length >= expected.length) break;
      }
      expect(Buffer.concat(chunks).equals(expected)).toBe(true);
    });
  });
});
