// What becomes of a plan whose steps fail before anything was swapped: all is as it was, and nobody saw anything else. And what
// is learnt of stores that leave.

import { expect, test } from 'vitest';
import { converge } from '../../../src/converge/converge.ts';
import { desired } from '../../../src/converge/desired.ts';
import { buildFamily } from '../../../src/records/build-forest.ts';
import type { Kernel, Observed, ObservedDevice } from '../../../src/dm/kernel.ts';
import { inTurn } from '../../../src/dm/kernel.ts';
import { plan } from '../../../src/converge/plan.ts';
import type { Step } from '../../../src/dm/step.ts';
import { stepText } from '../../../src/dm/step.ts';
import { errors, heldStores, lengthOf } from '../../../src/dm/table.ts';
import type { DeviceKey, StoreName } from '../../../src/vocabulary/ids.ts';
import { deviceKey, isTail, storeOf } from '../../../src/vocabulary/ids.ts';
import { silentLog } from '../../../src/vocabulary/ports.ts';
import { sectors } from '../../../src/vocabulary/units.ts';
import {
  ALL,
  fork,
  fridayRecord,
  observedOf,
  reportOf,
  restoring,
  shop,
  shopRecord,
  wantedOf,
} from '../inspect/family.ts';

const before = observedOf(wantedOf(ALL, [shop, fork]));
const wanted = wantedOf(restoring(), [shop, fork]);
const steps = plan(before, wanted);
/** From there on a plan only goes forward. */
const swapsAt = steps.findIndex((step) => step.do === 'resume');

const sizes = new Map(reportOf(restoring()).stores.map(({ store, size }) => [store, size]));
const family = buildFamily(shop, restoring(), sizes);
const leavers = { finalUse: () => Promise.resolve(undefined), lost: () => undefined };
const neighbours = {
  alone: <T>(work: () => Promise<T>): Promise<T> => work(),
  changes: () => 0,
  beforeFreeze: () => Promise.resolve(),
};

/** As while they are unstaged. */
const mayGo = new Set([shop, fork]);

/** At the end of the freeze: all stands still that is to, and nothing has been swapped. */
const still = new Set(steps.flatMap((step) => (step.do === 'suspend' ? [step.device] : [])));
const loads = new Map(steps.flatMap((step) => (step.do === 'load' ? [[step.device, step.table] as const] : [])));
const standing: Observed = {
  ...before,
  devices: new Map(
    [...before.devices].map(([key, device]) => [
      key,
      { ...device, suspended: still.has(key), inactive: loads.get(key) },
    ]),
  ),
};

/** Every step that was tried; one failed, and perhaps one kind of step afterwards. `later`: what is found from then on. */
async function tried(failing: number, failingAfter?: Step['do'], later = standing): Promise<readonly Step[]> {
  const all: Step[] = [];
  const kernel: Kernel = {
    observe: () => Promise.resolve(all.length > failing ? later : before),
    statuses: () => Promise.resolve(new Map()),
    apply: inTurn((step) => {
      all.push(step);
      const fails = all.length > failing + 1 ? step.do === failingAfter : all.length === failing + 1;
      return fails ? Promise.reject(new Error('it failed')) : Promise.resolve();
    }),
  };
  await expect(converge(kernel, family, wanted, silentLog, { neighbours, leavers, mayGo })).rejects.toThrow(
    'it failed',
  );
  return all;
}

test('there is a table of a live device that is loaded before the freeze, and one in it', () => {
  const freezeAt = steps.findIndex((step) => step.do === 'suspend');
  const loads = steps.flatMap((step, index) => (step.do === 'load' && before.devices.has(step.device) ? [index] : []));
  expect(loads.some((index) => index < freezeAt)).toBe(true);
  expect(loads.some((index) => index > freezeAt && index < swapsAt)).toBe(true);
});

