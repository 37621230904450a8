// Which stores of a family may grow, and whose writes they take: what the monitor watches.

import { storeBytesFor } from '../../dm/cow.ts';
import { isFilled } from '../../converge/desired.ts';
import type { InUse } from '../../converge/desired.ts';
import type { Desired } from '../../converge/device.ts';
import { absorbing, isFed, nearestVolume } from '../../records/family.ts';
import type { Family, Node } from '../../records/family.ts';
import type { Observed } from '../../dm/kernel.ts';
import { heldStores, lengthOf } from '../../dm/table.ts';
import type { EntityId } from '../../vocabulary/ids.ts';
import { deviceKey, entityOf } from '../../vocabulary/ids.ts';
import { imageSize } from '../../records/record.ts';
import { toBytes } from '../../vocabulary/units.ts';
import type { WatchedStore } from '../state/context.ts';

export function watchedStores(family: Family, wanted: Desired, inUse: InUse): readonly WatchedStore[] {
  return wanted.devices.flatMap(({ key, table }): readonly WatchedStore[] => {
    const [target] = table;
    const [store] = heldStores(table);
    const id = entityOf(key);
    const node = id === undefined ? undefined : family.nodes.get(id);
    if (node === undefined || store === undefined || target === undefined || !('cow' in target)) return [];
    const { entity } = node.record;
    return [
      {
        device: key,
        store,
        writer: writerOf(family, node),
        isFilled: isFilled(family, node, inUse),
        waits: target.cow.on === 'device',
        most: storeBytesFor(imageSize(node.record), toBytes(target.chunk)),
        fed: isFed(family, node),
        kind:
          target.type === 'snapshot-merge' ? 'merge' : absorbing(family, node) === undefined ? entity.kind : 'volume',
        layout: entity.parameters.layout,
      },
    ];
  });
}

/** The volume whose writes a store takes: its own, or that of what it hangs on. */
function writerOf(family: Family, node: Node): EntityId {
  return nearestVolume(family, node)?.id ?? node.id;
}

/** What the kernel writes into now, whatever is wanted: a driver that has just started has watched nothing yet. */
export function growingNow(family: Family, { devices }: Observed): readonly WatchedStore[] {
  const isMerging = [...devices.values()].some(({ live }) => live?.[0]?.type === 'snapshot-merge');
  return [...devices.values()].flatMap(({ key, live }): readonly WatchedStore[] => {
    const [target] = live ?? [];
    const [store] = heldStores(live);
    const record = store === undefined ? undefined : family.records.get(store);
    if (target?.type !== 'snapshot' || target.cow.on !== 'device' || store === undefined || record === undefined) {
      return [];
    }
    const node = family.nodes.get(record.entity.id);
    const writer = node === undefined ? record.entity.id : writerOf(family, node);
    const most = toBytes(lengthOf(devices.get(target.cow.device)?.live ?? []));
    return [
      {
        device: key,
        store,
        most,
        fed: true,
        waits: true,
        kind: 'volume',
        writer,
        isFilled: isMerging || devices.has(deviceKey(writer, 'top')),
        layout: record.entity.parameters.layout,
      },
    ];
  });
}
