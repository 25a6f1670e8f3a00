/**
 * Conversations with the metadata service for the fuzzer: Dovecot's dict protocol, and the door's news of mail. Whatever a
 * peer sends, it gets the answers of the reference, however its bytes are cut and however late it reads; the only errors
 * are those of the protocol.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseRelayConfig } from "../../appliance/relay-config.ts";
import type { Log } from "../../services/lib/log.ts";
import { createDictionary } from "../../services/metadata/dictionary.ts";
import { serveNews } from "../../services/metadata/news-session.ts";
import { serveSession } from "../../services/metadata/session.ts";
import { type MetadataStore, openMetadataStore } from "../../services/metadata/store.ts";
import { type DictFacts, referenceDict } from "../services/metadata/reference-dict.ts";
import { converse, type Heard, type Peer, peers } from "./imagined-socket.ts";
import type { Outcome } from "./targets.ts";

const NOW = 1_795_245_451;
const config = parseRelayConfig(
  'domain = "_a.test"\n[clients]\niroh_relay_url = "https://iroh.test"\n',
  "relay.toml",
);
const turn = (user: string) => (user === "" ? undefined : `turn of ${user}`);

let opened: MetadataStore | undefined;
/** An empty one. */
function emptyStore(): MetadataStore {
  if (opened === undefined) {
    const folder = mkdtempSync(join(tmpdir(), "homing-fuzz-"));
    opened = openMetadataStore(join(folder, "metadata.sqlite"), { keepTokenDays: 90 });
    process.once("exit", () => rmSync(folder, { recursive: true }));
  }
  const store = opened;
  const addresses = new Set(store.all().flatMap((change) => ("address" in change ? [change.address] : [])));
  store.apply(
    [...addresses].map((address) => ({ kind: "forget-account", address })),
    NOW,
  );
  return store;
}

type Answer = Readonly<{ heard: Heard; troubles: readonly string[] }>;

/** `serve` is given a log, and what it says there of anything but a peer's mistake is trouble. */
function ask(
  serve: (parts: { log: Log }) => Parameters<typeof converse>[0],
  { input, peer }: Readonly<{ input: string; peer: Peer }>,
): Answer {
  const troubles: string[] = [];
  const note = (message: string, cause: unknown) => {
    if (!/^(?:Protocol|Command)Error: /.test(String(cause))) troubles.push(`${message}: ${cause}`);
  };
  const log: Log = {
    debug: () => {},
    info: () => {},
    warn: (message, fields) => note(message, fields?.cause),
    error: (message, fields, cause) => note(message, cause ?? fields?.cause),
  };
  const heard = converse(serve({ log }), input, peer);
  if (heard.isPiling) troubles.push("it writes to a peer that does not read");
  return { heard, troubles };
}

/** The contradiction between what was heard by all peers and what the reference says, or null. */
function contradictionOf(answers: readonly Answer[], expected: Omit<Heard, "isPiling">): string | null {
  for (const [index, { heard, troubles }] of answers.entries()) {
    if (troubles[0] !== undefined) return troubles[0];
    if (heard.isCut !== expected.isCut)
      return `${index === 0 ? "" : "in pieces, "}the peer is ${heard.isCut ? "" : "not "}cut off`;
    if (heard.written !== expected.written)
      return `${index === 0 ? "" : "in pieces, "}the answers are others than the reference's`;
  }
  return null;
}

export async function dictOutcome(input: string): Promise<Outcome> {
  const answers = peers.map((peer) =>
    ask(
      ({ log }) => {
        const dictionary = createDictionary({ config, store: emptyStore(), turn, now: () => NOW });
        return (socket) => serveSession(socket, { dictionary, log });
      },
      { input, peer },
    ),
  );
  const facts: DictFacts = {
    now: NOW,
    since: emptyStore().loginsSince(),
    server: (user) => ({
      maxsmtprecipients: "1000",
      ...(user !== "" && { turn: `turn of ${user}` }),
      irohrelay: "https://iroh.test",
    }),
  };
  const { replies, isCut } = referenceDict(input, facts);
  const expected = { written: replies.map((reply) => `${reply}\n`).join(""), isCut };
  // Why a write is refused the reference says in words of its own.
  const plain = answers.map(({ heard, troubles }) => ({
    troubles,
    heard: { ...heard, written: heard.written.replaceAll(/^(F\d+)\t[^\n]*$/gm, "$1") },
  }));
  return {
    outcome: `${replies.length} lines${isCut ? ", then cut off" : ""}`,
    contradiction: contradictionOf(plain, expected),
  };
}

/** A line has 1024 bytes at most: “mail”, a blank, and an address without blanks. */
export async function newsOutcome(input: string): Promise<Outcome> {
  const told: string[][] = [];
  const answers = peers.map((peer) => {
    const addresses: string[] = [];
    told.push(addresses);
    const note = (address: string) => void addresses.push(address);
    return ask(
      ({ log }) =>
        (socket) =>
          serveNews(socket, { told: note, log }),
      { input, peer },
    );
  });
  const lines = input.split("\n");
  const rest = lines.pop()!;
  const wrong = lines.findIndex((line) => {
    const [command, address = "", ...more] = line.split(" ");
    const isAddress =
      address !== "" && [...address].every((character) => character > " " && character < "\x7f");
    return line.length > 1024 || command !== "mail" || !isAddress || more.length > 0;
  });
  const right = wrong < 0 ? lines : lines.slice(0, wrong);
  const isCut = wrong >= 0 || rest.length > 1024;
  const expected = right.map((line) => line.slice("mail ".length).toLowerCase()).join("\n");
  const contradiction =
    contradictionOf(answers, { written: "noted\n".repeat(right.length), isCut }) ??
    (told.every((addresses) => addresses.join("\n") === expected) ? null : "others are told of");
  return { outcome: `${right.length} told${isCut ? ", then cut off" : ""}`, contradiction };
}
