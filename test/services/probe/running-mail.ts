/**
 * Mail as the canary finds it, on ports of its own: a real submission server (smtp-server), and a mailbox that speaks as much
 * of IMAP (RFC 9051) as a client needs and fails as the test says, which a real Dovecot does only at the wrong moment. Real
 * ones are looked at in test/relay/canary.test.ts.
 */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";
import { SMTPServer } from "smtp-server";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import type { MailParts } from "../../../services/probe/mail.ts";
import { makeEcPem } from "../../support/test-authority.ts";

export const domain = "chat.example.org";
export const address = `homing-canary-0123456789abcdef@${domain}`;
const password = "correct-horse";

export type Behaviour = Readonly<{
  /** What submission says to a message; undefined: that it is taken. */
  refuses?: Readonly<{ responseCode: number; message: string }>;
  /** What becomes of a message on its way to the mailbox; undefined: it gets lost. */
  deliver?: (source: string) => string | undefined | Promise<string | undefined>;
  /** How the mailbox answers a command once it has got a message: with a refusal, or by closing the connection. */
  fails?: Readonly<Record<string, "refused" | "closed">>;
  /** It says that messages are deleted, and keeps them. */
  keepsAll?: boolean;
  /** How long the canary waits for its message, in milliseconds; as on a relay unless given. */
  patienceMs?: number;
}>;

export type RunningMail = AsyncDisposable & Readonly<Omit<MailParts, "steps">>;

export async function runMail(behaviour: Behaviour = {}): Promise<RunningMail> {
  const { deliver = (source: string) => source } = behaviour;
  await using starting = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "homing-canary-"));
  starting.defer(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "account.json"), JSON.stringify({ address, password }));
  const key = makeEcPem();
  const cert = await selfSignedCertificate({ domain, keyPem: key, now: new Date() });
  const mailbox = createMailbox(behaviour);

  const submissions = new SMTPServer({
    ...{ secure: true, key, cert, logger: false, authMethods: ["PLAIN"] },
    onAuth: ({ username, password: given }, _session, done) =>
      username === address && given === password ? done(null, { user: username }) : done(new Error("no")),
    onData: async (stream, _session, done) => {
      let source = "";
      for await (const chunk of stream) source += chunk.toString("latin1");
      const { refuses } = behaviour;
      if (refuses) return done(Object.assign(new Error(refuses.message), refuses));
      done(null, "2.0.0 queued");
      const arriving = await deliver(source);
      if (arriving !== undefined) mailbox.add(arriving);
    },
  });
  submissions.on("error", () => {}); // a client that went away
  const sockets = new Set<TLSSocket>();
  const imaps = createServer({ key, cert }, (socket) => {
    sockets.add(socket);
    mailbox.serve(socket);
  });
  for (const server of [submissions.server, imaps]) {
    // Or the pieces of an answer wait for one another.
    server.on("connection", (socket: Socket) => socket.setNoDelay());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  starting.defer(() => new Promise<void>((resolve) => submissions.close(() => resolve())));
  starting.defer(() => {
    for (const socket of sockets) socket.destroy();
    imaps.close();
  });
  const portOf = (server: { address: () => unknown }) => (server.address() as AddressInfo).port;
  const kept = starting.move();
  return {
    ...{ domain, host: "127.0.0.1", folder, onAddress: () => {} },
    ports: { imaps: portOf(imaps), submissions: portOf(submissions.server) },
    accountSocket: join(folder, "nobody.sock"),
    ...(behaviour.patienceMs !== undefined && { deliveryMs: behaviour.patienceMs }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** The mailbox of one account with one folder, whose messages are all there is to it. */
function createMailbox({ fails = {}, keepsAll = false }: Behaviour) {
  const messages: { uid: number; source: string }[] = [];
  let next = 1;
  const idle = new Map<TLSSocket, string>();

  const answers: Readonly<Record<string, (words: readonly string[]) => string[]>> = {
    CAPABILITY: () => ["* CAPABILITY IMAP4rev1 UIDPLUS IDLE"],
    LOGIN: () => [],
    LIST: () => ['* LIST () "/" INBOX'],
    LSUB: () => [],
    SELECT: () => [`* ${messages.length} EXISTS`, "* FLAGS (\\Deleted)", "* OK [UIDVALIDITY 1]"],
    STATUS: () => [`* STATUS INBOX (MESSAGES ${messages.length})`],
    "UID STORE": () => [],
    "UID EXPUNGE": () => (keepsAll ? [] : messages.splice(0).map(() => "* 1 EXPUNGE")),
    // By the message's name, the last word.
    "UID SEARCH": (words) => {
      const id = words.at(-1)!.replaceAll('"', "");
      return [
        `* SEARCH ${messages.flatMap(({ uid, source }) => (source.includes(id) ? [uid] : [])).join(" ")}`,
      ];
    },
    "UID FETCH": (words) =>
      messages.flatMap(({ uid, source }, index) =>
        words[0] === String(uid)
          ? [`* ${index + 1} FETCH (UID ${uid} BODY[] {${source.length}}\r\n${source})`]
          : [],
      ),
    LOGOUT: () => ["* BYE"],
  };

  const answer = (socket: TLSSocket, line: string): void => {
    const say = (text: string) => socket.write(`${text}\r\n`, "latin1");
    if (line === "DONE") {
      say(`${idle.get(socket)} OK done`);
      idle.delete(socket);
      return;
    }
    const [tag, ...words] = line.split(" ");
    const name = words[0] === "UID" ? words.splice(0, 2).join(" ") : words.shift()!;
    const failure = next > 1 ? fails[name] : undefined;
    if (failure === "closed") return void socket.destroy();
    if (failure === "refused") return void say(`${tag} NO it does not go`);
    if (name === "IDLE") {
      idle.set(socket, tag!);
      return void say("+ idling");
    }
    for (const each of answers[name]?.(words) ?? []) say(each);
    say(answers[name] === undefined ? `${tag} BAD ${name} is not known` : `${tag} OK done`);
  };

  return {
    add(source: string) {
      messages.push({ uid: next++, source });
      for (const socket of idle.keys()) socket.write(`* ${messages.length} EXISTS\r\n`);
    },
    serve(socket: TLSSocket) {
      let text = "";
      socket.on("error", () => {});
      socket.on("close", () => idle.delete(socket));
      socket.write("* OK [CAPABILITY IMAP4rev1 UIDPLUS IDLE] ready\r\n");
      socket.on("data", (chunk) => {
        const lines = (text + chunk.toString("latin1")).split("\r\n");
        text = lines.pop()!;
        for (const line of lines) answer(socket, line);
      });
    },
  };
}
