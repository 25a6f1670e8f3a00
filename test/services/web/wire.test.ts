/** What passes over the wire on both doors, for both versions of HTTP. */
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { jsonAnswer, readWholeBody, textAnswer } from "../../../services/web/exchange.ts";
import type { Routes } from "../../../services/web/router.ts";
import { proxyHeader, type RunningFront, readToEnd, runFront } from "./running-front.ts";

const echo: Routes = {
  "/echo": {
    GET: ({ client, host, query, isSecure }) =>
      jsonAnswer(200, { client, host, isSecure, query: Object.fromEntries(query) }),
    POST: async (request) => textAnswer(200, (await readWholeBody(request)).toString()),
    maxBodyBytes: 1000,
  },
  "/part/*": { GET: ({ parameter }) => textAnswer(200, parameter) },
  "/fields": { GET: ({ headers }) => textAnswer(200, headers.all("x-mail-to").join("|")) },
  "/broken": {
    GET: () => {
      throw new Error("with a secret in it");
    },
  },
};

let running: RunningFront;
beforeAll(async () => {
  running = await runFront({ relay: echo });
});
afterAll(() => running[Symbol.asyncDispose]());

async function http1(text: string): Promise<string> {
  const socket = await running.secure();
  socket.write(text);
  return readToEnd(socket);
}

describe("HTTP/1.1 over TLS", () => {
  const get = (target: string, more = "") =>
    http1(`GET ${target} HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n${more}\r\n`);

  it("tells a handler the client that the PROXY header names", async () => {
    expect(await get("/echo?a=1&b=%26")).toMatch(
      /^HTTP\/1.1 200 OK\r\n.*\{"client":"192\.0\.2\.7","host":"_a\.test","isSecure":true,"query":\{"a":"1","b":"&"\}\}$/s,
    );
  });

  it("takes absolute targets, whose host counts", async () => {
    expect(await get("https://_A.test:443/echo")).toMatch(/"host":"_a\.test"/);
    expect(await get("https://www._a.test/echo")).toMatch(
      /^HTTP\/1.1 301 .*location: https:\/\/_a\.test\/echo\r\n/s,
    );
  });

  it("gives a body to POST alone", async () => {
    const post = (body: string) =>
      http1(
        `POST /echo HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
    expect(await post("hello")).toMatch(/\r\n\r\nhello$/);
    expect(await get("/part/x", "Content-Length: 1\r\n")).toMatch(/^HTTP\/1.1 413 /);
  });

  it("answers HEAD as GET, without the body", async () => {
    const answer = await http1("HEAD /part/abc HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n.*content-length: 3\r\n.*\r\n\r\n$/s);
  });

  it("says which methods a path knows, and 404 for paths that it does not", async () => {
    const answer = await http1("DELETE /echo HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1.1 405 .*allow: GET, HEAD, POST\r\n/s);
    for (const path of ["/nothing", "/part/", "/part/a/b", "/constructor", "/__proto__", "/echo/", "//echo"])
      expect(await get(path)).toMatch(/^HTTP\/1.1 404 /);
  });

  it("gives all fields of a name, in order", async () => {
    expect(await get("/fields", "X-Mail-To: a\r\nx-mail-to: b\r\nX-MAIL-TO: c, d\r\n")).toMatch(
      /\r\n\r\na\|b\|c, d$/,
    );
  });

  it("tells a stranger nothing of an error, and the log all", async () => {
    const answer = await get("/broken");
    expect(answer).toMatch(/^HTTP\/1.1 500 /);
    expect(answer).not.toContain("secret");
    expect(running.log.join("")).toContain("with a secret in it");
  });

  it("says 100 Continue only to a body that will be taken", async () => {
    const ask = async (length: number) => {
      const socket = await running.secure();
      socket.write(
        `POST /echo HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`,
      );
      const [first] = (await once(socket, "data")) as [Buffer];
      socket.end("x".repeat(Math.min(length, 1000)));
      return first.toString("latin1");
    };
    expect(await ask(3)).toMatch(/^HTTP\/1.1 100 Continue/);
    expect(await ask(1001)).toMatch(/^HTTP\/1.1 413 /);
  });
});

describe("HTTP/2", () => {
  let session: ClientHttp2Session;
  beforeAll(async () => {
    const socket = await running.secure("h2");
    session = connectHttp2("https://_a.test", { createConnection: () => socket });
  });
  afterAll(() => session.destroy());

  async function ask(headers: IncomingHttpHeaders, body?: string) {
    const stream = session.request(headers, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status": number }];
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    return { status: answer[":status"], headers: answer, body: Buffer.concat(pieces).toString() };
  }

  it("serves the same routes", async () => {
    const answer = await ask({ ":path": "/echo?a=1" });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({
      client: "192.0.2.7",
      host: "_a.test",
      isSecure: true,
      query: { a: "1" },
    });
    expect(answer.headers["content-security-policy"]).toMatch(/^default-src 'none'/);
    expect((await ask({ ":method": "POST", ":path": "/echo" }, "hello")).body).toBe("hello");
    expect(await ask({ ":method": "HEAD", ":path": "/part/abc" })).toMatchObject({ status: 200, body: "" });
    expect((await ask({ ":path": "/nothing" })).status).toBe(404);
    expect((await ask({ ":method": "CONNECT", ":authority": "_a.test:25" })).status).toBe(404);
  });

  it("refuses a body that is too large, said or not, and goes on", async () => {
    expect((await ask({ ":method": "POST", ":path": "/echo" }, "x".repeat(1001))).status).toBe(413);
    const announced = { ":method": "POST", ":path": "/echo", "content-length": "1001" };
    expect((await ask(announced, "x".repeat(1001))).status).toBe(413);
    expect((await ask({ ":path": "/part/x" })).body).toBe("x");
  });
});

describe("port 80", () => {
  it("sends everything to TLS, and knows the client's address", async () => {
    const ask = async (head: string) => {
      const socket = await running.plain();
      socket.write(`${head}\r\nHost: www._a.test\r\nConnection: close\r\n\r\n`);
      return readToEnd(socket);
    };
    expect(await ask("GET /info?x=%26 HTTP/1.1")).toMatch(
      /^HTTP\/1.1 301 .*location: https:\/\/_a\.test\/info\?x=%26\r\n/s,
    );
    expect(await ask("POST /new HTTP/1.1")).toMatch(
      /^HTTP\/1.1 308 .*location: https:\/\/_a\.test\/new\r\n/s,
    );
    expect(await ask("GET /%0d%0aX-Evil:%201 HTTP/1.1")).toMatch(
      /location: https:\/\/_a\.test\/%0D%0AX-Evil%3A%201\r\n/,
    );
  });
});

describe("the socket for services/mux", () => {
  it("closes at once what has no PROXY header", async () => {
    const socket = connect(running.tlsPath);
    socket.write("GET / HTTP/1.1\r\nHost: _a.test\r\n\r\n");
    expect(await readToEnd(socket)).toBe("");
  });

  it("takes a header that comes with the TLS hello in one piece", async () => {
    const socket = await running.secure("http/1.1", proxyHeader);
    socket.end("GET /part/x HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    expect(await readToEnd(socket)).toMatch(/\r\n\r\nx$/);
  });
});
