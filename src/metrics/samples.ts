// The state of a node's pools as samples of gauges: which there are, what they are called and labelled, and what they say of
// one look. Names as Prometheus has them: base units, a unit last. Pure.

import type { Restore } from '../engine/engine.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import { handleText } from '../vocabulary/ids.ts';
import { labelOf } from '../inspect/view.ts';
import type { FindingKind, ImageView, PoolContents, PoolView } from '../inspect/view.ts';

const IMAGE = ['pool', 'id', 'name', 'kind'] as const;

/** By name: help and labels. `id` is the handle that PVs and VolumeSnapshotContents carry, `name` the CSI name: of a volume its PV's. */
export const GAUGES = {
  snapmerge_pool_up: { help: 'LVM and the kernel answer for this pool.', labels: ['pool'] },
  snapmerge_pool_size_bytes: { help: 'Size of the volume group.', labels: ['pool'] },
  snapmerge_pool_free_bytes: { help: 'Of it, what no store has.', labels: ['pool'] },
  snapmerge_pool_reserve_bytes: {
    help: 'Of the free bytes, what only existing stores may grow into.',
    labels: ['pool'],
  },
  snapmerge_pool_metadata_size_bytes: { help: "Room for LVM's metadata.", labels: ['pool'] },
  snapmerge_pool_metadata_free_bytes: {
    help: 'Of it, what is free: half of it at most, because LVM keeps two texts.',
    labels: ['pool'],
  },
  snapmerge_pool_disks: { help: 'Disks of the volume group, by whether they are there.', labels: ['pool', 'state'] },
  snapmerge_images: {
    help: 'Volumes, forks and snapshots; ghosts are deleted ones that something still reads through.',
    labels: ['pool', 'kind', 'ghost'],
  },
  snapmerge_images_active: { help: 'Volumes and forks that are staged.', labels: ['pool'] },
  snapmerge_image_unsound: {
    help: 'Images whose store the kernel has given up, or whose disk is missing: what is wrong.',
    labels: [...IMAGE, 'condition'],
  },
  snapmerge_store_size_bytes: {
    help: 'Size of the store of exceptions of a snapshot or fork.',
    labels: IMAGE,
  },
  snapmerge_store_used_bytes: {
    help: 'Of it, what holds something; last counted when it was in the kernel.',
    labels: IMAGE,
  },
  snapmerge_writers_waiting: {
    help: 'Stores that are full and cannot grow: writers of the volumes that feed them wait.',
    labels: ['pool'],
  },
  snapmerge_waiting_missing_bytes: {
    help: 'What the pool would have to have free for the writers of this store to go on.',
    labels: IMAGE,
  },
  snapmerge_merge_remaining_bytes: {
    help: 'Bytes that a merge still has to move, by what it is for.',
    labels: [...IMAGE, 'merge'],
  },
  snapmerge_merge_total_bytes: { help: 'Bytes that it had to move when it began.', labels: [...IMAGE, 'merge'] },
  snapmerge_restores: {
    help: 'Restores by phase; of those that are over, the last one of each volume.',
    labels: ['pool', 'phase', 'mode'],
  },
  snapmerge_families_stuck: { help: 'Families that would not converge.', labels: ['pool'] },
  snapmerge_families_troubled: {
    help: 'Families whose records contradict each other: nothing of them is touched.',
    labels: ['pool'],
  },
  snapmerge_findings: {
    help: 'What `snapmerge check` finds in families that nothing is being done to, by kind.',
    labels: ['pool', 'kind'],
  },
} as const satisfies Readonly<Record<string, { readonly help: string; readonly labels: readonly string[] }>>;

export type GaugeName = keyof typeof GAUGES;

