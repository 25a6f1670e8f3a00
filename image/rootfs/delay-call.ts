/**
 * Finds the one call in a compiled C library that is given a constant number and the name of its source file, as
 * Dovecot's timeout_add_short(500, "mailbox-watch.c", …) is, and changes the number. Called by byte-patches.ts; pure.
 * The first argument is in edi or w0, the second in rsi or x1 (System V ABI for AMD64 §3.2.3, AAPCS64 §6.8.2).
 * It is found by what the code does, not by where it lies, so that a newer build of the library can be changed as well;
 * what is not found exactly once is left alone.
 */
import type { Architecture } from "../spec.ts";
import { readSegments, SEGMENT_EXECUTABLE, SEGMENT_LOAD, type Segment } from "./elf-segments.ts";

/** The library has no such call, or several. */
export class DelayCallError extends Error {
  override name = "DelayCallError";
}

/** Both arguments of one call are set within so many bytes: twice the distance found in Debian 13's builds, and more. */
const NEAR_BYTES = 32;

/** An instruction that sets the first argument to a constant, and one that sets the second to an address. */
type Code = Readonly<{
  /** File offsets of instructions that set the first argument to the number. */
  settingNumber: (elf: Buffer, segment: Segment, number: number) => number[];
  /** File offsets of instructions near `place` that set the second argument to the address. */
  settingAddress: (elf: Buffer, segment: Segment, place: number, address: number) => number[];
  /** Whether a call may begin between two file offsets. */
  hasCall: (elf: Buffer, code: readonly Segment[], from: number, to: number) => boolean;
  writeNumber: (elf: Buffer, place: number, number: number) => void;
}>;

const MOV_EDI = 0xbf;
const LEA_RSI = Buffer.from("488d35", "hex"); // relative to the next instruction, which is 7 bytes on
const LEA_BYTES = 7;
const CALL = 0xe8;
const CALL_BYTES = 5;

const amd64: Code = {
  settingNumber(elf, { offset, bytes }, number) {
    const instruction = Buffer.from([MOV_EDI, 0, 0, 0, 0]);
    instruction.writeUInt32LE(number, 1);
    const places: number[] = [];
    const end = offset + bytes - instruction.length;
    for (
      let at = elf.indexOf(instruction, offset);
      at >= 0 && at <= end;
      at = elf.indexOf(instruction, at + 1)
    )
      places.push(at);
    return places;
  },
  settingAddress(elf, segment, place, address) {
    const places: number[] = [];
    const { from, to } = around(segment, place, LEA_BYTES);
    for (let at = from; at <= to; at++) {
      const target = at + LEA_BYTES - segment.offset + segment.address;
      if (elf.subarray(at, at + 3).equals(LEA_RSI) && target + elf.readInt32LE(at + 3) === address)
        places.push(at);
    }
    return places;
  },
  hasCall(elf, code, from, to) {
    for (let at = from; at < to; at++) {
      if (elf[at] !== CALL) continue;
      // Any byte may be part of another instruction; one that leads to code is taken for a call.
      const { offset, address } = code.find((one) => at >= one.offset && at < one.offset + one.bytes)!;
      const target = at - offset + address + CALL_BYTES + elf.readInt32LE(at + 1);
      if (code.some((one) => target >= one.address && target < one.address + one.bytes)) return true;
    }
    return false;
  },
  writeNumber: (elf, place, number) => elf.writeUInt32LE(number, place + 1),
};

/** Arm A-profile instruction set, A64: MOVZ Wd (32-bit), ADRP, ADD (immediate, 64-bit, no shift), BL and BLR. */
const MOVZ_W0 = 0x52800000;
const NUMBER_SHIFT = 5;
const MAX_NUMBER = 0xffff;
const PAGE = 4096;
const isAdrp = (word: number) => (word & 0x9f000000) >>> 0 === 0x90000000;
const isAdd = (word: number) => (word & 0xffc00000) >>> 0 === 0x91000000;
const isCall = (word: number) =>
  (word & 0xfc000000) >>> 0 === 0x94000000 || (word & 0xfffffc1f) >>> 0 === 0xd63f0000;

