/**
 * Reads application/x-www-form-urlencoded bodies strictly (WHATWG URL §5.1 is lenient: it turns broken
 * UTF-8 into U+FFFD, and two different passwords into the same one). Pure; called by server.ts.
 */

/** The body is not a form. */
export class FormError extends Error {
  override name = "FormError";
}

/** A field holds bytes that are not UTF-8: what somebody typed, no mistake of who sent the form. */
export class FieldEncodingError extends Error {
  override name = "FieldEncodingError";
}

/** Fields by name. @throws FormError when one is repeated or unescaped, FieldEncodingError. */
export function parseForm(body: string): Map<string, string> {
  const fields = new Map<string, string>();
  if (!/^[\x20-\x7e]*$/.test(body)) throw new FormError("the body is not plain ASCII");
  for (const pair of body.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    if (equals < 0) throw new FormError("a field has no value");
    const name = decode(pair.slice(0, equals));
    if (fields.has(name)) throw new FormError("a field stands twice");
    fields.set(name, decode(pair.slice(equals + 1)));
  }
  return fields;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new FieldEncodingError("a field is not UTF-8");
  }
}
