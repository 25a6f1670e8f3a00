import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { CHUNK_BYTES } from "../../../services/mux/raw-socket.ts";
import { waitFor } from "../../support/wait.ts";
import { helloMessage, inRecords } from "./hellos.ts";
import { helloFor, parrot, rest, runMux } from "./running-mux.ts";

const PATIENCE = 20_000;

describe("a connection to port 443", () => {
  it.each([
    ["imap", "imap"],
    ["smtp", "smtp"],
    ["h2", "web"],
    ["acme-tls/1", "web"],
    [undefined, "web"],
  ])("that offers %s goes to %s, with all its bytes and the client's address", async (protocol, name) => {
    await using mux = await runMux(parrot);
    for (const address of ["127.0.0.1", "127.0.0.77", "::1"]) {
      const client = await mux.knock(address);
      const bytes = Buffer.concat([helloFor(protocol), randomBytes(1000)]);
      client.end(bytes);
      expect((await rest(client)).toString("latin1")).toBe(`${name} ${address}\n${bytes.toString("latin1")}`);
    }
    expect(mux.counted()).toContain(`homing_mux_connections_total{backend="${name}"} 3\n`);
  });

  it("may say its hello byte by byte, and more than a chunk behind it", async () => {
    await using mux = await runMux(parrot);
    const client = await mux.knock();
    client.setNoDelay(true);
    const hello = helloFor("imap");
    for (const byte of hello) {
      await new Promise((resolve) => client.write(Buffer.from([byte]), resolve));
    }
    const more = randomBytes(3 * CHUNK_BYTES);
    client.end(more);
    const heard = await rest(client);
    expect(heard.subarray(heard.indexOf(10) + 1)).toEqual(Buffer.concat([hello, more]));
  });

  it("carries much both ways at once, each byte in its place", async () => {
    const there = randomBytes(20_000_000);
    const back = randomBytes(20_000_000);
    const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    const heardThere: Promise<Buffer>[] = [];
    await using mux = await runMux((socket) => {
      heardThere.push(rest(socket));
      socket.end(back);
    });
    const client = await mux.knock();
    const hello = helloFor("smtp");
    client.write(hello);
    client.end(there);
    expect(hash(await rest(client))).toBe(hash(back));
    expect(hash(await heardThere[0]!)).toBe(hash(Buffer.concat([hello, there])));
  });

  it("is read no further than the other side reads", async () => {
    let source: Socket | undefined;
    await using mux = await runMux((socket) => {
      source = socket;
      socket.resume();
      const piece = Buffer.alloc(1 << 20, 1);
      let left = 200;
      const go = () => {
        while (left-- > 0) if (!socket.write(piece)) return void socket.once("drain", go);
        socket.end();
      };
      go();
    });
    const client = await mux.knock();
    client.pause();
    client.write(helloFor());
    const sent = () => (source === undefined ? 0 : source.bytesWritten - source.writableLength);
    let last = -1;
    await waitFor("the sender to be held up", PATIENCE, async () => {
      const before = last;
      last = sent();
      return last > 0 && last === before;
    });
    // What the kernel holds for both connections, no more: of the 200 MB far less.
    expect(sent()).toBeLessThan(50_000_000);
    let heard = 0;
    client.on("data", (piece) => {
      heard += piece.length;
    });
    client.resume();
    await once(client, "end");
    expect(heard).toBe(200 << 20);
  });

  it("that has said all is answered all the same, whichever side ends first", async () => {
    await using mux = await runMux((socket, _source, name) => {
      if (name === "imap") rest(socket).then((all) => socket.end(`heard ${all.length}`));
      else {
        socket.end("that is all");
        rest(socket).then((all) => seen.push(all));
      }
    });
    const seen: Buffer[] = [];
    const asking = await mux.knock();
    asking.end(helloFor("imap"));
    expect((await rest(asking)).toString()).toBe(`heard ${helloFor("imap").length}`);
    const told = await mux.knock();
    told.write(helloFor("smtp"));
    expect((await rest(told)).toString()).toBe("that is all");
    told.end("and this from me");
    await waitFor("the other side's last words", PATIENCE, () => seen.length > 0);
    expect(seen[0]!.subarray(helloFor("smtp").length).toString()).toBe("and this from me");
    await waitFor("both to be gone", PATIENCE, () =>
      mux.counted().includes("homing_mux_open_connections 0\n"),
    );
  });

  it("loses nothing of the last words to a slow reader who has ended before", async () => {
    const words = randomBytes(30_000_000);
    let speaker: Socket | undefined;
    await using mux = await runMux((socket) => {
      speaker = socket;
      rest(socket).then(() => socket.end(words));
    });
    const client = await mux.knock();
    client.pause();
    client.end(helloFor("imap"));
    await waitFor("all is said", PATIENCE, () => speaker?.writableEnded === true);
    const heard = rest(client);
    client.resume();
    expect((await heard).equals(words)).toBe(true);
  });

  it.each(["client", "back end"])("is over for both when the %s breaks it off", async (who) => {
    const sockets: Socket[] = [];
    await using mux = await runMux((socket) => {
      socket.resume();
      sockets.push(socket);
    });
    const client = await mux.knock();
    client.resume();
    client.write(helloFor("imap"));
    await waitFor("the back end has it", PATIENCE, () => sockets.length > 0);
    const [breaker, other] = who === "client" ? [client, sockets[0]!] : [sockets[0]!, client];
    const end = once(other, "end");
    breaker.resetAndDestroy();
    await end;
    await waitFor("nothing is left", PATIENCE, () =>
      mux.counted().includes("homing_mux_open_connections 0\n"),
    );
  });

  it("ends at once when nobody is behind the port, and says so once, and when it works again", async () => {
    await using mux = await runMux(parrot);
    const { imap } = mux.servers;
    const { port } = imap.address() as { port: number };
    imap.close();
    for (let i = 0; i < 3; i++) {
      const client = await mux.knock();
      client.write(helloFor("imap"));
      expect(await rest(client)).toHaveLength(0);
    }
    expect(mux.counted()).toContain('homing_mux_refused_total{reason="back end down",backend="imap"} 3\n');
    imap.listen(port, "127.0.0.1");
    await once(imap, "listening");
    const client = await mux.knock();
    client.end(helloFor("imap"));
    expect((await rest(client)).toString()).toMatch(/^imap/);
    expect(mux.log.filter((line) => line.includes("does not answer"))).toHaveLength(1);
    expect(mux.log.filter((line) => line.includes("answers again"))).toHaveLength(1);
  });

  it("ends without a word when the web's socket is gone", async () => {
    await using mux = await runMux(parrot);
    await new Promise((resolve) => mux.servers.web.close(resolve));
    const client = await mux.knock();
    client.write(helloFor());
    expect(await rest(client)).toHaveLength(0);
    expect(mux.counted()).toContain('{reason="back end down",backend="web"} 1\n');
  });

  it.each([
    ["no TLS", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "not TLS"],
    ["a hello without end", inRecords(helloMessage({ before: [[51, Buffer.alloc(20_000)]] })), "too long"],
  ])("with %s is closed without a word", async (_what, bytes, reason) => {
    await using mux = await runMux(parrot);
    const client = await mux.knock();
    client.write(bytes);
    expect(await rest(client)).toHaveLength(0);
    expect(mux.counted()).toContain(`homing_mux_refused_total{reason="${reason}"} 1\n`);
  });

  it("that does not say its hello in time is closed, one that did is not", async () => {
    await using mux = await runMux(parrot, { helloSeconds: 1 });
    const quiet = await mux.knock();
    const slow = await mux.knock();
    const quick = await mux.knock();
    slow.write(helloFor("imap").subarray(0, 20));
    quick.write(helloFor("imap"));
    expect(await rest(quiet)).toHaveLength(0);
    expect(await rest(slow)).toHaveLength(0);
    expect(mux.counted()).toContain('homing_mux_refused_total{reason="too slow"} 2\n');
    quick.end();
    expect((await rest(quick)).toString()).toMatch(/^imap/);
  });

  it("is closed when nothing passes for long, and sooner when one side has ended", async () => {
    await using mux = await runMux((socket) => socket.resume(), { idleSeconds: 1000, halfClosedSeconds: 1 });
    const waiting = await mux.knock();
    waiting.write(helloFor("imap"));
    const ended = await mux.knock();
    ended.end(helloFor("imap"));
    expect(await rest(ended)).toHaveLength(0);
    expect(waiting.destroyed).toBe(false);
    await using impatient = await runMux((socket) => socket.resume(), { idleSeconds: 1 });
    const silent = await impatient.knock();
    silent.write(helloFor("imap"));
    expect(await rest(silent)).toHaveLength(0);
  });
});

