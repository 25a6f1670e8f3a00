import { mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase, openDatabaseAlone, witnessPath } from "../../../services/lib/database.ts";

const first = "CREATE TABLE t (a INTEGER) STRICT";
const second = "ALTER TABLE t ADD COLUMN b TEXT";

describe("openDatabase", () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-database-"));
    path = join(folder, "x.sqlite");
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("uses WAL and the durability asked for, and keeps strangers out", async () => {
    const full = openDatabase(path, { durability: "full", migrations: [first] });
    expect(full.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    expect(full.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
    for (const end of ["", "-wal", "-shm"]) expect((await stat(path + end)).mode & 0o777).toBe(0o600);
    full.close();
    const normal = openDatabase(path, { durability: "normal", migrations: [first] });
    expect(normal.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: 1 });
    normal.close();
  });

  it("brings an older file up to date and keeps its rows", () => {
    const old = openDatabase(path, { durability: "full", migrations: [first] });
    old.exec("INSERT INTO t VALUES (7)");
    old.close();
    const current = openDatabase(path, { durability: "full", migrations: [first, second] });
    expect(current.prepare("SELECT * FROM t").get()).toEqual({ a: 7, b: null });
    current.close();
  });

  it("leaves the file as it was when a migration fails", () => {
    openDatabase(path, { durability: "full", migrations: [first] }).close();
    expect(() =>
      openDatabase(path, { durability: "full", migrations: [first, second, "CREATE TABLE t (again TEXT)"] }),
    ).toThrow(/cannot use the database/);
    const same = openDatabase(path, { durability: "full", migrations: [first] });
    expect(same.prepare("SELECT count(*) AS n FROM pragma_table_info('t')").get()).toEqual({ n: 1 });
    same.close();
  });

  it("refuses a file that a newer version wrote", () => {
    openDatabase(path, { durability: "full", migrations: [first, second] }).close();
    expect(() => openDatabase(path, { durability: "full", migrations: [first] })).toThrow(/newer Homing/);
  });

  it("writes nothing to a file that is up to date", async () => {
    openDatabase(path, { durability: "full", migrations: [first] }).close();
    const before = await readFile(path);
    openDatabase(path, { durability: "full", migrations: [first] }).close();
    expect(before.equals(await readFile(path))).toBe(true);
  });

  it("makes an irreplaceable file once, and calls it lost when it is gone or empty", async () => {
    const options = { durability: "full", migrations: [first], irreplaceable: true } as const;
    const database = openDatabase(path, options);
    // The schema stands in the file itself: what the -wal file held is not needed to know that it was made.
    expect((await readFile(path)).includes("CREATE TABLE t")).toBe(true);
    database.close();
    openDatabase(path, options).close();
    await truncate(path);
    expect(() => openDatabase(path, options)).toThrow(/is empty, though it was made before/);
    await rm(path);
    expect(() => openDatabase(path, options)).toThrow(/is missing, though it was made before/);
    new DatabaseSync(path).close();
    expect(() => openDatabase(path, options)).toThrow(/is empty, though it was made before/);
    await rm(witnessPath(path));
    openDatabase(path, options).close();
  });

  it("opened alone can be read by nobody else and written by nobody", () => {
    openDatabase(path, { durability: "full", migrations: [first] }).close();
    const alone = openDatabaseAlone(path, [first]);
    expect(alone.prepare("SELECT * FROM t").all()).toEqual([]);
    expect(() => alone.exec("INSERT INTO t VALUES (1)")).toThrow(/readonly/);
    alone.close();
    expect(() => openDatabaseAlone(path, [first, second])).toThrow(/no room to bring its schema up to date/);
  });

  it("refuses a file that is no database", async () => {
    await writeFile(path, "not a database at all, though long enough to be read as one");
    expect(() => openDatabase(path, { durability: "full", migrations: [first] })).toThrow(
      expect.objectContaining({ name: "DatabaseError" }),
    );
  });
});
