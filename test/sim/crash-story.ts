// A crash story as a literal: a seed and operations that name their volumes and snapshots, so that one can be left out,
// printed, pasted, and told again. What an operation names that is not there is passed over.

import { z } from 'zod';
import { isSnapshotId, isVolumeId } from '../../src/vocabulary/ids.ts';
import { bytes } from '../../src/vocabulary/units.ts';
import { nextToken } from '../contract/crash-draw.ts';
import type { Fresh } from '../contract/crash-draw.ts';
import type { Model, Shown } from '../contract/crash-model.ts';
import type { NamedSnapshot, NamedVolume, Operation, Write } from '../contract/crash-operation.ts';

const count = z.int().nonnegative();
/** First block and number of blocks; what they hold is drawn when it is told. */
const extent = z.tuple([count, count]);

const toldSchema = z.discriminatedUnion('do', [
  z.strictObject({
    do: z.literal('create'),
    name: z.string(),
    /** Bytes, as is `chunk`. */
    size: count,
    chunk: count,
    scratch: z.literal(true).optional(),
    from: z.string().optional(),
  }),
  z.strictObject({
    do: z.literal('snapshot'),
    name: z.string(),
    volume: z.string(),
    unflushed: extent.optional(),
  }),
  z.strictObject({ do: z.literal('delete'), what: z.string() }),
  z.strictObject({ do: z.literal('expand'), volume: z.string(), size: count }),
  z.strictObject({
    do: z.literal('restore'),
    volume: z.string(),
    snapshot: z.string(),
    mode: z.enum(['origin', 'snapshot', 'onactivate']),
    keep: z.boolean(),
    replace: z.literal(true).optional(),
    safety: z.string().optional(),
  }),
  z.strictObject({ do: z.enum(['activate', 'deactivate', 'cancel']), volume: z.string() }),
  z.strictObject({ do: z.literal('write'), volume: z.string(), writes: z.array(extent) }),
  /** Chunks that merges move; to their ends where none are given. */
  z.strictObject({ do: z.literal('background'), chunks: count.optional() }),
]);

export type Told = z.infer<typeof toldSchema>;

const storySchema = z.strictObject({ seed: z.int(), operations: z.array(toldSchema) });

export type Story = z.infer<typeof storySchema>;

export function readStory(text: string): Story {
  return storySchema.parse(JSON.parse(text));
}

/** In one line, for a command line or a test. */
export function writeStory(story: Story): string {
  return JSON.stringify(story);
}

export function tell(op: Operation): Told {
  switch (op.do) {
    case 'create': {
      const { name, size, parameters, from } = op;
      const { chunk, scratch } = parameters;
      return {
        do: 'create',
        name,
        size: Number(size),
        chunk: Number(chunk),
        scratch: scratch || undefined,
        from: from?.name,
      };
    }
    case 'snapshot':
      return {
        do: 'snapshot',
        name: op.name,
        volume: op.volume.name,
        unflushed: op.unflushed === undefined ? undefined : [op.unflushed.at, op.unflushed.tags.length],
      };
    case 'delete':
      return { do: 'delete', what: op.what.name };
    case 'expand':
      return { do: 'expand', volume: op.volume.name, size: Number(op.size) };
    case 'restore': {
      const { volume, snapshot, mode, keep, replace, safety } = op;
      return {
        do: 'restore',
        volume: volume.name,
        snapshot: snapshot.name,
        mode,
        keep,
        replace: replace || undefined,
        safety,
      };
    }
    case 'activate':
    case 'deactivate':
    case 'cancel':
      return { do: op.do, volume: op.volume.name };
    case 'write':
      return { do: 'write', volume: op.volume.name, writes: op.writes.map(({ at, tags }) => [at, tags.length]) };
    case 'background':
      return { do: 'background', chunks: op.chunks };
  }
}

/** What a story is told with. */
interface Scene {
  readonly fresh: Fresh;
  readonly model: Model;
  readonly shown: ReadonlyMap<string, Shown>;
}

