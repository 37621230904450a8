// One operation as a value, so that it can be run again and again from one moment: drawn once, done by an engine that was
// opened a moment ago, and what it makes of the model.

import type { PoolEngine } from '../../src/engine/compose.ts';
import type { RestoreMode, StartRestore } from '../../src/engine/engine.ts';
import { restoreId } from '../../src/engine/families/present.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import type { SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import type { VolumeParameters, VolumeSource } from '../../src/vocabulary/parameters.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { formatBytes } from '../../src/vocabulary/units.ts';
import type { Model, VolumeImage, Wish } from './crash-model.ts';
import { grown, newVolume, put, restored, snapshotIn, unstaged, volumeIn, without, written } from './crash-model.ts';
import type { CrashRig } from './crash-rig.ts';
import { BLOCK_BYTES } from './rig.ts';

export interface NamedVolume {
  readonly name: string;
  readonly id: VolumeId;
}

export interface NamedSnapshot {
  readonly name: string;
  readonly id: SnapshotId;
}

export interface Write {
  readonly at: number;
  readonly tags: readonly number[];
}

export type Operation =
  | {
      readonly do: 'create';
      readonly name: string;
      readonly size: Bytes;
      readonly parameters: VolumeParameters;
      readonly from: NamedVolume | NamedSnapshot | undefined;
    }
  | {
      readonly do: 'snapshot';
      readonly volume: NamedVolume;
      readonly name: string;
      readonly unflushed: Write | undefined;
    }
  | { readonly do: 'delete'; readonly what: NamedVolume | NamedSnapshot }
  | { readonly do: 'expand'; readonly volume: NamedVolume; readonly size: Bytes }
  | {
      readonly do: 'restore';
      readonly mode: RestoreMode;
      readonly volume: NamedVolume;
      readonly snapshot: NamedSnapshot;
      /** In place of one that waits. */
      readonly replace: boolean;
      readonly keep: boolean;
      readonly safety: string | undefined;
      /** Whoever was not answered asks again under the same. */
      readonly token: string;
    }
  | { readonly do: 'activate' | 'deactivate' | 'cancel'; readonly volume: NamedVolume }
  | { readonly do: 'write'; readonly volume: NamedVolume; readonly writes: readonly Write[] }
  /** Merges move so many chunks (undefined: to their ends), then the background does what is due. */
  | { readonly do: 'background'; readonly chunks: number | undefined };

export type RestoreOperation = Extract<Operation, { do: 'restore' }>;

/** How far an operation has got: what was acknowledged holds, or, until it returns, one of those that may. */
export interface Progress {
  sure: Model;
  maybe: readonly Model[];
  refused: string | undefined;
  /** What a block was before a write that nobody has flushed yet: a power cut may bring it back. */
  unflushed: { readonly volume: string; readonly was: Write } | undefined;
}

export function operationText(op: Operation): string {
  switch (op.do) {
    case 'create':
      return `create ${op.name} of ${formatBytes(op.size)}${op.from === undefined ? '' : ` from ${op.from.name}`}${op.parameters.scratch ? ' (scratch)' : ''}, chunk ${formatBytes(op.parameters.chunk)}`;
    case 'snapshot':
      return `snapshot ${op.volume.name} as ${op.name}${op.unflushed === undefined ? '' : ` (a write at ${op.unflushed.at} not flushed)`}`;
    case 'delete':
      return `delete ${op.what.name}`;
    case 'expand':
      return `expand ${op.volume.name} to ${formatBytes(op.size)}`;
    case 'restore':
      return `restore ${op.volume.name} to ${op.snapshot.name} (${op.mode}${op.replace ? ', replacing' : ''})${op.keep ? '' : ' (dropped)'}${op.safety === undefined ? '' : ` safety ${op.safety}`}`;
    case 'activate':
    case 'deactivate':
    case 'cancel':
      return `${op.do} ${op.volume.name}`;
    case 'write':
      return `write ${op.volume.name}: ${op.writes.map(({ at, tags }) => `${at}+${tags.length}`).join(' ')}`;
    case 'background':
      return `background, merges move ${op.chunks ?? 'all'} chunks`;
  }
}

