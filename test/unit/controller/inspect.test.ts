import { expect, test } from 'vitest';
import { inspectService } from '../../../src/controller/inspect.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import { poolName } from '../../../src/vocabulary/ids.ts';
import { viewPool } from '../../../src/inspect/pool.ts';
import type { Look } from '../../../src/inspect/pool.ts';
import { fromWire } from '../../../src/inspect/from-wire.ts';
import type { Pools } from '../../../src/pools/pools.ts';
import { gib, mib } from '../../../src/vocabulary/units.ts';
import {
  ALL,
  POOL,
  VG_UUID,
  friday,
  fridayRecord,
  lookOf,
  observedOf,
  reportOf,
  restoring,
  shop,
  shopRecord,
  wantedOf,
} from '../inspect/family.ts';
import { DEFINITIONS, callerOf } from './call.ts';
import { createFakeEngine } from './fake-engine.ts';

const engineOf = (look: Look): Engine => ({
  ...createFakeEngine({ pool: POOL, vg: VG_UUID }),
  inspect: async () => look,
});
const silent = createFakeEngine({ pool: 'silent' });
const LATE = poolName('late');

const FULL = new Map([[fridayRecord.store, { writer: shop, missing: mib(64) }]]);
const WISH = {
  token: '000000000w',
  mode: 'onactivate',
  snapshot: friday,
  keepSnapshot: true,
  safetySnapshotName: undefined,
  askedMs: 6000,
} as const;

function lookWith(look: Look): Look {
  const known = {
    ...look.known,
    reserve: gib(10),
    stuck: new Map([[shop, 'why']]),
    busy: () => true,
    full: FULL,
    whyWaiting: new Map([[WISH.token, 'in use']]),
  };
  return { ...look, known };
}

async function arrived(look: Look) {
  const pools: Pools = {
    names: () => [POOL, silent.pool],
    engines: () =>
      new Map([
        [POOL, engineOf(look)],
        [silent.pool, silent],
      ]),
    waiting: () => new Map([[LATE, undefined]]),
    others: () => new Set(),
  };
  return fromWire(await callerOf(DEFINITIONS.inspect, inspectService(pools, '1.2.3'))('InspectPools'));
}

test.each<[string, Look]>([
  ['as it should be', lookWith(lookOf())],
  [
    'with a restore under way',
    lookWith({
      ...lookOf(),
      report: reportOf(restoring()),
      observed: observedOf(wantedOf(restoring(), [shop]), mib(9)),
    }),
  ],
  [
    'with a restore that waits',
    lookWith(lookOf(ALL.map((one) => (one === shopRecord ? { ...one, wish: WISH } : one)))),
  ],
  ['with findings', lookWith({ ...lookOf(), observed: { devices: new Map(), stores: new Map() } })],
  [
    'with records in contradiction and a disk missing',
    lookWith({
      ...lookOf(),
      report: reportOf(ALL.slice(1), {
        physicalVolumes: [{ path: '/dev/vdc', size: gib(1), free: gib(0), missing: true, closed: false }],
      }),
    }),
  ],
])('what is seen %s arrives as it is, and pools that do not answer with the reason', async (_, look) => {
  const { version, pools } = await arrived(look);
  expect(version).toBe('1.2.3');
  expect(pools).toEqual([
    { name: 'fast', problem: '', contents: viewPool(look) },
    { name: 'silent', problem: "Cannot look at pool 'silent': it has neither LVM nor a kernel", contents: undefined },
    { name: 'late', problem: 'it is being started', contents: undefined },
  ]);
});

test('an answer of another version is refused with the field', () => {
  expect(() => fromWire({ version: '1', pools: [{ name: 'a', problem: '' }] })).toThrow(
    "Cannot read the driver's answer: volume_group",
  );
  expect(() => fromWire({})).toThrow("Cannot read the driver's answer: version");
});
