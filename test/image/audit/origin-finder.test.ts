/** Where an entry of a root file system comes from (image/audit/origin-finder.ts). */
import { expect, it } from "vitest";
import { originFinder, sha256 } from "../../../image/audit/origin-finder.ts";
import { tarEntry } from "../rootfs/tar-entry.ts";

const packages = [
  {
    name: "coreutils",
    entries: [
      tarEntry("bin", { type: "directory" }),
      tarEntry("bin/ls", { content: Buffer.from("ls") }),
      tarEntry("etc/empty", { content: Buffer.alloc(0) }),
      tarEntry("bin/dir", { type: "symlink", target: "ls" }),
    ],
  },
];
const places = new Map([
  ["etc/hosts", ["image/rootfs/system-files.ts"]],
  ["usr/bin/ls", ["image/rootfs/byte-patches.ts"]],
]);
const { originOf } = originFinder({
  packages,
  programs: { bundles: new Map(), npm: { version: "1", packages: new Map() } },
  node: "npm node",
  places: (path) => places.get(path) ?? [],
});
const hash = (content: string) => sha256(Buffer.from(content));

it("knows what packages, the sources and npm bring", () => {
  expect(originOf("usr/bin/ls", "file", hash("ls"))).toBe("package coreutils");
  expect(originOf("usr/share/copy-of-ls", "file", hash("ls"))).toBe("package coreutils");
  expect(originOf("usr/bin/ls", "file", hash("patched"))).toBe(
    "package coreutils, image/rootfs/byte-patches.ts",
  );
  expect(originOf("usr/bin/dir", "symlink", undefined)).toBe("package coreutils");
  expect(originOf("etc/empty", "file", hash(""))).toBe("package coreutils");
  expect(originOf("etc/hosts", "file", hash("hosts"))).toBe("image/rootfs/system-files.ts");
  expect(originOf("usr/lib/homing/node", "file", hash("node"))).toBe("npm node");
  expect(originOf("usr/bin", "directory", undefined)).toBe("folders of the packages");
});

it.each([
  ["a file that nothing brings", "usr/bin/evil", "file", hash("evil")],
  ["an empty one", "etc/nologin", "file", hash("")],
  ["another content under a package's name", "etc/empty", "file", hash("evil")],
  ["a link", "etc/rc.local", "symlink", undefined],
  ["a device", "dev/mem", "character", undefined],
] as const)("knows no origin of %s", (_what, path, type, content) => {
  expect(originOf(path, type, content)).toBeUndefined();
});
