// What a restarted node shows and holds: every image read in full, and everything that should not be there.

import type { PoolEngine } from '../../src/engine/compose.ts';
import { ofFamily } from '../../src/converge/converge.ts';
import { desired } from '../../src/converge/desired.ts';
import type { DesiredDevice } from '../../src/converge/device.ts';
import { buildForest } from '../../src/records/build-forest.ts';
import type { Family } from '../../src/records/family.ts';
import type { Observed } from '../../src/dm/kernel.ts';
import { plan } from '../../src/converge/plan.ts';
import { stepText } from '../../src/dm/step.ts';
import type { DeviceKey, EntityId } from '../../src/vocabulary/ids.ts';
import { deviceKey, entityOf, isVolumeId } from '../../src/vocabulary/ids.ts';
import { fitTails } from '../../src/converge/tails.ts';
import type { Shown } from './crash-model.ts';
import type { CrashRig } from './crash-rig.ts';
import { BLOCK_BYTES } from './rig.ts';

const VOLUME: Shown['kind'] = 'volume';
const SNAPSHOT: Shown['kind'] = 'snapshot';

/** What is there, as its owner lists it, by name. */
export async function listAll(engine: PoolEngine) {
  const waiting = new Map<string, string>(
    (await engine.listRestores()).flatMap(({ id, phase, volume }) =>
      phase === 'waiting' ? [[volume, id] as const] : [],
    ),
  );
  return [
    ...(await engine.listVolumes()).map((volume) => ({ ...volume, kind: VOLUME, waits: waiting.get(volume.id) })),
    ...(await engine.listSnapshots()).map((one) => ({ ...one, kind: SNAPSHOT, active: false, waits: undefined })),
  ];
}

/** Volumes and snapshots by name, with their contents: of a top where there is one, otherwise of the view. */
export async function lookAt(rig: CrashRig, engine: PoolEngine): Promise<ReadonlyMap<string, Shown>> {
  const found = await listAll(engine);
  const deviceOf = (id: EntityId, active: boolean): DeviceKey => deviceKey(id, active ? 'top' : 'view');
  await engine.show(new Set<EntityId>(found.map(({ id }) => id)));
  const contents = await rig.read(found.map(({ id, active }) => deviceOf(id, active)));
  const shown = new Map<string, Shown>();
  for (const { kind, name, id, size, active, waits, createdMs } of found) {
    if (name === undefined || shown.has(name)) throw new Error(`Two images are called '${name}'`);
    const blocks = contents.get(deviceOf(id, active)) ?? [];
    // The image of a snapshot that larger ones read through is longer than the snapshot.
    shown.set(name, { kind, id, active, waits, createdMs, blocks: blocks.slice(0, Number(size) / BLOCK_BYTES) });
  }
  await engine.show(new Set());
  return shown;
}

/** One line for each thing that is left over or not as the records want it. */
export async function leftovers({ kernel, lvm }: Pick<CrashRig, 'kernel' | 'lvm'>): Promise<readonly string[]> {
  const observed = await kernel.observe();
  const { families, troubles } = buildForest((await lvm.report()).stores);
  const lines = troubles.map(({ reason }) => reason);
  const expected = new Map<DeviceKey, DesiredDevice>();
  for (const family of families.values()) {
    const { rubbish, undecided, settled } = family;
    const stores = [...rubbish, ...undecided.map(({ store }) => store), ...settled.map(({ store }) => store)];
    if (stores.length > 0) lines.push(`left over in ${family.id}: ${stores.join(', ')}`);
    const wanted = desired(family, { volumes: new Set(topsOf(family, observed)), pinned: new Set() });
    const mine = ofFamily(observed, family);
    for (const device of fitTails(wanted, mine, new Set()).devices) expected.set(device.key, device);
    const steps = plan(mine, wanted);
    if (steps.length > 0) lines.push(`not converged in ${family.id}: ${steps.map(stepText).join(', ')}`);
  }
  for (const { key, suspended, inactive } of observed.devices.values()) {
    if (!expected.has(key)) lines.push(`left-over device ${key}`);
    if (suspended) lines.push(`${key} is suspended`);
    if (inactive !== undefined) lines.push(`${key} has an inactive table`);
  }
  return lines;
}

function topsOf(family: Family, { devices }: Observed) {
  return [...devices.keys()].flatMap((key) => {
    const id = entityOf(key);
    if (id === undefined || !isVolumeId(id) || !key.endsWith('-top')) return [];
    return family.nodes.get(id)?.record.deleted === false ? [id] : [];
  });
}
