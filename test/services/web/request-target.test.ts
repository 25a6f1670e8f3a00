import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HttpProblem } from "../../../services/web/exchange.ts";
import { movedTo } from "../../../services/web/hosts.ts";
import { parseTarget } from "../../../services/web/request-target.ts";
import { findRoute, routeTable } from "../../../services/web/router.ts";

const head = {
  query: new URLSearchParams(),
  headers: { get: () => undefined, all: () => [] },
  client: "",
  isSecure: true,
};

describe("a request target", () => {
  it.each([
    ["/", "A.test:443", "/", "a.test"],
    ["/new?x=1#y", "a.test.", "/new", "a.test"],
    ["https://b.test/new", "a.test", "/new", "b.test"],
    ["HTTPS://user:pass@B.test:8443", "a.test", "/", "b.test"],
    ["https://b.test?x=1", "a.test", "/", "b.test"],
    ["/%C3%A9", "[::1]:443", "/é", "[::1]"],
  ])("%s for %s is %s at %s", (target, host, path, name) => {
    expect(parseTarget(target, host)).toMatchObject({ path, host: name });
  });

  it("is a path that begins with a slash, or a refusal, whatever comes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii" }), fc.string(), (target, host) => {
        try {
          expect(parseTarget(target, host).path).toMatch(/^\//);
        } catch (error) {
          expect(error).toBeInstanceOf(HttpProblem);
        }
      }),
    );
  });

  it("sent elsewhere leads to the same host and path, and never breaks a field", () => {
    fc.assert(
      fc.property(fc.webPath({ size: "small" }), fc.string({ unit: "binary-ascii" }), (given, end) => {
        const path = `/${given}${end}`;
        const { location } = movedTo("chat.example.org", { ...head, method: "GET", path, host: "" }).headers;
        expect(location).toMatch(/^https:\/\/chat\.example\.org\/[\x21-\x7e]*$/);
        expect(parseTarget(location!, "").path).toBe(path);
      }),
    );
  });
});

describe("the table of routes", () => {
  const GET = () => ({ status: 200 });
  const routes = routeTable([{ "/a": { GET }, "/a/b": { POST: GET, maxBodyBytes: 9 } }, { "/i/*": { GET } }]);
  const find = (path: string, method = "GET") => findRoute(routes, { ...head, host: "", method, path });

  it("finds whole paths, and one segment where a path ends with a star", () => {
    expect(find("/a")).toMatchObject({ parameter: "", maxBodyBytes: 0 });
    expect(find("/a/b", "POST")).toMatchObject({ maxBodyBytes: 9 });
    expect(find("/i/token")).toMatchObject({ parameter: "token" });
    for (const path of ["/", "/i/", "/i", "/i/a/b", "/A", "/toString", "/i/*/x"])
      expect(find(path)).toBeUndefined();
  });

  it("refuses methods that a path does not know, and two routes for one path", () => {
    expect(() => find("/a/b")).toThrow(expect.objectContaining({ status: 405, headers: { allow: "POST" } }));
    expect(() => routeTable([{ "/a": { GET } }, { "/a": { GET } }])).toThrow("two routes for /a");
  });
});
