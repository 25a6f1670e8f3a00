/**
 * The mail server's side of the milter protocol for tests: sends a message as Postfix 3.10 does (the same
 * commands, macros and pieces of the body) and writes down the whole conversation as readable lines.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createPacketReader } from "../../../services/milter/packet-reader.ts";
import { encodePacket } from "../../../services/milter/protocol.ts";

/** What a mail server says it can do. */
export type Offer = Readonly<{ version: number; actions: number; steps: number }>;

/** What Postfix offers (seen with 3.10). */
export const postfixOffer: Offer = { version: 6, actions: 0x1ff, steps: 0x1fffff };
/** SMFIC_DATA is newer than the oldest version. */
const DATA_SINCE_VERSION = 4;
/** Postfix's body pieces. */
const PIECE = 65535;

/** An answer of the milter. */
export type Packet = Readonly<{ command: string; data: Buffer }>;

export type MessageToSend = Readonly<{
  from: string;
  to: readonly string[];
  login?: string;
  /** The whole message with CRLF. */
  text: string | Buffer;
}>;

export type MilterClient = Readonly<{
  /** Lines like "> MAIL <a@x.test>", "< continue", "< reply 523 …"; added to by every step. */
  transcript: string[];
  /** Macros and CONNECT of an SMTP session. */
  session(daemon: string, address?: string): Promise<void>;
  /** Sends MAIL to end of message, stopping at the first refusal; returns the last answer's line. */
  message(message: MessageToSend): Promise<string>;
  /** Sends one raw command; returns the answer's line, or "" when `answered` is false. */
  command(command: string, data?: Uint8Array, answered?: boolean): Promise<string>;
  /** Macros for the command that follows. */
  macros(command: string, values: Readonly<Record<string, string>>): void;
  /** The answers that change the message, of the last end of message. */
  changes: Packet[];
  /** QUIT, and waits until the milter has closed. */
  quit(): Promise<void>;
  /** Waits until the milter closes by itself. */
  closed(): Promise<void>;
}>;

/** Opens a connection and negotiates. */
export async function connectMilter(path: string, offer: Offer = postfixOffer): Promise<MilterClient> {
  const socket: Socket = connect(path);
  await once(socket, "connect");
  const closing = once(socket, "close");
  // Whoever awaits it hears of a failure; nobody need await it.
  closing.catch(() => {});
  const packets = readPackets(socket);
  const transcript: string[] = [];
  const changes: Packet[] = [];
  socket.write(encodePacket("O", offerData(offer)));
  const negotiated = await next(packets);
  const agreed = negotiated.data.readUInt32BE(8);
  const leadingSpace = (agreed & 0x100000) !== 0;
  /** Whether a step was not declined. */
  const wants = (bit: number): boolean => (agreed & bit) === 0;

  const answer = async (): Promise<string> => {
    changes.length = 0;
    for (;;) {
      const packet = await next(packets);
      const line = describe(packet);
      transcript.push(`< ${line}`);
      if (packet.command === "p") continue;
      if (!"mihe".includes(packet.command)) return line;
      changes.push(packet);
    }
  };
  const command = async (
    name: string,
    data: Uint8Array = new Uint8Array(),
    answered = true,
  ): Promise<string> => {
    socket.write(encodePacket(name, data));
    return answered ? answer() : "";
  };
  const macros = (name: string, values: Readonly<Record<string, string>>): void => {
    const pairs = Object.entries(values).flatMap(([key, value]) => [
      key.length > 1 ? `{${key}}` : key,
      value,
    ]);
    socket.write(encodePacket("D", Buffer.concat([Buffer.from(name), strings(...pairs)])));
  };

  return {
    transcript,
    changes,
    command,
    macros,
    async session(daemon, address = "192.0.2.1") {
      transcript.push(`> CONNECT ${daemon} ${address}`);
      macros("C", { j: "mx.test", daemon_name: daemon, v: "Postfix 3.10.13" });
      const family = address.includes(":") ? "6" : "4";
      const literal = family === "6" ? `IPv6:${address}` : address;
      await command(
        "C",
        Buffer.concat([strings("client.test"), Buffer.from(`${family}\x9c\x40`, "latin1"), strings(literal)]),
        wants(0x1000),
      );
      if (wants(0x2)) await command("H", strings("client.test"));
    },
    async message({ from, to, login, text }) {
      const { fields, body } = splitMessage(Buffer.from(text), leadingSpace);
      transcript.push(`> MAIL ${from}`);
      macros("M", login === undefined ? { mail_addr: from } : { auth_type: "PLAIN", auth_authen: login });
      let line = await command("M", strings(from));
      if (line !== "continue") return line;
      for (const recipient of to) {
        transcript.push(`> RCPT ${recipient}`);
        macros("R", { rcpt_addr: recipient });
        await command("R", strings(recipient), wants(0x8000));
      }
      if (offer.version >= DATA_SINCE_VERSION && wants(0x200)) await command("T");
      transcript.push(`> message of ${Buffer.from(text).length > 0 ? fields.length : 0} header fields`);
      macros("L", { i: "4XyZ" });
      for (const [name, value] of fields) {
        await command("L", Buffer.from(`${name}\0${value}\0`, "latin1"), wants(0x80));
      }
      line = await command("N");
      if (line !== "continue") return line;
      macros("B", { i: "4XyZ" });
      for (let at = 0; at < body.length; at += PIECE) {
        line = await command("B", body.subarray(at, at + PIECE));
        if (line === "skip") break;
        if (line !== "continue") return line;
      }
      macros("E", { i: "4XyZ" });
      return command("E");
    },
    async quit() {
      if (socket.writable) socket.write(encodePacket("Q"));
      await closing;
    },
    async closed() {
      socket.resume();
      await closing;
    },
  };
}

