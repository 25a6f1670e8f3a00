/**
 * The device tree of a Raspberry Pi 4 as QEMU's raspi4b can serve it: what it does not imitate is switched off, and the
 * card is in the older of the two slots' controllers, to which QEMU connects it. Called by test/support/qemu.ts.
 * Source: QEMU, hw/arm/bcm2838_peripherals.c and hw/gpio/bcm2838_gpio.c.
 */
import { type DeviceNode, type DeviceTree, DeviceTreeError } from "../../image/formats/device-tree.ts";

/** The controller of a real Pi 4's card slot; QEMU has it, with no card in it. */
const CARD_SLOT = "/emmc2-bus@fe000000/mmc@7e340000";
/** On a real Pi 4 this leads to the Wi-Fi chip. */
const EMULATED_CARD_SLOT = "/soc/mmc@7e300000";
const OF_WIFI = ["non-removable", "mmc-pwrseq"];

/** Not imitated, or with registers that never change: their drivers would wait for them. */
const ABSENT = [
  CARD_SLOT,
  ...["/soc/txp@7e004000", "/soc/hvs@7e400000", "/soc/clock@7ef00000", "/soc/mailbox@7e00b840"],
  ...["/soc/hdmi@7ef00700", "/soc/hdmi@7ef05700", "/soc/i2c@7ef04500", "/soc/i2c@7ef09500"],
  ...["/soc/interrupt-controller@7ef00100", "/soc/watchdog@7e100000", "/soc/pwm@7e20c800"],
  ...["/scb-bus@fc000000/pcie@7d500000", "/scb-bus@fc000000/ethernet@7d580000", "/gpu"],
];
/** What hangs on a bus that QEMU has: the Wi-Fi and Bluetooth chip. */
const REMOVED = [`${EMULATED_CARD_SLOT}/wifi@1`, "/soc/serial@7e201000/bluetooth"];

/** Throws DeviceTreeError when the tree lacks what is to be changed: Linux has changed it, so must this. */
export function emulatedPi4(tree: DeviceTree): DeviceTree {
  const missing = new Set([...ABSENT, ...REMOVED, EMULATED_CARD_SLOT]);
  const change = (node: DeviceNode, path: string): DeviceNode => {
    missing.delete(path);
    const properties = new Map(node.properties);
    if (ABSENT.includes(path)) properties.set("status", Buffer.from("disabled\0"));
    if (path === EMULATED_CARD_SLOT) for (const name of OF_WIFI) properties.delete(name);
    const children = node.children.flatMap((child) => {
      const childPath = `${path}/${child.name}`;
      if (!REMOVED.includes(childPath)) return [change(child, childPath)];
      missing.delete(childPath);
      return [];
    });
    return { ...node, properties, children };
  };
  const root = change(tree.root, "");
  if (missing.size > 0) throw new DeviceTreeError(`the tree of the Pi 4 has no ${[...missing].join(", ")}`);
  return { ...tree, root };
}
