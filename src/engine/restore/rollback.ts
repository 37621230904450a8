// What a restore or a promotion merges into what, and where each snapshot that is kept goes: from the records alone, before
// anything is measured or made. Pure.

import { absorbing, chainNumbers, chainOf, nearestVolume, parentOf } from '../../records/family.ts';
import type { Family, Node } from '../../records/family.ts';
import { fail } from '../../vocabulary/errors.ts';
import type { SnapshotId, VolumeId } from '../../vocabulary/ids.ts';
import type { Place, RestoreMode } from '../../records/record.ts';
import { imageSize } from '../../records/record.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { formatBytes, maxBytes } from '../../vocabulary/units.ts';

export interface Rollback {
  /** The volume whose name stays. */
  readonly volume: Node;
  readonly target: Node;
  /** Whose image all is merged into: the volume, or the origin that a promoted fork takes the storage of. */
  readonly base: Node;
  /** What is merged, the lowest first; last the target, or the promoted fork itself. */
  readonly path: readonly Node[];
  readonly kept: readonly Kept[];
  /** What the snapshot that a promotion keeps will hang on. */
  readonly keptOn: Node | undefined;
}

/** A snapshot whose store is merged away, and which gets a new one. */
export interface Kept {
  readonly node: Node;
  /** Where it hangs when the merges are done. */
  readonly place: Place;
  /** Where it hangs until then: over that many merged stores; undefined: at its place already. */
  readonly level: number | undefined;
  readonly image: Bytes;
  readonly deleted: boolean;
  /** The part of the path whose merges change what it hangs on. */
  readonly feeders: readonly Node[];
}

export interface RollbackRequest {
  readonly volume: VolumeId;
  /** Undefined: what the fork that is to be promoted was made from. */
  readonly snapshot: SnapshotId | undefined;
  readonly mode: RestoreMode;
  readonly keepSnapshot: boolean;
}

/** Throws `invalid`, `not-found` or `precondition` with what stands in the way for good. */
export function rollback(family: Family, volume: Node, request: RollbackRequest): Rollback {
  return request.mode === 'snapshot' ? promotion(family, volume, request) : restoration(family, volume, request);
}

function doing({ mode, volume, snapshot }: RollbackRequest): string {
  return mode === 'snapshot'
    ? `Cannot promote volume '${volume}'`
    : `Cannot restore volume '${volume}' to snapshot '${snapshot}'`;
}

function restoration(family: Family, volume: Node, request: RollbackRequest): Rollback {
  if (request.snapshot === undefined) fail('invalid', `Cannot restore volume '${request.volume}': to which snapshot?`);
  const target = family.nodes.get(request.snapshot);
  if (target === undefined) fail('not-found', `${doing(request)}: there is no such snapshot`);
  if (isScratch(volume)) {
    fail('precondition', `${doing(request)}: the volume is a scratch fork; stage it anew and it is fresh`);
  }
  const path = pathBetween(family, volume, target);
  if (path === undefined) {
    fail(
      'invalid',
      `${doing(request)}: the snapshot does not show an earlier state of that volume; make a volume from it instead`,
    );
  }
  return {
    volume,
    target,
    base: volume,
    path,
    kept: keptOnTheWay(family, volume, path, request),
    keptOn: undefined,
  };
}

function isScratch({ record: { entity } }: Node): boolean {
  return entity.kind === 'volume' && entity.parameters.scratch;
}

/** From what hangs on the volume down to the target; undefined where the target does not read through the volume alone. */
function pathBetween(family: Family, volume: Node, target: Node): readonly Node[] | undefined {
  const path: Node[] = [];
  for (let at: Node | undefined = target; at?.id !== volume.id;) {
    if (at === undefined || at.record.entity.kind === 'volume') return undefined;
    path.unshift(at);
    at = parentOf(family, at);
  }
  return path.length === 0 ? undefined : path;
}

/**
 * The restored snapshot stays next to the volume, which feeds it. What lies between hangs on its own level while the merges
 * above that feed it, and on the restored one from then on: that image never changes again, so nothing feeds it any more.
 */
function keptOnTheWay(
  family: Family,
  volume: Node,
  path: readonly Node[],
  { keepSnapshot }: RollbackRequest,
): readonly Kept[] {
  const target = path.at(-1);
  const { entity } = volume.record;
  if (target?.record.entity.kind !== 'snapshot' || entity.kind !== 'volume') return [];
  const { id } = target.record.entity;
  const numbers = chainNumbers(family, entity.id);
  const place: Place =
    target.record.place.kind === 'chain'
      ? target.record.place
      : { kind: 'chain', volume: entity.id, seq: (numbers?.high ?? 0) + 1 };
  // Older snapshots of the chain hang on the last of it that the path goes through: that one keeps its number.
  const leaves =
    target.record.place.kind === 'chain' ? undefined : path.findLast(({ record }) => record.place.kind === 'chain');
  const newer = path.slice(0, -1).flatMap((node, index): readonly Kept[] => {
    if (node.record.deleted && node.readers.length < 2) return [];
    return [
      {
        node,
        place: node === leaves ? node.record.place : { kind: 'fork', snapshot: id },
        level: index + 1,
        image: imageSize(node.record),
        deleted: node.record.deleted,
        feeders: path.slice(index + 1),
      },
    ];
  });
  const isDeleted = target.record.deleted || !keepSnapshot;
  if (isDeleted && newer.length === 0 && target.readers.length === 0) return [];
  // What is kept beside the volume shows the volume's present length, because larger snapshots will read through it.
  const image = maxBytes(imageSize(target.record), entity.size);
  return [...newer, { node: target, place, level: undefined, image, deleted: isDeleted, feeders: [] }];
}