/** What holds when the operation has been done. */
export function applied(model: Model, op: Operation): Model {
  switch (op.do) {
    case 'create':
      return put(model, op.name, created(model, op));
    case 'snapshot': {
      const { blocks } = volumeIn(model, op.volume.name);
      return put(model, op.name, { kind: 'snapshot', of: op.volume.name, blocks });
    }
    case 'delete':
      return without(model, op.what.name);
    case 'expand':
      return grown(model, op.volume.name, Number(op.size) / BLOCK_BYTES);
    case 'restore':
      return restored(model, op.volume.name, wishOf(model, op));
    case 'cancel':
      return put(model, op.volume.name, { ...volumeIn(model, op.volume.name), wish: undefined });
    case 'activate':
      return activated(model, op.volume.name);
    case 'deactivate':
      return put(model, op.volume.name, unstaged(volumeIn(model, op.volume.name)));
    case 'write':
      return op.writes.reduce((all, { at, tags }) => written(all, op.volume.name, at, tags, true), model);
    case 'background':
      return model;
  }
}

function created(model: Model, { size, parameters, from }: Extract<Operation, { do: 'create' }>): VolumeImage {
  const source = from === undefined ? [] : (model.get(from.name)?.blocks ?? []);
  const blocks = Array.from({ length: Number(size) / BLOCK_BYTES }, (_, index) => source[index] ?? 0);
  const madeFrom = from === undefined || isVolume(from) ? undefined : from.name;
  return newVolume(blocks, madeFrom, parameters.scratch ? blocks : undefined);
}

/** What waited for its volume to be staged begins; what waits for something else as well, because staging is refused else. */
function activated(model: Model, name: string): Model {
  const { wish, active } = volumeIn(model, name);
  const begun = wish === undefined || wish.mode === 'snapshot' || active ? model : restored(model, name, wish);
  return put(begun, name, { ...volumeIn(begun, name), active: true });
}

function wishOf(model: Model, { mode, snapshot, keep, safety, token }: RestoreOperation): Wish {
  const { blocks, of: origin } = snapshotIn(model, snapshot.name);
  return { id: restoreId(token), mode, snapshot: snapshot.name, blocks, origin, keep, safety };
}

/** Noted, and not begun. */
function wished(model: Model, op: RestoreOperation): Model {
  return put(model, op.volume.name, { ...volumeIn(model, op.volume.name), wish: wishOf(model, op) });
}

/** What happens in the middle of an operation. */
export interface Hooks {
  /** Called once, before the next suspend. */
  beforeSuspend: (() => Promise<void>) | undefined;
}

export interface Node {
  readonly rig: CrashRig;
  readonly engine: PoolEngine;
  readonly hooks: Hooks;
}

/** Does it, and then the background's turn, as the driver would. Throws what a crash or a fault throws. */
export async function perform({ rig, engine, hooks }: Node, op: Operation, progress: Progress): Promise<void> {
  const before = progress.sure;
  const after = applied(before, op);
  progress.maybe = possible(before, op, after);
  // At the last moment: a write from before is made durable by the commit's own flush.
  hooks.beforeSuspend = async () => {
    if (op.do === 'snapshot' && op.unflushed !== undefined) await writeUnflushed(rig, op, op.unflushed, progress);
  };
  try {
    const begun = await call(rig, engine, op, progress);
    if (op.do === 'restore' && !begun) progress.sure = wished(before, op);
    else progress.sure = op.do === 'write' ? after : applied(progress.sure, op);
    // A snapshot flushes what its volume had acknowledged.
    progress.unflushed = undefined;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    progress.refused = error.message;
  } finally {
    hooks.beforeSuspend = undefined;
  }
  progress.maybe = [];
  await engine.settle();
}

