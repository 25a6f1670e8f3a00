/**
 * How mailparser reads a From or Content-Type field, in the product's normal forms: what the product takes
 * must be what another program sees. Independent of the product. Used by the property tests and the fuzzer.
 */
import { domainToASCII } from "node:url";
import { simpleParser } from "mailparser";

/** The one address of a From field's value (a binary string), lower case; null when mailparser sees none or more. */
export async function mailparserFrom(value: string): Promise<string | null> {
  const parsed = await simpleParser(fieldMessage("From", value));
  const list = parsed.from?.value ?? [];
  const address = list[0]?.address;
  if (list.length !== 1 || list[0]!.group !== undefined || !address) return null;
  const domain = address.slice(address.lastIndexOf("@") + 1);
  const ascii = /^[\x20-\x7e]*$/.test(domain) ? domain : domainToASCII(domain);
  return (address.slice(0, address.length - domain.length) + ascii).toLowerCase();
}

/** "type/subtype", and the boundary after a space when there is one. */
export async function mailparserContentType(value: string): Promise<string | null> {
  const parsed = await simpleParser(fieldMessage("Content-Type", value), { skipTextToHtml: true });
  const type = parsed.headers.get("content-type") as
    | { value: string; params: { boundary?: string } }
    | undefined;
  if (type === undefined) return null;
  const { boundary } = type.params;
  return `${type.value.toLowerCase()}${boundary === undefined ? "" : ` ${boundary}`}`;
}

function fieldMessage(name: string, value: string): Buffer {
  return Buffer.from(`${name}: ${value.replace(/\r?\n/g, "\r\n")}\r\n\r\n`, "latin1");
}