describe("a client that is silent in IDLE", () => {
  // RFC 2177 lets it be so for 29 minutes; RFC 3501 §5.4 has the server wait for at least 30.
  const LONGEST_SILENCE_MS = 30 * 60_000;

  it("keeps its connection for 30 minutes without a byte from either side, and not for an hour", async () => {
    // The mux counts seconds by its sweep; sockets go on as ever.
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      await using mux = await runMux(parrot);
      const client = await mux.knock();
      const heard: Buffer[] = [];
      client.on("data", (piece: Buffer) => heard.push(piece));
      const text = () => Buffer.concat(heard).toString("latin1");
      const hello = helloFor("imap");
      client.write(hello);
      await waitFor("the back end speaks", PATIENCE, () => text().endsWith(hello.toString("latin1")));
      vi.advanceTimersByTime(LONGEST_SILENCE_MS);
      client.write("DONE");
      await waitFor("it is heard", PATIENCE, () => text().endsWith("DONE"));
      const closed = once(client, "close");
      client.on("end", () => client.end());
      vi.advanceTimersByTime(2 * LONGEST_SILENCE_MS);
      await closed;
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("the end of the service", () => {
  it("waits for what is under way, not for those who wait themselves, and writes its counters", async () => {
    let finish: (() => void) | undefined;
    await using mux = await runMux((socket, _source, name) => {
      socket.resume();
      if (name === "imap") return;
      let count = 0;
      const speak = setInterval(() => socket.write(`${count++}\n`), 100);
      finish = () => {
        clearInterval(speak);
        socket.end("done");
      };
    });
    const idle = await mux.knock();
    idle.write(helloFor("imap"));
    const busy = await mux.knock();
    busy.write(helloFor());
    await once(busy, "data");
    const stopped = mux.stop();
    await rest(idle);
    await expect(mux.knock()).rejects.toThrow("ECONNREFUSED");
    finish!();
    expect((await rest(busy)).toString()).toMatch(/done$/);
    busy.end();
    await stopped;
    expect(await readFile(join(mux.folder, "mux.prom"), "utf8")).toContain("homing_mux_open_connections 0\n");
  });

  it("does not wait for ever", async () => {
    await using mux = await runMux(
      (socket) => {
        socket.resume();
        const speak = setInterval(() => socket.write("more\n"), 50);
        socket.once("close", () => clearInterval(speak));
      },
      { drainSeconds: 1 },
    );
    const busy = await mux.knock();
    busy.write(helloFor());
    await once(busy, "data");
    const over = rest(busy);
    await mux.stop();
    await over;
  });
});
