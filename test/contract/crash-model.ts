// What the node must show before and after an operation, by name, so that it says nothing of ids, stores or merges. Models
// are values: before and after are two of them, and what may be either way is a set of tags at its block.

import type { RestoreMode } from '../../src/engine/engine.ts';

/** A tag, or those of which any is right. */
export type Block = number | ReadonlySet<number>;

/** A restore that was asked for and has not begun. */
export interface Wish {
  /** The restore's: another one may ask for the same. */
  readonly id: string;
  readonly mode: RestoreMode;
  readonly snapshot: string;
  /** What the snapshot showed, and whose it was: it may be deleted before the restore begins. */
  readonly blocks: readonly Block[];
  readonly origin: string;
  readonly keep: boolean;
  readonly safety: string | undefined;
}

export interface VolumeImage {
  readonly kind: 'volume';
  /** The snapshot that a fork was made from. */
  readonly source: string | undefined;
  readonly wish: Wish | undefined;
  readonly blocks: readonly Block[];
  readonly active: boolean;
  /** What a scratch fork is again after its device went away. */
  readonly fresh: readonly Block[] | undefined;
  /** Every tag that it ever showed. */
  readonly past: ReadonlySet<number>;
}

export interface SnapshotImage {
  readonly kind: 'snapshot';
  readonly of: string;
  readonly blocks: readonly Block[];
  /** Its time, once somebody was told of it: from then on it is no other. */
  readonly takenMs?: number | undefined;
}

export type Image = VolumeImage | SnapshotImage;
export type Model = ReadonlyMap<string, Image>;

/** What a node shows, read in full. */
export interface Shown {
  readonly kind: Image['kind'];
  readonly id: string;
  readonly blocks: readonly number[];
  readonly createdMs: number;
  readonly active: boolean;
  /** The restore of it that waits. */
  readonly waits: string | undefined;
}

export function volumeIn(model: Model, name: string): VolumeImage {
  const image = model.get(name);
  if (image?.kind !== 'volume') throw new Error(`Cannot find volume '${name}' in the model`);
  return image;
}

export function snapshotIn(model: Model, name: string): SnapshotImage {
  const image = model.get(name);
  if (image?.kind !== 'snapshot') throw new Error(`Cannot find snapshot '${name}' in the model`);
  return image;
}

export function put(model: Model, name: string, image: Image): Model {
  return new Map(model).set(name, image);
}

export function without(model: Model, name: string): Model {
  const rest = new Map(model);
  rest.delete(name);
  return rest;
}

export function newVolume(blocks: readonly Block[], source: string | undefined, fresh?: readonly Block[]): VolumeImage {
  return { kind: 'volume', source, wish: undefined, blocks, active: false, fresh, past: tagsOf(blocks) };
}

function tagsOf(blocks: readonly Block[]): ReadonlySet<number> {
  return new Set([0, ...blocks.flatMap((block) => (typeof block === 'number' ? [block] : [...block]))]);
}

/** `sure`: the write has happened; otherwise it may have. */
export function written(model: Model, name: string, at: number, tags: readonly number[], sure: boolean): Model {
  const image = model.get(name);
  if (image === undefined) return model;
  const blocks = [...image.blocks];
  tags.forEach((tag, index) => {
    const was = blocks[at + index];
    if (was === undefined) return;
    blocks[at + index] = sure ? tag : new Set([tag, ...(typeof was === 'number' ? [was] : was)]);
  });
  if (image.kind === 'snapshot') return put(model, name, { ...image, blocks });
  return put(model, name, { ...image, blocks, past: new Set([...image.past, ...tags]) });
}

/** The device is gone: a scratch fork is fresh again. */
export function unstaged(image: VolumeImage): VolumeImage {
  const { fresh } = image;
  const blocks = fresh === undefined ? image.blocks : image.blocks.map((_, index) => fresh[index] ?? 0);
  return { ...image, blocks, active: false };
}

export function afterPowerCut(model: Model): Model {
  return new Map([...model].map(([name, image]) => [name, image.kind === 'volume' ? unstaged(image) : image]));
}

/** A safety snapshot is there from the moment in which the restore begins, and not before. */
function withSafety(model: Model, volume: string, safety: string | undefined): Model {
  if (safety === undefined) return model;
  return put(model, safety, { kind: 'snapshot', of: volume, blocks: volumeIn(model, volume).blocks });
}

