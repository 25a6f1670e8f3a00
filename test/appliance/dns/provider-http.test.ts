/** The HTTP client of the providers (appliance/dns/provider-http.ts), against a server that misbehaves. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import * as z from "zod";
import type { DnsProviderError } from "../../../appliance/dns/provider.ts";
import { type ProviderHttpOptions, providerHttp } from "../../../appliance/dns/provider-http.ts";

const SECRET = "dop_v1_0123456789";
type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;
const servers: { close(): void; closeAllConnections(): void }[] = [];

async function start(handler: Handler) {
  let count = 0;
  const server = createServer((request, response) => handler(request, response, ++count));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, requests: () => count };
}
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A clock that jumps instead of waiting. */
function jumpingClock() {
  const waits: number[] = [];
  let time = Date.UTC(2026, 0, 1);
  const wait = async (milliseconds: number) => {
    waits.push(milliseconds);
    time += milliseconds;
  };
  return { waits, clock: { now: () => time, wait } };
}

function client(baseUrl: string, more: Partial<ProviderHttpOptions> = {}) {
  const { waits, clock } = jumpingClock();
  const { send: http, json } = providerHttp({
    ...{ provider: "Example", baseUrl, secrets: [SECRET], headers: { authorization: `Bearer ${SECRET}` } },
    reasonOf: (body) => (body as { message?: string } | undefined)?.message,
    mends: { 403: "give the token the permission DNS:Edit" },
    connect: { clock },
    ...more,
  });
  return { http, json, waits };
}
const list = { method: "GET", path: "/zones", what: "list the zones" } as const;
const create = { method: "POST", path: "/records", body: { a: 1 }, what: "create a record" } as const;
const answer = (response: ServerResponse, status: number, body: unknown, headers = {}) =>
  response.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body));

describe("the providers' HTTP client", () => {
  it("sends JSON with the token, and gives back what came", async () => {
    const server = await start((request, response) => {
      expect(request.headers).toMatchObject({
        ...{ authorization: `Bearer ${SECRET}`, "content-type": "application/json", "user-agent": "Homing" },
      });
      request.on("data", (chunk) =>
        answer(response, 201, { got: JSON.parse(String(chunk)), url: request.url }),
      );
    });
    const { http } = client(server.base);
    const got = await http({ ...create, query: { page: 2, name: "a b" } });
    expect(got).toMatchObject({ status: 201, body: { got: { a: 1 }, url: "/v1/records?page=2&name=a+b" } });
  });

  it("waits as long as it is told, then asks again, also for what may not be done twice", async () => {
    const later = new Date(Date.UTC(2026, 0, 1, 0, 0, 12)).toUTCString();
    const server = await start((_request, response, count) => {
      if (count === 1) answer(response, 429, { message: "slow" }, { "retry-after": "7" });
      else if (count === 2) answer(response, 429, { message: "slow" }, { "retry-after": later });
      else answer(response, 200, {});
    });
    const { http, waits } = client(server.base);
    await http(create);
    expect(waits).toEqual([7000, 5000]);
  });

  it("does not wait for hours, and says how long it takes", async () => {
    const server = await start((_request, response) => answer(response, 429, {}, { "retry-after": "7300" }));
    const { http, waits } = client(server.base);
    await expect(http(list)).rejects.toThrow(
      "Example did not list the zones: HTTP status 429: too many requests; try again in 3 hours",
    );
    expect(waits).toEqual([]);
  });

  it("repeats after a failure of the provider what may be done twice, and nothing else", async () => {
    const server = await start((request, response, count) => {
      if (count % 3 === 1) request.socket.destroy();
      else answer(response, count % 3 === 2 ? 502 : 200, "<html>");
    });
    const { http, waits } = client(server.base);
    await expect(http(list)).resolves.toMatchObject({ body: "<html>" });
    expect(waits).toEqual([1000, 2000]);
    await expect(http(create)).rejects.toMatchObject({ problem: "unreachable" });
    expect(server.requests()).toBe(4);
    await expect(http(create)).rejects.toThrow("HTTP status 502");
    expect(server.requests()).toBe(5);
  });

  it("says where an answer has another form", async () => {
    const server = await start((_request, response) => answer(response, 200, { zones: [{ name: 1 }] }));
    const form = z.object({ zones: z.array(z.object({ name: z.string() })) });
    await expect(client(server.base).json(list, form)).rejects.toThrow(
      "Example did not list the zones: its answer has another form than expected (zones.0.name)",
    );
  });

  it("waits no longer than its limit for an answer", async () => {
    const server = await start(() => undefined);
    const { http } = client(server.base, { connect: { timeoutMs: 50 } });
    await expect(http(create)).rejects.toThrow("no answer within 0.05 seconds");
  });

  it("gives up in the end", async () => {
    const server = await start((_request, response) => answer(response, 503, {}));
    await expect(client(server.base).http(list)).rejects.toMatchObject({ problem: "unreachable" });
    expect(server.requests()).toBe(4);
  });

  it("keeps its pace", async () => {
    const server = await start((_request, response) => answer(response, 200, {}));
    const { http, waits } = client(server.base, { paceMs: 1000 });
    for (let i = 0; i < 3; i++) await http(list);
    expect(waits).toEqual([1000, 1000]);
  });

  it.each([
    [401, "credentials", /: invalid .* \*\*\* token$/],
    [403, "credentials", /give the token the permission DNS:Edit$/],
    [404, "missing", /token$/],
    [422, "refused", /token$/],
  ])("tells of status %d as %s, without the secret and in one line", async (status, problem, words) => {
    const message = `invalid\n\u001b[31m ${SECRET} token`;
    const server = await start((_request, response) => answer(response, status, { message }));
    const error = await client(server.base)
      .http(list)
      .catch((caught: DnsProviderError) => caught);
    expect(error).toMatchObject({ name: "DnsProviderError", problem, message: expect.stringMatching(words) });
    expect(JSON.stringify(error) + String((error as Error).stack)).not.toContain(SECRET);
    expect((error as Error).message).not.toMatch(/[^ -~]/);
  });

  it("takes the token to no other host", async () => {
    const other = await start((_request, response) => answer(response, 200, {}));
    const server = await start((_request, response) =>
      answer(response, 302, "", { location: `${other.base}/zones` }),
    );
    const { http } = client(server.base);
    await expect(http(list)).rejects.toThrow(/redirect/);
    await expect(http({ ...list, path: `${other.base}/zones?page=2` })).rejects.toThrow(
      /leads to another host/,
    );
    expect(other.requests()).toBe(0);
  });

  it("refuses an answer without an end", async () => {
    const chunk = Buffer.alloc(1024 * 1024, " ");
    const server = await start((_request, response) => {
      const more = () => response.write(chunk, (error) => error ?? more());
      more();
    });
    await expect(client(server.base).http(create)).rejects.toThrow(/more than 16777216 bytes/);
  });

  it("stops when it shall", async () => {
    const stop = new AbortController();
    const server = await start(() => stop.abort(new Error("the owner left")));
    const { http } = client(server.base, { connect: { signal: stop.signal } });
    await expect(http(list)).rejects.toThrow("the owner left");
  });

  it("says that nobody is there", async () => {
    const { http } = client("http://127.0.0.1:1/v1");
    await expect(http(create)).rejects.toThrow(
      /^Example did not create a record: 127\.0\.0\.1:1 cannot be reached: .*(ECONNREFUSED|bad port)/,
    );
  });
});
