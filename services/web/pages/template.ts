/**
 * Fills values into Markdown and into the layout: `{{name}}` is a value, `{{#name}}…{{/name}}` stays only when the
 * value is true. Called by pages.ts; pure.
 */

/** Text is escaped; HTML of our own making is not. */
export type Value = string | boolean | Readonly<{ html: string }>;
export type Values = Readonly<Record<string, Value>>;

const names = "[a-z][a-z0-9_]*";
const valueName = new RegExp(`\\{\\{(${names})\\}\\}`, "g");
const section = new RegExp(`\\{\\{#(${names})\\}\\}(.*?)\\{\\{/\\1\\}\\}`, "gs");

/** Private characters (Unicode §23.5) around a value's number: Markdown leaves them as they are. */
const mark = { open: "\uE000", close: "\uE001" } as const;
const marks = new RegExp(`[${mark.open}${mark.close}]`, "g");

function valueNamed(values: Values, name: string): Value | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

/** The line of a tag that stands alone on it: without it, a list would be torn apart by an empty line. */
const ownLine = new RegExp(`^(\\{\\{[#/]${names}\\}\\})\\r?\\n`, "gm");

/** Drops the sections whose values are false or empty; one of an unknown name stays as it is. */
function keepSections(text: string, values: Values): string {
  return text.replace(section, (whole, name: string, inner: string) => {
    const value = valueNamed(values, name);
    if (value === undefined) return whole;
    return value === false || value === "" ? "" : keepSections(inner, values);
  });
}

/** Fills HTML. What there is no value for stays as it is written (`unfilled` finds it). */
export function fillHtml(html: string, values: Values): string {
  return keepSections(html.replace(ownLine, "$1"), values).replace(valueName, (whole, name: string) => {
    const value = valueNamed(values, name);
    return value === undefined ? whole : htmlOf(value);
  });
}

/**
 * Fills Markdown and makes HTML of it by `toHtml`. Values are put in afterwards, so that none of them is taken for
 * Markdown ("_a.test"), in text, in code and in links alike.
 */
export function fillMarkdown(markdown: string, values: Values, toHtml: (markdown: string) => string): string {
  const used: Value[] = [];
  const marked = keepSections(markdown.replace(marks, "").replace(ownLine, "$1"), values).replace(
    valueName,
    (whole, name: string) => {
      const value = valueNamed(values, name);
      if (value === undefined) return whole;
      used.push(value);
      return `${mark.open}${used.length - 1}${mark.close}`;
    },
  );
  const [open, close] = [encodeURIComponent(mark.open), encodeURIComponent(mark.close)];
  return (
    toHtml(marked)
      // A block of HTML stands in a paragraph of its own, which it is not.
      .replace(new RegExp(`<p>${mark.open}(\\d+)${mark.close}</p>`, "g"), (whole, index: string) => {
        const value = used[Number(index)];
        return typeof value === "object" ? value.html : whole;
      })
      .replace(
        new RegExp(`(?:${mark.open}|${open})(\\d+)(?:${mark.close}|${close})`, "g"),
        (_whole, index: string) => htmlOf(used[Number(index)] ?? ""),
      )
  );
}

/** The names in a text that `values` does not have: somebody misspelt them. */
export function unfilled(text: string, values: Values): string[] {
  const asked = new RegExp(`\\{\\{[#/]?(${names})\\}\\}`, "g");
  const found = [...text.matchAll(asked)].map(([, name = ""]) => name);
  return [...new Set(found)].filter((name) => valueNamed(values, name) === undefined);
}

function htmlOf(value: Value): string {
  return typeof value === "object" ? value.html : escapeHtml(String(value));
}

/** For text and for attributes in quotes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}
