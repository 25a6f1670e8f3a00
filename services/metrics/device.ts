/**
 * What the kernel knows of the machine: load, memory, heat, power, disks and cards, whether its clock is right. Reads
 * /proc and /sys, which costs no access to a disk. Called by scrape.ts for every scrape; what a machine does not have
 * has no series.
 */
import { readdirSync, readFileSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { clockSyncedPath, dataDirectory, HOMING_VERSION, runPaths } from "../../appliance/layout.ts";
import { counter, gauge } from "./families.ts";
import type { Family } from "./text-format.ts";

/** Sectors in /sys/block/…/stat are of this size whatever the disk says (Documentation/block/stat.rst). */
const SECTOR_BYTES = 512;
/** Disks that are in the image, in memory, or parts of others. */
const NO_DISKS = /^(?:loop|ram|zram|dm-|sr|mtd|mmcblk\d+boot)/;
/** JEDEC JESD84-B51 §7.4.19: 1 is up to 10 % of a card's life, 10 up to 100 %, 11 beyond; 0 is not told. */
const MOST_LIFE = 11;

/** @param root where /proc, /sys, /run and /data are; "/" but in tests. */
export function deviceFamilies(root = "/"): Family[] {
  const at = (path: string) => join(root, path);
  const families = [
    ...system(at),
    ...memory(at),
    ...pressure(at),
    ...heatAndPower(at),
    ...disks(at),
    ...services(at),
  ];
  return families.filter((family) => family !== undefined);
}

type At = (path: string) => string;

function system(at: At) {
  const loads = /^([\d.]+) ([\d.]+) ([\d.]+) /.exec(text(at("/proc/loadavg")) ?? "")?.slice(1) ?? [];
  const bootTime = Number(/^btime (\d+)$/m.exec(text(at("/proc/stat")) ?? "")?.[1] ?? Number.NaN);
  const slot = /(?:^|\s)homing\.slot=([ab])(?:\s|$)/.exec(text(at("/proc/cmdline")) ?? "")?.[1];
  const light = text(at(runPaths.light))?.trim();
  return [
    gauge(
      "homing_info",
      "The version of Homing that runs, and the half of the disk that it was started from.",
      [[1, { version: HOMING_VERSION, slot: slot ?? "unknown" }]],
    ),
    gauge(
      "homing_boot_time_seconds",
      "When the machine was started, in seconds since 1970.",
      Number.isNaN(bootTime) ? [] : [[bootTime]],
    ),
    gauge("homing_clock_synchronized", "1 when a time server has set the clock since the start.", [
      [exists(at(clockSyncedPath)) ? 1 : 0],
    ]),
    gauge(
      "homing_needs_attention",
      "1 when the relay's own status page asks for somebody.",
      light === undefined ? [] : [[light === "healthy" ? 0 : 1]],
    ),
    gauge(
      "homing_load_average",
      "Processes that run or wait for a processor or a disk, over some minutes.",
      loads.map((load, i) => [Number(load), { minutes: ["1", "5", "15"][i]! }] as const),
    ),
  ];
}

function memory(at: At) {
  const info = text(at("/proc/meminfo")) ?? "";
  const bytes = (name: string) => {
    const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(info)?.[1];
    return kilobytes === undefined ? [] : [[Number(kilobytes) * 1024] as const];
  };
  const kills = /^oom_kill (\d+)$/m.exec(text(at("/proc/vmstat")) ?? "")?.[1];
  return [
    gauge("homing_memory_bytes", "Memory of the machine.", bytes("MemTotal")),
    gauge("homing_memory_available_bytes", "Memory that programs can still have.", bytes("MemAvailable")),
    counter(
      "homing_memory_kills_total",
      "Processes that were ended because memory ran out, since the start.",
      kills === undefined ? [] : [[Number(kills)]],
    ),
  ];
}

/** Documentation/accounting/psi.rst; a kernel may have it switched off. */
function pressure(at: At) {
  const figures = ["cpu", "memory", "io"].flatMap((resource) => {
    const total = /^some .*total=(\d+)$/m.exec(text(at(`/proc/pressure/${resource}`)) ?? "")?.[1];
    return total === undefined ? [] : [[Number(total) / 1e6, { resource }] as const];
  });
  return [
    counter(
      "homing_pressure_seconds_total",
      "How long some process had to wait for processors, memory or disks.",
      figures,
    ),
  ];
}

function heatAndPower(at: At) {
  const zones = entries(at("/sys/class/thermal"));
  const heat = zones
    .filter((zone) => zone.startsWith("thermal_zone"))
    .flatMap((zone) => {
      const value = number(at(`/sys/class/thermal/${zone}/temp`));
      const sensor = text(at(`/sys/class/thermal/${zone}/type`))?.trim() || zone;
      return value === undefined ? [] : [{ sensor, zone, celsius: value / 1000 }];
    });
  // Two sensors of one kind are told apart by their numbers.
  const kinds = heat.map(({ sensor }) => sensor);
  const twice = (kind: string) => kinds.indexOf(kind) !== kinds.lastIndexOf(kind);
  // The Pi's own firmware where its kernel tells; else the kernel's brake on the processors.
  const firmware = text(at("/sys/devices/platform/soc/soc:firmware/get_throttled"))?.trim();
  const brakes = zones
    .filter((zone) => zone.startsWith("cooling_device"))
    .filter((zone) => /cpu|processor/i.test(text(at(`/sys/class/thermal/${zone}/type`)) ?? ""))
    .flatMap((zone) => number(at(`/sys/class/thermal/${zone}/cur_state`)) ?? []);
  const flags = firmware === undefined ? undefined : Number.parseInt(firmware, 16);
  const throttled = flags === undefined ? brakes.map((state) => state > 0) : [(flags & 0b0110) !== 0];
  // raspberrypi-hwmon: 1 while the supply is below 4.63 V.
  const supply = entries(at("/sys/class/hwmon"))
    .filter((name) => text(at(`/sys/class/hwmon/${name}/name`))?.trim() === "rpi_volt")
    .flatMap((name) => number(at(`/sys/class/hwmon/${name}/in0_lcrit_alarm`)) ?? []);
  const low = flags === undefined ? supply.map((alarm) => alarm > 0) : [(flags & 0b0001) !== 0];
  const oneOf = (states: readonly boolean[]) =>
    states.length === 0 ? [] : [[states.some((state) => state) ? 1 : 0] as const];
  return [
    gauge(
      "homing_temperature_celsius",
      "Temperature by sensor.",
      heat.map(({ sensor, zone, celsius }) => [celsius, { sensor: twice(sensor) ? zone : sensor }]),
    ),
    gauge(
      "homing_processor_throttled",
      "1 while the processor is slowed down by heat or lack of power.",
      oneOf(throttled),
    ),
    gauge("homing_undervoltage", "1 while the power supply of a Raspberry Pi is too weak.", oneOf(low)),
  ];
}

function disks(at: At) {
  const data = statfsSync(at(dataDirectory));
  const devices = entries(at("/sys/block")).filter((name) => !NO_DISKS.test(name));
  const life = devices.flatMap((device) => {
    const [a = 0, b = 0] = (text(at(`/sys/block/${device}/device/life_time`)) ?? "")
      .trim()
      .split(/\s+/)
      .map((value) => Number.parseInt(value, 16));
    const used = Math.min(MOST_LIFE, Math.max(a, b));
    return used > 0 ? [[used / 10, { device }] as const] : [];
  });
  const reserve = devices.flatMap((device) => {
    const state = Number.parseInt(text(at(`/sys/block/${device}/device/pre_eol_info`)) ?? "", 16);
    return state > 0 ? [[state, { device }] as const] : [];
  });
  const errors = entries(at("/sys/fs/ext4")).flatMap((device) => {
    const count = number(at(`/sys/fs/ext4/${device}/errors_count`));
    return count === undefined ? [] : [[count, { device }] as const];
  });
  const written = devices.flatMap((device) => {
    // The seventh field is sectors written.
    const sectors = Number(
      (text(at(`/sys/block/${device}/stat`)) ?? "").trim().split(/\s+/)[6] ?? Number.NaN,
    );
    return Number.isNaN(sectors) ? [] : [[sectors * SECTOR_BYTES, { device }] as const];
  });
  return [
    gauge("homing_data_bytes", "Size of the data partition.", [[data.blocks * data.bsize]]),
    gauge("homing_data_free_bytes", "Free room on the data partition.", [[data.bavail * data.bsize]]),
    gauge("homing_data_files", "Files that the data partition has room for.", [[data.files]]),
    gauge("homing_data_free_files", "Files that the data partition has room for yet.", [[data.ffree]]),
    counter("homing_disk_errors_total", "Errors that ext4 found since the file system was made.", errors),
    counter("homing_disk_written_bytes_total", "Bytes written to a disk or card since the start.", written),
    gauge("homing_card_life_used", "How much of its life a card says is over: 0.1 for up to a tenth.", life),
    gauge(
      "homing_card_reserve_state",
      "What a card says of its spare blocks: 1 is normal, 2 that most are used, 3 that it has to be replaced.",
      reserve,
    ),
  ];
}

/** Memory by unit, from the control groups that systemd puts our services and the mail servers into. */
function services(at: At) {
  const slice = "/sys/fs/cgroup/system.slice";
  const units = entries(at(slice)).filter((name) =>
    /^(?:homing-[a-z-]+|dovecot|postfix|coturn)\.service$/.test(name),
  );
  const each = (read: (folder: string) => number | undefined) =>
    units.flatMap((unit) => {
      const value = read(at(`${slice}/${unit}`));
      return value === undefined ? [] : [[value, { service: unit.replace(/\.service$/, "") }] as const];
    });
  return [
    gauge(
      "homing_service_memory_bytes",
      "Memory of a service, files that it reads and writes included.",
      each((folder) => number(join(folder, "memory.current"))),
    ),
    counter(
      "homing_service_memory_kills_total",
      "Processes of a service that were ended for want of memory, since it was started.",
      each((folder) => {
        const kills = /^oom_kill (\d+)$/m.exec(text(join(folder, "memory.events")) ?? "")?.[1];
        return kills === undefined ? undefined : Number(kills);
      }),
    ),
  ];
}

/** Undefined for what is not there, or cannot be read just now: a sensor may say so (EAGAIN, ENODATA). */
function text(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

function number(path: string): number | undefined {
  const content = text(path)?.trim();
  return content === undefined || !/^-?\d+$/.test(content) ? undefined : Number(content);
}

function entries(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
