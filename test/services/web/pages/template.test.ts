import fc from "fast-check";
import { Marked } from "marked";
import { describe, expect, it } from "vitest";
import { escapeHtml, fillHtml, fillMarkdown, unfilled } from "../../../../services/web/pages/template.ts";

const marked = new Marked({ gfm: true });
const toHtml = (markdown: string): string => marked.parse(markdown, { async: false });

/** What means something to HTML, Markdown, templates or ourselves, and what does not. */
const hostile = fc.string({ unit: fc.constantFrom(..."<>\"'&{}#/_*`[]()\\! \n\0\uE000\uE0010aé😀") });

describe("a template", () => {
  it("takes values as text, whatever they hold, and HTML only from ourselves", () => {
    const values = { name: '<b>"&', block: { html: "<i>x</i>" } };
    expect(fillHtml('<p title="{{name}}">{{block}}</p>', values)).toBe(
      '<p title="&#60;b&#62;&#34;&#38;"><i>x</i></p>',
    );
  });

  it("never lets a value out of the place it stands in", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const html = fillMarkdown(
          '# {{v}}\n\n`{{v}}` [x]({{v}}) <a title="{{v}}">y</a>',
          { v: text },
          toHtml,
        );
        const escaped = escapeHtml(text);
        expect(html).toBe(
          `<h1>${escaped}</h1>\n<p><code>${escaped}</code> <a href="${escaped}">x</a> <a title="${escaped}">y</a></p>\n`,
        );
        expect(escaped).not.toMatch(/[<>"']/);
      }),
    );
  });

  it("takes no value for Markdown, nor for a template", () => {
    const values = { domain: "_a.test", other: "_b_", trap: "{{domain}} **x** {{#domain}}" };
    expect(fillMarkdown("{{domain}} and {{other}} {{trap}}", values, toHtml)).toBe(
      "<p>_a.test and _b_ {{domain}} **x** {{#domain}}</p>\n",
    );
  });

  it("lets a block of HTML stand by itself", () => {
    const html = fillMarkdown("a\n\n{{block}}\n\nb", { block: { html: "<section>x</section>" } }, toHtml);
    expect(html).toBe("<p>a</p>\n<section>x</section>\n<p>b</p>\n");
  });

  it("keeps sections whose value is there, also one in another", () => {
    const text = "{{#a}}A{{#b}}B{{/b}}{{/a}}{{#c}}C{{/c}}";
    expect(fillHtml(text, { a: true, b: "x", c: "" })).toBe("AB");
    expect(fillHtml(text, { a: true, b: false, c: true })).toBe("AC");
    expect(fillHtml(text, { a: false, b: true, c: false })).toBe("");
  });

  it("leaves no empty line where a section begins or ends on a line of its own", () => {
    const list = (values: { a: boolean }) => fillMarkdown("- x\n{{#a}}\n- y\n{{/a}}\n- z\n", values, toHtml);
    expect(list({ a: true })).toBe("<ul>\n<li>x</li>\n<li>y</li>\n<li>z</li>\n</ul>\n");
    expect(list({ a: false })).toBe("<ul>\n<li>x</li>\n<li>z</li>\n</ul>\n");
  });

  it("leaves what it does not know as it is written, and says so", () => {
    const values = { domain: "d" };
    for (const text of ["{{nonsense}}", "{{#nonsense}}x{{/nonsense}}", "{{ domain }}", "{{constructor}}"]) {
      expect(fillHtml(text, values)).toBe(text);
    }
    expect(unfilled("{{domain}} {{b}} {{#c}}{{/c}} {{b}}", values)).toEqual(["b", "c"]);
  });

  it("drops the private characters that it works with itself", () => {
    expect(fillMarkdown("\uE0000\uE001{{v}}", { v: "x" }, toHtml)).toBe("<p>0x</p>\n");
  });
});
