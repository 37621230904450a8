// A disk's contents twice: as the machine sees them, and as they are found after a power cut. What no flush has covered is
// lost by chance, in whole physical blocks, as on real disks; in its order of writing where somebody relies on that. Pure
// but for its own memory.

import type { NbdReply, NbdRequest } from './nbd.ts';

/** Such a block of the disk is written whole or not at all. */
const PHYSICAL_BLOCK_BYTES = 4096;

/** What becomes of the writes that no flush has covered: each whole, block by block, or not at all. */
export type Loss = 'nothing' | 'some' | 'everything';

export interface Chance {
  /** A whole number from 0 to n - 1. */
  readonly below: (n: number) => number;
}

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Which requests the disk refuses with an input/output error. */
export interface Fault {
  readonly on: readonly ('read' | 'write' | 'flush')[];
  /** All of the disk unless given. */
  readonly ranges?: readonly Range[];
}

export interface Lost {
  /** Writes that were not covered by a flush. */
  readonly uncovered: number;
  /** Those of them that did not reach the disk, or not whole. */
  readonly lost: number;
}

export interface Medium {
  readonly answer: (request: NbdRequest) => NbdReply;
  readonly fail: (fault: Fault | undefined) => void;
  readonly losePower: (loss: Loss, chance: Chance) => Lost;
  /** The contents, to put back later; nothing may be uncovered. */
  readonly save: () => Buffer;
  readonly restore: (contents: Buffer) => void;
}

export interface MediumOptions {
  readonly sizeBytes: number;
  /**
   * Writes that touch this part reach the disk in their order, so that a cut takes the last ones: for what somebody writes
   * who relies on that.
   */
  readonly ordered?: Range;
}

interface Write extends Range {
  /** Zeroes when undefined. */
  readonly data: Buffer | undefined;
  /** Durable by itself (FUA): it covers nothing else, and stays on top of what it was written over. */
  readonly sure: boolean;
}

export function createMedium({ sizeBytes, ordered }: MediumOptions): Medium {
  const cached = Buffer.alloc(sizeBytes);
  const durable = Buffer.alloc(sizeBytes);
  let uncovered: Write[] = [];
  let fault: Fault | undefined;

  const write = (one: Write): NbdReply => {
    put(cached, one);
    uncovered.push(one);
    return 'done';
  };
  return {
    answer: (request) => {
      if (refused(fault, request)) return 'io-error';
      switch (request.do) {
        case 'read':
          return Buffer.from(cached.subarray(request.offset, request.offset + request.length));
        case 'write':
          return write({ ...request, length: request.data.length, sure: request.fua });
        case 'trim':
        case 'zero':
          return write({ ...request, data: undefined, sure: request.fua });
        case 'flush':
          for (const one of uncovered) put(durable, one);
          uncovered = [];
          return 'done';
      }
    },
    fail: (next) => {
      fault = next;
    },
    losePower: (loss, chance) => {
      const loose = uncovered.filter(({ sure }) => !sure);
      const inOrder = ordered === undefined ? [] : loose.filter((one) => overlap(one, ordered));
      // Of those in order so many arrive, the next one in part, and none after it.
      const whole = new Set(inOrder.slice(0, chance.below(inOrder.length + 1)));
      const [torn] = inOrder.slice(whole.size);
      const fateOf = (one: Write): Loss => {
        if (one.sure) return 'nothing';
        if (loss !== 'some' || one === torn || !inOrder.includes(one)) return loss;
        return whole.has(one) ? 'nothing' : 'everything';
      };
      let lost = 0;
      for (const one of uncovered) {
        const parts = survivors(one, fateOf(one), chance);
        if (parts.reduce((sum, { length }) => sum + length, 0) < one.length) lost += 1;
        for (const part of parts) put(durable, part);
      }
      for (const { offset, length } of uncovered) durable.copy(cached, offset, offset, offset + length);
      uncovered = [];
      return { uncovered: loose.length, lost };
    },
    save: () => {
      if (uncovered.length > 0) throw new Error(`Cannot save the disk: ${uncovered.length} writes are not flushed`);
      return Buffer.from(durable);
    },
    restore: (contents) => {
      contents.copy(durable);
      contents.copy(cached);
      uncovered = [];
    },
  };
}

function put(to: Buffer, { offset, length, data }: Write): void {
  if (data === undefined) to.fill(0, offset, offset + length);
  else data.copy(to, offset);
}

/** What of a write gets there: all of it, nothing, or some of its blocks. */
function survivors(one: Write, loss: Loss, chance: Chance): readonly Write[] {
  if (loss === 'nothing') return [one];
  if (loss === 'everything') return [];
  const fate = chance.below(5);
  if (fate < 2) return [one];
  if (fate < 4) return [];
  const kept: Write[] = [];
  const end = one.offset + one.length;
  for (let offset = one.offset; offset < end;) {
    const next = Math.min(end, (Math.floor(offset / PHYSICAL_BLOCK_BYTES) + 1) * PHYSICAL_BLOCK_BYTES);
    const data = one.data?.subarray(offset - one.offset, next - one.offset);
    if (chance.below(2) === 0) kept.push({ ...one, offset, length: next - offset, data });
    offset = next;
  }
  return kept;
}

function refused(fault: Fault | undefined, request: NbdRequest): boolean {
  if (fault === undefined) return false;
  if (request.do === 'flush') return fault.on.includes('flush');
  if (!fault.on.includes(request.do === 'read' ? 'read' : 'write')) return false;
  const touched = { offset: request.offset, length: request.do === 'write' ? request.data.length : request.length };
  return fault.ranges?.some((range) => overlap(range, touched)) ?? true;
}

function overlap(a: Range, b: Range): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}
