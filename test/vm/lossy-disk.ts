// A disk for a guest that has a write cache which a power cut empties: what no flush has covered is lost, by chance, in
// whole physical blocks, as on real disks. QEMU reaches it by NBD. It can also stop answering at a chosen request, so that a cut falls
// between any two of them, and return errors for a part of its sectors.

import { serveNbd } from './nbd.ts';
import type { NbdReply, NbdRequest, NbdServer } from './nbd.ts';

/** Such a block of the disk is written whole or not at all. */
const PHYSICAL_BLOCK_BYTES = 4096;

/** What becomes of the writes that no flush has covered: each as a whole or block by block, in their order. */
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

export interface LossyDisk {
  /** The unix socket. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Requests so far that changed something or flushed. */
  readonly changes: () => number;
  /** What a power cut could take now. */
  readonly uncovered: () => number;
  /** Answers nothing more from now on, until power is lost. */
  readonly stop: () => void;
  /** Loses power and has it again: what was not flushed is gone as drawn, what was sent and not read never came. */
  readonly losePower: (loss: Loss, chance: Chance) => Lost;
  readonly fail: (fault: Fault | undefined) => void;
  /** The contents, to put back later; nothing may be uncovered. */
  readonly save: () => Buffer;
  readonly restore: (contents: Buffer) => void;
  readonly close: () => Promise<void>;
}

export interface LossyDiskOptions {
  readonly path: string;
  readonly sizeBytes: number;
  /**
   * Writes that touch this part reach the disk in their order, so that a cut takes the last ones: for what somebody writes
   * who relies on that.
   */
  readonly ordered?: Range;
  /** Asked before each change and each flush; false stops the disk before it. */
  readonly goesOn?: () => boolean;
}

/** Zeroes without `data`. */
interface Write {
  readonly offset: number;
  readonly length: number;
  readonly data: Buffer | undefined;
  /** Durable by itself (FUA). */
  readonly sure: boolean;
}

export async function createLossyDisk({
  path,
  sizeBytes,
  ordered,
  goesOn = () => true,
}: LossyDiskOptions): Promise<LossyDisk> {
  // As the machine sees it, and as it is found after a cut.
  const cached = Buffer.alloc(sizeBytes);
  const durable = Buffer.alloc(sizeBytes);
  let uncovered: Write[] = [];
  let changes = 0;
  let stopped = false;
  let fault: Fault | undefined;

  const put = (to: Buffer, { offset, length, data }: Write): void => {
    if (data === undefined) to.fill(0, offset, offset + length);
    else data.copy(to, offset);
  };
  const write = (one: Write): NbdReply => {
    put(cached, one);
    // Also one that is durable by itself: it covers nothing else, and stays on top of what it was written over.
    uncovered.push(one);
    return 'done';
  };
  const flush = (): NbdReply => {
    for (const one of uncovered) put(durable, one);
    uncovered = [];
    return 'done';
  };
  const answer = (request: NbdRequest): NbdReply => {
    if (request.do !== 'read' && !stopped) {
      stopped = !goesOn();
      if (!stopped) changes += 1;
    }
    if (stopped) return 'no-answer';
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
        return flush();
    }
  };
  const server: NbdServer = await serveNbd(path, sizeBytes, answer);

  return {
    path,
    sizeBytes,
    changes: () => changes,
    uncovered: () => uncovered.filter(({ sure }) => !sure).length,
    stop: () => {
      stopped = true;
    },
    losePower: (loss, chance) => {
      server.disconnect();
      let lost = 0;
      const inOrder = uncovered.filter((one) => !one.sure && ordered !== undefined && overlap(one, ordered));
      const last = loss === 'some' ? inOrder[chance.below(inOrder.length + 1)] : undefined;
      const after = last === undefined ? [] : inOrder.slice(inOrder.indexOf(last) + 1);
      for (const one of uncovered) {
        const fate = loss === 'some' && inOrder.includes(one) && one !== last ? 'nothing' : loss;
        const kept = after.includes(one) ? [] : survivors(one, fate, chance);
        if (kept.reduce((sum, { length }) => sum + length, 0) < one.length) lost += 1;
        for (const part of kept) put(durable, part);
      }
      for (const { offset, length } of uncovered) durable.copy(cached, offset, offset, offset + length);
      const result = { uncovered: uncovered.filter(({ sure }) => !sure).length, lost };
      uncovered = [];
      stopped = false;
      return result;
    },
    fail: (next) => {
      fault = next;
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
    close: () => server.close(),
  };
}

/** A write got there, or did not, or some of its blocks did. */
function survivors(one: Write, loss: Loss, chance: Chance): readonly Write[] {
  if (one.sure || loss === 'nothing') return [one];
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
  const { offset } = request;
  const end = offset + (request.do === 'write' ? request.data.length : request.length);
  const range = { offset, length: end - offset };
  return fault.ranges?.some((one) => overlap(one, range)) ?? true;
}

function overlap(a: Range, b: Range): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}
