/**
 * Load for a milter: opens connections, sends the same message over and over as Postfix does, and counts the
 * answers. Packets are made once, so that the driver costs little beside what it measures. Used by filter.ts.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { createPacketReader } from "../../services/milter/packet-reader.ts";
import { encodePacket } from "../../services/milter/protocol.ts";
import {
  type MessageToSend,
  offerData,
  postfixOffer,
  splitMessage,
  strings,
} from "../services/milter/milter-client.ts";

/** Postfix's body pieces. */
const PIECE = 65535;
/** Steps that a milter may decline, and steps that it may leave without answer (SMFIP_*). */
const declined = { C: 0x1, H: 0x2, M: 0x4, R: 0x8, B: 0x10, L: 0x20, N: 0x40, T: 0x200 } as const;
const silent = {
  C: 0x1000,
  H: 0x2000,
  M: 0x4000,
  R: 0x8000,
  T: 0x10000,
  L: 0x80,
  N: 0x40000,
  B: 0x80000,
} as const;
const LEADING_SPACE = 0x100000;

type Step = keyof typeof declined;

export type Load = Readonly<{
  /** Messages in all, and connections at once. Each connection sends message after message. */
  messages: number;
  connections: number;
  /** No new message after this many milliseconds. */
  limitMs: number;
  daemon: string;
}>;

/**
 * Sends the load; resolves to the seconds it took and to how many messages got each last answer: the command's
 * letter, with the code of a reply ("y523") and an "i" where a field was inserted ("ci", "ai").
 */
export async function sendLoad(
  socketPath: string,
  message: MessageToSend,
  load: Load,
): Promise<{ answers: Map<string, number>; seconds: number }> {
  const answers = new Map<string, number>();
  let left = load.messages;
  const started = performance.now();
  const one = async (): Promise<void> => {
    const peer = await openPeer(socketPath, load.daemon, message);
    while (left > 0 && performance.now() - started < load.limitMs) {
      left--;
      const answer = await peer.send();
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
    await peer.quit();
  };
  await Promise.all(Array.from({ length: load.connections }, one));
  return { answers, seconds: (performance.now() - started) / 1000 };
}

async function openPeer(path: string, daemon: string, message: MessageToSend) {
  const socket: Socket = connect(path);
  await once(socket, "connect");
  const reader = createPacketReader();
  let wake: (() => void) | null = null;
  socket.on("data", (bytes: Buffer) => {
    socket.pause();
    reader.push(bytes);
    wake?.();
  });
  const next = async (): Promise<{ command: string; data: Buffer }> => {
    for (;;) {
      const packet = reader.next();
      if (packet !== null) return packet;
      const arrival = Promise.withResolvers<void>();
      wake = arrival.resolve;
      socket.resume();
      await arrival.promise;
    }
  };
  socket.write(encodePacket("O", offerData(postfixOffer)));
  const agreed = (await next()).data.readUInt32BE(8);
  const macros = (stage: string, ...pairs: string[]) =>
    encodePacket("D", Buffer.concat([Buffer.from(stage), strings(...pairs)]));
  /** Sends one step with what goes before it; the answer, or "c" when none is due. */
  const step = async (command: Step, packets: Buffer): Promise<string> => {
    if ((agreed & declined[command]) !== 0) return "c";
    socket.write(packets);
    return (agreed & silent[command]) === 0 ? lastAnswer() : "c";
  };
  const lastAnswer = async (): Promise<string> => {
    let added = "";
    for (;;) {
      const { command, data } = await next();
      if ("ih".includes(command)) added = "i";
      if ("mihep".includes(command)) continue;
      return command === "y" ? `y${data.toString("latin1", 0, 3)}` : command + added;
    }
  };

  const { fields, body } = splitMessage(Buffer.from(message.text), (agreed & LEADING_SPACE) !== 0);
  const mail = Buffer.concat([
    macros("M", "{auth_type}", "PLAIN", "{auth_authen}", message.login ?? ""),
    encodePacket("M", strings(message.from)),
  ]);
  const recipients = message.to.map((to) =>
    Buffer.concat([macros("R", "{rcpt_addr}", to), encodePacket("R", strings(to))]),
  );
  const header = fields.map(([name, value]) =>
    encodePacket("L", Buffer.from(`${name}\0${value}\0`, "latin1")),
  );
  const endOfHeader = encodePacket("N");
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; at += PIECE) {
    pieces.push(encodePacket("B", body.subarray(at, at + PIECE)));
  }
  const end = Buffer.concat([macros("E", "i", "4XyZ"), encodePacket("E")]);

  await step(
    "C",
    Buffer.concat([
      macros("C", "j", "mx.test", "{daemon_name}", daemon, "v", "Postfix 3.10.13"),
      encodePacket("C", Buffer.from("client.test\x004\x9c\x40127.0.0.1\0", "latin1")),
    ]),
  );
  await step("H", encodePacket("H", strings("client.test")));

  return {
    async send(): Promise<string> {
      let answer = await step("M", mail);
      for (const recipient of recipients) if (answer === "c") answer = await step("R", recipient);
      if (answer === "c") answer = await step("T", encodePacket("T"));
      if ((agreed & silent.L) !== 0) {
        // Nobody waits between these: they go in one write, as Postfix's buffered stream sends them.
        if (answer === "c") answer = await step("N", Buffer.concat([...header, endOfHeader]));
      } else {
        for (const field of header) if (answer === "c") answer = await step("L", field);
        if (answer === "c") answer = await step("N", endOfHeader);
      }
      for (const piece of pieces) {
        if (answer !== "c") break;
        answer = await step("B", piece);
      }
      if (answer !== "c" && answer !== "s") return answer;
      socket.write(end);
      return lastAnswer();
    },
    async quit(): Promise<void> {
      const closed = once(socket, "close");
      socket.end(encodePacket("Q"));
      socket.resume();
      await closed;
    },
  };
}

/** What a process has used so far: CPU seconds (10 ms steps), and resident bytes now and at most. proc(5). */
export function usage(processId: number): { cpuSeconds: number; residentBytes: number; peakBytes: number } {
  const stat = readFileSync(`/proc/${processId}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${processId}/status`, "utf8");
  const kilobytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) * 1024;
  // utime and stime, in clock ticks of 10 ms.
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { cpuSeconds: ticks / 100, residentBytes: kilobytes("VmRSS"), peakBytes: kilobytes("VmHWM") };
}
