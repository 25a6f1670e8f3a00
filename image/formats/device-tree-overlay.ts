/**
 * Makes a device tree overlay: the few properties that turn one board's tree into that of its sibling, for firmware
 * that loads the one and applies overlays to it. Called by image/targets/pi.ts; pure.
 * Form: Linux' Documentation/devicetree/overlay-notes.rst; fragments name their target by path, so no symbols are
 * needed on either side.
 */
import { type DeviceNode, type DeviceTree, DeviceTreeError } from "./device-tree.ts";

/** What `to` changes in the node of `from` at `path`, without its children. */
type Change = Readonly<{ path: string; properties: ReadonlyMap<string, Uint8Array>; added: DeviceNode[] }>;

/**
 * The overlay that makes `to` of `from`. Throws DeviceTreeError for what no overlay can say: something that is gone,
 * or other numbers of the same nodes (phandles).
 */
export function overlayBetween(from: DeviceTree, to: DeviceTree): DeviceTree {
  const changes: Change[] = [];
  compare(from.root, to.root, "/", changes);
  const children = changes.map(
    ({ path, properties, added }, index): DeviceNode => ({
      name: `fragment@${index}`,
      properties: new Map([["target-path", text(path)]]),
      children: [{ name: "__overlay__", properties, children: added }],
    }),
  );
  return {
    reservations: new Uint8Array(0),
    bootProcessor: 0,
    root: { name: "", properties: new Map(), children },
  };
}

function compare(from: DeviceNode, to: DeviceNode, path: string, changes: Change[]): void {
  const properties = new Map<string, Uint8Array>();
  for (const [name, value] of to.properties) {
    const before = from.properties.get(name);
    if (before && Buffer.compare(before, value) === 0) continue;
    if (name === "phandle" && before)
      throw new DeviceTreeError(`${path} has another phandle in the other tree`);
    properties.set(name, value);
  }
  for (const name of from.properties.keys()) {
    if (!to.properties.has(name)) throw new DeviceTreeError(`${path} has no ${name} in the other tree`);
  }
  const there = new Map(from.children.map((child) => [child.name, child]));
  const added = to.children.filter(({ name }) => !there.has(name));
  if (properties.size > 0 || added.length > 0) changes.push({ path, properties, added });
  for (const child of to.children) {
    const before = there.get(child.name);
    const childPath = `${path === "/" ? "" : path}/${child.name}`;
    if (before) compare(before, child, childPath, changes);
    there.delete(child.name);
  }
  for (const name of there.keys()) throw new DeviceTreeError(`${path} has no ${name} in the other tree`);
}

function text(value: string): Uint8Array {
  return Buffer.from(`${value}\0`);
}