function promotion(family: Family, fork: Node, request: RollbackRequest): Rollback {
  const { entity } = fork.record;
  const target = parentOf(family, fork);
  if (target?.record.entity.kind === 'volume') {
    fail(
      'precondition',
      `${doing(request)}: its snapshot is gone; delete volume '${target.id}', and the fork takes over its storage by itself`,
    );
  }
  if (entity.kind !== 'volume' || target === undefined) fail('precondition', `${doing(request)}: it is no fork`);
  if (request.snapshot !== undefined && target.id !== request.snapshot) {
    fail('invalid', `${doing(request)}: it is a fork of snapshot '${target.id}', not of '${request.snapshot}'`);
  }
  if (isScratch(fork)) fail('precondition', `${doing(request)}: a scratch fork has no storage that lasts`);
  const base = nearestVolume(family, target);
  if (base === undefined) {
    fail(
      'precondition',
      `${doing(request)}: the volume that it was forked from is gone; delete snapshot '${target.id}', and the fork takes over its storage by itself`,
    );
  }
  if (isScratch(base)) fail('precondition', `${doing(request)}: its origin '${base.id}' is a scratch fork`);
  const path = [...(pathBetween(family, base, target) ?? []), fork];
  refuseDependants(family, [base, ...path], target, request);
  refuseSizes(base, fork, request);
  const isKept = request.keepSnapshot && !target.record.deleted;
  const oldest = oldestPlace(family, fork, entity.id);
  const kept: readonly Kept[] = isKept
    ? [
        {
          node: target,
          place: oldest.place,
          level: path.length - 1,
          image: target.record.entity.size,
          deleted: false,
          feeders: [fork],
        },
      ]
    : [];
  return { volume: fork, target, base, path, kept, keptOn: isKept ? oldest.on : undefined };
}

/**
 * Below all snapshots of a volume's chain: whatever it has written since is in those too. Where a fork of it has taken the
 * oldest one's place, that is written, and the one above it is the oldest; the fork itself where there is none.
 */
function oldestPlace(family: Family, volume: Node, id: VolumeId): { readonly place: Place; readonly on: Node } {
  const [last = volume, above = last] = chainOf(family, id).toReversed();
  const { entity } = above.record;
  if (last !== volume && last.record.entity.kind === 'volume' && entity.kind === 'snapshot')
    return { place: { kind: 'fork', snapshot: entity.id }, on: above };
  return { place: { kind: 'chain', volume: id, seq: Math.min(1, chainNumbers(family, id)?.low ?? 1) - 1 }, on: last };
}

/** What a promotion keeps would hang on a fork of the promoted one, which is written: a snapshot has to be taken first. */
export function lacksSnapshot({ volume, keptOn }: Rollback): boolean {
  return keptOn !== undefined && keptOn !== volume && keptOn.record.entity.kind === 'volume';
}

/** Everything from the origin to the fork is given up; what else reads through it has to go first. */
function refuseDependants(family: Family, line: readonly Node[], target: Node, request: RollbackRequest): void {
  const others = line
    .slice(0, -1)
    .flatMap((node, index) => [
      ...(index > 0 && !node.record.deleted && node !== target ? [node.id] : []),
      ...node.readers.filter((id) => id !== line[index + 1]?.id).flatMap((id) => livingBelow(family, id)),
    ]);
  if (others.length === 0) return;
  const names = [...new Set(others)].sort().map((id) => `'${id}'`);
  fail(
    'precondition',
    `${doing(request)}: its origin '${line[0]?.id}' has other dependants, which read through the same storage: ` +
      `${names.join(', ')}; delete them first`,
  );
}

function livingBelow(family: Family, id: Node['id']): readonly string[] {
  const node = family.nodes.get(id);
  if (node === undefined) return [];
  return node.record.deleted ? node.readers.flatMap((reader) => livingBelow(family, reader)) : [id];
}

/** A merge into zeroes would lose its chunks, and exceptions of a larger origin would come to light when the fork grows. */
function refuseSizes(base: Node, fork: Node, request: RollbackRequest): void {
  const size = imageSize(fork.record);
  // What a first try has added to its image is zeroes, and not the origin's.
  const origin = base.record.entity.size;
  const window = fork.record.window ?? size;
  const fits =
    base.record.place.kind === 'root' ? window >= size || origin <= window : window >= size && origin === size;
  if (fits) return;
  fail(
    'precondition',
    `${doing(request)}: it has ${formatBytes(size)}, of which ${formatBytes(window)} are its snapshot's, and its origin ` +
      `'${base.id}' has ${formatBytes(origin)}; delete the origin, and the fork takes over what it can by itself`,
  );
}

/** What has to end before this can begin; undefined: nothing. */
export function inTheWay({ volume, base, path, keptOn }: Rollback, family: Family): string | undefined {
  for (const node of new Set([volume, base, ...path, ...(keptOn === undefined ? [] : [keptOn])])) {
    const { restore, merging } = node.record;
    if (restore !== undefined) return `the restore of '${node.id}' to '${restore.snapshot}' is still merging`;
    if (node.level !== undefined) return `'${node.id}' takes part in a restore that is still merging`;
    const child = merging === undefined ? absorbing(family, node) : node;
    if (child !== undefined) return `'${child.id}' is still being merged into what it hangs on`;
  }
  return undefined;
}
