// After a crash: which of the possible models holds, and what the caller does who was never answered. He asks again under
// the same name, and then the operation has been done once.

import type { Restore } from '../../src/engine/engine.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { restoreId } from '../../src/engine/families/present.ts';
import { isSnapshotId, isVolumeId } from '../../src/vocabulary/ids.ts';
import { leftovers, lookAt } from './crash-look.ts';
import type { Mismatch, Model, Shown } from './crash-model.ts';
import { learned, mismatch, restored, volumeIn } from './crash-model.ts';
import type { Node, Operation, Progress } from './crash-operation.ts';
import { perform, requestOf } from './crash-operation.ts';
import type { CrashRig } from './crash-rig.ts';

export interface Found {
  readonly model: Model;
  readonly shown: ReadonlyMap<string, Shown>;
}

export class WrongImages extends Error {
  readonly blocks: number;
  constructor(message: string, blocks: number) {
    super(message);
    this.name = 'WrongImages';
    this.blocks = blocks;
  }
}

export function progressFrom(model: Model): Progress {
  return { sure: model, maybe: [], refused: undefined, unflushed: undefined };
}

function ensure(lines: readonly string[], when: string): void {
  if (lines.length > 0) throw new Error([`${when}:`, ...lines].join('\n'));
}

/** Nothing may be left over, and nothing wrong, before anybody has looked. */
export async function ensureClean(rig: CrashRig, when: string): Promise<void> {
  ensure([...(await leftovers(rig)), ...(await rig.notices())], when);
}

/** Which of the models holds, with what was not sure learned from what is shown. */
export async function reconcile(
  { rig, engine }: Pick<Node, 'rig' | 'engine'>,
  candidates: readonly Model[],
  when: string,
): Promise<Found> {
  const shown = await lookAt(rig, engine);
  const restores = await engine.listRestores();
  await ensureClean(rig, `${when}, having looked`);
  const differences: Mismatch[] = [];
  for (const model of candidates.map((candidate) => begunSince(candidate, restores))) {
    const difference = mismatch(model, shown);
    if (difference === undefined) return { model: learned(model, shown), shown };
    differences.push(difference);
  }
  const which = candidates.length === 1 ? ['want'] : ['neither before', ...candidates.slice(1).map(() => 'nor after')];
  const lines = [`${when}:`, ...differences.map(({ text }, index) => `${which[index]}: ${text}`)];
  throw new WrongImages(lines.join('\n'), Math.min(...differences.map(({ wrong }) => wrong)));
}

/** A restore that waits begins when the driver finds the way free: what it lists tells whether it has. */
export function begunSince(model: Model, restores: readonly Restore[]): Model {
  const begun = new Set(restores.flatMap(({ id, phase }) => (phase === 'waiting' ? [] : [id])));
  let sure = model;
  for (const [name, image] of model) {
    if (image.kind === 'volume' && image.wish !== undefined && begun.has(image.wish.id))
      sure = restored(sure, name, image.wish);
  }
  return sure;
}

/** Had the operation been done, as far as a caller can tell? */
export async function isDone(engine: PoolEngine, op: Operation, model: Model): Promise<boolean> {
  switch (op.do) {
    case 'create':
    case 'snapshot':
      return model.has(op.name);
    case 'restore':
      return (await engine.getRestore(restoreId(op.token))) !== undefined;
    case 'delete':
    case 'expand':
    case 'activate':
    case 'deactivate':
    case 'cancel':
    case 'write':
    case 'background':
      return false;
  }
}

export interface Asked {
  readonly model: Model;
  readonly done: boolean;
  /** It had been refused before the crash. */
  readonly mayRefuse: boolean;
}

/** The caller asks again, under the same name; returns what then holds. A restore that is known is not done again. */
export async function askAgain(node: Node, op: Operation, { model, done, mayRefuse }: Asked): Promise<Model> {
  if (done && op.do === 'restore') {
    const { id } = await node.engine.startRestore(requestOf(op));
    if (id !== restoreId(op.token))
      throw new Error(`asked again: it is restore '${id}', want '${restoreId(op.token)}'`);
    return model;
  }
  const retry = retried(op, model);
  const progress = progressFrom(model);
  await perform(node, retry, progress);
  if (progress.refused !== undefined && !mayRefuse) {
    // The background may have begun something since that has to end first.
    await catchUp(node);
    progress.refused = undefined;
    await perform(node, retry, progress);
    if (progress.refused !== undefined) throw new Error(`asked again: ${String(progress.refused)}`);
  }
  return done ? model : progress.sure;
}

/** As it is asked for the second time. */
export function retried(op: Operation, model: Model): Operation {
  if (op.do === 'snapshot') return { ...op, unflushed: undefined };
  if (op.do === 'write' && !volumeIn(model, op.volume.name).active) return { do: 'background', chunks: 1 };
  return op;
}

/** Until all merges are done and the background has nothing left to do. */
export async function catchUp({ rig, engine }: Pick<Node, 'rig' | 'engine'>): Promise<void> {
  for (let round = 0; round < 20; round += 1) {
    await rig.merge(undefined);
    const effects = rig.effects();
    await engine.look();
    await engine.settle();
    if (rig.effects() === effects) return;
  }
  throw new Error('the background does not come to an end');
}

/** With everything deleted nothing may be left: no store, no device. */
export async function deleteAll(node: Pick<Node, 'rig' | 'engine'>, shown: Found['shown']): Promise<void> {
  const { rig, engine } = node;
  for (const { id } of shown.values()) {
    if (isSnapshotId(id)) await engine.deleteSnapshot(id);
    if (!isVolumeId(id)) continue;
    await engine.deactivate(id);
    await engine.deleteVolume(id);
  }
  await engine.settle();
  await catchUp(node);
  const { stores } = await rig.lvm.report();
  const { devices } = await rig.kernel.observe();
  ensure([...stores.map(({ store, tags }) => `${store} ${tags.join(' ')}`), ...devices.keys()], 'left over');
}
