// Records -> families: which images there are, what each hangs on, what is rubbish, and where the records contradict each
// other. A contradiction stops its family alone. Pure.

import { SnapmergeError, fail, messageOf } from '../vocabulary/errors.ts';
import type { EntityId, StoreName, VolumeId } from '../vocabulary/ids.ts';
import { isVolumeId } from '../vocabulary/ids.ts';
import type { StoreReport } from '../lvm/lvm.ts';
import type { Entity, Name, StoreRecord } from './record.ts';
import { TAG_PREFIX, nameTag, readTags } from './tags.ts';
import type { Bytes } from '../vocabulary/units.ts';
import type { Family, Forest, Node, Trouble } from './family.ts';
import { parentOf } from './family.ts';

export function buildForest(stores: readonly StoreReport[]): Forest {
  const readable = new Map<VolumeId, StoreRecord[]>();
  const unreadable = new Map<VolumeId, string>();
  const troubles: Trouble[] = [];
  const trouble = (family: VolumeId | undefined, of: readonly StoreReport[], reason: string): void => {
    const entities = new Set(of.flatMap(({ tags }) => [...rawTags(tags, 'volume'), ...rawTags(tags, 'snapshot')]));
    const names = new Set(of.flatMap(rawNames));
    troubles.push({ family, stores: of.map(({ store }) => store), entities, names, reason });
  };
  for (const report of stores) {
    try {
      if (report.trouble !== undefined) fail('contradiction', report.trouble);
      const record = readTags(report.store, report.tags);
      readable.set(record.family, [...(readable.get(record.family) ?? []), record]);
    } catch (error) {
      const family = rawTags(report.tags, 'family').find(isVolumeId);
      if (family === undefined) trouble(undefined, [report], messageOf(error));
      else unreadable.set(family, messageOf(error));
    }
  }
  const inFamily = (id: VolumeId): readonly StoreReport[] =>
    stores.filter(({ tags }) => rawTags(tags, 'family').includes(id));
  for (const [id, reason] of unreadable) trouble(id, inFamily(id), reason);
  const families = new Map<VolumeId, Family>();
  const sizes = new Map(stores.map(({ store, size }) => [store, size]));
  for (const [id, records] of readable) {
    if (unreadable.has(id)) continue;
    try {
      families.set(id, buildFamily(id, records, sizes));
    } catch (error) {
      if (!(error instanceof SnapmergeError)) throw error;
      trouble(id, inFamily(id), error.message);
    }
  }
  return { families, troubles };
}

/** The values of one key, without any belief in the rest. */
function rawTags(tags: readonly string[], key: string): readonly string[] {
  const prefix = `${TAG_PREFIX}${key}=`;
  return tags.flatMap((tag) => (tag.startsWith(prefix) ? [tag.slice(prefix.length)] : []));
}

/** A volume's or snapshot's name as one text. */
export function namedAs(kind: Entity['kind'], name: Name): string {
  return `${kind} ${nameTag(name)}`;
}

function rawNames({ tags }: StoreReport): readonly string[] {
  const kind = rawTags(tags, 'snapshot').length > 0 ? 'snapshot' : 'volume';
  const names = [
    ...rawTags(tags, 'name').map((text): Name => ({ as: 'text', text })),
    ...rawTags(tags, 'namehash').map((hash): Name => ({ as: 'hash', hash })),
  ];
  return names.map((name) => namedAs(kind, name));
}

