// What is counted, as values, and what two countings differ in. No effects in here.

import { z } from 'zod';

/** Counted until the reply, and of what the driver does by itself then until nothing is left to do. */
export const PARTS = {
  /** Started by the driver; what those start themselves is theirs. */
  processes: 'processes',
  lvm: 'processes of LVM',
  /** Of records or of devices. */
  changing: 'processes of LVM that change something',
  commits: "commits of LVM's metadata",
  /** Each once for each process that opened it. */
  devices: 'devices that a process opened',
} as const;
/** Counted of both together: what a merge writes has no place in time. */
export const DISKS = {
  /** That the pool's disks carried out, all together. */
  flushes: 'flushes of the disks',
  /** To the pool's disks, without the zeroing of what is handed out. */
  kib: 'KiB written',
} as const;
const PART_KEYS = ['processes', 'lvm', 'changing', 'commits', 'devices'] as const;
const DISK_KEYS = ['flushes', 'kib'] as const;
/**
 * What the disks are told differs by a little from run to run: a journal is committed once more, a time or a name in LVM's
 * metadata is longer. So much is no difference, or a quarter of what is recorded.
 */
const SLACK = { flushes: 4, kib: 128 } as const;

const range = z.object({ least: z.number(), most: z.number(), why: z.string() });
const count = z.union([z.number(), range]);
const partCounts = z.record(z.enum(PART_KEYS), count);
const cost = z.object({
  operation: z.string(),
  call: partCounts,
  after: partCounts,
  disks: z.record(z.enum(DISK_KEYS), count),
});
/** In the order in which one run does them. */
export const table = z.array(cost);

export type Count = z.infer<typeof count>;
export type Cost = z.infer<typeof cost>;
export type Table = z.infer<typeof table>;

const measured = z.object({
  counts: z.record(z.enum(PART_KEYS), z.number()),
  /** Program and verb of each process, in their order. */
  commands: z.array(z.string()),
});
const counted = z.object({ call: measured, after: measured, disks: z.record(z.enum(DISK_KEYS), z.number()) });
const operation = counted.extend({ operation: z.string() });
export const operations = z.array(operation);
export type Measured = z.infer<typeof measured>;
export type Counted = z.infer<typeof counted>;
export type Operation = z.infer<typeof operation>;

/** One sentence for each number that is not the recorded one, whether it rose or fell. */
export function differences(recorded: Cost, found: Operation): readonly string[] {
  const parts = (['call', 'after'] as const).flatMap((part) => {
    const { counts, commands } = found[part];
    const where = `${found.operation}${part === 'after' ? ', after the reply' : ''}`;
    const told = PART_KEYS.flatMap((key) => difference(`${where}: `, PARTS[key], recorded[part][key], counts[key]));
    return told.length === 0 ? [] : [...told, `${where}: the processes are now: ${commands.join(', ')}`];
  });
  const disks = DISK_KEYS.flatMap((key) =>
    difference(`${found.operation}: `, DISKS[key], recorded.disks[key], found.disks[key], SLACK[key]),
  );
  return [...parts, ...disks];
}

function difference(where: string, what: string, was: Count, is: number, slack = 0): readonly string[] {
  return isWithin(is, was, slack) ? [] : [`${where}${is} ${what}, recorded are ${textOf(was)}`];
}

function isWithin(value: number, recorded: Count, slack = 0): boolean {
  const { least, most } = typeof recorded === 'number' ? { least: recorded, most: recorded } : recorded;
  const more = slack === 0 ? 0 : Math.max(slack, most / 4);
  return value >= least - more && value <= most + more;
}

export function textOf(recorded: Count): string {
  return typeof recorded === 'number' ? String(recorded) : `${recorded.least} to ${recorded.most}`;
}

/** The counts of a run in the place of the recorded ones; a range that still holds stays one. */
export function recordedAnew(before: Table, found: readonly Operation[]): Table {
  return found.map(({ operation, call, after, disks }) => {
    const old = before.find((cost) => cost.operation === operation);
    return {
      operation,
      call: partAnew(old?.call, call),
      after: partAnew(old?.after, after),
      disks: { flushes: anew(old?.disks.flushes, disks.flushes), kib: anew(old?.disks.kib, disks.kib) },
    };
  });
}

function partAnew(old: Cost['call'] | undefined, { counts }: Measured): Cost['call'] {
  return {
    processes: anew(old?.processes, counts.processes),
    lvm: anew(old?.lvm, counts.lvm),
    changing: anew(old?.changing, counts.changing),
    commits: anew(old?.commits, counts.commits),
    devices: anew(old?.devices, counts.devices),
  };
}

function anew(was: Count | undefined, is: number): Count {
  return was !== undefined && isWithin(is, was) ? was : is;
}
