/** Where port 80 leads, by the name or address that was asked for and who asks. */
import { describe, expect, it } from "vitest";
import { HttpProblem, type RequestHead } from "../../../services/web/exchange.ts";
import { isFromHome } from "../../../services/web/home/from-home.ts";
import { createSite } from "../../../services/web/site.ts";

const domain = "chat.example.org";
const STRANGER = "2001:db8::7";

const site = createSite({
  ...{ domain, everywhere: {}, mtaSts: {}, relay: [], pages: {} },
  home: { isFor: isFromHome, routes: new Map() },
  problemPage: () => ({ status: 200, body: "a page whose style is not here" }),
});

/** What is answered to a request for /info over plain HTTP. */
function ask(host: string, { method = "GET", client = STRANGER } = {}) {
  const headers = { get: () => undefined, all: () => [] };
  const asked = { method, path: "/info", query: new URLSearchParams(), host, headers, client };
  const head: RequestHead = { ...asked, isSecure: false };
  try {
    site.find(head);
  } catch (problem) {
    expect(problem).toBeInstanceOf(HttpProblem);
    const { status, headers: fields, body } = site.problem(head, problem as HttpProblem);
    return { status, location: fields?.location, caching: fields?.["cache-control"], body };
  }
  throw new Error("there is no such page");
}

describe("port 80", () => {
  it.each([
    [domain, domain],
    [`www.${domain}`, domain],
    [`mta-sts.${domain}`, `mta-sts.${domain}`],
  ])("leads from the relay's own name to TLS for good: %s", (host, to) => {
    const location = `https://${to}/info`;
    expect(ask(host)).toMatchObject({ status: 301, location });
    expect(ask(host, { method: "POST" })).toMatchObject({ status: 308, location });
  });

  it.each([
    "evil.example",
    "192.0.2.1",
    "[2001:db8::1]",
    "127.0.0.1",
    "homing.fritz.box",
    "homing",
    "x.local",
    "",
  ])("leads to the relay from what may be another machine's tomorrow, but only now: '%s'", (host) => {
    const led = { status: 307, location: `https://${domain}/info`, caching: "no-store" };
    expect(ask(host)).toMatchObject(led);
    expect(ask(host, { method: "POST" })).toMatchObject(led);
    expect(ask(host, { client: "192.168.1.20" })).toMatchObject(led);
  });

  it.each(["homing.local", "homing12.local", "192.168.1.5", "10.0.0.1", "[fd00::5]", "[fe80::5]"])(
    "leads nobody away from what is at home alone, and says where that is: %s",
    (host) => {
      for (const client of [STRANGER, "203.0.113.5", ""]) {
        const { body, ...rest } = ask(host, { client });
        expect(rest).toEqual({ status: 403, location: undefined, caching: "no-store" });
        expect(body).toMatch(
          /^this page is shown within the relay's own network, and (\S+|your address) may be /,
        );
        expect(body).toContain(client);
        expect(body).toContain(`https://${domain}/`);
      }
    },
  );

  it("has a page for errors where its style and links are: at home", () => {
    expect(ask("homing.local", { client: "192.168.1.20" }).body).toContain("a page");
  });
});