/** Throws `contradiction` where the records cannot all be true. */
export function buildFamily(id: VolumeId, all: readonly StoreRecord[], sizes: ReadonlyMap<StoreName, Bytes>): Family {
  // What is nobody's home any more decides nothing either, although it lies there for as long as somebody has it open.
  const tokens = new Set(
    all.flatMap((r) => (r.pending === undefined && !r.merged ? [r.restore?.token, r.decides] : [])),
  );
  const counts = (r: StoreRecord): boolean => r.pending === undefined || tokens.has(r.pending);
  const decided = all.filter(counts);
  const latest = new Map<EntityId, number>();
  for (const { entity, generation } of decided) {
    latest.set(entity.id, Math.max(generation, latest.get(entity.id) ?? generation));
  }
  // A promoted fork that has moved leaves its mark behind in its old home.
  const marks = decided.flatMap((r) =>
    r.generation === latest.get(r.entity.id) && !r.merged ? (r.restore ?? []) : [],
  );
  // A store that a restore merges away is nobody's home, not even when the snapshot's new one is gone already. Only a
  // promoted fork is at home in what it merges itself, until it has moved.
  const stacked = new Set(marks.flatMap((mark) => mark.stack));
  const isMerged = (r: StoreRecord): boolean =>
    r.merged || (stacked.has(r.store) && r.restore?.stack.includes(r.store) !== true);
  const homes = homesOf(
    id,
    decided.filter((r) => !isMerged(r)),
  );
  checkRestores(homes, new Set(all.map((r) => r.store)));

  // What a fork is promoted into has been given up by the same commit.
  const given = new Set(marks.flatMap(({ into }) => into ?? []));
  const living = new Map(
    [...homes].map(([entity, record]) => [entity, given.has(record.store) ? { ...record, deleted: true } : record]),
  );
  const rubbish = decided.filter((r) => homes.get(r.entity.id) !== r && !stacked.has(r.store)).map((r) => r.store);
  for (;;) {
    const nodes = link(id, living);
    const awaited = awaitedIn([...living.values()]);
    const dropped = [...nodes.values()].filter(
      ({ id, record, readers }) =>
        record.deleted && readers.length === 0 && !awaited.has(id) && record.restore === undefined,
    );
    if (dropped.length === 0) {
      checkMerges(nodes);
      return {
        id,
        nodes,
        rubbish,
        undecided: all.flatMap((r) =>
          counts(r) || r.pending === undefined ? [] : [{ store: r.store, token: r.pending }],
        ),
        settled: decided.filter((r) => r.pending !== undefined),
        records: new Map(all.map((r) => [r.store, r])),
        sizes,
      };
    }
    for (const node of dropped) {
      living.delete(node.id);
      rubbish.push(node.record.store);
    }
  }
}

/**
 * What is read through later, although perhaps by nothing now: the restored snapshot, on which newer ones hang when the
 * restore is done, and what a volume is to be restored to.
 */
export function awaitedIn(records: readonly StoreRecord[]): ReadonlySet<EntityId> {
  return new Set<EntityId>(
    records.flatMap(({ place, wish, deleted }) => [
      ...(place.kind === 'fork' ? [place.snapshot] : []),
      ...(wish === undefined || deleted ? [] : [wish.snapshot]),
    ]),
  );
}

function contradiction(family: VolumeId, what: string): never {
  throw new SnapmergeError('contradiction', `Cannot trust the records of family '${family}': ${what}`);
}

function homesOf(family: VolumeId, decided: readonly StoreRecord[]): ReadonlyMap<EntityId, StoreRecord> {
  const homes = new Map<EntityId, StoreRecord>();
  for (const record of decided) {
    const other = homes.get(record.entity.id);
    if (other !== undefined && other.generation === record.generation) {
      contradiction(
        family,
        `both '${other.store}' and '${record.store}' are generation ${record.generation} of '${record.entity.id}'`,
      );
    }
    if (other === undefined || other.generation < record.generation) homes.set(record.entity.id, record);
  }
  return homes;
}

function checkRestores(homes: ReadonlyMap<EntityId, StoreRecord>, stores: ReadonlySet<StoreName>): void {
  for (const record of homes.values()) {
    const { stack = [], into } = record.restore ?? {};
    for (const store of into === undefined ? stack : [into, ...stack]) {
      if (!stores.has(store)) {
        contradiction(
          record.family,
          `the restore of '${record.entity.id}' merges store '${store}', which is not there`,
        );
      }
    }
  }
}

function checkMerges(nodes: ReadonlyMap<EntityId, Node>): void {
  for (const node of nodes.values()) {
    checkPromotion(nodes, node);
    const into = node.record.merging;
    if (into === undefined) continue;
    const parent = parentOf({ nodes }, node);
    if (parent?.record.store !== into) {
      contradiction(node.record.family, `'${node.id}' is being merged into store '${into}', which is not its parent's`);
    }
    if (!parent.record.deleted || parent.readers.length !== 1) {
      contradiction(node.record.family, `'${node.id}' is being merged into '${parent.id}', which others still need`);
    }
  }
}

/** What a fork is promoted into is read by that fork alone: anything else would change with the merge. */
function checkPromotion(nodes: ReadonlyMap<EntityId, Node>, { id, parent, record }: Node): void {
  if (record.restore?.into === undefined || parent === undefined) return;
  if (nodes.get(parent)?.readers.length !== 1) {
    contradiction(record.family, `'${id}' is being merged into '${parent}', which others still need`);
  }
}

