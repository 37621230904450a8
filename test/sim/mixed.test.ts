// Random chains with chunk sizes and write sizes mixed, merges that move at random moments, power cuts: in
// the right order the simulation must not lose a block, or it would accuse an innocent engine.

import { expect, test } from 'vitest';
import { kib } from '../../src/vocabulary/units.ts';
import { d, key, linear, merge, origin, s, snapshot, store, zeroes } from '../contract/words.ts';
import type { Rig } from './proof-rig.ts';
import { createRig } from './proof-rig.ts';
import type { Random } from './random.ts';
import { draw } from './random.ts';

interface Taken {
  readonly name: string;
  readonly cow: string;
  readonly chunk: number;
  readonly model: readonly number[];
}

interface State {
  readonly rig: Rig;
  readonly random: Random;
  readonly v: number[];
  /** Oldest first. */
  readonly chain: Taken[];
  /** The store that is being merged into D, with its chunk. */
  merging: { readonly cow: string; readonly chunk: number } | undefined;
  stores: number;
}

async function newStore(state: State): Promise<string> {
  state.stores += 1;
  const name = `c${state.stores}`;
  await state.rig.lv(name, kib(2560));
  return name;
}

function write(state: State): void {
  const { random, v, rig } = state;
  for (let i = 0; i < 12; i += 1) rig.fill('v', v, 1, draw(random, 16) + 1);
}

async function take(state: State): Promise<void> {
  const { rig, chain, random, v } = state;
  const chunk = 2 ** draw(random, 4);
  const cow = await newStore(state);
  const name = `S${state.stores}`;
  const former = chain.at(-1);
  write(state);
  await rig.suspend('v');
  await rig.world.kernel.apply([{ do: 'flush', device: key('real') }]);
  if (former !== undefined) await rig.suspend(former.name);
  await rig.create(name, snapshot(d('real'), s(cow), { chunk }));
  if (former !== undefined) {
    await rig.load(former.name, snapshot(d(name), s(former.cow), { chunk: former.chunk }));
    await rig.resume(former.name);
  }
  await rig.load('v', origin(d('real')));
  await rig.resume('v');
  chain.push({ name, cow, chunk, model: [...v] });
}

async function restoreNewest(state: State): Promise<void> {
  const { rig, chain, v } = state;
  const newest = chain.pop();
  if (newest === undefined || state.merging !== undefined) {
    if (newest !== undefined) chain.push(newest);
    return;
  }
  const cow = await newStore(state);
  await rig.suspend('v', ...chain.map((each) => each.name), newest.name, 'real');
  await rig.load('real', merge(s('D'), s(newest.cow), { chunk: newest.chunk }));
  await rig.load(newest.name, snapshot(d('real'), s(cow), { chunk: newest.chunk }));
  await rig.resume('real', newest.name, ...chain.map((each) => each.name).toReversed(), 'v');
  v.splice(0, v.length, ...newest.model);
  chain.push({ ...newest, cow });
  state.merging = { cow: newest.cow, chunk: newest.chunk };
}

async function settle(state: State): Promise<void> {
  const { rig } = state;
  expect(rig.world.control.finishMerges()).toBe(true);
  if (state.merging === undefined) return;
  await rig.suspend('v', 'real');
  await rig.load('real', [linear(s('D'))]);
  await rig.resume('real', 'v');
  await rig.world.lvm.remove(store(state.merging.cow));
  await rig.world.lvm.flush();
  state.merging = undefined;
}

async function cut(state: State): Promise<void> {
  const { rig, chain, merging } = state;
  const { kernel, lvm, control } = rig.world;
  expect(rig.world.user.flush(key('v'))).toBe('done');
  control.merge(draw(state.random, 6));
  if (draw(state.random, 2) === 0) control.crashPower();
  else control.crashInMerge();
  for (const each of (await lvm.report()).stores) await kernel.apply([{ do: 'activate', stores: [each.store] }]);
  const view = merging === undefined ? [linear(s('D'))] : merge(s('D'), s(merging.cow), { chunk: merging.chunk });
  await rig.create('real', view);
  for (const [i, each] of chain.toReversed().entries()) {
    const parent = i === 0 ? 'real' : (chain.at(-i)?.name ?? '');
    await rig.create(each.name, snapshot(d(parent), s(each.cow), { chunk: each.chunk }));
  }
  await rig.create('v', origin(d('real')));
}

test.each(Array.from({ length: 40 }, (_, i) => i + 1))('nothing is lost in the right order (seed %i)', async (seed) => {
  const rig = createRig({ seed, extent: kib(256) });
  const state: State = { rig, random: { state: seed }, v: zeroes(), chain: [], merging: undefined, stores: 0 };
  await rig.lv('D', kib(512));
  await rig.create('real', [linear(s('D'))]);
  await rig.create('v', [linear(d('real'))]);
  const acts = [take, take, restoreNewest, settle, cut];
  for (let i = 0; i < 12; i += 1) {
    write(state);
    const act = state.chain.length === 0 ? take : (acts[draw(state.random, acts.length)] ?? take);
    if (state.chain.length < 6 || act !== take) await act(state);
    write(state);
    rig.world.control.merge(draw(state.random, 4));
    rig.check('v', state.v);
    for (const each of state.chain) rig.check(each.name, each.model);
  }
  expect(rig.world.inspect.notices()).toEqual([]);
});
