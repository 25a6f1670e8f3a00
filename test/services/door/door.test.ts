/** What passes the door of the mailboxes, and what does not pass a second time, whoever dies in between. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { waitFor } from "../../support/wait.ts";
import { type RunningDoor, runDoor, type Stored } from "./running-door.ts";

const TIMEOUT = 20_000;
const mail = (id: string, to: readonly string[] = ["bob@b.test"], from = "alice@a.test") => ({
  from,
  to,
  source: [Buffer.from(`Message-ID: <${id}@a.test>\r\nSubject: [...]\r\n\r\n.secret ${id}\r\n`)],
});

let door: RunningDoor;
beforeEach(async () => {
  door = await runDoor();
});
afterEach(() => door[Symbol.asyncDispose]());

const send = async (what: ReturnType<typeof mail>): Promise<string[]> => {
  const session = await door.lmtp();
  try {
    return (await session.send(what)).replies.map(({ code, text }) => `${code} ${text}`);
  } finally {
    session.destroy();
  }
};
const recipients = () => door.stored.map(({ to }) => to);

it("hands a message over as it is, and the reply to it", async () => {
  expect(await send(mail("1"))).toEqual(["250 2.0.0 saved"]);
  expect(door.stored).toEqual([
    { from: "alice@a.test", to: "bob@b.test", source: Buffer.concat(mail("1").source).toString() },
  ]);
});

it("serves message after message on one connection", async () => {
  const session = await door.lmtp();
  for (let i = 0; i < 5; i++) expect((await session.send(mail(`${i}`))).replies[0]?.code).toBe(250);
  expect(door.stored.length).toBe(5);
  expect(door.connections()).toBe(1);
});

it("takes large messages in pieces of any size", async () => {
  const source = [Buffer.from("Message-ID: <large@a.test>\r\n\r\n"), Buffer.alloc(1 << 19, ".abcdefgh\r\n")];
  expect(await send({ ...mail("1"), source: [...source, Buffer.from("\r\n")] })).toEqual(["250 2.0.0 saved"]);
  expect(door.stored[0]?.source.length).toBe(Buffer.concat(source).length + 2);
});

it("delivers the same message once, and says yes again", async () => {
  await send(mail("1"));
  expect(await send(mail("1"))).toEqual([expect.stringMatching(/^250 /)]);
  expect(await send(mail("1", ["BOB@b.test"]))).toEqual([expect.stringMatching(/^250 /)]);
  expect(door.stored.length).toBe(1);
  expect(door.counters()).toContain('homing_door_recipients_total{outcome="repeated"} 2\n');
});

it("does not count what the canary gets, whatever becomes of it", async () => {
  const canary = "homing-canary-abc@b.test";
  await send(mail("1", [canary]));
  await send(mail("1", [canary.toUpperCase()]));
  door.setMailbox(() => "550 5.1.1 no");
  await send(mail("2", [canary, "bob@b.test"]));
  expect(door.counters()).toContain('homing_door_recipients_total{outcome="refused"} 1\n');
  expect(door.counters()).not.toMatch(/outcome="(?:delivered|repeated)"/);
});

it("delivers what differs in one byte, the sender or the recipient", async () => {
  await send(mail("1"));
  await send(mail("2"));
  await send(mail("1", ["bob@b.test"], "carol@a.test"));
  await send(mail("1", ["carol@b.test"]));
  expect(door.stored.length).toBe(4);
});

it("remembers over its own restart, which waits for no connection that Postfix keeps", async () => {
  const kept = connect({ path: door.path, allowHalfOpen: true });
  await once(kept, "data");
  await send(mail("1"));
  await door.stop();
  kept.destroy();
  await door.startAgain();
  expect(await send(mail("1"))).toEqual([expect.stringMatching(/^250 /)]);
  expect(door.stored.length).toBe(1);
});

it("passes a refusal on, for each recipient, and remembers none", async () => {
  door.setMailbox(({ to }) => (to === "bob@b.test" ? "250 2.0.0 saved" : "552 5.2.2 no room"));
  expect(await send(mail("1", ["bob@b.test", "full@b.test", "carol@b.test"]))).toEqual([
    "250 2.0.0 saved",
    "552 5.2.2 <full> Mailbox is full",
    "552 5.2.2 no room",
  ]);
  door.setMailbox(() => "250 2.0.0 saved");
  expect(await send(mail("1", ["carol@b.test"]))).toEqual(["250 2.0.0 saved"]);
  expect(recipients()).toEqual(["bob@b.test", "carol@b.test"]);
  expect(door.searches()).toBe(0);
});

it("has Postfix come again for those who lack what others have", async () => {
  await send(mail("1", ["bob@b.test"]));
  const both = mail("1", ["bob@b.test", "carol@b.test"]);
  expect(await send(both)).toEqual([expect.stringMatching(/^250 /), expect.stringMatching(/^451 4\.3\.0 /)]);
  expect(await send(mail("1", ["carol@b.test"]))).toEqual(["250 2.0.0 saved"]);
  expect(recipients()).toEqual(["bob@b.test", "carol@b.test"]);
});

describe("when Dovecot dies", () => {
  it.each([
    ["after it had the message: delivers nothing more", "dies after", 1],
    ["before it had the message: delivers it", "dies before", 1],
  ] as const)("%s", async (_title, death, times) => {
    door.setMailbox(() => death);
    await expect(send(mail("1"))).rejects.toThrow();
    door.setMailbox(() => "250 2.0.0 saved");
    expect(await send(mail("1"))).toEqual([expect.stringMatching(/^250 /)]);
    expect(door.stored.length).toBe(times);
    expect(door.searches()).toBe(1);
    // Then it is known.
    await send(mail("1"));
    expect(door.searches()).toBe(1);
  });

  it("does not take its no for the time being for a no", async () => {
    door.setMailbox((mail) => {
      (door.stored as Stored[]).push(mail);
      return "421 4.3.2 Server shutting down";
    });
    expect(await send(mail("1"))).toEqual(["421 4.3.2 Server shutting down"]);
    door.setMailbox(() => "250 2.0.0 saved");
    expect(await send(mail("1"))).toEqual([expect.stringMatching(/^250 /)]);
    expect(door.stored.length).toBe(1);
  });

  it("keeps what it heard before of other recipients", async () => {
    door.setMailbox(({ to }) => (to === "bob@b.test" ? "250 2.0.0 saved" : "dies before"));
    await expect(send(mail("1", ["bob@b.test", "carol@b.test"]))).rejects.toThrow();
    door.setMailbox(() => "250 2.0.0 saved");
    const replies = await send(mail("1", ["bob@b.test", "carol@b.test"]));
    expect(replies.map((reply) => reply.slice(0, 3))).toEqual(["250", "451"]);
    expect(await send(mail("1", ["carol@b.test"]))).toEqual(["250 2.0.0 saved"]);
    expect(recipients()).toEqual(["bob@b.test", "carol@b.test"]);
  });

  it("puts the message off while the mailbox cannot be searched", async () => {
    door.setMailbox(() => "dies after");
    await expect(send(mail("1"))).rejects.toThrow();
    door.setSearch("fails");
    expect(await send(mail("1"))).toEqual([expect.stringMatching(/^451 4\.3\.0 /)]);
    door.setSearch("works");
    expect(await send(mail("1"))).toEqual([expect.stringMatching(/^250 /)]);
    expect(door.stored.length).toBe(1);
  });

  it("waits for its return", async () => {
    await door.stopDovecot();
    const replies = send(mail("1"));
    await door.startDovecot();
    expect(await replies).toEqual(["250 2.0.0 saved"]);
  });
});

it("asks the mailbox after its own death between Dovecot's answer and the note of it", async () => {
  const { isThere, resolve } = heldMailbox();
  const first = send(mail("1")).catch(() => "lost");
  await waitFor("the message is with Dovecot", TIMEOUT, isThere);
  // The second process finds what the first had begun when it was killed; Dovecot stored the message after that.
  await door.startAgain();
  door.setMailbox(() => "250 2.0.0 saved");
  door.setSearch("fails");
  expect(await send(mail("1"))).toEqual([expect.stringMatching(/^451 /)]);
  resolve("dies after");
  await first;
  door.setSearch("works");
  expect(await send(mail("1"))).toEqual([expect.stringMatching(/^250 /)]);
  expect(door.stored.length).toBe(1);
});

it("lets a second try wait for the first", async () => {
  const { isThere, resolve } = heldMailbox();
  const session = await door.lmtp();
  const first = session.send(mail("1")).catch(() => "gone");
  await waitFor("the message is with Dovecot", TIMEOUT, isThere);
  session.destroy();
  await first;
  const second = send(mail("1"));
  await waitFor("the second is there", TIMEOUT, () => door.connections() === 2);
  resolve("250 2.0.0 saved");
  expect(await second).toEqual([expect.stringMatching(/^250 /)]);
  expect(door.stored.length).toBe(1);
  expect(door.searches()).toBe(0);
});

it("drops what breaks off before its end", async () => {
  const socket = connect(door.path);
  socket.write("LHLO postfix\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\n");
  const heard: string[] = [];
  socket.on("data", (chunk) => heard.push(chunk.toString()));
  await waitFor("DATA is welcome", TIMEOUT, () => heard.join("").includes("354"));
  expect(heard.join("")).not.toMatch(/CHUNKING|XCLIENT/);
  socket.end("Subject: half\r\n");
  await send(mail("1"));
  expect(recipients()).toEqual(["bob@b.test"]);
  expect(door.stored[0]?.source).toContain("secret 1");
});

it("takes commands in one go, and ends a conversation that was none", async () => {
  const heard: string[] = [];
  const socket = connect(door.path);
  socket.on("data", (chunk) => heard.push(chunk.toString()));
  socket.write("LHLO x\r\nMAIL FROM:<a@a.test> SIZE=10\r\nRCPT TO:<bob@b.test>\r\nDATA\r\n");
  await waitFor("DATA is welcome", TIMEOUT, () => heard.join("").includes("354"));
  socket.write("Subject: x\r\n\r\n.\r\nRSET\r\nNOOP\r\n");
  await waitFor("all is answered", TIMEOUT, () => (heard.join("").match(/^2\d\d[ ]/gm) ?? []).length === 7);
  socket.write("BDAT 10 LAST\r\n");
  await new Promise((resolve) => socket.once("close", resolve));
  expect(door.stored.map(({ source }) => source)).toEqual(["Subject: x\r\n\r\n"]);
});

/** A mailbox that answers when the test says what. */
function heldMailbox() {
  const { promise, resolve } = Promise.withResolvers<string>();
  let isThere = false;
  door.setMailbox(() => {
    isThere = true;
    return promise;
  });
  return { isThere: () => isThere, resolve };
}
