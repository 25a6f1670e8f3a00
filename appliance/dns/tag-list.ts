/**
 * The tag lists that DKIM is written in: "name=value; name=value" (RFC 6376 §3.2), the same in a signature and
 * in a key record. Pure. Called by dkim-record.ts and the milter's dkim-tags.ts.
 */

/** Tag names are case-sensitive; values have the white space around them removed, that inside kept. */
export type TagList = ReadonlyMap<string, string>;

/** RFC 6376 §3.2, tag-name. */
const tagName = /^[A-Za-z][A-Za-z0-9_]*$/;
/** FWS around names and values. */
const edges = /^[ \t\r\n]+|[ \t\r\n]+$/g;

/** The tags in their order, or what is wrong with the list as a text for the log. */
export function parseTagList(text: string): TagList | string {
  const tags = new Map<string, string>();
  const specs = text.split(";");
  // One semicolon may follow the last tag.
  if (specs.length > 1 && specs.at(-1)?.replace(edges, "") === "") specs.pop();
  for (const spec of specs) {
    const equals = spec.indexOf("=");
    const name = spec.slice(0, Math.max(equals, 0)).replace(edges, "");
    if (!tagName.test(name)) return "something that is no tag";
    // "Tags with duplicate names MUST NOT occur [...]; if a tag name does occur more than once, the entire
    // tag-list is invalid."
    if (tags.has(name)) return `the tag ${name}= twice`;
    tags.set(name, spec.slice(equals + 1).replace(edges, ""));
  }
  return tags;
}

/** The value without any white space, as where it "MUST be ignored" (base64) or may stand around colons. */
export function withoutSpace(value: string): string {
  return value.replace(/[ \t\r\n]+/g, "");
}
