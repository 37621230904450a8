// What LVM and the kernel hold of one pool -> what there is to see of it. Pure.

import { ofFamily } from '../converge/converge.ts';
import { imageDepths } from '../converge/depth.ts';
import { desired, inUseIn } from '../converge/desired.ts';
import type { Family, Node } from '../records/family.ts';
import { buildForest } from '../records/build-forest.ts';
import type { Observed } from '../dm/kernel.ts';
import { isTop, isVolumeId } from '../vocabulary/ids.ts';
import type { PoolReport, StoreReport } from '../lvm/lvm.ts';
import { bytes } from '../vocabulary/units.ts';
import { familyFindings, strayFindings } from './findings.ts';
import { viewImage } from './image.ts';
import type { FamilyView, Known, PoolContents } from './view.ts';

/** One look at a pool: what its LVM and its kernel said, and what its driver knows. */
export interface Look {
  readonly report: PoolReport;
  readonly observed: Observed;
  readonly known: Known;
}

/** What is known where no driver runs: a volume is in use when it has its top device, as a driver would take it. */
export function unattended(observed: Observed): Known {
  const tops = [...observed.devices.keys()].flatMap((key) => (isTop(key) ? [key.slice(0, -'-top'.length)] : []));
  return {
    active: new Set(tops.filter(isVolumeId)),
    pinned: new Set(),
    stuck: new Map(),
    waiting: new Set(),
    whyWaiting: new Map(),
    full: new Map(),
    busy: () => false,
    underWay: new Set(),
    measured: new Map(),
    reserve: undefined,
  };
}

export function viewPool({ report, observed, known }: Look): PoolContents {
  const forest = buildForest(report.stores);
  const stores = new Map(report.stores.map((store) => [store.store, store]));
  const families = [...forest.families.values()];
  return {
    vgName: report.vgName,
    vgUuid: report.vgUuid,
    size: report.size,
    free: report.free,
    reserve: known.reserve,
    metadataSize: report.metadataSize,
    metadataFree: report.metadataFree,
    disks: report.physicalVolumes,
    strangers: report.strangers,
    families: families.map((family) => viewFamily(family, stores, observed, known)).sort(byAge),
    troubles: forest.troubles.map(({ family, stores, entities, reason }) => ({
      family,
      stores,
      images: [...entities].sort(),
      reason,
    })),
    findings: strayFindings(forest, observed, stores),
  };
}

function viewFamily(
  family: Family,
  stores: ReadonlyMap<string, StoreReport>,
  pool: Observed,
  known: Known,
): FamilyView {
  const observed = ofFamily(pool, family);
  const inUse = inUseIn(family, known.active, known.pinned);
  const wanted = desired(family, inUse);
  const stored = [...family.records.keys()].reduce((sum, store) => sum + (stores.get(store)?.size ?? 0n), 0n);
  const depths = imageDepths(family);
  const images = parentsFirst(family).map((node) =>
    viewImage({ family, node, stores, observed, wanted, known, depths }),
  );
  // What a restore waits for is told with the restore.
  const isTold = images.some(({ wish }) => wish !== undefined && wish.reason !== '');
  return {
    id: family.id,
    images,
    stored: bytes(stored),
    stuck: known.stuck.get(family.id) ?? '',
    waitsForRoom: known.waiting.has(family.id) && !isTold,
    busy: known.busy(family.id),
    findings: familyFindings({ family, observed, wanted, inUse, stores, underWay: known.underWay }),
  };
}

/** Roots first; of what hangs on one image, snapshots before forks, older ones before younger ones. */
function parentsFirst(family: Family): readonly Node[] {
  const siblings = (nodes: readonly Node[]): readonly Node[] =>
    [...nodes].sort(
      (a, b) => rank(a) - rank(b) || a.record.entity.createdMs - b.record.entity.createdMs || (a.id < b.id ? -1 : 1),
    );
  const below = (node: Node): readonly Node[] => [
    node,
    ...siblings(node.readers.flatMap((id) => family.nodes.get(id) ?? [])).flatMap(below),
  ];
  return siblings([...family.nodes.values()].filter(({ parent }) => parent === undefined)).flatMap(below);
}

function rank({ record }: Node): number {
  return record.entity.kind === 'snapshot' ? 0 : 1;
}

function byAge(a: FamilyView, b: FamilyView): number {
  const oldest = ({ images }: FamilyView): number => Math.min(...images.map(({ createdMs }) => createdMs));
  return oldest(a) - oldest(b) || (a.id < b.id ? -1 : 1);
}
