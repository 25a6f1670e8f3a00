/**
 * UPnP's WANIPConnection (versions 1 and 2 of Internet Gateway Devices): a router's outer address, and ports that it
 * forwards to a device until it is told otherwise. Called by router.ts and forward.ts. I/O: SOAP over HTTP to the router.
 */
import { isIPv4 } from "node:net";
import { NoAnswerError } from "../dns/exchange.ts";
import { printable } from "../dns/printable.ts";
import { type Forwarder, forwardingLabel, type Holder, type Listed, RefusedError } from "./forwarder.ts";
import { askHttp } from "./http-exchange.ts";
import type { RouterPort } from "./relay-ports.ts";
import type { UpnpService } from "./upnp-search.ts";

/** WANIPConnection:2 §2.5.16; and UPnP Device Architecture 1.1 §3.2.2, table 3-3. */
const refusals: Readonly<Record<number, string>> = {
  401: "it does not know how",
  501: "it failed at it",
  606: "its settings forbid it, or allow it to the device itself alone",
  716: "it wants to know from where",
  718: "another device has that port, or only a device itself may ask for its ports",
  725: "it forwards for good only",
  726: "it wants to know from where",
  728: "it has no room for more",
  729: "another of its own services has that port",
};
/** There is no such forwarding. */
const NO_SUCH_ENTRY = [713, 714] as const;
/** Of a router's list: home routers keep some dozens to some hundreds, and one that does not count never ends. */
const MAX_LISTED = 256;
/** Ends with the forwarding's end; 0 lasts for good, or for a week in the second version (§2.3.17). */
const FOR_GOOD = 0;
/** An answer of SOAP has some hundreds. */
const MAX_ANSWER_BYTES = 16_384;
/** Slow routers write their settings to flash first. */
const ANSWER_LIMIT_MS = 4000;
/** Of a label in a router's list, whoever wrote that. */
const MAX_LABEL_CHARACTERS = 60;

/** The first service that has an address to tell, with it. Null for none. */
export async function connectedService(
  services: readonly UpnpService[],
  signal: AbortSignal,
): Promise<{ service: UpnpService; outerAddress: string } | null> {
  for (const service of services) {
    const told = await call(service, "GetExternalIPAddress", {}, signal).catch((error: unknown) => {
      if (!(error instanceof RefusedError)) throw error;
      return undefined;
    });
    const outerAddress = told === undefined ? "" : valueIn(told, "NewExternalIPAddress");
    if (isIPv4(outerAddress) && outerAddress !== "0.0.0.0") return { service, outerAddress };
  }
  return null;
}

const wireNames = { tcp: "TCP", udp: "UDP" } as const;

/** By what the list of a router tells its entries apart. */
const entryOf = ({ protocol, port }: RouterPort) => ({
  ...{ NewRemoteHost: "", NewExternalPort: port, NewProtocol: wireNames[protocol] },
});

export function upnpForwarder(service: UpnpService): Forwarder {
  const holder = (port: RouterPort, signal: AbortSignal) => holderOf(service, port, signal);
  return {
    way: "upnp",
    holder,
    list: (signal) => listOf(service, signal),
    async open({ protocol, port, target }, signal) {
      const wish = {
        ...{
          NewRemoteHost: "",
          NewExternalPort: port,
          NewProtocol: wireNames[protocol],
          NewInternalPort: port,
        },
        ...{ NewInternalClient: target, NewEnabled: 1 },
        ...{ NewPortMappingDescription: forwardingLabel, NewLeaseDuration: FOR_GOOD },
      };
      await call(service, "AddPortMapping", wish, signal);
      // Some say yes and do nothing.
      const found = await lookUp(service, { protocol, port }, signal);
      if (found?.holder.target !== target)
        throw new RefusedError("it said yes, but its list does not have it");
      return { seconds: found.seconds === 0 ? null : found.seconds };
    },
    async close({ protocol, port, target }, signal) {
      const found = await holder({ protocol, port }, signal);
      if (found?.label !== forwardingLabel || found.target !== target) return "absent";
      const which = entryOf({ protocol, port });
      await call(service, "DeletePortMapping", which, signal);
      return "removed";
    },
  };
}

async function holderOf(service: UpnpService, port: RouterPort, signal: AbortSignal): Promise<Holder | null> {
  return (await lookUp(service, port, signal))?.holder ?? null;
}

async function lookUp(service: UpnpService, port: RouterPort, signal: AbortSignal) {
  const which = entryOf(port);
  try {
    const told = await call(service, "GetSpecificPortMappingEntry", which, signal);
    return { holder: holderIn(told), seconds: Number(valueIn(told, "NewLeaseDuration")) };
  } catch (error) {
    if (isNoSuchEntry(error)) return null;
    throw error;
  }
}

/** By place in the list, until there is none (WANIPConnection:2 §2.5.18). */
async function listOf(service: UpnpService, signal: AbortSignal): Promise<Listed[]> {
  const listed: Listed[] = [];
  try {
    while (listed.length < MAX_LISTED) {
      const which = { NewPortMappingIndex: listed.length };
      const told = await call(service, "GetGenericPortMappingEntry", which, signal);
      const protocol = valueIn(told, "NewProtocol").toUpperCase() === wireNames.udp ? "udp" : "tcp";
      const outside: RouterPort = { protocol, port: Number(valueIn(told, "NewExternalPort")) };
      listed.push({ outside, holder: holderIn(told) });
    }
  } catch (error) {
    if (!isNoSuchEntry(error)) throw error;
  }
  return listed;
}

const holderIn = (told: string): Holder => ({
  target: printable(valueIn(told, "NewInternalClient")),
  port: Number(valueIn(told, "NewInternalPort")),
  label: printable(valueIn(told, "NewPortMappingDescription")).slice(0, MAX_LABEL_CHARACTERS),
});

const isNoSuchEntry = (error: unknown) =>
  error instanceof UpnpRefusal && NO_SUCH_ENTRY.some((code) => code === error.code);

class UpnpRefusal extends RefusedError {
  readonly code: number;
  constructor(code: number) {
    super(refusals[code] ?? `error ${code}`);
    this.code = code;
  }
}

/** Throws RefusedError. The arguments' order is the standard's, and some routers want it. */
async function call(
  { type, control, address }: UpnpService,
  action: string,
  values: Readonly<Record<string, string | number>>,
  signal: AbortSignal,
): Promise<string> {
  const fields = Object.entries(values).map(([name, value]) => `<${name}>${value}</${name}>`);
  const body = [
    '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"',
    ' s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>',
    `<u:${action} xmlns:u="${type}">${fields.join("")}</u:${action}></s:Body></s:Envelope>\r\n`,
  ].join("");
  const headers = { "content-type": 'text/xml; charset="utf-8"', soapaction: `"${type}#${action}"` };
  try {
    const bounds = { maxBytes: MAX_ANSWER_BYTES, limit: ANSWER_LIMIT_MS };
    const { status, text } = await askHttp({ url: control, address, headers, body, ...bounds }, signal);
    if (status === 200) return text;
    const code = Number(valueIn(text, "errorCode"));
    if (code > 0) throw new UpnpRefusal(code);
    throw new RefusedError(`answers ${status}`);
  } catch (error) {
    if (error instanceof NoAnswerError)
      throw new RefusedError(error.message, { cause: error, isSilence: true });
    throw error;
  }
}

/** The text of an element; "" when it is not there. */
function valueIn(xml: string, name: string): string {
  const [, text = ""] = new RegExp(`<${name}(?:\\s[^>]*)?>([^<]*)</${name}>`).exec(xml) ?? [];
  return text.trim();
}
