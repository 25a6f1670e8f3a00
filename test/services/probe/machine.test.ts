/** What the canary makes of a disk and a clock that are not as they should be, and of port 443 when it is not. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { describe, expect, it } from "vitest";
import { lookAtDoors } from "../../../services/probe/doors.ts";
import { lookAtClock, lookAtDisk } from "../../../services/probe/machine.ts";
import { problemLines, verdictOf } from "../../../services/probe/report.ts";
import { createSteps, type Steps } from "../../../services/probe/steps.ts";
import { noSmallDisk, onSmallDisk } from "../../support/small-disk.ts";
import { makeEcPem, makeTestAuthority } from "../../support/test-authority.ts";

const domain = "chat.example.org";
const DAY = 86_400_000;

/** The verdict, and what the operator is told. */
function judged(steps: Steps) {
  const { ok, works } = verdictOf(steps, 7);
  return { ok, works, told: problemLines(verdictOf(steps, 7)) };
}

describe("the canary's look at the disk", () => {
  /** `room`: bytes that sign-up and mail want to be free. */
  async function lookAt(data: string, room: string, folder: string) {
    await writeFile(join(folder, "room"), room);
    const steps = createSteps();
    await lookAtDisk({ data, writable: data, room: join(folder, "room") }, steps);
    return judged(steps);
  }

  it("tells what a full disk and one that cannot be written mean", async ({ skip }) => {
    const folder = await mkdtemp(join(tmpdir(), "homing-room-"));
    const megabyte = 1_000_000;
    try {
      const isDone = await onSmallDisk(2_000, async (disk) => {
        expect(await lookAt(disk.path, `${megabyte} ${megabyte / 2}`, folder)).toMatchObject({ ok: true });
        // 2,048,000 bytes: 648,000 stay.
        await writeFile(join(disk.path, "mail"), Buffer.alloc(1_400_000));
        expect(await lookAt(disk.path, `${megabyte} ${megabyte / 2}`, folder)).toEqual({
          ...{ ok: false, works: true },
          told: [expect.stringMatching(/0\.0 GB free: no new accounts\. a larger card or disk with a copy/)],
        });
        await writeFile(join(disk.path, "more"), Buffer.alloc(600_000));
        expect(await lookAt(disk.path, `${megabyte} ${megabyte / 2}`, folder)).toEqual({
          ...{ ok: false, works: true },
          told: [expect.stringMatching(/mail is refused until there is room again\. a larger card/)],
        });
        disk.makeReadOnly();
        expect(await lookAt(disk.path, `${megabyte} ${megabyte / 2}`, folder)).toEqual({
          ...{ ok: false, works: true },
          told: [expect.stringMatching(/cannot be written \(EROFS\)\. switch off and on to repair it/)],
        });
      });
      if (!isDone) skip(noSmallDisk);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("the canary's look at the clock", () => {
  async function lookAt(name: string, sinceStart: number, syncedPath = "/nonexistent") {
    const steps = createSteps();
    await lookAtClock({ domain: name, syncedPath, sinceStart }, steps);
    return judged(steps);
  }

  it("tells that no time server answers, when one would have", async () => {
    expect(await lookAt(domain, 901)).toEqual({
      ...{ ok: false, works: true },
      told: [expect.stringMatching(/no time server has answered .* let UDP port 123 out of your network/)],
    });
    expect(await lookAt(domain, 899)).toMatchObject({ ok: true });
    expect(await lookAt("_a.test", 901)).toMatchObject({ ok: true });
    expect(await lookAt(domain, 901, import.meta.filename)).toMatchObject({ ok: true });
  });
});

describe("the canary's look at port 443", () => {
  type Dates = Readonly<{ from?: Date; until?: Date }>;
  const greetings = { imap: "* OK ready\r\n", smtp: "220 ready\r\n", "http/1.1": "HTTP/1.1 200 OK\r\n\r\n" };

  /** A server with a certificate of an authority, and these words for each protocol. */
  async function lookAt(dates: Dates, words: Readonly<Record<string, string>> = greetings) {
    const [key, authority] = [makeEcPem(), await makeTestAuthority()];
    const cert = (await authority.certify(key, [domain], dates)) + authority.intermediate;
    const server = createServer({ key, cert, ALPNProtocols: Object.keys(greetings) }, (socket) => {
      socket.on("error", () => {});
      socket.end(words[String(socket.alpnProtocol)] ?? "");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const steps = createSteps();
      const { port } = server.address() as AddressInfo;
      await lookAtDoors({ domain, host: "127.0.0.1", port }, steps);
      return { ...judged(steps), names: steps.done.map(({ name, ok }) => `${name} ${ok ? "ok" : "failed"}`) };
    } finally {
      server.close();
    }
  }
  const inDays = (days: number) => new Date(Date.now() + days * DAY);
  const names = ["port-443 ok", "certificate failed"];

  it("is content with an authority's certificate", async () => {
    expect(await lookAt({ until: inDays(60.5) })).toMatchObject({ ok: true, told: [] });
  });

  it.each<[string, Dates, RegExp]>([
    [
      "has expired",
      { from: inDays(-90), until: inDays(-2.5) },
      /^the certificate expired on \d{4}-\d\d-\d\d\. `homing-ctl certificate`/,
    ],
    [
      "should have been renewed",
      { from: inDays(-80), until: inDays(10.5) },
      /^the certificate is valid for 10 more days only, and was not renewed\. `homing-ctl certificate`/,
    ],
    [
      "is not valid yet, for the clock is behind",
      { from: inDays(300), until: inDays(390) },
      /^the certificate is not valid yet: the clock may be wrong\. `homing-ctl certificate`/,
    ],
  ])(
    "finds a certificate that %s, which no other version of the system mends",
    async (_what, dates, words) => {
      const told = [expect.stringMatching(words)];
      expect(await lookAt(dates)).toEqual({ ok: false, works: true, told, names });
    },
  );

  it.each([
    [
      "imap",
      "* BYE no\r\n",
      /^port 443 does not answer as imap: it says “\* BYE no”\. .*homing-mux dovecot`$/,
    ],
    ["smtp", "421 no\r\n", /^port 443 does not answer as smtp: it says “421 no”\. .*homing-mux postfix`$/],
    ["http/1.1", "HTTP/1.1 503 no\r\n", /^port 443 does not answer as http\/1\.1: .*homing-mux homing-web`$/],
    ["smtp", "", /^port 443 does not answer as smtp: the connection was closed\. .*homing-mux postfix`$/],
  ])("finds that nobody answers there as %s does", async (alpn, text, words) => {
    const told = [expect.stringMatching(words)];
    const expected = { ok: false, works: false, told, names: ["port-443 failed"] };
    expect(await lookAt({}, { ...greetings, [alpn]: text })).toEqual(expected);
  });
});