/** What may hold when the operation is cut short, besides what held before. */
function possible(before: Model, op: Operation, after: Model): readonly Model[] {
  return op.do === 'restore' ? [wished(before, op), after] : [after];
}

async function writeUnflushed(
  rig: CrashRig,
  op: Extract<Operation, { do: 'snapshot' }>,
  { at, tags }: Write,
  progress: Progress,
): Promise<void> {
  const { volume } = op;
  await rig.write(deviceKey(volume.id, 'top'), at, tags);
  const was = volumeIn(progress.sure, volume.name)
    .blocks.slice(at, at + tags.length)
    .filter((tag) => typeof tag === 'number');
  progress.unflushed = { volume: volume.name, was: { at, tags: was } };
  progress.sure = written(progress.sure, volume.name, at, tags, true);
  progress.maybe = [applied(progress.sure, op)];
}

/** What the driver rightly refuses for now is no failure. */
function isRefusal(error: unknown): error is SnapmergeError {
  return error instanceof SnapmergeError && (error.kind === 'precondition' || error.kind === 'exhausted');
}

/** False when a restore was only noted. */
async function call(rig: CrashRig, engine: PoolEngine, op: Operation, progress: Progress): Promise<boolean> {
  switch (op.do) {
    case 'create': {
      const { name, size, parameters, from } = op;
      await engine.createVolume({ name, requiredBytes: size, limitBytes: size, parameters, source: sourceOf(from) });
      return true;
    }
    case 'snapshot':
      await engine.createSnapshot(op.volume.id, op.name);
      return true;
    case 'delete':
      await (isVolume(op.what) ? engine.deleteVolume(op.what.id) : engine.deleteSnapshot(op.what.id));
      return true;
    case 'expand':
      await engine.expandVolume(op.volume.id, op.size, undefined);
      return true;
    case 'restore':
      return (await engine.startRestore(requestOf(op))).phase !== 'waiting';
    case 'cancel':
      await cancelAll(engine, op.volume.id);
      return true;
    case 'activate':
      await engine.activate(op.volume.id);
      return true;
    case 'deactivate':
      await engine.deactivate(op.volume.id);
      return true;
    case 'write':
      await writeAll(rig, engine, op, progress);
      return true;
    case 'background':
      await rig.merge(op.chunks);
      await engine.look();
      return true;
  }
}

async function cancelAll(engine: PoolEngine, id: VolumeId): Promise<void> {
  for (const { id: restore, volume, phase } of await engine.listRestores()) {
    if (volume === id && phase === 'waiting') await engine.cancelRestore(restore);
  }
}

/** The monitor's time is not real here: it looks after every write, as it would many times a second. */
async function writeAll(
  rig: CrashRig,
  engine: PoolEngine,
  { volume, writes }: Extract<Operation, { do: 'write' }>,
  progress: Progress,
): Promise<void> {
  const top = deviceKey(volume.id, 'top');
  for (const { at, tags } of writes) {
    await rig.write(top, at, tags);
    await rig.flush(top);
    progress.sure = written(progress.sure, volume.name, at, tags, true);
    progress.maybe = [];
    await engine.look();
  }
}

export function requestOf({ mode, volume, snapshot, keep, safety, replace, token }: RestoreOperation): StartRestore {
  return {
    volume: volume.id,
    snapshot: snapshot.id,
    mode,
    keepSnapshot: keep,
    safetySnapshotName: safety,
    replace,
    token,
  };
}

function isVolume(what: NamedVolume | NamedSnapshot): what is NamedVolume {
  return what.id.startsWith('v-');
}

function sourceOf(from: NamedVolume | NamedSnapshot | undefined): VolumeSource | undefined {
  if (from === undefined) return undefined;
  return isVolume(from) ? { from: 'volume', volume: from.id } : { from: 'snapshot', snapshot: from.id };
}
