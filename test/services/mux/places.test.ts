import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { waitFor } from "../../support/wait.ts";
import { helloFor, parrot, rest, runMux } from "./running-mux.ts";

const PATIENCE = 20_000;

describe("the places of port 443", () => {
  it("are shared: a network has its number, and gets another when it gives one back", async () => {
    await using mux = await runMux(parrot, { perNetwork: 3 });
    const mine: Socket[] = [];
    for (let i = 0; i < 3; i++) mine.push(await mux.knock("127.0.0.5"));
    expect(await rest(await mux.knock("127.0.0.5"))).toHaveLength(0);
    expect(mux.counted()).toContain('homing_mux_refused_total{reason="network full"} 1\n');
    const other = await mux.knock("127.0.0.6");
    other.end(helloFor());
    expect((await rest(other)).toString()).toMatch(/^web 127.0.0.6/);
    mine[0]!.destroy();
    await waitFor("the place is free", PATIENCE, () => mux.counted().includes('{reason="gone"} 1\n'));
    mine[0] = await mux.knock("127.0.0.5");
    mine[0].end(helloFor());
    expect((await rest(mine[0])).toString()).toMatch(/^web 127.0.0.5/);
  });

  it("are shared among the networks of one site as well", async () => {
    await using mux = await runMux(parrot, { perSite: 2 });
    const mine = [await mux.knock("::1"), await mux.knock("::1")];
    expect(await rest(await mux.knock("::1"))).toHaveLength(0);
    mine[0]!.destroy();
    await waitFor("the place is free", PATIENCE, () => mux.counted().includes('{reason="gone"} 1\n'));
    const next = await mux.knock("::1");
    next.end(helloFor());
    expect((await rest(next)).toString()).toMatch(/^web ::1/);
  });

  it("are taken from the oldest that says nothing, and from none that speaks", async () => {
    await using mux = await runMux(parrot, { connections: 3 });
    const speaking = await mux.knock();
    speaking.write(helloFor("imap"));
    await once(speaking, "data");
    const silent = [await mux.knock(), await mux.knock()];
    const next = await mux.knock();
    expect(await rest(silent[0]!)).toHaveLength(0);
    next.write(helloFor("imap"));
    await once(next, "data");
    silent[1]!.write(helloFor("imap"));
    await once(silent[1]!, "data");
    // All three speak.
    expect(await rest(await mux.knock())).toHaveLength(0);
    expect(mux.log.filter((line) => line.includes("places of port 443 are taken"))).toHaveLength(1);
    for (const socket of [speaking, next, silent[1]!]) {
      socket.write("still here");
      await once(socket, "data");
    }
  });

  it("are not taken from anybody by a network that has all of its own", async () => {
    await using mux = await runMux(parrot, { connections: 3, perNetwork: 2 });
    const newcomer = await mux.knock("127.0.0.6");
    const greedy = [await mux.knock("127.0.0.5"), await mux.knock("127.0.0.5")];
    for (let i = 0; i < 3; i++) expect(await rest(await mux.knock("127.0.0.5"))).toHaveLength(0);
    newcomer.end(helloFor());
    expect((await rest(newcomer)).toString()).toMatch(/^web 127.0.0.6/);
    for (const socket of greedy) socket.destroy();
  });

  it("are lost by who reads least when too many do not read", async () => {
    const sources: Socket[] = [];
    await using mux = await runMux(
      (socket) => {
        sources.push(socket);
        socket.resume();
        const go = () => {
          while (socket.writable && socket.write(Buffer.alloc(1 << 20)));
          if (socket.writable) socket.once("drain", go);
        };
        go();
      },
      { pending: 2 },
    );
    const readers: Socket[] = [];
    for (let i = 0; i < 3; i++) {
      const reader = await mux.knock();
      reader.pause();
      reader.write(helloFor("imap"));
      readers.push(reader);
      await waitFor("its sender is there", PATIENCE, () => sources.length === i + 1);
      if (i === 2) break;
      // Until nothing goes any more.
      let last = -1;
      await waitFor("its sender is held up", PATIENCE, () => {
        const before = last;
        last = sources[i]!.bytesWritten;
        return last === before && sources[i]!.writableNeedDrain;
      });
    }
    await waitFor("one is over", PATIENCE, () =>
      mux.counted().includes('{reason="not reading",backend="imap"} 1\n'),
    );
    await waitFor("the first sender knows", PATIENCE, () => sources[0]!.destroyed);
    expect(sources.slice(1).map(({ destroyed }) => destroyed)).toEqual([false, false]);
    for (const source of sources) source.destroy();
  });

  it("are kept by who did not read for a while, and does again", async () => {
    const piece = Buffer.alloc(30_000_000, 1);
    const sources: Socket[] = [];
    await using mux = await runMux(
      (socket) => {
        sources.push(socket);
        socket.write(piece);
        socket.on("data", (heard: Buffer) => {
          if (heard.includes("again")) socket.write("!");
        });
      },
      { pending: 1 },
    );
    /** A client that does not read until its sender is held up. */
    const slowReader = async () => {
      const reader = await mux.knock();
      reader.pause();
      reader.write(helloFor("imap"));
      const count = sources.length + 1;
      await waitFor("its sender is held up", PATIENCE, () => sources[count - 1]?.writableNeedDrain === true);
      return reader;
    };
    const first = await slowReader();
    let heard = 0;
    first.on("data", (bytes: Buffer) => {
      heard += bytes.length;
    });
    first.resume();
    await waitFor("all is read", PATIENCE, () => heard === piece.length);
    await slowReader();
    first.write("again");
    await waitFor("the answer", PATIENCE, () => heard === piece.length + 1);
  });

  it("are all free after a thousand connections, none of which waited in vain", async () => {
    await using mux = await runMux((socket) => socket.end("x"), { perNetwork: 10_000 });
    let heard = 0;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        for (let i = 0; i < 50; i++) {
          const client = await mux.knock();
          client.write(helloFor(["imap", "smtp", "h2"][i % 3]));
          const answer = await rest(client);
          heard += answer.length;
          client.destroy();
        }
      }),
    );
    expect(heard).toBe(1000);
    await waitFor("all are gone", PATIENCE, () => mux.counted().includes("homing_mux_open_connections 0\n"));
  });
});
