// What a power cut takes back: user writes without a flush, LVM's commits, and the parts of a store that the kernel
// itself writes without one. And what the effects' counter, the faults and the saved moments do.

import { expect, test } from 'vitest';
import { bytes, kib, mib } from '../../src/vocabulary/units.ts';
import { d, key, linear, merge, origin, s, snapshot, store, zeroes } from '../contract/words.ts';
import { SimCrash } from './errors.ts';
import type { Rig } from './proof-rig.ts';
import { createRig } from './proof-rig.ts';

async function activate(rig: Rig, ...names: readonly string[]): Promise<void> {
  for (const name of names) await rig.world.kernel.apply([{ do: 'activate', stores: [store(name)] }]);
}

async function volume(rig: Rig): Promise<number[]> {
  const v = zeroes();
  await rig.lv('D');
  await rig.create('real', [linear(s('D'))]);
  await rig.create('v', [linear(d('real'))]);
  rig.fill('v', v, 60);
  rig.world.user.flush(key('v'));
  return v;
}

test('user writes are durable after a flush, and may be lost before it', async () => {
  const rig = createRig();
  const v = await volume(rig);
  const before = [...v];
  rig.fill('v', v, 30);
  for (const [contents, wrong] of [
    ['nothing', v],
    ['everything', before],
  ] as const) {
    const moment = rig.world.control.save();
    rig.world.control.crashPower({ contents });
    await activate(rig, 'D');
    await rig.create('v', [linear(s('D'))]);
    rig.check('v', wrong);
    rig.world.control.restore(moment);
  }
  rig.world.control.crashPower({ contents: 'some' });
  await activate(rig, 'D');
  await rig.create('v', [linear(s('D'))]);
  expect(rig.wrong('v', v)).toBeGreaterThan(0);
  expect(rig.wrong('v', before)).toBeGreaterThan(0);
});

test('what was copied out is durable before the write that asked for it', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await rig.lv('c1');
  await rig.suspend('v');
  await rig.create('S1', snapshot(d('real'), s('c1')));
  await rig.load('v', origin(d('real')));
  await rig.resume('v');
  const s1 = [...v];
  rig.fill('v', v, 50);
  for (const contents of ['nothing', 'everything', 'some'] as const) {
    const moment = rig.world.control.save();
    rig.world.control.crashPower({ contents });
    await activate(rig, 'D', 'c1');
    await rig.create('real', [linear(s('D'))]);
    await rig.create('S1', snapshot(d('real'), s('c1')));
    expect(rig.wrong('S1', s1)).toBe(0);
    rig.world.control.restore(moment);
  }
});

test('wrong: a snapshot of what was acknowledged and not flushed', async () => {
  const rig = createRig();
  const v = await volume(rig);
  rig.fill('v', v, 20);
  await rig.lv('c1');
  rig.fill('v', v, 20);
  await rig.suspend('v');
  await rig.create('S1', snapshot(d('real'), s('c1')));
  await rig.load('v', origin(d('real')));
  await rig.resume('v');
  await rig.world.kernel.apply([{ do: 'flush', device: key('S1') }]);
  rig.world.control.crashPower({ contents: 'everything' });
  await activate(rig, 'D', 'c1');
  await rig.create('real', [linear(s('D'))]);
  await rig.create('S1', snapshot(d('real'), s('c1')));
  expect(rig.wrong('S1', v)).toBeGreaterThan(0);
});

test('a flush on a suspended device hangs; on the view below it does not', async () => {
  const rig = createRig();
  await volume(rig);
  await rig.suspend('v');
  await rig.world.kernel.apply([{ do: 'flush', device: key('real') }]);
  await expect(rig.world.kernel.apply([{ do: 'flush', device: key('v') }])).rejects.toThrow('hang');
});

test('LVM commits fall back in order; a removed store comes back, overwritten by who got its extents', async () => {
  const rig = createRig();
  const { lvm, control, host, inspect } = rig.world;
  await rig.lv('a');
  await lvm.retag(store('a'), ['one'], []);
  await lvm.flush();
  await lvm.retag(store('a'), ['two'], ['one']);
  await lvm.remove(store('a'));
  await lvm.create(store('b'), mib(1), 'linear', []);
  expect(inspect.volatile().commits).toBe(3);
  await host.zero(store('b'), bytes(0), mib(1));
  const moment = control.save();
  const seen = new Set<string>();
  for (let seed = 0; seed < 40; seed += 1) {
    control.restore(moment);
    control.reseed(seed);
    control.crashPower({ contents: 'nothing' });
    seen.add((await lvm.report()).stores.map((each) => `${each.store} ${each.tags.join(',')}`).join('; '));
  }
  expect(seen).toEqual(new Set([`${store('a')} one`, `${store('a')} two`, '', `${store('b')} `]));
  control.restore(moment);
  control.crashPower({ contents: 'nothing', commits: 'everything' });
  expect((await lvm.report()).stores).toMatchObject([{ store: store('a'), tags: ['one'], active: false }]);
  expect(inspect.store(store('a'))?.every((tag) => tag === 0)).toBe(true);
  control.restore(moment);
  await lvm.flush();
  control.crashPower({ commits: 'everything' });
  expect((await lvm.report()).stores).toMatchObject([{ store: store('b'), active: false }]);
});