test.each(steps.slice(0, swapsAt).map((step, index) => ({ index, text: stepText(step) })))(
  'step $index fails, perhaps having happened: nothing that was loaded is shown, all that was suspended goes on ($text)',
  async ({ index }) => {
    const loaded = new Set<DeviceKey>();
    const suspended = new Set<DeviceKey>();
    const shown: string[] = [];
    for (const step of await tried(index)) {
      if (step.do === 'load') loaded.add(step.device);
      if (step.do === 'clear' || step.do === 'remove') loaded.delete(step.device);
      if (step.do === 'suspend') suspended.add(step.device);
      if (step.do !== 'resume') continue;
      suspended.delete(step.device);
      if (loaded.has(step.device)) shown.push(stepText(step));
    }
    expect(shown).toEqual([]);
    expect([...suspended]).toEqual([]);
    expect([...loaded]).toEqual([]);
  },
);

test('suspends that follow each other are one call, and so are resumes: writers wait for each process', async () => {
  const calls: (readonly Step[])[] = [];
  const kernel: Kernel = {
    observe: () => Promise.resolve(before),
    statuses: () => Promise.resolve(new Map()),
    apply: async (call) => void calls.push(call),
  };
  await converge(kernel, family, wanted, silentLog, { neighbours, leavers, mayGo });
  expect(calls.flat()).toEqual(steps);
  const kinds = calls.map(([step]) => step?.do);
  const together = calls.filter((call) => call.length > 1);
  expect(new Set(together.map(([step]) => step?.do))).toEqual(new Set(['suspend', 'resume']));
  for (const call of together) expect(new Set(call.map((step) => step.do)).size).toBe(1);
  expect(kinds.filter((kind, index) => kind === kinds[index - 1] && (kind === 'suspend' || kind === 'resume'))).toEqual(
    [],
  );
});

test('a kernel that does not answer once, after a swap, is looked at again: what stands still is not left so', async () => {
  let applied = 0;
  let looks = 0;
  const swapAt = steps.findIndex((step) => step.do === 'resume');
  const kernel: Kernel = {
    observe: () => {
      looks += 1;
      return looks === 2 ? Promise.reject(new Error('no answer')) : Promise.resolve(before);
    },
    statuses: () => Promise.resolve(new Map()),
    apply: (call) => {
      const isSecondSwap = applied > swapAt && looks === 1;
      if (isSecondSwap) return Promise.reject(new Error('it failed'));
      applied += call.length;
      return Promise.resolve();
    },
  };
  await converge(kernel, family, wanted, silentLog, { neighbours, leavers, mayGo });
  expect(looks).toBe(3);
});

test('of a call of resumes the last fails, and none has gone on: what was suspended goes on from the bottom up', async () => {
  const all: Step[] = [];
  let failed = false;
  const kernel: Kernel = {
    observe: () => Promise.resolve(failed ? standing : before),
    statuses: () => Promise.resolve(new Map()),
    apply: (call) => {
      all.push(...call);
      const fails = !failed && call[0]?.do === 'resume';
      failed ||= fails;
      return fails ? Promise.reject(new Error('it failed')) : Promise.resolve();
    },
  };
  await expect(converge(kernel, family, wanted, silentLog, { neighbours, leavers, mayGo })).rejects.toThrow(
    'it failed',
  );
  const wantedResumes = steps.flatMap((step) => (step.do === 'resume' ? [step.device] : []));
  const late = all.slice(steps.findLastIndex((step) => step.do === 'resume') + 1);
  const goneOn = late.flatMap((step) => (step.do === 'resume' ? [step.device] : []));
  const made = new Set(steps.flatMap((step) => (step.do === 'create' || step.do === 'make' ? [step.device] : [])));
  const expected = wantedResumes.filter((key) => !made.has(key));
  expect(goneOn.slice(0, expected.length)).toEqual(expected);
  expect(goneOn.filter((key) => made.has(key))).toEqual([]);
});

test('a table that cannot be emptied is not shown', async () => {
  const all = await tried(swapsAt - 1, 'clear');
  const late = all.slice(swapsAt);
  const loaded = new Set(late.flatMap((step) => (step.do === 'clear' ? [step.device] : [])));
  const resumed = late.flatMap((step) => (step.do === 'resume' ? [step.device] : []));
  expect(loaded.size).toBeGreaterThan(0);
  expect(resumed.filter((key) => loaded.has(key))).toEqual([]);
  expect(resumed.length).toBeGreaterThan(0);
});

