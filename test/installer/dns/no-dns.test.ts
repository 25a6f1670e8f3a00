/** What `dns check` and `dns plan` say where nobody answers (installer/dns/no-dns.ts): nothing is missing then, nothing is known. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { planAction } from "../../../installer/dns/change-actions.ts";
import { checkDns } from "../../../installer/dns/check.ts";
import { outcomes } from "../../../installer/dns/message.ts";
import { painterFor } from "../../../installer/dns/painter.ts";
import { outlookOf } from "../../../installer/dns/report.ts";
import { reportText } from "../../../installer/dns/report-text.ts";
import type { DnsWorld } from "../../../installer/dns/world.ts";
import { captureStream } from "../../support/command-io.ts";
import { codes, desired } from "./relay-zones.ts";

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

/** The question follows (RFC 1035 §4.1.1). */
const HEADER_BYTES = 12;

/** A resolver that has this one outcome for every question, but that it may know the root. */
async function startResolver(outcome: number, ofRoot = outcome) {
  const socket = createSocket("udp4");
  sockets.push(socket);
  socket.on("message", (bytes, { address, port }) => {
    const answer = Buffer.from(bytes);
    const isRoot = bytes[HEADER_BYTES] === 0;
    answer.writeUInt16BE(0x8180 | (isRoot ? ofRoot : outcome), 2); // response, RD, RA (RFC 1035 §4.1.1)
    socket.send(answer, port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { address: "127.0.0.1", port: socket.address().port };
}

/** At this port nobody listens. */
const closed = { address: "127.0.0.1", port: 1 };
const world: DnsWorld = {
  ...{ resolvers: [], https: [], roots: ["127.0.0.98"], port: 1, nowhere: "127.0.0.99" },
};
const plain = painterFor({ isTTY: false }, {});
const domain = "chat.rosegarden.net";

describe("a check of the DNS", () => {
  it.each<[what: string, others: () => Promise<Partial<DnsWorld>>, said: RegExp]>([
    [
      "there is no network",
      async () => ({ resolvers: [closed] }),
      /this computer's resolver \(127\.0\.0\.1\), the/,
    ],
    ["the computer has no resolver", async () => ({}), /came from the name servers of the root$/],
    [
      "the resolver has nobody to ask",
      async () => ({ resolvers: [await startResolver(outcomes.serverFailure)] }),
      /no usable answer came from this computer's resolver/,
    ],
    [
      "a filter says of everything that there is none such",
      async () => ({ resolvers: [await startResolver(outcomes.noSuchName)] }),
      /no usable answer came from this computer's resolver/,
    ],
    [
      "HTTPS leads nowhere either",
      async () => ({ https: ["http://127.0.0.1:1/dns-query"] }),
      /the root, http:\/\/127\.0\.0\.1:1\/dns-query$/,
    ],
  ])("says that the DNS cannot be asked, and nothing else, where %s", async (_what, others, said) => {
    const report = await checkDns(desired(domain), { world: { ...world, ...(await others()) } });
    expect(report).toMatchObject({ path: "none", zone: null, works: false, servers: [] });
    expect(new Set(report.records.map(({ state }) => state))).toEqual(new Set(["unknown"]));
    expect(codes(report)).toEqual(["error no-dns"]);
    expect(report.findings[0]?.text).toMatch(said);
    expect(outlookOf(report)).toBe("not known");
    const text = reportText(report, plain);
    expect(text).toMatch(/^Error: the DNS cannot be asked from here: .*\n {2}→ Connect this computer/);
    expect(text).toContain(`Whether mail for ${domain} will work is not known.`);
    expect(text).not.toMatch(/MISSING|UNKNOWN|has no zone|will not work/);
  });

  it("says that a named server is silent, and not that mail will not work", async () => {
    const report = await checkDns(desired(domain), { world, servers: [closed] });
    expect(report).toMatchObject({ path: "none", works: false });
    expect(reportText(report, plain)).toMatch(
      /^Error: no answer came from 127\.0\.0\.1\.\n {2}→ See that --server/,
    );
  });

  it("believes a resolver that knows no such name", async () => {
    const resolvers = [await startResolver(outcomes.noSuchName, outcomes.none)];
    const report = await checkDns(desired(domain), { world: { ...world, resolvers } });
    expect(codes(report)).toEqual(["error delegation-missing"]);
    expect(report.findings[0]?.text).toBe(`${domain} is in no zone: not even “.net” is known here`);
    expect(reportText(report, plain)).toMatch(
      new RegExp(`^${domain} has no zone\n[^]*MISSING[^]*will not work yet`),
    );
  });
});

describe("a plan for the DNS", () => {
  const plan = async (resolvers: DnsWorld["resolvers"]) =>
    planAction(
      desired(domain),
      {
        ...{ world: { ...world, resolvers }, provider: undefined, credentials: undefined, yes: false },
        ...{ removeParking: false, replaceWebsite: false, json: false, servers: [] },
      },
      { stdout: captureStream(), stderr: captureStream(), env: {}, signal: new AbortController().signal },
    );

  it("blames no provider where no resolver answers", async () => {
    const silent = plan([closed]);
    await expect(silent).rejects.toThrow(/cannot be asked from here: .*127\.0\.0\.1.*Connect this computer/);
    await expect(silent).rejects.not.toThrow(/provider/);
  });

  it("asks for the provider where the resolver knows of no zone", async () => {
    await expect(plan([await startResolver(outcomes.noSuchName, outcomes.none)])).rejects.toThrow(
      /chat\.rosegarden\.net is in no zone yet.*--provider/,
    );
  });
});
