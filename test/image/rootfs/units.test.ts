import { describe, expect, it } from "vitest";
import { setFile, type Tree } from "../../../image/rootfs/tree.ts";
import { enableUnits, maskUnits, UnitError } from "../../../image/rootfs/units.ts";

const folder = "usr/lib/systemd/system";

function treeWith(units: Record<string, string>): Tree {
  const tree: Tree = new Map();
  for (const [name, text] of Object.entries(units)) setFile(tree, `${folder}/${name}`, text);
  return tree;
}

function links(tree: Tree): Record<string, string> {
  return Object.fromEntries(
    [...tree].flatMap(([path, entry]) => (entry.type === "symlink" ? [[path, entry.target]] : [])),
  );
}

describe("enabling units", () => {
  it("makes the links that WantedBy, RequiredBy and Alias ask for", () => {
    const tree = treeWith({
      "a.service":
        "[Unit]\nWantedBy=no.target\n[Install]\nWantedBy=x.target y.target\nRequiredBy=z.target\nAlias=b.service\n",
    });
    enableUnits(tree, ["a.service"]);
    expect(links(tree)).toEqual({
      "etc/systemd/system/x.target.wants/a.service": `/${folder}/a.service`,
      "etc/systemd/system/y.target.wants/a.service": `/${folder}/a.service`,
      "etc/systemd/system/z.target.requires/a.service": `/${folder}/a.service`,
      "etc/systemd/system/b.service": `/${folder}/a.service`,
    });
  });

  it("follows Also, even in a circle", () => {
    const tree = treeWith({
      "a.service": "[Install]\nWantedBy=x.target\nAlso=a.socket\n",
      "a.socket": "[Install]\nWantedBy=sockets.target\nAlso=a.service\n",
    });
    enableUnits(tree, ["a.service"]);
    expect(Object.keys(links(tree))).toHaveLength(2);
  });

  it("links an instance to its template", () => {
    const tree = treeWith({ "getty@.service": "[Install]\nWantedBy=getty.target\n" });
    enableUnits(tree, ["getty@tty1.service"]);
    expect(links(tree)).toEqual({
      "etc/systemd/system/getty.target.wants/getty@tty1.service": `/${folder}/getty@.service`,
    });
  });

  it("forgets what an empty assignment clears and joins continued lines", () => {
    const tree = treeWith({
      "a.service": "[Install]\nWantedBy=x.target\nWantedBy=\nWantedBy=y.target \\\n z.target\n",
    });
    enableUnits(tree, ["a.service"]);
    expect(Object.keys(links(tree)).map((path) => path.split("/")[3])).toEqual([
      "y.target.wants",
      "z.target.wants",
    ]);
  });

  it("refuses a unit that is not there or cannot be enabled", () => {
    expect(() => enableUnits(new Map(), ["no.service"])).toThrow(UnitError);
    expect(() => enableUnits(treeWith({ "a.service": "[Service]\n" }), ["a.service"])).toThrow(/\[Install\]/);
  });

  it("masks a unit by a link to /dev/null", () => {
    const tree: Tree = new Map();
    maskUnits(tree, ["x.timer"]);
    expect(links(tree)).toEqual({ "etc/systemd/system/x.timer": "/dev/null" });
  });
});
