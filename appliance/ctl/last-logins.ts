/**
 * On which day an account was last logged in to, as services/metadata keeps it. Read by homing-ctl from its database:
 * the service itself answers Dovecot alone.
 */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

export type LastLogins = Disposable &
  Readonly<{
    /** Start of that UTC day, Unix seconds; undefined when nobody ever logged in, or it is not known. */
    of(address: string): number | undefined;
  }>;

/** How long a look-up waits for the service's writing, in milliseconds. */
const busyMs = 2_000;

/** With no database at `path`, no login is known. @throws Error of SQLite */
export function openLastLogins(path: string): LastLogins {
  if (!existsSync(path)) return { of: () => undefined, [Symbol.dispose]: () => {} };
  const database = new DatabaseSync(path, { readOnly: true, timeout: busyMs });
  const find = database.prepare("SELECT day FROM last_logins WHERE address = ?");
  return {
    of(address) {
      const day = find.get(address)?.day;
      return day === undefined ? undefined : Number(day);
    },
    [Symbol.dispose]: () => database.close(),
  };
}