/** The moment in which a restore begins. */
export function restored(before: Model, volume: string, wish: Wish): Model {
  const model = withSafety(before, volume, wish.safety);
  const was = volumeIn(model, volume);
  const source = wish.mode === 'snapshot' ? undefined : was.source;
  const image = { ...was, source, wish: undefined };
  const after =
    wish.mode === 'snapshot' ? promoted(model, volume, image, wish) : rolledBack(model, volume, image, wish);
  return wish.keep ? after : without(after, wish.snapshot);
}

function rolledBack(model: Model, volume: string, image: VolumeImage, { blocks: target }: Wish): Model {
  const past = new Set(image.past);
  // Beyond the end of a smaller snapshot some past state shows, which one is not promised.
  return put(model, volume, { ...image, blocks: image.blocks.map((_, index) => target[index] ?? past) });
}

function promoted(model: Model, volume: string, image: VolumeImage, { snapshot, origin }: Wish): Model {
  const target = model.get(snapshot);
  const rest = put(without(model, target?.kind === 'snapshot' ? target.of : origin), volume, image);
  return target?.kind === 'snapshot' ? put(rest, snapshot, { ...target, of: volume }) : rest;
}

export function grown(model: Model, volume: string, blocks: number): Model {
  const image = volumeIn(model, volume);
  const more = Array.from<number>({ length: Math.max(0, blocks - image.blocks.length) }).fill(0);
  return put(model, volume, { ...image, blocks: [...image.blocks, ...more] });
}

export interface Mismatch {
  /** One line for a person. */
  readonly text: string;
  /** Blocks that show something else than they should. */
  readonly wrong: number;
}

/** The first difference; undefined when all that is shown fits the model. */
export function mismatch(model: Model, shown: ReadonlyMap<string, Shown>): Mismatch | undefined {
  const other = (text: string): Mismatch => ({ text, wrong: 0 });
  for (const name of shown.keys()) if (!model.has(name)) return other(`'${name}' is there and should not be`);
  for (const [name, image] of model) {
    const found = shown.get(name);
    if (found?.kind !== image.kind) return other(`'${name}' is not there`);
    if (image.kind === 'volume' && image.active !== found.active)
      return other(`'${name}' is ${image.active ? 'not active and should be' : 'active and should not be'}`);
    const waits = image.kind === 'volume' ? image.wish?.id : undefined;
    if (waits !== found.waits)
      return other(`restore '${found.waits ?? 'none'}' of '${name}' waits, want '${waits ?? 'none'}'`);
    if (image.kind === 'snapshot' && image.takenMs !== undefined && image.takenMs !== found.createdMs)
      return other(`'${name}' is of ${found.createdMs}, and was of ${image.takenMs}`);
    if (image.blocks.length !== found.blocks.length)
      return other(`'${name}' has ${found.blocks.length} blocks, want ${image.blocks.length}`);
    const wrong = image.blocks.flatMap((block, index) => (fits(block, found.blocks[index]) ? [] : [index]));
    const [first] = wrong;
    if (first !== undefined) {
      const want = image.blocks[first];
      const text =
        `'${name}' (${found.id}): ${wrong.length} of ${image.blocks.length} blocks differ, the first is ${first}: ` +
        `got ${found.blocks[first]}, want ${typeof want === 'number' ? want : `one of ${[...(want ?? [])].slice(0, 8).join(', ')}`}`;
      return { text, wrong: wrong.length };
    }
  }
  return undefined;
}

function fits(block: Block, tag: number | undefined): boolean {
  return tag !== undefined && (typeof block === 'number' ? block === tag : block.has(tag));
}

/** The model with what was not sure replaced by what is shown. */
export function learned(model: Model, shown: ReadonlyMap<string, Shown>): Model {
  return new Map(
    [...model].map(([name, image]): readonly [string, Image] => {
      const found = shown.get(name);
      if (found === undefined) return [name, image];
      const sure = { ...image, blocks: found.blocks };
      return [name, sure.kind === 'snapshot' ? { ...sure, takenMs: found.createdMs } : sure];
    }),
  );
}
