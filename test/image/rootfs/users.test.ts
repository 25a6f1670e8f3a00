import { describe, expect, it } from "vitest";
import { readText, setFile, type Tree } from "../../../image/rootfs/tree.ts";
import { packageGroups, packageUsers, UserError, writeUsers } from "../../../image/rootfs/users.ts";
import type { SystemUser } from "../../../image/spec.ts";

function baseTree(): Tree {
  const tree: Tree = new Map();
  setFile(tree, "usr/share/base-passwd/passwd.master", "root:*:0:0:root:/root:/bin/bash\n");
  setFile(tree, "usr/share/base-passwd/group.master", "root:*:0:\nshadow:*:42:\nmail:*:8:\n");
  return tree;
}

function write(own: readonly SystemUser[]): Tree {
  const tree = baseTree();
  writeUsers(tree, own);
  return tree;
}

describe("users and groups", () => {
  it("gives nobody a password", () => {
    const shadow = readText(write([{ name: "vmail", id: 900 }]), "etc/shadow");
    expect(shadow.trim().split("\n")).not.toHaveLength(0);
    for (const line of shadow.trim().split("\n")) expect(line.split(":")[1]).toBe("*");
  });

  it("lets only root and the group shadow read the password files", () => {
    expect(write([]).get("etc/shadow")).toMatchObject({ mode: 0o640, uid: 0, gid: 42 });
  });

  it("adds the appliance's users with their groups and memberships", () => {
    const tree = write([
      { name: "vmail", id: 900, home: "/data/mail" },
      { name: "helper", id: 901, groups: ["mail", "vmail"] },
    ]);
    expect(readText(tree, "etc/passwd")).toContain("vmail:x:900:900::/data/mail:/usr/sbin/nologin\n");
    expect(readText(tree, "etc/group")).toContain("mail:x:8:helper\n");
    expect(readText(tree, "etc/group")).toContain("vmail:x:900:helper\n");
  });

  it("refuses an id or a name that is taken", () => {
    expect(() => write([{ name: "mine", id: 993 }])).toThrow(UserError);
    expect(() => write([{ name: "mine", id: 993 }])).toThrow(/postfix and mine share the id 993/);
    expect(() => write([{ name: "postfix", id: 900 }])).toThrow(/twice/);
    expect(() => write([{ name: "mine", id: 900, groups: ["nowhere"] }])).toThrow(/does not exist/);
  });

  // The data partitions of relays carry these numbers: a change here is a change for the worse.
  it("never renumbers the users of Debian's packages", () => {
    expect(Object.fromEntries(packageUsers.map(({ name, id }) => [name, id]))).toEqual({
      "systemd-network": 998,
      "systemd-resolve": 997,
      "systemd-timesync": 996,
      messagebus: 995,
      sshd: 994,
      postfix: 993,
      dovecot: 992,
      dovenull: 991,
    });
    expect(packageGroups).toMatchObject({ "systemd-journal": 999, postdrop: 979, _ssh: 978 });
  });
});
