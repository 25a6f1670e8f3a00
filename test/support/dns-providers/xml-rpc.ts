/** XML-RPC as JSON: INWX's answers were recorded in it, and hold the same values as those in JSON. For recordings.ts. */

type Reader = { readonly tokens: readonly string[]; at: number };

/** The value of the only parameter, and of a call its method. Only what the recordings hold. */
export function readXmlRpc(text: string): Readonly<{ method: string | undefined; value: unknown }> {
  const tokens = (text.match(/<[^>]+>|[^<]+/g) ?? []).filter((token) => token.trim() !== "");
  const method = tokens[tokens.indexOf("<methodName>") + 1];
  return {
    method: tokens.includes("<methodName>") ? method : undefined,
    value: readValue({ tokens, at: tokens.indexOf("<value>") }),
  };
}

/** From `<value>` to behind `</value>`. */
function readValue(reader: Reader): unknown {
  const next = () => reader.tokens[reader.at++] ?? "";
  const is = (token: string) => reader.tokens[reader.at] === token;
  next();
  const kind = next();
  if (kind === "</value>") return "";
  let value: unknown = kind;
  if (kind === "<struct>") {
    const members: [string, unknown][] = [];
    while (is("<member>")) {
      reader.at += 2;
      const name = next();
      next();
      members.push([name, readValue(reader)]);
      next();
    }
    value = Object.fromEntries(members);
    next();
  } else if (kind === "<array>") {
    const entries: unknown[] = [];
    next();
    while (is("<value>")) entries.push(readValue(reader));
    reader.at += 2;
    value = entries;
  } else if (kind.startsWith("<")) {
    const inner = reader.tokens[reader.at]?.startsWith("</") ? "" : next();
    next();
    value = /<(int|i4|double)>/.test(kind) ? Number(inner) : kind === "<boolean>" ? inner === "1" : inner;
  }
  next();
  return value;
}
