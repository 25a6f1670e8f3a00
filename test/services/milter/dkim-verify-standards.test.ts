import { describe, expect, it } from "vitest";
import { nameServer } from "./dkim-message.ts";
import { verified } from "./dkim-verdicts.ts";

/** RFC 6376 appendix A.2 with the key of appendix C, and RFC 8463 appendix A. */
describe("the messages of the standards", () => {
  const rest = [
    "From: Joe SixPack <joe@football.example.com>",
    "To: Suzie Q <suzie@shopping.example.net>",
    "Subject: Is dinner ready?",
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)",
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>",
    "",
    "Hi.",
    "",
  ];
  const rfc6376 = [
    "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;",
    "      c=simple/simple; q=dns/txt; i=joe@football.example.com;",
    "      h=Received : From : To : Subject : Date : Message-ID;",
    "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;",
    "      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB",
    "      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut",
    "      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV",
    "      4bmp/YzhwvcubU4=;",
    "Received: from client1.football.example.com  [192.0.2.1]",
    "      by submitserver.example.com with SUBMISSION;",
    "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)",
    ...rest,
    "We lost the game. Are you hungry yet?",
    "",
    "Joe.",
    "",
  ];
  const rfc8463 = {
    ed25519: [
      "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;",
      " d=football.example.com; i=@football.example.com;",
      " q=dns/txt; s=brisbane; t=1528637909; h=from : to :",
      " subject : date : message-id : from : subject : date;",
      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;",
      " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus",
      " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==",
    ],
    rsa: [
      "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;",
      " d=football.example.com; i=@football.example.com;",
      " q=dns/txt; s=test; t=1528637909; h=from : to : subject :",
      " date : message-id : from : subject : date;",
      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;",
      " b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3",
      " DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz",
      " dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=",
    ],
    message: [...rest, "We lost the game.  Are you hungry yet?", "", "Joe.", ""],
  };
  const standardKeys = {
    "brisbane._domainkey.example.com": [
      "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt" +
        "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi" +
        "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
    ],
    "brisbane._domainkey.football.example.com": [
      "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    ],
    "test._domainkey.football.example.com": [
      "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi" +
        "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3" +
        "Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
    ],
  };
  const domain = "football.example.com";

  it("verify: RFC 6376 with simple/simple, by the domain above", async () => {
    const source = rfc6376.join("\r\n");
    const server = nameServer(standardKeys);
    expect(await verified(source, { ...server, domain: "example.com" })).toMatchObject({ kind: "valid" });
    // The domain in From is one below d=: strict alignment, as every relay demands, has none of it.
    expect(await verified(source, { ...server, domain })).toMatchObject({ kind: "invalid" });
  });

  it.each(["ed25519", "rsa"] as const)("verify: RFC 8463 with %s", async (algorithm) => {
    const source = [...rfc8463[algorithm], ...rfc8463.message].join("\r\n");
    expect(await verified(source, { ...nameServer(standardKeys), domain })).toMatchObject({ kind: "valid" });
    const changed = source.replace("Joe.", "Jim.");
    expect(await verified(changed, { ...nameServer(standardKeys), domain })).toMatchObject({
      kind: "invalid",
    });
  });

  it("verify: RFC 8463 with one of two keys withdrawn", async () => {
    const source = [...rfc8463.ed25519, ...rfc8463.rsa, ...rfc8463.message].join("\r\n");
    const { "brisbane._domainkey.football.example.com": _gone, ...left } = standardKeys;
    expect(await verified(source, { ...nameServer(left), domain })).toMatchObject({ kind: "valid" });
  });
});
