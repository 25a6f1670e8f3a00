/**
 * A line to name servers that takes its time: datagrams come to one loopback address and go on to another, both ways
 * late. Used by the tests of installer/dns.
 */
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";

export type Place = Readonly<{ address: string; port: number }>;

/** `milliseconds` is the whole delay, there and back. */
export async function startDelayLine(from: Place, to: Place, milliseconds: number): Promise<AsyncDisposable> {
  const front = createSocket("udp4");
  const backs = new Set<ReturnType<typeof createSocket>>();
  const passOn = async (question: Buffer, { address, port }: RemoteInfo) => {
    const back = createSocket("udp4");
    backs.add(back);
    back.once("message", async (answer) => {
      await delay(milliseconds / 2);
      if (!backs.delete(back)) return;
      front.send(answer, port, address);
      back.close();
    });
    await delay(milliseconds / 2);
    if (backs.has(back)) back.send(question, to.port, to.address);
  };
  front.on("message", (question, sender) => void passOn(question, sender));
  front.bind(from.port, from.address);
  await once(front, "listening");
  return {
    [Symbol.asyncDispose]: async () => {
      front.close();
      for (const back of backs) back.close();
      backs.clear();
    },
  };
}