test('the first resume fails, and nothing is shown anew: all goes on as it was', async () => {
  const late = (await tried(swapsAt)).slice(swapsAt + 1);
  const suspended = steps.flatMap((step) => (step.do === 'suspend' ? [step.device] : []));
  const kinds = late.map((step) => step.do);
  expect(kinds.lastIndexOf('clear')).toBeLessThan(kinds.indexOf('resume'));
  expect(late.flatMap((step) => (step.do === 'resume' ? [step.device] : []))).toEqual(
    expect.arrayContaining(suspended),
  );
});

test('the first resume fails although it happened: nothing is taken back, and the plan is made again', async () => {
  const level = wanted.devices.find(({ key }) => key === deviceKey(shop, 'level1'));
  const [found] = level === undefined ? [] : observedOf({ ...wanted, devices: [level] }).devices.values();
  const later = { ...standing, devices: new Map(standing.devices) };
  if (found !== undefined) later.devices.set(found.key, found);
  const late = (await tried(swapsAt, 'activate', later)).slice(swapsAt + 1);
  // The new plan empties what the old one had loaded, and begins; it is tried once more, and nothing is ever taken back.
  const begun = ['clear', 'clear', 'activate'];
  expect(late.map((step) => step.do)).toEqual([...begun, ...begun]);
});

test('what waits for a store that is given up fails, also when the freeze is put off', async () => {
  // Friday and all that hangs on it has gone: its tail is given errors, and they are not taken back.
  const gone = [shopRecord, { ...fridayRecord, deleted: true }];
  const rest = buildFamily(shop, gone, sizes);
  const isItsTail = (key: DeviceKey): boolean => storeOf(key) === fridayRecord.store && isTail(key);
  const tail = [...before.devices.values()].find(({ key }) => isItsTail(key));
  if (tail === undefined) throw new Error('there is no tail');
  const all: Step[] = [];
  const kernel: Kernel = {
    observe: () => Promise.resolve(observedOf(wantedOf([shopRecord, fridayRecord], [shop]))),
    statuses: () => Promise.resolve(new Map()),
    apply: inTurn((step) => {
      all.push(step);
      return Promise.resolve();
    }),
  };
  const full = { ...neighbours, beforeFreeze: () => Promise.reject(new Error('it is full')) };
  const inUse = { volumes: new Set([shop]), pinned: new Set<typeof shop>() };
  const attempt = converge(kernel, rest, desired(rest, inUse), silentLog, { neighbours: full, leavers, mayGo });
  await expect(attempt).rejects.toThrow('it is full');
  const ofTail = all.filter((step) => 'device' in step && step.device === tail.key);
  expect(ofTail).toEqual([{ do: 'swap', device: tail.key, table: errors(lengthOf(tail.live ?? [])), readOnly: false }]);
});

test('a store that is extended during every freeze does not end the attempts at once', async () => {
  let extended = 0;
  let observed = before;
  const resumed: DeviceKey[] = [];
  const kernel: Kernel = {
    observe: () => Promise.resolve(observed),
    statuses: () => Promise.resolve(new Map()),
    apply: inTurn(async (step) => {
      if (step.do === 'resume') resumed.push(step.device);
      if (step.do === 'resume' && extended >= EXTENSIONS) observed = observedOf(wanted);
    }),
  };
  const busy = {
    ...neighbours,
    changes: () => extended,
    beforeFreeze: async () => {
      if (extended < EXTENSIONS) extended += 1;
    },
  };
  await converge(kernel, family, wanted, silentLog, { neighbours: busy, leavers, mayGo });
  expect(extended).toBe(EXTENSIONS);
  expect(resumed.length).toBeGreaterThan(EXTENSIONS);
});

const EXTENSIONS = 10;

test('where a tail was swapped while a plan without a freeze was carried out, all is looked at again', async () => {
  let extended = 0;
  const looks: number[] = [];
  const kernel: Kernel = {
    observe: () => {
      looks.push(extended);
      return Promise.resolve(looks.length === 1 ? { devices: new Map(), stores: new Map() } : before);
    },
    statuses: () => Promise.resolve(new Map()),
    apply: inTurn(async (step) => {
      if (step.do === 'make') extended = 1;
    }),
  };
  const shown = wantedOf(ALL, [shop, fork]);
  const all = buildFamily(shop, ALL, sizes);
  await converge(kernel, all, shown, silentLog, {
    neighbours: { ...neighbours, changes: () => extended },
    leavers,
    mayGo,
  });
  expect(looks).toEqual([0, 1]);
});