/** The operation on what is there now; undefined where it cannot be asked for. */
export function bind(told: Told, scene: Scene): Operation | undefined {
  switch (told.do) {
    case 'create':
      return bindCreate(told, scene);
    case 'snapshot': {
      const volume = volumeOf(scene, told.volume);
      const [unflushed] = writesOf(scene, told.volume, told.unflushed === undefined ? [] : [told.unflushed]);
      return volume && { do: 'snapshot', name: told.name, volume, unflushed };
    }
    case 'delete': {
      const what = volumeOf(scene, told.what) ?? snapshotOf(scene, told.what);
      return what && { do: 'delete', what };
    }
    case 'expand': {
      const volume = volumeOf(scene, told.volume);
      return volume && { do: 'expand', volume, size: bytes(told.size) };
    }
    case 'restore': {
      const { mode, keep, replace = false, safety } = told;
      const volume = volumeOf(scene, told.volume);
      const snapshot = snapshotOf(scene, told.snapshot);
      if (volume === undefined || snapshot === undefined) return undefined;
      const token = nextToken(scene.fresh);
      return { do: 'restore', volume, snapshot, mode, keep, replace, safety, token };
    }
    case 'activate':
    case 'deactivate':
    case 'cancel': {
      const volume = volumeOf(scene, told.volume);
      return volume && { do: told.do, volume };
    }
    case 'write': {
      const volume = volumeOf(scene, told.volume);
      const writes = writesOf(scene, told.volume, told.writes);
      return volume && writes.length > 0 ? { do: 'write', volume, writes } : undefined;
    }
    case 'background':
      return { do: 'background', chunks: told.chunks };
  }
}

function bindCreate(told: Extract<Told, { do: 'create' }>, scene: Scene): Operation | undefined {
  const { name, size, chunk, scratch = false, from } = told;
  const source = from === undefined ? undefined : (volumeOf(scene, from) ?? snapshotOf(scene, from));
  if (from !== undefined && source === undefined) return undefined;
  return {
    do: 'create',
    name,
    size: bytes(size),
    parameters: { layout: 'linear', chunk: bytes(chunk), snapshotReservePercent: 10, onFull: 'wait', scratch },
    from: source,
  };
}

function volumeOf({ shown }: Scene, name: string): NamedVolume | undefined {
  const id = shown.get(name)?.id;
  return id !== undefined && isVolumeId(id) ? { name, id } : undefined;
}

function snapshotOf({ shown }: Scene, name: string): NamedSnapshot | undefined {
  const id = shown.get(name)?.id;
  return id !== undefined && isSnapshotId(id) ? { name, id } : undefined;
}

/** Only a volume in use can be written, and not beyond its end. */
function writesOf(
  { fresh, model }: Scene,
  name: string,
  extents: readonly (readonly [number, number])[],
): readonly Write[] {
  const image = model.get(name);
  if (image?.kind !== 'volume' || !image.active) return [];
  return extents
    .filter(([at, length]) => at + length <= image.blocks.length)
    .map(([at, length]) => ({ at, tags: Array.from({ length }, () => fresh.tag++) }));
}

/** Simpler forms of one operation, the simplest first: what a failure does not need is not to be read. */
export function simpler(told: Told): readonly Told[] {
  switch (told.do) {
    case 'create': {
      const { name, size, chunk } = told;
      const plainer: Told[] = [];
      if (told.from !== undefined) plainer.push({ do: 'create', name, size, chunk });
      if (told.scratch) plainer.push({ ...told, scratch: undefined });
      return plainer;
    }
    case 'snapshot':
      return told.unflushed === undefined ? [] : [{ do: 'snapshot', name: told.name, volume: told.volume }];
    case 'restore': {
      const { safety, ...without } = told;
      const plainer: Told[] = safety === undefined ? [] : [without];
      if (told.replace) plainer.push({ ...told, replace: undefined });
      if (!told.keep) plainer.push({ ...told, keep: true });
      return plainer;
    }
    case 'write': {
      const { writes } = told;
      const half = Math.ceil(writes.length / 2);
      const fewer = writes.length > 1 ? [writes.slice(0, half), writes.slice(half)] : [];
      const single = writes.flatMap(([at, length]) => (length > 1 ? [{ at, length }] : []));
      const shorter = single.length > 0 ? [writes.map(([at]): [number, number] => [at, 1])] : [];
      return [...fewer, ...shorter].map((some) => ({ ...told, writes: some }));
    }
    case 'delete':
    case 'expand':
    case 'activate':
    case 'deactivate':
    case 'cancel':
    case 'background':
      return [];
  }
}
