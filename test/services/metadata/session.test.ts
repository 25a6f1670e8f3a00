import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createLog } from "../../../services/lib/log.ts";
import { createDictionary } from "../../../services/metadata/dictionary.ts";
import { serveSession } from "../../../services/metadata/session.ts";
import { type MetadataStore, openMetadataStore } from "../../../services/metadata/store.ts";

// The conversations with Dovecot below were recorded from Dovecot 2.4.1; only the tokens are shortened.
const user = "abc123xyz@_a.test";
const inbox = "c854a6148b45016b684d000083ecc375";
const folderGuid = "60ae03168b45016b684d000083ecc375";
const server = "vendor/vendor.dovecot/pvt/server/vendor/deltachat";
const hello = "H4\t0\t0\t\tmetadata\n";
const now = 1_795_245_451;

describe("a dict connection", () => {
  let folder: string;
  let store: MetadataStore;
  let listener: Server;
  let log: string[];
  let path: string;
  let clients: Socket[];
  let turn: string | undefined;

  async function start(settings = ""): Promise<void> {
    clients = [];
    log = [];
    folder = await mkdtemp(join(tmpdir(), "homing-dict-"));
    store = openMetadataStore(join(folder, "metadata.sqlite"), { keepTokenDays: 90 });
    path = join(folder, "metadata.sock");
    const config = parseRelayConfig(`domain = "_a.test"\n${settings}`, "relay.toml");
    const dictionary = createDictionary({
      config,
      store,
      turn: (account) => turn && `${turn} of ${account}`,
      now: () => now,
    });
    listener = createServer((socket) => {
      serveSession(socket, { dictionary, log: createLog((line) => log.push(line)) });
    });
    listener.listen(path);
    await once(listener, "listening");
  }
  beforeEach(() => start());
  async function end(): Promise<void> {
    for (const client of clients) client.destroy();
    await new Promise((resolve) => listener.close(resolve));
    store.close();
    await rm(folder, { recursive: true });
  }
  afterEach(end);

  /** A client that sends lines and waits for the replies, each ended by a line end. */
  function open(): {
    socket: Socket;
    send(text: string | Buffer): void;
    closed: Promise<void>;
    reply(): Promise<string>;
  } {
    const socket = connect(path);
    clients.push(socket);
    let received = "";
    let wake = (): void => {};
    let ended = false;
    socket.setEncoding("latin1");
    socket.on("data", (data) => {
      received += data;
      wake();
    });
    socket.on("error", () => socket.destroy());
    const closed = new Promise<void>((resolve) => {
      socket.on("close", () => {
        ended = true;
        wake();
        resolve();
      });
    });
    const reply = async (): Promise<string> => {
      for (;;) {
        const end = received.indexOf("\n");
        if (end >= 0) {
          const line = received.slice(0, end + 1);
          received = received.slice(end + 1);
          return line;
        }
        if (ended) throw new Error("the service closed the connection");
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    return { socket, send: (text) => void socket.write(text), closed, reply };
  }

  it("keeps the day of a login", async () => {
    const client = open();
    client.send(`H4\t0\t0\t\tlastlogin\nB1\t${user}\t0\nS1\tshared/last-login/${user}\t1795245451\nC1\n`);
    expect(await client.reply()).toBe("O1\n");
    expect(store.lastLogin(user)).toBe(1_795_219_200);
    client.send(`Lshared/last-login/${user}\t${user}\n`);
    expect(await client.reply()).toBe("O1795219200\n");
  });

  it("answers GETMETADATA of the server with what the relay has, and nothing for the rest", async () => {
    const client = open();
    client.send(`${hello}Lshared/${inbox}/${server}/irohrelay\t${user}\n`);
    expect(await client.reply()).toBe("N\n");
    client.send(`Lshared/${inbox}/${server}/turn\t${user}\n`);
    expect(await client.reply()).toBe("N\n");
    client.send(`Lshared/${inbox}/${server}/maxsmtprecipients\t${user}\n`);
    expect(await client.reply()).toBe("O1000\n");
    client.send(`Lshared/${inbox}/vendor/vendor.dovecot/pvt/server/vendor\t${user}\n`);
    expect(await client.reply()).toBe("N\n");
    client.send(`I9\t0\tshared/${inbox}/vendor/vendor.dovecot/pvt/server/vendor/\t${user}\n`);
    expect(await client.reply()).toBe(`Oshared/${inbox}/${server}/maxsmtprecipients\t\n`);
    expect(await client.reply()).toBe("\n");
  });

  it("tells of an Iroh relay and of newest apps where the settings name them", async () => {
    await end();
    await start(`[clients]
iroh_relay_url = "https://iroh.example.org"
app_versions = '{ "clients": [] }'
`);
    const client = open();
    client.send(`${hello}Lshared/${inbox}/${server}/irohrelay\t${user}\n`);
    expect(await client.reply()).toBe("Ohttps://iroh.example.org\n");
    client.send(`Lshared/${inbox}/${server}/appversions\t${user}\n`);
    expect(await client.reply()).toBe('O{"clients":[]}\n');
  });

  it("keeps the push tokens of several devices, lists and forgets them", async () => {
    const client = open();
    const key = `priv/${inbox}/devicetoken`;
    client.send(`${hello}B1\t${user}\t0\nS1\t${key}\topenpgp:first\nC1\n`);
    expect(await client.reply()).toBe("O1\n");
    client.send(`B2\t${user}\t0\nS2\t${key}\tfcm:second\nC2\nL${key}\t${user}\nL${key}\tother@_a.test\n`);
    expect(await client.reply()).toBe("O2\n");
    expect(await client.reply()).toBe("Ofcm:second openpgp:first\n");
    expect(await client.reply()).toBe("N\n");
    client.send(`I9\t0\tpriv/${inbox}/\t${user}\nI0\t1\t${key}\t${user}\nI0\t0\tpriv/\t${user}\n`);
    expect(await client.reply()).toBe(`O${key}\t\n`);
    expect(await client.reply()).toBe("\n");
    expect(await client.reply()).toBe(`O${key}\tfcm:second openpgp:first\n`);
    expect(await client.reply()).toBe("\n");
    expect(await client.reply()).toBe("\n");
    client.send(`B3\t${user}\t0\nU3\t${key}\nC3\nL${key}\t${user}\n`);
    expect(await client.reply()).toBe("O3\n");
    expect(await client.reply()).toBe("N\n");
  });

  it("lets Dovecot delete a mailbox without touching the tokens or the server's values", async () => {
    const client = open();
    client.send(`${hello}B7\t${user}\t0\nS7\tpriv/${inbox}/devicetoken\tphone\nC7\n`);
    expect(await client.reply()).toBe("O7\n");
    client.send(`I9\t0\tpriv/${folderGuid}/\t${user}\n`);
    expect(await client.reply()).toBe("\n");
    client.send(`B8\t${user}\t0\nU8\tpriv/${folderGuid}/comment\nI9\t0\tshared/${folderGuid}/\t${user}\n`);
    expect(await client.reply()).toBe("\n");
    client.send(`B9\t${user}\t0\nU9\tshared/${folderGuid}/comment\nC8\nC9\n`);
    expect(await client.reply()).toBe("O8\n");
    expect(await client.reply()).toBe("O9\n");
    client.send(`Lpriv/${inbox}/devicetoken\t${user}\n`);
    expect(await client.reply()).toBe("Ophone\n");
  });

  it.each([
    ["other private metadata", `S1\tpriv/${inbox}/comment\thi`, "this metadata cannot be set here"],
    ["the server's values", `S1\tshared/${inbox}/${server}/turn\tevil`, "this metadata cannot be set here"],
    [
      "removal of the server's values",
      `U1\tshared/${inbox}/${server}/turn`,
      "this metadata cannot be set here",
    ],
    ["a token with a space", `S1\tpriv/${inbox}/devicetoken\tbad token`, "a device token is up to 4096"],
    ["an empty token", `S1\tpriv/${inbox}/devicetoken\t`, "a device token is up to 4096"],
    ["a token of 4097", `S1\tpriv/${inbox}/devicetoken\t${"x".repeat(4097)}`, "a device token is up to 4096"],
    ["a login at no time", `S1\tshared/last-login/${user}\tsoon`, "a login's time is Unix seconds"],
    ["counting", `A1\tpriv/${inbox}/n\t1`, "nothing here can be counted up"],
  ])("refuses %s, and all that stands in the same transaction", async (_name, line, reason) => {
    const client = open();
    client.send(`${hello}B1\t${user}\t0\nS1\tpriv/${inbox}/devicetoken\tgood\n${line}\nC1\n`);
    expect(await client.reply()).toContain(`F1\t${reason}`);
    expect(store.tokens(user, inbox)).toEqual([]);
    client.send(`Lshared/${inbox}/${server}/maxsmtprecipients\t${user}\n`);
    expect(await client.reply()).toBe("O1000\n");
  });

  it("takes no tokens when push is switched off", async () => {
    await end();
    await start("[push]\nenabled = false\n");
    const client = open();
    client.send(`${hello}B1\t${user}\t0\nS1\tpriv/${inbox}/devicetoken\tphone\nC1\n`);
    expect(await client.reply()).toContain("F1\tpush notifications are switched off");
  });

  it("forgets what was rolled back or never committed", async () => {
    const first = open();
    first.send(
      `${hello}B1\t${user}\t0\nS1\tpriv/${inbox}/devicetoken\tphone\nR1\nLpriv/${inbox}/devicetoken\t${user}\n`,
    );
    expect(await first.reply()).toBe("N\n");
    first.send(`B2\t${user}\t0\nS2\tpriv/${inbox}/devicetoken\tphone\n`);
    first.socket.end();
    await first.closed;
    const second = open();
    second.send(`${hello}Lpriv/${inbox}/devicetoken\t${user}\n`);
    expect(await second.reply()).toBe("N\n");
  });

  it("puts lines together however they were cut on the way", async () => {
    const client = open();
    client.socket.setNoDelay(true);
    const text = `${hello}B1\t${user}\t0\nS1\tpriv/${inbox}/devicetoken\tphone\nC1\n`;
    for (const byte of text) {
      await new Promise((resolve) => client.socket.write(byte, resolve));
    }
    expect(await client.reply()).toBe("O1\n");
  });

  it("tells Dovecot and the log when the disk refuses a write", async () => {
    const client = open();
    client.send(`${hello}B1\t${user}\t0\nS1\tpriv/${inbox}/devicetoken\tphone\nT1\t1\t1\n`);
    store.close();
    client.send("C1\n");
    expect(await client.reply()).toMatch(/^F1\tthe metadata service cannot write/);
    client.send(`Lpriv/${inbox}/devicetoken\t${user}\n`);
    expect(await client.reply()).toMatch(/^Fthe metadata service cannot read/);
    expect(log.join("")).toContain("<3>cannot write metadata");
    store = openMetadataStore(join(folder, "metadata.sqlite"), { keepTokenDays: 90 });
  });

  it.each([
    ["no hello", `Lpriv/${inbox}/devicetoken\t${user}\n`],
    ["another protocol", "H3\t0\t0\t\tmetadata\n"],
    ["a line without an end", `${hello}L${"x".repeat(70_000)}`],
    ["a line that is too long", `${hello}L${"x".repeat(70_000)}\n`],
    ["a commit of nothing", `${hello}C1\n`],
    ["a write into nothing", `${hello}S1\tk\tv\n`],
    ["a transaction begun twice", `${hello}B1\tu\t0\nB1\tu\t0\n`],
    ["too many transactions", hello + Array.from({ length: 17 }, (_, i) => `B${i}\tu\t0\n`).join("")],
  ])("cuts off a client that sends %s", async (_name, text) => {
    const client = open();
    client.send(text);
    await client.closed;
    expect(log.join("")).toContain("<4>cutting off a dict client");
  });

  it("bounds what one transaction may hold", async () => {
    const client = open();
    const writes = Array.from({ length: 70 }, (_, i) => `S1\tpriv/${inbox}/devicetoken\tt${i}\n`).join("");
    client.send(`${hello}B1\t${user}\t0\n${writes}C1\n`);
    expect(await client.reply()).toContain("F1\ta transaction holds at most 64 writes");
  });

  it("answers everything, in order, to a client that reads late, without piling the answers up", async () => {
    const set = open();
    const tokens = Array.from(
      { length: 30 },
      (_, i) => `S1\tpriv/${inbox}/devicetoken\t${i}${"x".repeat(4000)}\n`,
    );
    set.send(`${hello}B1\t${user}\t0\n${tokens.join("")}C1\n`);
    expect(await set.reply()).toBe("O1\n");

    let served: Socket | undefined;
    listener.once("connection", (socket: Socket) => {
      served = socket;
    });
    const lazy = connect(path);
    clients.push(lazy);
    await once(lazy, "connect");
    const lookups = 300;
    lazy.write(hello + `Lpriv/${inbox}/devicetoken\t${user}\n`.repeat(lookups));
    await expect.poll(() => served?.isPaused(), { timeout: 5_000 }).toBe(true);
    expect(served?.writableLength).toBeLessThan(2_000_000);
    let lines = 0;
    lazy.on("data", (data) => {
      lines += data.toString("latin1").split("\n").length - 1;
    });
    await expect.poll(() => lines, { timeout: 20_000 }).toBe(lookups);
  });

  it("stays up whatever bytes come", async () => {
    const line = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(
          fc.constantFrom(..."LIBSUATVCR"),
          fc.array(fc.oneof(fc.nat(20).map(String), fc.string()), { maxLength: 5 }),
        )
        .map(([command, fields]) => Buffer.from(command + fields.join("\t"))),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 20 }), async (lines) => {
        const client = open();
        client.send(hello);
        for (const bytes of lines) client.send(Buffer.concat([bytes, Buffer.from("\n")]));
        client.socket.end();
        await client.closed;
      }),
      { numRuns: 100 },
    );
    const client = open();
    client.send(`${hello}Lshared/${inbox}/${server}/maxsmtprecipients\t${user}\n`);
    expect(await client.reply()).toBe("O1000\n");
  });
});
