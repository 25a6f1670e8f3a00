import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseLanguage } from "../../../../services/web/pages/languages.ts";

const available = ["en", "de", "pt-br"];

describe("the language of a page", () => {
  it.each([
    ["", "en"],
    ["de", "de"],
    ["de-AT", "de"],
    ["DE-at-x-y", "de"],
    ["fr, de;q=0.5, en;q=0.9", "en"],
    ["fr;q=1, de;q=0.5, en;q=0.4", "de"],
    ["en;q=0, de;q=0.1", "de"],
    ["en;q=0.5, de;q=0.5", "en"],
    ["de;q=0.5, en;q=0.5", "de"],
    ["pt-BR", "pt-br"],
    ["pt", "en"],
    ["*, de;q=0.5", "en"],
    ["fr, *;q=0.1", "en"],
    ["de;q=nonsense", "de"],
    ["x", "en"],
    [`${"x,".repeat(1000)}de`, "en"],
  ])("asked for by %j is %s", (header, language) => {
    expect(chooseLanguage(header, available)).toBe(language);
  });

  it("is always one that there is", () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        expect(available).toContain(chooseLanguage(header, available));
      }),
    );
  });
});
