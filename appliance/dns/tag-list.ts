/**
 * The tag lists that DKIM is written in: "name=value; name=value" (RFC 6376 §3.2), the same in a signature and
 * in a key record. Pure. Called by dkim-record.ts and the milter's dkim-tags.ts.
 */

/** Tag names are case-sensitive; values have the white space around them removed, that inside kept. */
export type TagList = ReadonlyMap<string, string>;

/** RFC 6376 §3.2, tag-name. */
const tagName = /^[A-Za-z][A-Za-z0-9_]*$/;

/** The tags in their order, or what is wrong with the list as a text for the log. */
export function parseTagList(text: string): TagList | string {
  const tags = new Map<string, string>();
  const specs = text.split(";");
  // One semicolon may follow the last tag.
  if (specs.length > 1 && trimSpace(specs.at(-1)!) === "") specs.pop();
  for (const spec of specs) {
    const equals = spec.indexOf("=");
    const name = trimSpace(spec.slice(0, Math.max(equals, 0)));
    if (!tagName.test(name)) return "something that is no tag";
    // "Tags with duplicate names MUST NOT occur [...]; if a tag name does occur more than once, the entire
    // tag-list is invalid."
    if (tags.has(name)) return `the tag ${name}= twice`;
    tags.set(name, trimSpace(spec.slice(equals + 1)));
  }
  return tags;
}

/**
 * Without the white space (FWS) around it. Octet by octet: a pattern that looks for white space before the end takes
 * quadratic time where there is much of it elsewhere.
 */
function trimSpace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text[start]!)) start++;
  while (end > start && isSpace(text[end - 1]!)) end--;
  return text.slice(start, end);
}

function isSpace(character: string): boolean {
  return character === " " || character === "\t" || character === "\r" || character === "\n";
}

/** The value without any white space, as where it "MUST be ignored" (base64) or may stand around colons. */
export function withoutSpace(value: string): string {
  return value.replace(/[ \t\r\n]+/g, "");
}

/** Base64 of whole octets (RFC 4648 §4), with the padding or without any. */
export function isBase64(value: string): boolean {
  return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/.test(value);
}
