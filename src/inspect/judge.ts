// What an operator must know of a pool: what is wrong, and what will be if nothing is done. Pure.

import { hasMetadataRoom } from '../lvm/room.ts';
import { MOST_NESTED, MOST_NESTED_NEW } from '../converge/depth.ts';
import { formatBytes } from '../vocabulary/units.ts';
import type { EntityId } from '../vocabulary/ids.ts';
import type { FamilyView, ImageView, PoolContents, PoolView } from './view.ts';
import { labelOf } from './view.ts';

export interface Judgement {
  /** Somebody has to do something. */
  readonly wrong: readonly string[];
  /** Nothing is wrong yet. */
  readonly notices: readonly string[];
}

const LITTLE_METADATA_PERCENT = 10n;

export function judge({ name, problem, contents }: PoolView): Judgement {
  if (contents === undefined) return { wrong: [`pool '${name}' does not answer: ${problem}`], notices: [] };
  const wrong = [...poolTroubles(contents), ...contents.families.flatMap(familyTroubles)];
  return {
    wrong: wrong.map((text) => `pool '${name}': ${text}`),
    notices: notices(contents).map((text) => `pool '${name}': ${text}`),
  };
}

function poolTroubles({ disks, troubles, metadataFree, metadataSize }: PoolContents): readonly string[] {
  const missing = disks.filter((disk) => disk.missing).map(({ path }) => path);
  return [
    ...(missing.length === 0 ? [] : [`${missing.length === 1 ? 'disk' : 'disks'} ${missing.join(', ')} missing`]),
    ...(hasMetadataRoom({ metadataFree })
      ? []
      : [`its metadata area is full: ${formatBytes(metadataFree)} of ${formatBytes(metadataSize)} free`]),
    ...troubles.map(({ family, reason }) => `family '${family ?? 'unknown'}' is left alone: ${reason}`),
  ];
}

function familyTroubles({ id, images, stuck, waitsForRoom }: FamilyView): readonly string[] {
  return [
    ...(stuck === '' ? [] : [`family '${id}' is stuck: ${stuck}`]),
    ...(waitsForRoom ? [`family '${id}' waits for room in the pool`] : []),
    ...images
      .filter(({ state }) => state !== 'sound')
      .map((image) => `${image.kind} '${labelOf(image)}': the kernel says '${image.state}'`),
    ...images.flatMap(tooDeep),
    ...images.flatMap(({ full, store }) =>
      full === undefined
        ? []
        : [
            `writers of '${nameIn(images, full.writer)}' wait for room in store '${store}': the pool needs ` +
              `${formatBytes(full.missing)} more free space`,
          ],
    ),
    ...images
      .filter(({ damaged }) => damaged)
      .map(
        (image) =>
          `${image.kind} '${labelOf(image)}': a disk under its store '${image.store}' is missing or has failed`,
      ),
  ];
}

/** Staged beyond what is safe, by an earlier version; nothing of it is taken away. */
function tooDeep(image: ImageView): readonly string[] {
  const { depth, top, kind } = image;
  if (top === undefined || depth <= MOST_NESTED) return [];
  return [
    `${kind} '${labelOf(image)}' is staged, and shown by ${depth} devices on top of each other: more than ${MOST_NESTED} ` +
      'could bring the kernel down; delete snapshots that it reads through, or unstage it',
  ];
}

/** Nothing is wrong with it yet. */
function deepening(image: ImageView): readonly string[] {
  const { depth, top, kind, ghost } = image;
  const helps = 'delete snapshots that it reads through';
  if (kind === 'snapshot' || ghost || depth <= MOST_NESTED_NEW) return [];
  if (top === undefined) {
    return depth <= MOST_NESTED
      ? []
      : [
          `${kind} '${labelOf(image)}' cannot be staged: ${depth} devices would lie on top of each other to show it, and ` +
            `more than ${MOST_NESTED} could bring the kernel down; ${helps}`,
        ];
  }
  return depth > MOST_NESTED
    ? []
    : [
        `${kind} '${labelOf(image)}' is shown by ${depth} devices on top of each other: at ${MOST_NESTED} no more snapshots ` +
          `are taken of what it reads through; ${helps}, or unstage it`,
      ];
}

function notices({ free, reserve, metadataFree, metadataSize, families }: PoolContents): readonly string[] {
  return [
    ...families.flatMap(({ images }) => images.flatMap(deepening)),
    ...(reserve !== undefined && free < reserve
      ? [`${formatBytes(free)} free, less than its reserve of ${formatBytes(reserve)}: nothing new can be made`]
      : []),
    ...(hasMetadataRoom({ metadataFree }) && metadataFree * 100n < metadataSize * LITTLE_METADATA_PERCENT
      ? [`its metadata area has only ${formatBytes(metadataFree)} of ${formatBytes(metadataSize)} free`]
      : []),
  ];
}

function nameIn(images: readonly ImageView[], id: EntityId): string {
  const image = images.find((one) => one.id === id);
  return image === undefined ? id : labelOf(image);
}