export interface Sample {
  readonly gauge: GaugeName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const PHASES = ['waiting', 'merging', 'done', 'failed'] as const;
const MODES = ['origin', 'snapshot', 'onactivate'] as const;
const KINDS = ['volume', 'fork', 'snapshot'] as const;
const FINDINGS: readonly FindingKind[] = ['table', 'state', 'not-fed', 'lost', 'store', 'left-over', 'law', 'depth'];

/** Of every pool that was looked at; restores by pool. */
export function samplesOf(
  pools: readonly PoolView[],
  restores: ReadonlyMap<PoolName, readonly Restore[]>,
): readonly Sample[] {
  return pools.flatMap(({ name: pool, contents }) => [
    { gauge: 'snapmerge_pool_up' as const, labels: { pool }, value: contents === undefined ? 0 : 1 },
    ...(contents === undefined
      ? []
      : [
          ...poolSamples(pool, contents),
          ...contents.families.flatMap(({ images }) => images.flatMap((image) => imageSamples(pool, contents, image))),
        ]),
    ...restoreSamples(pool, restores.get(pool) ?? []),
  ]);
}

function poolSamples(pool: PoolName, contents: PoolContents): readonly Sample[] {
  const { families, disks, troubles } = contents;
  const images = families.flatMap((family) => family.images);
  const missing = disks.filter((disk) => disk.missing).length;
  // What is being changed differs for a moment.
  const findings = [...contents.findings, ...families.flatMap((family) => (family.busy ? [] : family.findings))];
  const one = (gauge: GaugeName, value: bigint | number, labels: Readonly<Record<string, string>> = {}): Sample => ({
    gauge,
    labels: { pool, ...labels },
    value: Number(value),
  });
  return [
    one('snapmerge_pool_size_bytes', contents.size),
    one('snapmerge_pool_free_bytes', contents.free),
    one('snapmerge_pool_reserve_bytes', contents.reserve ?? 0),
    one('snapmerge_pool_metadata_size_bytes', contents.metadataSize),
    one('snapmerge_pool_metadata_free_bytes', contents.metadataFree),
    one('snapmerge_pool_disks', disks.length - missing, { state: 'present' }),
    one('snapmerge_pool_disks', missing, { state: 'missing' }),
    // All of them, also where there is none: what appears only when it is too late cannot be looked at before.
    ...KINDS.flatMap((kind) =>
      [false, true].map((ghost) =>
        one('snapmerge_images', images.filter((image) => image.kind === kind && image.ghost === ghost).length, {
          kind,
          ghost: String(ghost),
        }),
      ),
    ),
    one('snapmerge_images_active', images.filter(({ top }) => top !== undefined).length),
    one('snapmerge_writers_waiting', images.filter(({ full }) => full !== undefined).length),
    one('snapmerge_families_stuck', families.filter(({ stuck }) => stuck !== '').length),
    one('snapmerge_families_troubled', troubles.length),
    ...FINDINGS.map((kind) =>
      one('snapmerge_findings', findings.filter((finding) => finding.kind === kind).length, { kind }),
    ),
  ];
}

function imageSamples(pool: PoolName, { vgUuid }: PoolContents, image: ImageView): readonly Sample[] {
  const { id, kind, chunk, storeSize, used, state, damaged, merge, full } = image;
  const labels = { pool, id: handleText(pool, vgUuid, id), name: labelOf(image), kind };
  const condition = state === 'sound' ? (damaged ? 'disk' : undefined) : state;
  const one = (
    gauge: GaugeName,
    value: bigint | undefined,
    more: Readonly<Record<string, string>> = {},
  ): readonly Sample[] =>
    value === undefined ? [] : [{ gauge, labels: { ...labels, ...more }, value: Number(value) }];
  return [
    ...(condition === undefined ? [] : one('snapmerge_image_unsound', 1n, { condition })),
    ...(chunk === undefined ? [] : one('snapmerge_store_size_bytes', storeSize)),
    ...(chunk === undefined ? [] : one('snapmerge_store_used_bytes', used)),
    ...one('snapmerge_waiting_missing_bytes', full?.missing),
    ...one('snapmerge_merge_remaining_bytes', merge?.left, { merge: merge?.kind ?? '' }),
    ...one('snapmerge_merge_total_bytes', merge?.total, { merge: merge?.kind ?? '' }),
  ];
}

function restoreSamples(pool: PoolName, restores: readonly Restore[]): readonly Sample[] {
  return PHASES.flatMap((phase) =>
    MODES.map((mode) => ({
      gauge: 'snapmerge_restores' as const,
      labels: { pool, phase, mode },
      value: restores.filter((restore) => restore.phase === phase && restore.mode === mode).length,
    })),
  );
}