/** Parents and readers of the given homes. */
function link(family: VolumeId, homes: ReadonlyMap<EntityId, StoreRecord>): ReadonlyMap<EntityId, Node> {
  const chains = chainsOf(family, homes);
  const anchors = anchorsOf(family, homes);
  const parents = new Map<EntityId, { parent: EntityId | undefined; level: number | undefined }>();
  for (const record of homes.values()) parents.set(record.entity.id, hungOn(record, homes, chains, anchors));

  const readers = new Map<EntityId, EntityId[]>();
  for (const [child, { parent }] of parents) {
    if (parent !== undefined) readers.set(parent, [...(readers.get(parent) ?? []), child]);
  }
  const nodes = new Map<EntityId, Node>();
  for (const [id, record] of homes) {
    const { parent, level } = parents.get(id) ?? { parent: undefined, level: undefined };
    nodes.set(id, { id, record, parent, level, readers: readers.get(id) ?? [] });
  }
  checkNoCycle(family, nodes);
  return nodes;
}

type Chains = ReadonlyMap<VolumeId, readonly { readonly seq: number; readonly id: EntityId }[]>;

/** Members of each volume's chain, nearest to the volume first. */
function chainsOf(family: VolumeId, homes: ReadonlyMap<EntityId, StoreRecord>): Chains {
  const chains = new Map<VolumeId, { seq: number; id: EntityId }[]>();
  for (const { place, entity } of homes.values()) {
    if (place.kind !== 'chain') continue;
    chains.set(place.volume, [...(chains.get(place.volume) ?? []), { seq: place.seq, id: entity.id }]);
  }
  for (const [volume, members] of chains) {
    members.sort((a, b) => b.seq - a.seq);
    members.forEach((member, index) => {
      if (members[index + 1]?.seq === member.seq) {
        contradiction(family, `two images are number ${member.seq} in the chain of '${volume}'`);
      }
    });
  }
  return chains;
}

function anchorsOf(family: VolumeId, homes: ReadonlyMap<EntityId, StoreRecord>): ReadonlyMap<VolumeId, EntityId> {
  const anchors = new Map<VolumeId, EntityId>();
  for (const { anchors: held, entity } of homes.values()) {
    for (const volume of entity.kind === 'volume' ? [entity.id, ...held] : held) {
      const other = anchors.get(volume);
      if (other !== undefined)
        contradiction(family, `the chain of '${volume}' hangs on both '${other}' and '${entity.id}'`);
      anchors.set(volume, entity.id);
    }
  }
  return anchors;
}

function hungOn(
  record: StoreRecord,
  homes: ReadonlyMap<EntityId, StoreRecord>,
  chains: Chains,
  anchors: ReadonlyMap<VolumeId, EntityId>,
): { parent: EntityId | undefined; level: number | undefined } {
  const { place, level, entity, family } = record;
  const into = record.restore?.into;
  if (into !== undefined) {
    const given = [...homes.values()].find(({ store }) => store === into);
    if (given === undefined)
      contradiction(family, `'${entity.id}' is being merged into '${into}', which is nobody's home`);
    return { parent: given.entity.id, level: undefined };
  }
  if (level !== undefined) {
    const restoring = [...homes.values()].find((home) => home.restore?.token === level.token);
    if (restoring !== undefined) return { parent: restoring.entity.id, level: level.index };
  }
  switch (place.kind) {
    case 'root':
      return { parent: undefined, level: undefined };
    case 'fork':
      if (!homes.has(place.snapshot))
        contradiction(family, `'${entity.id}' hangs on '${place.snapshot}', which is not there`);
      return { parent: place.snapshot, level: undefined };
    case 'chain': {
      const members = chains.get(place.volume) ?? [];
      const index = members.findIndex((member) => member.id === entity.id);
      const parent = index > 0 ? members[index - 1]?.id : anchors.get(place.volume);
      if (parent === undefined) contradiction(family, `'${entity.id}' hangs on '${place.volume}', which is not there`);
      return { parent, level: undefined };
    }
  }
}

function checkNoCycle(family: VolumeId, nodes: ReadonlyMap<EntityId, Node>): void {
  for (const node of nodes.values()) {
    let at: Node | undefined = node;
    for (let steps = 0; at?.parent !== undefined; steps += 1) {
      if (steps > nodes.size) contradiction(family, `'${node.id}' hangs on itself`);
      at = nodes.get(at.parent);
    }
  }
}
