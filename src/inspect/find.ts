// What a person calls a volume or snapshot -> the image that is meant: a handle, an id, or a CSI name, as long as only one
// fits. Pure.

import { fail } from '../vocabulary/errors.ts';
import { handleText, isSnapshotId, isVolumeId, parseHandle } from '../vocabulary/ids.ts';
import { nameOf, sameName } from '../records/tags.ts';
import type { FamilyView, ImageView, PoolContents, PoolView } from './view.ts';
import { isSnapshot } from './view.ts';

export interface FoundImage {
  readonly pool: PoolView;
  readonly contents: PoolContents;
  readonly family: FamilyView;
  readonly image: ImageView;
}

export type What = 'volume' | 'snapshot' | 'image';

const MAX_NAMED = 8;

/** Ghosts are found by nobody. `not-found` with what there is; `invalid` where a name fits several. */
export function findImage(pools: readonly PoolView[], what: What, text: string): FoundImage {
  const all = imagesOf(pools).filter(({ image }) => !image.ghost);
  const ofKind = all.filter(({ image }) => what === 'image' || isSnapshot(image) === (what === 'snapshot'));
  const found = ofKind.filter((one) => isMeant(one, text));
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only;
  const thing = what === 'image' ? 'volume or snapshot' : what;
  if (only !== undefined) {
    const handles = found.map((one) => `'${handleOf(one)}'`).join(', ');
    return fail('invalid', `Cannot tell which ${thing} is meant by '${text}': it may be ${handles}; give one of these`);
  }
  const other = all.find((one) => isMeant(one, text));
  if (other !== undefined) return fail('invalid', `Cannot use '${text}' as a ${thing}: it is a ${other.image.kind}`);
  const silent = pools.filter(({ contents }) => contents === undefined).map(({ name }) => `'${name}'`);
  const hidden = silent.length === 0 ? '' : ` (pool ${silent.join(', ')} does not answer)`;
  return fail('not-found', `Cannot find ${thing} '${text}'${hidden}: ${thereIs(ofKind, thing)}`);
}

export function imagesOf(pools: readonly PoolView[]): readonly FoundImage[] {
  return pools.flatMap((pool) => {
    const { contents } = pool;
    if (contents === undefined) return [];
    return contents.families.flatMap((family) => family.images.map((image) => ({ pool, contents, family, image })));
  });
}

export function handleOf({ pool, contents, image }: FoundImage): string {
  return handleText(pool.name, contents.vgUuid, image.id);
}

/** A pool may have been renamed: of a handle the volume group and the id decide. */
function isMeant({ contents, image }: FoundImage, text: string): boolean {
  const handle = parseHandle(text);
  if (handle !== undefined && handle.id === image.id && contents.vgUuid.startsWith(handle.vg)) return true;
  if (isVolumeId(text) || isSnapshotId(text)) return image.id === text;
  return text !== '' && sameName(image.name, nameOf(text));
}

function thereIs(images: readonly FoundImage[], thing: string): string {
  if (images.length === 0) return `there is no ${thing} at all`;
  const names = images
    .slice(0, MAX_NAMED)
    .map(({ image }) => `'${image.name.as === 'text' ? image.name.text : image.id}'`);
  return `there ${images.length === 1 ? 'is' : 'are'} ${names.join(', ')}${images.length > MAX_NAMED ? ' and others' : ''}`;
}
