/** What owners are told about the authority (services/certificates/words.ts). */
import { describe, expect, it } from "vitest";
import { AcmeProblem } from "../../../services/certificates/authority.ts";
import { NamesRefusedError } from "../../../services/certificates/order.ts";
import { explain, explainUnforeseen, printable } from "../../../services/certificates/words.ts";

const context = {
  domain: "chat.example.org",
  directory: "https://acme.example/directory",
  challenge: "http-01",
} as const;

describe("the words about the authority", () => {
  it.each([
    ["connection", /forward TCP port 80 in your router/],
    ["unauthorized", /Another web server than this device answers for http:\/\/chat\.example\.org\//],
    ["dns", /publish its records \(dns-records\.txt/],
    ["caa", /A CAA record in the DNS forbids/],
    ["tls", /do not forward port 80 to a port with TLS/],
    ["somethingNew", /does not certify chat\.example\.org/],
  ])("say what to do when a name fails with %s", (type, words) => {
    const problem = new AcmeProblem({ type, detail: "it failed" });
    const text = explain(new NamesRefusedError(new Map([[context.domain, problem]])), context);
    expect(text).toMatch(words);
    expect(text).toContain("(It says: “it failed”)");
  });

  it("speak of the DNS where that is the proof", () => {
    const refused = new Map([
      [context.domain, new AcmeProblem({ type: "unauthorized", detail: "No TXT record" })],
    ]);
    expect(explain(new NamesRefusedError(refused), { ...context, challenge: "dns-01" })).toMatch(
      /does not see the record _acme-challenge\.chat\.example\.org/,
    );
  });

  it.each([
    ["rateLimited", 429, /limits .* are used up/],
    ["externalAccountRequired", 403, /takes only accounts that were opened with it before/],
    ["invalidContact", 400, /correct email under \[certificates\]/],
    ["rejectedIdentifier", 400, /see domain and also_for_ip/],
    ["serverInternal", 500, /has a trouble of its own; nothing is to be done here/],
    ["", 503, /has a trouble of its own/],
    ["malformed", 400, /acme\.example refused/],
  ])("say what to do about the problem “%s”", (type, status, words) => {
    expect(explain(new AcmeProblem({ type, status, detail: "no" }), context)).toMatch(words);
  });

  it.each([
    ["ECONNREFUSED", /acme\.example cannot be reached \(ECONNREFUSED\)/],
    ["ENOTFOUND", /does this network lead to the Internet/],
    ["CERT_HAS_EXPIRED", /clock of this device is wrong/],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", /behind a proxy that opens TLS/],
    ["ERR_TLS_CERT_ALTNAME_INVALID", /behind a proxy that opens TLS/],
  ])("know the network's error %s", (code, words) => {
    expect(explain(Object.assign(new Error("x"), { code, isAxiosError: true }), context)).toMatch(words);
  });

  it("are others for mistakes of the program and of the disk", () => {
    expect(explain(new TypeError("x is undefined"), context)).toBeUndefined();
    expect(explain(Object.assign(new Error("x"), { code: "ENOSPC" }), context)).toBeUndefined();
    expect(explain("text", context)).toBeUndefined();
    expect(explainUnforeseen(new TypeError("x is\u001bundefined"), context)).toMatch(
      /acme\.example gave an answer .*“x is undefined”/,
    );
    expect(explainUnforeseen("text", context)).toMatch(/“text”/);
    const full = Object.assign(new Error("x"), { code: "ENOSPC" });
    expect(explainUnforeseen(full, context)).toMatch(/\(ENOSPC\): is its disk full or damaged/);
  });

  it("show nothing that a terminal would obey, and not too much", () => {
    expect(printable("a\u001b[31mb\r\nc\u202ed\u0000")).toBe("a [31mb c d");
    expect(printable("x".repeat(1000))).toHaveLength(301);
  });
});