/** A snapshot's device goes, and its store after it. */
const leaving = { store: fridayRecord.store };

const keyOf = (store: StoreName): DeviceKey => {
  const holds = ({ live }: ObservedDevice): boolean =>
    live?.[0]?.type === 'snapshot' && heldStores(live).includes(store);
  const found = [...before.devices.values()].find(holds);
  if (found === undefined) throw new Error(`nothing holds ${store}`);
  return found.key;
};
const nothing = { devices: [], stores: new Set<StoreName>(), givenUp: new Set<StoreName>() };

test.each([
  { what: 'goes', wanted: nothing, tells: [leaving.store] },
  { what: 'is given up', wanted: { ...nothing, givenUp: new Set([leaving.store]) }, tells: [] },
  { what: 'has gone over to another table', wanted: { ...nothing, stores: new Set([leaving.store]) }, tells: [] },
])('that the contents of a store are lost which $what', async ({ wanted: rest, tells }) => {
  const kernel: Kernel = {
    observe: () => Promise.resolve(before),
    statuses: () => Promise.resolve(new Map([[keyOf(leaving.store), { state: 'invalid' } as const]])),
    apply: inTurn(() => Promise.resolve()),
  };
  const told: StoreName[] = [];
  const all = buildFamily(shop, ALL, sizes);
  await converge(kernel, all, rest, silentLog, {
    neighbours,
    mayGo,
    leavers: { ...leavers, lost: (store) => void told.push(store) },
  });
  expect(told).toEqual(tells);
});

test.each([
  { what: 'is read from it', final: sectors(4000), use: { used: sectors(4000), isFinal: true } },
  { what: 'cannot be read', final: undefined, use: { used: sectors(800), isFinal: false } },
])('what a store uses whose device has gone $what', async ({ final, use }) => {
  const key = keyOf(leaving.store);
  const told: string[] = [];
  const kernel: Kernel = {
    observe: () => Promise.resolve(before),
    statuses: () =>
      Promise.resolve(
        new Map([[key, { state: 'counts', used: sectors(800), total: sectors(9000), metadata: sectors(16) } as const]]),
      ),
    apply: inTurn(async (step) => void told.push(step.do === 'remove' ? `remove ${step.device}` : step.do)),
  };
  const { measured } = await converge(kernel, buildFamily(shop, ALL, sizes), nothing, silentLog, {
    neighbours,
    mayGo,
    leavers: {
      ...leavers,
      finalUse: async (store, { status }) => {
        if (store !== leaving.store) return undefined;
        told.push(`asked after ${status.used}`);
        return final;
      },
    },
  });
  expect(measured.get(leaving.store)).toEqual(use);
  // When its device has gone, and before it goes itself.
  expect(told.indexOf('asked after 800')).toBeGreaterThan(told.lastIndexOf(`remove ${key}`));
  expect(told.slice(told.indexOf('asked after 800') + 1)).toEqual(['deactivate']);
});

test('nothing is done where a staged volume would lose its device, unless that is being unstaged', async () => {
  const all: Step[] = [];
  const kernel: Kernel = {
    observe: () => Promise.resolve(before),
    statuses: () => Promise.resolve(new Map()),
    apply: inTurn(async (step) => void all.push(step)),
  };
  const attempt = (going: readonly (typeof shop)[]): Promise<unknown> =>
    converge(kernel, buildFamily(shop, ALL, sizes), wantedOf(ALL, [shop]), silentLog, {
      neighbours,
      leavers,
      mayGo: new Set(going),
    });
  await expect(attempt([shop])).rejects.toMatchObject({ kind: 'contradiction', volumes: [fork] });
  expect(all).toEqual([]);
  await attempt([fork]);
  expect(all.filter((step) => step.do === 'remove' && step.device.endsWith('-top'))).toHaveLength(1);
});
