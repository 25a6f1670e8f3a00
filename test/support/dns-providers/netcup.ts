/** Stands in for netcup's CCP: sessions, one TTL for a whole zone, and records changed as one list. */
import { netcup } from "../../../appliance/dns/providers/netcup.ts";
import { txtText, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider } from "./fake-provider.ts";
import { absolute, fieldsWithoutDot, recordStore, relative, type Stored } from "./record-store.ts";

const KEY = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKlMn";
const PASSWORD = "PqRsTuVwXyZ0123456789PqRsTuVwXyZ0123456789PqRsTuVw";
const ZONE_TTL = 86_400;

type Listed = Readonly<{
  id?: string;
  hostname: string;
  type: string;
  priority?: string;
  destination: string;
  deleterecord?: boolean;
}>;
type Param = Readonly<{
  customernumber?: string;
  apikey?: string;
  apipassword?: string;
  apisessionid?: string;
  domainname?: string;
  dnsrecordset?: Readonly<{ dnsrecords: readonly Listed[] }>;
}>;

export type FakeNetcup = FakeProvider &
  Readonly<{
    endSessions(): void;
    logins(): number;
    /** Forgets that many sessions as soon as they have begun. */
    forgetNext(count: number): void;
  }>;

/** `replaces`: records that are not in the list go, as nobody ever saw it do. */
export function fakeNetcup(zone: string, rows: readonly ValueRow[], { replaces = false } = {}): FakeNetcup {
  let store = recordStore(rows.map((row) => ({ ...row, ttl: ZONE_TTL })));
  const sessions = new Set<string>();
  let forgotten = 0;
  let logins = 0;
  const answered = (
    action: string,
    statuscode: number,
    longmessage: string,
    responsedata: unknown = "",
  ): FakeAnswer => ({
    status: 200,
    body: {
      ...{
        serverrequestid: "1",
        clientrequestid: "",
        action,
        status: statuscode === 2000 ? "success" : "error",
      },
      ...{ statuscode, shortmessage: longmessage, longmessage, responsedata },
    },
  });
  const shown = ({ id, name, type, value }: Stored): Listed => {
    const fields = fieldsWithoutDot(value);
    const hostname = relative(name, zone) || "@";
    const destination =
      type === "TXT"
        ? txtText(value)
        : type === "MX"
          ? fields[1]!
          : ["CAA", "SRV"].includes(type)
            ? value
            : fields[0]!;
    const listed = { id: String(id), hostname, type, destination, deleterecord: false, state: "yes" };
    return { ...listed, priority: type === "MX" ? fields[0]! : "0" };
  };
  const rowOf = ({ hostname, type, priority = "0", destination }: Listed): ValueRow | string => {
    const row = { name: absolute(hostname, zone), type, ttl: ZONE_TTL };
    if (hostname === "") return "Host must not be empty.";
    if (type === "TXT")
      return /["\\]/.test(destination)
        ? "Please put quotation marks in front of a backslash."
        : { ...row, value: txtValue(destination) };
    if (type === "CAA" && destination.includes(";")) return "CAA record destination is incorrect.";
    return { ...row, value: type === "MX" ? `${priority} ${destination}` : destination };
  };
  /** All of it or nothing. */
  const update = (action: string, listed: readonly Listed[]): FakeAnswer => {
    const next = recordStore([], 5000);
    const ids = new Set(listed.map(({ id }) => id));
    const kept = replaces ? [] : store.all().filter(({ id }) => !ids.has(String(id)));
    for (const one of listed) {
      if (one.id !== undefined && !store.all().some(({ id }) => String(id) === one.id))
        return answered(action, 4013, "No such record.");
    }
    const rowsNow: ValueRow[] = [...kept];
    for (const one of listed.filter(({ deleterecord }) => !deleterecord)) {
      const row = rowOf(one);
      if (typeof row === "string") return answered(action, 4013, row);
      rowsNow.push(row);
    }
    for (const row of rowsNow) {
      const conflict = next.add(row);
      if (typeof conflict === "string") return answered(action, 4013, `Record conflicts: ${conflict}`);
    }
    store = next;
    return answered(action, 2000, "The given DNS records for this zone were updated.", {
      dnsrecords: store.all().map(shown),
    });
  };
  return {
    description: netcup,
    credentials: { customer: "123456", token: KEY, password: PASSWORD, domain: zone },
    wrongCredentials: { customer: "123456", token: KEY, password: `${PASSWORD}x`, domain: zone },
    baseUrl: "https://ccp.netcup.net/run/webservice/servers",
    rows: () => [...store.all()],
    isRead: ({ body }) => (body as { action: string }).action !== "updateDnsRecords",
    failures: {
      forbidden: answered("updateDnsRecords", 4012, "The API key is not allowed to do this."),
      busy: { status: 429, body: "" },
      broken: { status: 500, body: "<html>" },
    },
    endSessions: () => sessions.clear(),
    logins: () => logins,
    forgetNext: (count) => {
      forgotten = count;
    },
    answer: ({ method, path, query, body }) => {
      if (method !== "POST" || path !== "/endpoint.php" || !query.has("JSON"))
        return { status: 404, body: "<html>" };
      const { action, param } = body as { action: string; param: Param };
      if (param.customernumber !== "123456" || param.apikey !== KEY)
        return answered(action, 4013, "Api key missing or wrong.");
      if (action === "login") {
        if (param.apipassword !== PASSWORD) return answered(action, 4013, "Login failed.");
        const apisessionid = `session-${++logins}`;
        if (forgotten > 0) forgotten--;
        else sessions.add(apisessionid);
        return answered(action, 2000, "Session has been created successful.", { apisessionid });
      }
      if (!sessions.has(param.apisessionid ?? ""))
        return answered(action, 4001, "The session id is not in a valid format.");
      if (param.domainname !== zone)
        return answered(action, 5031, "Can not get DNS records for zone.  Domain not found.");
      if (action === "infoDnsZone")
        return answered(action, 2000, "DNS zone was found.", {
          name: zone,
          ttl: String(ZONE_TTL),
          serial: "2019042071",
          dnssecstatus: false,
        });
      if (action === "updateDnsRecords") return update(action, param.dnsrecordset!.dnsrecords);
      const all = store.all().map(shown);
      if (all.length === 0) return answered(action, 5029, "Can not get DNS records for zone.");
      return answered(action, 2000, "DNS Records for this zone were found.", { dnsrecords: all });
    },
  };
}
