// A store with a tail under random writes, extensions, flattenings and power cuts, chunk sizes mixed: the snapshot is exact
// at every moment, what was acknowledged is there, and writes wait exactly when more is used than the store has.

import { expect, test } from 'vitest';
import { mib } from '../../src/vocabulary/units.ts';
import type { Table } from '../../src/dm/table.ts';
import { d, filler, key, linear, origin, s, snapshot, store, tailed, zeroes } from '../contract/words.ts';
import type { Rig } from './proof-rig.ts';
import { createRig } from './proof-rig.ts';
import type { Random } from './random.ts';
import { draw } from './random.ts';

const BLOCKS = 640;
const SEEDS = 40;
const OPERATIONS = 60;

/** The cow device and what it is made of: `room` blocks of the store in all, the first `flat` of them in its own table. */
interface Cow {
  readonly chunk: number;
  readonly total: number;
  room: number;
  flat: number;
  readonly tails: string[];
  made: number;
}

test.each(Array.from({ length: SEEDS }, (_, seed) => seed + 1))('seed %i', async (seed) => {
  const random: Random = { state: seed };
  const rig = createRig({ seed });
  const chunk = 2 ** draw(random, 4);
  const chunks = BLOCKS / chunk;
  const total = (2 + chunks + Math.floor(chunks / (256 * chunk))) * chunk;
  await rig.lv('D', mib(3));
  await rig.lv('c1', mib(4));
  await rig.create('real', [linear(s('D'), BLOCKS)]);
  await rig.create('v', [linear(d('real'), BLOCKS)]);
  const v = zeroes(BLOCKS);
  rig.fill('v', v, 300);
  rig.world.user.flush(key('v'));
  const s1 = [...v];
  const cow: Cow = { chunk, total, room: 3 * chunk, flat: 3 * chunk, tails: [], made: 0 };
  await rig.suspend('v');
  await bottom(rig, cow);
  await top(rig);

  for (let n = 0; n < OPERATIONS; n += 1) {
    const waiting = rig.world.user.queued().length > 0;
    const choice = draw(random, 10);
    if (choice < 6) write(rig, random, v);
    else if (choice < 8) await extend(rig, cow, 1 + draw(random, 80));
    else if (choice === 8 && !waiting) await flatten(rig, cow);
    else if (choice === 9) await cut(rig, cow, v);
    rig.check('S1', s1);
    checkVolume(rig, v);
    const used = Number((await rig.status('S1')).split('/')[0]) / 8;
    expect(used > cow.room).toBe(rig.world.user.queued().length > 0);
  }
  while (cow.room < total) await extend(rig, cow, total);
  rig.check('v', v);
  rig.check('S1', s1);
  expect(rig.world.inspect.notices()).toEqual([]);
});

function tail(cow: Cow): string {
  return cow.tails.at(-1) ?? '';
}

async function newTail(rig: Rig, cow: Cow): Promise<void> {
  cow.made += 1;
  cow.tails.push(`t${cow.made}`);
  await rig.create(tail(cow), [filler('hold', cow.total - cow.room)]);
}

async function bottom(rig: Rig, cow: Cow): Promise<void> {
  cow.tails.length = 0;
  cow.flat = cow.room;
  if (cow.room < cow.total) await newTail(rig, cow);
  await rig.create('cow', cowTable(cow));
  await rig.create('S1', snapshot(d('real'), d('cow'), { blocks: BLOCKS, chunk: cow.chunk }));
}

function cowTable(cow: Cow) {
  const { room, total } = cow;
  return room < total ? tailed(s('c1'), room, d(tail(cow)), total - room) : [linear(s('c1'), total)];
}

async function top(rig: Rig): Promise<void> {
  if (!rig.world.inspect.devices().includes(key('v')))
    await rig.world.kernel.apply([{ do: 'create', device: key('v') }]);
  await rig.load('v', origin(d('real'), BLOCKS));
  await rig.resume('v');
}

/** Writes that wait are in the model too, as what they will be; until then their blocks are not compared. */
function write(rig: Rig, random: Random, v: number[]): void {
  const length = 1 + draw(random, 24);
  const block = draw(random, BLOCKS - length);
  const tags = Array.from({ length }, () => 1_000_000 + draw(random, 1_000_000));
  expect(rig.world.user.write(key('v'), block, tags)).not.toBe('failed');
  v.splice(block, length, ...tags);
}

async function extend(rig: Rig, cow: Cow, blocks: number): Promise<void> {
  if (cow.room >= cow.total) return;
  const from = cow.room;
  const former = tail(cow);
  cow.room = Math.min(cow.total, from + blocks);
  const more = linear(s('c1'), cow.room - from, from);
  if (cow.room === cow.total) {
    await swap(rig, former, [more]);
  } else {
    await newTail(rig, cow);
    await swap(rig, former, [more, linear(d(tail(cow)), cow.total - cow.room)]);
  }
}

async function swap(rig: Rig, name: string, table: Table): Promise<void> {
  await rig.world.kernel.apply([{ do: 'swap', device: key(name), table, readOnly: false }]);
}

async function flatten(rig: Rig, cow: Cow): Promise<void> {
  if (cow.flat === cow.room) return;
  const last = cow.room < cow.total ? tail(cow) : undefined;
  await rig.load('cow', cowTable(cow));
  await rig.resume('cow');
  const old = cow.tails.filter((each) => each !== last);
  await rig.remove(...old);
  cow.tails.splice(0, cow.tails.length, ...(last === undefined ? [] : [last]));
  cow.flat = cow.room;
}

/** After a cut nothing waits any more; what waited may be there or not, block by block. */
async function cut(rig: Rig, cow: Cow, v: number[]): Promise<void> {
  expect(rig.world.user.flush(key('v'))).toBe('done');
  const lost = waitingBlocks(rig);
  rig.world.control.crashPower({ contents: 'some', commits: 'nothing' });
  await rig.world.kernel.apply([{ do: 'activate', stores: [store('D'), store('c1')] }]);
  await rig.create('real', [linear(s('D'), BLOCKS)]);
  await bottom(rig, cow);
  await top(rig);
  const content = rig.world.inspect.content(key('v')) ?? [];
  for (const block of lost) v[block] = content[block] ?? 0;
}

function waitingBlocks(rig: Rig): ReadonlySet<number> {
  return new Set(rig.world.user.queued().flatMap(({ block, tags }) => tags.map((_, i) => block + i)));
}

function checkVolume(rig: Rig, v: readonly number[]): void {
  const waits = waitingBlocks(rig);
  const content = rig.world.inspect.content(key('v')) ?? [];
  expect(v.filter((want, block) => !waits.has(block) && content[block] !== want)).toEqual([]);
}
