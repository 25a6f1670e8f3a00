import { describe, expect, it } from "vitest";
import { exclusionReason } from "../../../image/rootfs/exclude.ts";
import { MergeError, mergePackages } from "../../../image/rootfs/merge.ts";
import type { Tree } from "../../../image/rootfs/tree.ts";
import { tarEntry as entry } from "./tar-entry.ts";

describe("merging packages", () => {
  it("puts what older packages have in /bin and /lib below /usr", () => {
    const tree: Tree = new Map();
    mergePackages(tree, [
      { name: "base-files", entries: [entry("bin", { type: "symlink", target: "usr/bin" })] },
      { name: "old", entries: [entry("bin", { type: "directory" }), entry("bin/tool")] },
    ]);
    expect(tree.get("bin")).toMatchObject({ type: "symlink", target: "usr/bin" });
    expect(tree.get("usr/bin/tool")?.type).toBe("file");
  });

  it("keeps the mode of set-id programs and the ids of the archive", () => {
    const tree: Tree = new Map();
    mergePackages(tree, [
      { name: "pam", entries: [entry("usr/sbin/unix_chkpwd", { mode: 0o2755, gid: 42 })] },
    ]);
    expect(tree.get("usr/sbin/unix_chkpwd")).toMatchObject({ mode: 0o2755, gid: 42 });
  });

  it("refuses two packages that bring one file, naming both", () => {
    const packages = ["one", "two"].map((name) => ({ name, entries: [entry("etc/same")] }));
    expect(() => mergePackages(new Map(), packages)).toThrow(MergeError);
    expect(() => mergePackages(new Map(), packages)).toThrow(/one and two both bring \/etc\/same/);
  });

  it("refuses a hard link to a file that was left out", () => {
    const entries = [
      entry("usr/share/man/page"),
      entry("usr/bin/page", { type: "hardlink", target: "usr/share/man/page" }),
    ];
    expect(() => mergePackages(new Map(), [{ name: "p", entries }])).toThrow(/left out/);
  });

  it("refuses device nodes", () => {
    const entries = [entry("dev/mem", { type: "character", major: 1, minor: 1 })];
    expect(() => mergePackages(new Map(), [{ name: "p", entries }])).toThrow(/device node/);
  });
});

describe("what is left out", () => {
  it("leaves out manuals and translations but keeps licences", () => {
    expect(exclusionReason("usr/share/man/man1/ls.1.gz")).toBeDefined();
    expect(exclusionReason("usr/share/locale/de/LC_MESSAGES/x.mo")).toBeDefined();
    expect(exclusionReason("usr/share/doc/bash/changelog.gz")).toBeDefined();
    expect(exclusionReason("usr/share/doc/bash/copyright")).toBeUndefined();
  });

  it("keeps the firmware of a Raspberry Pi's radio, with what its board sets, and no other", () => {
    const kept = (name: string) => exclusionReason(`usr/lib/firmware/${name}`) === undefined;
    for (const name of [
      "brcm/brcmfmac43430-sdio.bin",
      "brcm/brcmfmac43455-sdio.clm_blob",
      "brcm/brcmfmac43455-sdio.raspberrypi,5-model-b.txt",
      "cypress/cyfmac43455-sdio.bin",
      "regulatory.db.p7s-upstream",
    ])
      expect([name, kept(name)]).toEqual([name, true]);
    for (const name of ["brcm/brcmfmac4373.bin", "brcm/BCM-0a5c-6410.hcd", "regulatory.db-debian"])
      expect([name, kept(name)]).toEqual([name, false]);
  });

  it("compares whole names, not beginnings", () => {
    expect(exclusionReason("usr/share/manual/x")).toBeUndefined();
    expect(exclusionReason("etc/network")).toBeDefined();
    expect(exclusionReason("etc/networks")).toBeUndefined();
  });
});
