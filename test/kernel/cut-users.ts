// Users who write all the time, one a volume, and flush now and then: what they were told of before the power failed. A
// write that a flush came after has to be there; every other one of the plan may be, because it may have got to the disk.

import { output } from '../../src/system/exec.ts';
import type { DeviceKey } from '../../src/vocabulary/ids.ts';
import { deviceKey, dmName, isVolumeId, poolName } from '../../src/vocabulary/ids.ts';
import type { Fresh } from '../contract/crash-draw.ts';
import type { Model, Shown } from '../contract/crash-model.ts';
import { written } from '../contract/crash-model.ts';
import type { Operation, Write } from '../contract/crash-operation.ts';
import type { Random } from '../contract/random.ts';
import type { Guest } from '../../vm/guest.ts';
import { waitFor } from '../../vm/wait.ts';
import { guestExec } from './guest-exec.ts';

export interface User {
  readonly name: string;
  readonly plan: readonly Write[];
  /** So many of the plan's writes are durable, the user was told. */
  readonly flushed: () => number;
  /** The user's process has ended, or its machine. */
  readonly ended: Promise<void>;
}

/** As long as an operation under emulation, and more. */
const WRITES = 800;
const MOST_BLOCKS_A_WRITE = 6;
/** So little of a volume that the stores which take what it overwrites do not fill before the monitor's next look. */
const REGION_BLOCKS = 40;
const WRITES_A_FLUSH = 10;
const PAUSE_SECONDS = 0.004;
/** Writes are slow where the kernel copies slowly. */
const START_LIMIT_MS = 30_000;

/**
 * A line of standard input is a write: a block and its tags. After every so many a flush, and their count is told. Numbers
 * in the place of modules, which load slowly: O_RDWR and O_DIRECT, fsync.
 */
const WRITER = String.raw`
use strict;
my ($path, $each, $pause) = @ARGV;
$| = 1;
sysopen(my $device, $path, 2 | 0x4000) or die "open: $!";
my $memory = "\0" x (1 << 20);
my $start = -unpack('J', pack('p', $memory)) % 4096;
my $done = 0;
while (my $line = <STDIN>) {
  my ($block, @tags) = split ' ', $line;
  my $data = join '', map { pack('Q<', $_) x 512 } @tags;
  substr($memory, $start, length $data) = $data;
  sysseek($device, $block * 4096, 0) or die "seek: $!";
  syswrite($device, $memory, length $data, $start) == length $data or die "write: $!";
  $done += 1;
  if ($done % $each == 0) { syscall(74, fileno $device) == 0 or die "sync: $!"; print "$done\n" }
  select(undef, undef, undef, $pause);
}
`;

interface Draw {
  readonly random: Random;
  readonly fresh: Fresh;
  readonly model: Model;
  readonly shown: ReadonlyMap<string, Shown>;
}

/** On every volume that is mounted during the operation; they have begun to write when this returns. */
export async function startUsers(guest: Guest, draw: Draw, op: Operation): Promise<readonly User[]> {
  const users: User[] = [];
  for (const [name, image] of draw.model) {
    const id = draw.shown.get(name)?.id;
    if (image.kind !== 'volume' || !image.active || id === undefined || !isVolumeId(id)) continue;
    // A volume that is being restored, or taken away, is mounted by nobody; one that is being written has its user.
    if (image.wish !== undefined && image.wish.mode !== 'snapshot') continue;
    const mine = 'volume' in op && op.volume.name === name;
    const isRestored = op.do === 'restore' && op.mode !== 'snapshot';
    if (mine && (isRestored || op.do === 'deactivate' || op.do === 'write')) continue;
    const own = mine && op.do === 'snapshot' ? op.unflushed : undefined;
    const plan = planOf(draw, image.blocks.length, own);
    users.push(await startUser(guest, name, deviceKey(id, 'top'), plan));
  }
  const begun = await waitFor(START_LIMIT_MS, () => (users.every(({ flushed }) => flushed() > 0) ? true : undefined));
  if (begun === undefined) throw new Error('Cannot write: a user is stuck');
  return users;
}

/** `own`: what the operation writes by itself; of two writes to one block at once nobody could say which came last. */
function planOf({ random, fresh }: Draw, blocks: number, own: Write | undefined): readonly Write[] {
  const drawn = random.below(blocks - REGION_BLOCKS);
  const first = own === undefined ? drawn : besides(own, drawn, blocks);
  return Array.from({ length: WRITES }, () => {
    const length = 1 + random.below(MOST_BLOCKS_A_WRITE);
    const at = first + random.below(REGION_BLOCKS - length);
    return { at, tags: Array.from({ length }, () => fresh.tag++) };
  });
}

/** Where the region has to begin so that it does not meet the write. */
function besides({ at, tags }: Write, first: number, blocks: number): number {
  const end = at + tags.length;
  if (first >= end || first + REGION_BLOCKS <= at) return first;
  return end + REGION_BLOCKS <= blocks ? end : at - REGION_BLOCKS;
}

async function startUser(guest: Guest, name: string, device: DeviceKey, plan: readonly Write[]): Promise<User> {
  const list = ['dmsetup', 'info', '-c', '--noheadings', '-o', 'minor', dmName(poolName('test'), device)] as const;
  const minor = (await output(guestExec(guest), list)).trim();
  let told = '';
  const running = guest.exec(
    ['perl', '-e', WRITER, `/dev/dm-${minor}`, String(WRITES_A_FLUSH), String(PAUSE_SECONDS)],
    {
      stdin: plan.map(({ at, tags }) => `${at} ${tags.join(' ')}\n`).join(''),
      onStdout: (bytes) => {
        told += Buffer.from(bytes).toString();
      },
    },
  );
  return {
    name,
    plan,
    flushed: () => Number(told.split('\n').at(-2) ?? 0),
    ended: running.then(
      () => undefined,
      () => undefined,
    ),
  };
}

/** What the model says after a cut, when these users wrote during the operation. */
export function withUsers(model: Model, op: Operation, users: readonly User[]): Model {
  return users.reduce((all, { name, plan, flushed }) => {
    const sure = flushed();
    const made = madeFrom(op, name);
    return plan.reduce((before, { at, tags }, index) => {
      const after = written(before, name, at, tags, index < sure);
      // A new image of the volume shows a moment of it, whichever.
      return made === undefined ? after : written(after, made, at, tags, false);
    }, all);
  }, model);
}

function madeFrom(op: Operation, volume: string): string | undefined {
  if (op.do === 'create') return op.from?.name === volume ? op.name : undefined;
  if (op.do === 'snapshot') return op.volume.name === volume ? op.name : undefined;
  return op.do === 'restore' && op.volume.name === volume ? op.safety : undefined;
}