const arm64: Code = {
  settingNumber(elf, { offset, bytes }, number) {
    const places: number[] = [];
    for (let at = offset; at + 4 <= offset + bytes; at += 4) {
      if (elf.readUInt32LE(at) === movz(number)) places.push(at);
    }
    return places;
  },
  settingAddress(elf, segment, place, address) {
    const places: number[] = [];
    const pages = new Map<number, number>();
    const { from, to } = around(segment, place, 4);
    for (let at = from; at <= to; at += 4) {
      const word = elf.readUInt32LE(at);
      const register = word & 31;
      if (isAdrp(word)) {
        // immhi:immlo, 21 bits with a sign, in pages from the page of the instruction
        const pagesAway = (((word >>> 5) & 0x7ffff) << 2) | ((word >>> 29) & 3);
        const here = Math.floor((at - segment.offset + segment.address) / PAGE);
        pages.set(register, here + (pagesAway >= 1 << 20 ? pagesAway - (1 << 21) : pagesAway));
      } else if (isAdd(word) && register === 1) {
        const page = pages.get((word >>> 5) & 31);
        if (page !== undefined && page * PAGE + ((word >>> 10) & 0xfff) === address) places.push(at);
      }
    }
    return places;
  },
  hasCall(elf, _, from, to) {
    for (let at = from; at < to; at += 4) if (isCall(elf.readUInt32LE(at))) return true;
    return false;
  },
  writeNumber: (elf, place, number) => elf.writeUInt32LE(movz(number), place),
};

function movz(number: number): number {
  if (number > MAX_NUMBER) throw new RangeError(`${number} does not fit into one instruction`);
  return (MOVZ_W0 | (number << NUMBER_SHIFT)) >>> 0;
}

/** First and last file offset of an instruction of `length` bytes near `place`, within the segment. */
function around({ offset, bytes }: Segment, place: number, length: number): { from: number; to: number } {
  return {
    from: Math.max(offset, place - NEAR_BYTES),
    to: Math.min(offset + bytes - length, place + NEAR_BYTES),
  };
}

const codes: Readonly<Record<Architecture, Code>> = { amd64, arm64 };

export type DelayCall = Readonly<{ sourceFile: string; before: number; after: number }>;

/** A copy of the library with the number changed. Throws DelayCallError, or ElfError for what is no library. */
export function changeDelay(
  library: Uint8Array,
  architecture: Architecture,
  { sourceFile, before, after }: DelayCall,
): Uint8Array {
  const elf = Buffer.from(library);
  const code = codes[architecture];
  const segments = readSegments(elf).segments.filter(({ type }) => type === SEGMENT_LOAD);
  const executable = segments.filter(({ flags }) => (flags & SEGMENT_EXECUTABLE) !== 0);
  const names = addressesOf(elf, segments, sourceFile);
  const places = executable.flatMap((segment) =>
    code.settingNumber(elf, segment, before).filter((place) =>
      names.some((name) =>
        code.settingAddress(elf, segment, place, name).some((other) => {
          const [from, to] = [Math.min(place, other), Math.max(place, other)];
          return !code.hasCall(elf, executable, from, to);
        }),
      ),
    ),
  );
  const [place] = places;
  if (place === undefined || places.length > 1) {
    const lacking = names.length === 0 ? `the name “${sourceFile}” is not in it` : `it has ${places.length}`;
    throw new DelayCallError(
      `exactly one call with the constant ${before} in ${sourceFile} was expected; ${lacking}`,
    );
  }
  code.writeNumber(elf, place, after);
  return elf;
}

/** Where a text that stands by itself is in memory. */
function addressesOf(elf: Buffer, segments: readonly Segment[], text: string): number[] {
  const wanted = Buffer.from(`\0${text}\0`, "latin1");
  const addresses: number[] = [];
  for (let at = elf.indexOf(wanted); at >= 0; at = elf.indexOf(wanted, at + 1)) {
    const start = at + 1;
    for (const { offset, bytes, address } of segments) {
      if (start >= offset && start < offset + bytes) addresses.push(start - offset + address);
    }
  }
  return addresses;
}
