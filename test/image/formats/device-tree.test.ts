/** Device trees and overlays of our own writing, judged by dtc and fdtoverlay (device-tree-compiler). */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import {
  type DeviceNode,
  DeviceTreeError,
  readDeviceTree,
  writeDeviceTree,
} from "../../../image/formats/device-tree.ts";
import { overlayBetween } from "../../../image/formats/device-tree-overlay.ts";

const missing = ["dtc", "fdtoverlay"].filter((name) => spawnSync(name, ["--version"]).error !== undefined);
const judged = missing.length === 0 ? "" : ` (${missing.join(" and ")} missing)`;
const scratch = mkdtempSync(join(tmpdir(), "homing-dtb-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const SOURCE = `/dts-v1/;
/memreserve/ 0x1000 0x2000;
/ {
  model = "A board";
  compatible = "vendor,board", "vendor,chip";
  #address-cells = <1>;
  chosen { };
  soc@40000000 {
    ranges;
    pins: pins@7d504100 { compatible = "vendor,c0"; reg = <0x7d504100 0x30>; };
    mmc@7e300000 { pinctrl-0 = <&pins>; status = "okay"; };
  };
};`;
const SIBLING = SOURCE.replace("vendor,c0", "vendor,d0")
  .replace("0x30>", "0x20>")
  .replace('status = "okay";', 'status = "okay"; wp-inverted; card@1 { reg = <1>; };')
  .replace('model = "A board"', 'model = "A board, again"');

function compile(source: string): Buffer {
  return execFileSync("dtc", ["-q", "-I", "dts", "-O", "dtb"], { input: source });
}
function source(tree: Uint8Array): string {
  return execFileSync("dtc", ["-q", "-s", "-I", "dtb", "-O", "dts"], { input: tree, encoding: "utf8" });
}

describe.skipIf(missing.length > 0)(`what dtc compiled${judged}`, () => {
  it("is the same after it was read and written", () => {
    const compiled = compile(SOURCE);
    expect(source(writeDeviceTree(readDeviceTree(compiled)))).toBe(source(compiled));
  });

  it("becomes its sibling when fdtoverlay applies the overlay between the two", () => {
    const [base, sibling] = [compile(SOURCE), compile(SIBLING)];
    const overlay = overlayBetween(readDeviceTree(base), readDeviceTree(sibling));
    expect(overlay.root.children.map(({ name }) => name)).toEqual(["fragment@0", "fragment@1", "fragment@2"]);
    const file = (name: string) => join(scratch, name);
    writeFileSync(file("base.dtb"), base);
    writeFileSync(file("sibling.dtbo"), writeDeviceTree(overlay));
    execFileSync("fdtoverlay", ["-i", file("base.dtb"), "-o", file("merged.dtb"), file("sibling.dtbo")]);
    expect(source(readFileSync(file("merged.dtb")))).toBe(source(sibling));
  });

  it.each([
    ["a property that is gone", "ranges;", "", "/soc@40000000 has no ranges in the other tree"],
    ["a node that is gone", "chosen { };", "", "/ has no chosen in the other tree"],
    ["another phandle", "chosen { }", "chosen { phandle = <9>; }", "/chosen has another phandle"],
  ])("has no overlay for %s", (_what, before, after, problem) => {
    const base = SOURCE.replace("chosen { }", "chosen { phandle = <8>; }");
    const other = base.replace("chosen { phandle = <8>; }", "chosen { }").replace(before, after);
    const from = problem.includes("phandle") ? base : SOURCE;
    const between = () => overlayBetween(readDeviceTree(compile(from)), readDeviceTree(compile(other)));
    expect(between).toThrow(DeviceTreeError);
    expect(between).toThrow(problem);
  });

  it("is refused when it ends early or is something else", () => {
    const compiled = compile(SOURCE);
    for (let length = 0; length < compiled.length; length += 7) {
      expect(() => readDeviceTree(compiled.subarray(0, length))).toThrow(DeviceTreeError);
    }
  });
});

describe("damaged device trees", () => {
  const bytes = Buffer.from(
    writeDeviceTree({
      reservations: Buffer.alloc(16, 1),
      bootProcessor: 0,
      root: {
        name: "",
        properties: new Map([["model", Buffer.from("x\0")]]),
        children: [leaf("a"), leaf("b@1")],
      },
    }),
  );
  it("are read or refused in words, whatever byte is wrong", () => {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = damaged[at]! ^ flip;
        try {
          readDeviceTree(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(DeviceTreeError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

function leaf(name: string): DeviceNode {
  return { name, properties: new Map([["reg", Buffer.alloc(8)]]), children: [] };
}
