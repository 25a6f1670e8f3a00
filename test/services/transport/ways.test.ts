/** What the service learns of other domains, and mail to those that HTTPS or SMTP does not reach. */
import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { MAX_SLOW } from "../../../services/transport/places.ts";
import { MAX_GOING_ON_OF_ONE } from "../../../services/transport/smtp-after-https.ts";
import { waitFor } from "../../support/wait.ts";
import { bytesOf, from, names, source } from "./letters.ts";
import { runTransport } from "./running-transport.ts";

describe("what is known of a domain", () => {
  it("is written down for those who name the way", async () => {
    await using transport = await runTransport(names);
    await transport.offer({ from, to: ["bob@b.example"], source });
    await waitFor("the file", 10_000, async () => (await transport.knownWays()) === "b.example https\n");
  });

  it("is written down when the service ends", async () => {
    await using transport = await runTransport(names);
    await transport.offer({ from, to: ["bob@b.example"], source });
    await transport.stop();
    expect(await transport.knownWays()).toBe("b.example https\n");
  });

  it("lets a few messages go on to SMTP at the door of relays when one is gone; more of a sender wait", async () => {
    await using transport = await runTransport(names);
    const mail = (i: number) => ({ from, to: ["bob@b.example"], source: `${source}${i}` });
    await transport.offer(mail(0));
    transport.setPeer(() => ({ status: 404, text: "" }));
    for (let i = 1; i <= MAX_GOING_ON_OF_ONE; i++)
      expect(await transport.offer(mail(i), "known")).toEqual(["smtp"]);
    const next = mail(MAX_GOING_ON_OF_ONE + 1);
    expect(await transport.offer(next, "known")).toEqual(["waits"]);
    // Its next attempt comes as to others.
    expect(await transport.offer(next)).toEqual(["smtp"]);
    await transport.stop();
    expect(await transport.knownWays()).toBe("");
  });

  it("gives large messages that a relay does not take the way of others", async () => {
    await using transport = await runTransport(names);
    const large = { from, to: ["bob@b.example"], source: bytesOf(2_000_000) };
    transport.setPeer(({ method, source: body }) => {
      if (method === "GET") return { status: 405, text: "" };
      return body.length > 1e6 ? { status: 413, text: "" } : { status: 200, text: "250 OK" };
    });
    await transport.offer({ from, to: ["bob@b.example"], source });
    expect(await transport.offer(large, "known")).toEqual(["smtp"]);
    // Small ones go by HTTPS as before, and do not take that way from the large one.
    expect(await transport.offer({ from, to: ["eve@b.example"], source })).toEqual([250]);
    await transport.offer({ from, to: ["joe@_b.test"], source });
    expect(await transport.offer(large)).toEqual(["smtp"]);
    await transport.stop();
    expect(await transport.knownWays()).toBe("_b.test https\n");
  });
});

describe("mail that SMTP could not deliver", () => {
  const mail = (to: readonly string[]) => ({ from, to, source: [Buffer.from(source)] });

  it("is tried by HTTPS again", async () => {
    await using transport = await runTransport(names);
    const client = await transport.connectTo("last");
    const { replies } = await client.send(mail(["bob@b.example", "eve@b.example"]));
    expect(replies.map(({ code }) => code)).toEqual([250, 250]);
    expect(transport.requests[0]).toMatchObject({ to: ["bob@b.example", "eve@b.example"], source });
  });

  it("waits when neither works, and is refused for domains that take none", async () => {
    await using transport = await runTransport({
      ...names,
      "null.example": { mx: [{ exchange: "", priority: 0 }] },
    });
    transport.setPeer(() => ({ status: 404, text: "" }));
    const client = await transport.connectTo("last");
    const answer = async (to: string) => (await client.send(mail([to]))).replies[0]!.code;
    expect(await answer("bob@b.example")).toBe(451);
    expect(await answer("bob@null.example")).toBe(556);
    expect(await answer("bob@nowhere.example")).toBe(550);
  });
});

describe("hosts that never answer", () => {
  const silentDomains = Array.from({ length: 100 }, (_, i) => `_${i}.evil.test`);
  const mallory = "mallory@a.example";
  /** Messages to 20 such hosts each. */
  const floods = Array.from({ length: 5 }, (_, i) => silentDomains.slice(20 * i, 20 * (i + 1)));

  it("keep nobody else's mail waiting, and theirs stays with Postfix", async () => {
    await using transport = await runTransport({
      ...names,
      // What is slow counts by networks as well.
      "_b.test": { address: "127.0.0.2" },
      ...Object.fromEntries(silentDomains.map((domain) => [domain, {}])),
    });
    const waiting: ServerResponse[] = [];
    transport.setPeer(({ to, method }, { response }) => {
      if (method === "GET") return { status: 405, text: "" };
      if (!to[0]!.includes("evil")) return { status: 200, text: "250 OK" };
      waiting.push(response);
      return undefined;
    });
    const write = (to: string) => transport.offer({ from, to: [to], source });
    await write("bob@b.example");
    const flooded = floods.flatMap((domains, i) =>
      domains.map((domain) =>
        transport.offer({ from: mallory, to: [`x@${domain}`], source: `${source}flood ${i}\r\n` }),
      ),
    );
    await waitFor("the hosts have connections", 10_000, async () => transport.connections() > MAX_SLOW);
    expect(await write("bob@b.example")).toEqual([250]);
    // To one that nobody wrote to before, too.
    expect(await write("eve@_b.test")).toEqual([250]);
    expect(await Promise.race(flooded)).toEqual(["waits"]);
    expect(await write("bob@b.example")).toEqual([250]);
    // So many may go on, when all the others were told to wait.
    let told = 0;
    for (const flood of flooded) void flood.then(() => told++);
    await waitFor("slow deliveries give up their places", 20_000, async () => {
      const open = waiting.filter(({ closed }) => !closed).length;
      return open === MAX_SLOW && told === silentDomains.length - MAX_SLOW;
    });
    for (const response of waiting.filter(({ closed }) => !closed)) response.writeHead(200).end("250 OK");
    const outcomes = (await Promise.all(flooded)).flat();
    expect(outcomes.filter((outcome) => outcome === 250)).toHaveLength(MAX_SLOW);
    expect(outcomes.filter((outcome) => outcome === "waits")).toHaveLength(silentDomains.length - MAX_SLOW);
    expect(transport.requests.map(({ to }) => to[0]).filter((to) => !to!.includes("evil"))).toEqual([
      ...["bob@b.example", "bob@b.example", "eve@_b.test", "bob@b.example"],
    ]);
  });
});