/** The header fields and the body of a message, as Postfix passes them: folded lines divided by "\n". */
export function splitMessage(
  message: Buffer,
  leadingSpace: boolean,
): { fields: [string, string][]; body: Buffer } {
  const end = message.indexOf("\r\n\r\n");
  const header = message.subarray(0, end).toString("latin1");
  const fields = header
    .replace(/\r\n(?=[ \t])/g, "\n")
    .split("\r\n")
    .map((line): [string, string] => {
      const colon = line.indexOf(":");
      const value = line.slice(colon + 1);
      return [line.slice(0, colon), leadingSpace ? value : value.replace(/^ /, "")];
    });
  return { fields, body: message.subarray(end + 4) };
}

/** What the message is after the milter's changes: the other side's view. */
export function applyChanges(message: Buffer, changes: readonly Packet[]): Buffer {
  const { fields, body } = splitMessage(message, true);
  for (const { command, data } of changes) {
    if (command === "e") continue;
    if (command === "h") {
      const [name = "", value = ""] = data.toString("latin1").split("\0");
      fields.push([name, value]);
      continue;
    }
    const index = data.readUInt32BE(0);
    const [name = "", value = ""] = data.subarray(4).toString("latin1").split("\0");
    if (command === "i") {
      fields.splice(index, 0, [name, value]);
      continue;
    }
    const places = fields.flatMap(([each], place) =>
      each.toLowerCase() === name.toLowerCase() ? [place] : [],
    );
    const place = places[index - 1];
    if (place === undefined) throw new Error(`a change of ${name} number ${index}, which is not there`);
    if (value === "") fields.splice(place, 1);
    else fields[place] = [name, value];
  }
  const header = fields.map(([name, value]) => `${name}:${value.replace(/\n/g, "\r\n")}\r\n`).join("");
  return Buffer.concat([Buffer.from(`${header}\r\n`, "latin1"), body]);
}

export function offerData({ version, actions, steps }: Offer): Buffer {
  const data = Buffer.alloc(12);
  data.writeUInt32BE(version, 0);
  data.writeUInt32BE(actions, 4);
  data.writeUInt32BE(steps, 8);
  return data;
}

async function* readPackets(socket: Socket): AsyncGenerator<Packet> {
  const reader = createPacketReader();
  for await (const bytes of socket) {
    reader.push(bytes);
    for (let packet = reader.next(); packet !== null; packet = reader.next()) yield packet;
  }
}

async function next(packets: AsyncGenerator<Packet>): Promise<Packet> {
  const { value, done } = await packets.next();
  if (done) throw new Error("the milter closed the connection without an answer");
  return value;
}

function describe({ command, data }: Packet): string {
  const text = data.toString("latin1");
  switch (command) {
    case "c":
      return "continue";
    case "s":
      return "skip";
    case "p":
      return "progress";
    case "y":
      return `reply ${text.replace(/\0$/, "").replaceAll("%%", "%")}`;
    case "m": {
      const [name, value] = text.slice(4).split("\0");
      return `change ${name} ${data.readUInt32BE(0)} “${value}”`;
    }
    case "i":
      return `insert ${text.slice(4).split("\0")[0]}`;
    case "h":
      return `add ${text.split("\0")[0]}`;
    case "e":
      return `sender ${text.replace(/\0$/, "")}`;
    default:
      return `${command} ${text}`;
  }
}

export function strings(...values: string[]): Buffer {
  return Buffer.from(values.map((value) => `${value}\0`).join(""), "utf8");
}