test('wrong: a merge begun before its commit is durable destroys what the older metadata shows', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await rig.lv('c1');
  await rig.suspend('v');
  await rig.create('S1', snapshot(d('real'), s('c1')));
  await rig.load('v', origin(d('real')));
  await rig.resume('v');
  rig.fill('v', v, 40);
  rig.world.user.flush(key('v'));
  await rig.world.lvm.flush();
  await rig.world.lvm.retag(store('D'), ['merging'], []);
  await rig.suspend('v', 'S1', 'real');
  await rig.load('real', merge(s('D'), s('c1')));
  await rig.resume('real', 'v');
  rig.world.control.merge(5);
  rig.world.control.crashPower({ commits: 'everything', contents: 'nothing' });
  expect((await rig.world.lvm.report()).stores.find((each) => each.store === store('D'))?.tags).toEqual([]);
  await activate(rig, 'D');
  await rig.create('v', [linear(s('D'))]);
  expect(rig.wrong('v', v)).toBeGreaterThan(0);
});

test('the kernel does not flush the mark of an invalid snapshot: a power cut can bring it back, stale', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await rig.lv('c1', kib(64));
  await rig.suspend('v');
  await rig.create('S1', snapshot(d('real'), s('c1')));
  await rig.load('v', origin(d('real')));
  await rig.resume('v');
  const s1 = [...v];
  rig.fill('v', v, 60);
  expect(await rig.status('S1')).toBe('invalid');
  rig.world.user.flush(key('v'));
  rig.world.control.crashPower({ contents: 'everything' });
  await activate(rig, 'D', 'c1');
  await rig.create('real', [linear(s('D'))]);
  await rig.create('S1', snapshot(d('real'), s('c1')));
  expect(await rig.status('S1')).toBe('128/128 32');
  expect(rig.wrong('S1', s1)).toBeGreaterThan(0);
});

test('nor does it flush a new header and its empty area: clean both before the first load, not the header alone', async () => {
  const rig = createRig();
  const v = await volume(rig);
  for (const [cleaned, good] of [
    [kib(4), false],
    [kib(16), true],
  ] as const) {
    const moment = rig.world.control.save();
    await rig.world.lvm.create(store('c1'), mib(1), 'linear', []);
    await rig.world.host.zero(store('c1'), bytes(0), cleaned);
    await rig.world.lvm.flush();
    await rig.create('S1', snapshot(d('real'), s('c1')));
    const written = rig.world.control.save();
    let wrong = 0;
    for (let cut = 0; cut < 16; cut += 1) {
      rig.world.control.restore(written);
      rig.world.control.reseed(cut);
      rig.world.control.crashPower({ contents: 'some', commits: 'nothing' });
      await activate(rig, 'D', 'c1');
      await rig.create('real', [linear(s('D'))]);
      await rig.create('S1', snapshot(d('real'), s('c1'))).catch(() => undefined);
      wrong += rig.wrong('S1', v);
    }
    expect(wrong === 0).toBe(good);
    rig.world.control.restore(moment);
  }
});

test('every prefix: stopAfter kills before an effect, a crash revives, a moment can be returned to', async () => {
  const rig = createRig();
  const { control, kernel, lvm } = rig.world;
  const v = await volume(rig);
  const moment = control.save();
  const snap = async () => {
    await rig.lv('c1');
    await rig.suspend('v');
    await rig.create('S1', snapshot(d('real'), s('c1')));
    await rig.load('v', origin(d('real')));
    await rig.resume('v');
  };
  let prefixes = 0;
  for (let n = 0; ; n += 1) {
    control.restore(moment);
    control.stopAfter(n);
    const error: unknown = await snap().catch((thrown: unknown) => thrown);
    if (error === undefined) break;
    expect(error).toBeInstanceOf(SimCrash);
    await expect(kernel.observe()).rejects.toThrow(SimCrash);
    prefixes += 1;
    control.crashDriver();
    await lvm.report();
    rig.check('v', v);
  }
  expect(prefixes).toBe(9);
});

test('a fault fails one effect, without or after its having happened', async () => {
  const rig = createRig();
  const { control, lvm } = rig.world;
  await rig.lv('a');
  control.failAfter(0, 'before');
  await expect(lvm.retag(store('a'), ['x'], [])).rejects.toThrow('nothing happened');
  control.failAfter(1, 'after');
  await lvm.retag(store('a'), ['y'], []);
  await expect(lvm.retag(store('a'), ['z'], [])).rejects.toThrow('it happened');
  expect((await lvm.report()).stores[0]?.tags).toEqual(['y', 'z']);
});
