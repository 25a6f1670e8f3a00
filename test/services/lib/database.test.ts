import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../../services/lib/database.ts";

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

  it("refuses a file that is no database", async () => {
    await writeFile(path, "not a database at all, though long enough to be read as one");
    expect(() => openDatabase(path, { durability: "full", migrations: [first] })).toThrow(
      expect.objectContaining({ name: "DatabaseError" }),
    );
  });
});
