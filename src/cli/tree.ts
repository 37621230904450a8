// `snapmerge tree`: families as trees, each image below what it reads through. Pure.

import { MOST_NESTED, MOST_NESTED_NEW } from '../converge/depth.ts';
import type { FamilyView, ImageView, MergeView, PoolContents, PoolView, WishView } from '../inspect/view.ts';
import { labelOf } from '../inspect/view.ts';
import type { EntityId } from '../vocabulary/ids.ts';
import { formatBytes } from '../vocabulary/units.ts';
import type { Cell, Style } from './terminal.ts';
import { cell, columns, paint } from './terminal.ts';
import { countOf, percentOf } from './words.ts';

/** Lines. Pools that do not answer are named with their reason. */
export function renderTree(pools: readonly PoolView[], style: Style): readonly string[] {
  if (pools.length === 0) return ['There is no pool: no volume group of this node holds a store of snapmerge.'];
  return pools.flatMap((pool, index) => [...(index === 0 ? [] : ['']), ...poolLines(pool, style)]);
}

function poolLines({ name, problem, contents }: PoolView, style: Style): readonly string[] {
  const head = paint(style, 'bold', `pool ${name}`);
  if (contents === undefined) return [`${head}  ${paint(style, 'red', `does not answer: ${problem}`)}`];
  const { vgName, size, free, families, troubles } = contents;
  return [
    `${head}  volume group ${vgName}, ${formatBytes(free)} free of ${formatBytes(size)}`,
    ...(families.length === 0 && troubles.length === 0 ? ['', 'no volumes'] : []),
    ...families.flatMap((family) => ['', ...familyLines(family, style)]),
    ...troubles.flatMap(({ family, reason }) => [
      '',
      paint(style, 'red', `family ${family ?? 'unknown'}  left alone: ${reason}`),
    ]),
  ];
}

function familyLines(family: FamilyView, style: Style): readonly string[] {
  const { images, stored, stuck, waitsForRoom, busy } = family;
  const shows = images.filter(({ ghost }) => !ghost).reduce((sum, { size }) => sum + size, 0n);
  const living = images.filter(({ ghost }) => !ghost).length;
  const head = [
    paint(
      style,
      'dim',
      `family ${family.id}  ${countOf(living, 'image')} of ${formatBytes(shows)} in ${formatBytes(stored)}`,
    ),
    ...(stuck === '' ? [] : [paint(style, 'red', `stuck: ${stuck}`)]),
    ...(waitsForRoom ? [paint(style, 'yellow', 'waits for room in the pool')] : []),
    ...(busy ? [paint(style, 'yellow', 'an operation is under way')] : []),
  ];
  const rows = images
    .filter(({ parent }) => parent === undefined)
    .flatMap((root) => imageRows(family, root, '', '', style));
  return [head.join('  '), ...columns(rows, style)];
}

const GLYPHS = {
  unicode: { branch: '├─ ', last: '└─ ', through: '│  ', blank: '   ' },
  ascii: { branch: '|- ', last: '`- ', through: '|  ', blank: '   ' },
} as const;

function imageRows(
  family: FamilyView,
  image: ImageView,
  first: string,
  rest: string,
  style: Style,
): readonly (readonly Cell[])[] {
  const glyphs = style.unicode ? GLYPHS.unicode : GLYPHS.ascii;
  const children = family.images.filter(({ parent }) => parent === image.id);
  return [
    imageRow(family, image, first),
    ...children.flatMap((child, index) => {
      const isLast = index === children.length - 1;
      const [now, later] = isLast ? [glyphs.last, glyphs.blank] : [glyphs.branch, glyphs.through];
      return imageRows(family, child, rest + now, rest + later, style);
    }),
  ];
}

function imageRow(family: FamilyView, image: ImageView, prefix: string): readonly Cell[] {
  return [
    cell(prefix + labelOf(image), image.ghost ? 'dim' : 'bold'),
    cell(labelOf(image) === image.id ? '' : image.id, 'dim'),
    cell(image.ghost ? 'ghost' : image.kind, image.ghost ? 'dim' : 'plain'),
    cell(formatBytes(image.size)),
    stateCell(image),
    cell(storeText(image)),
    marksCell(family, image),
  ];
}

function stateCell(image: ImageView): Cell {
  if (image.state !== 'sound') return cell(image.state, 'red');
  if (image.top !== undefined) {
    return image.top.openers > 0
      ? cell(`in use ${image.top.path}`, 'green')
      : cell(`active ${image.top.path}`, 'green');
  }
  if (!image.shown) return cell('dormant', 'dim');
  return image.fed ? cell('fed', 'cyan') : cell('shown', 'cyan');
}

/** What its store holds of what it has; how much of the image is not shared. */
function storeText({ chunk, used, storeSize }: ImageView): string {
  if (chunk === undefined) return `data ${formatBytes(storeSize)}`;
  return used === undefined
    ? `store ${formatBytes(storeSize)}`
    : `store ${formatBytes(used)} of ${formatBytes(storeSize)}`;
}

function marksCell(family: FamilyView, image: ImageView): Cell {
  const { merge, wish, full, scratch, damaged, depth } = image;
  const marks = [
    damaged ? 'a disk under its store is missing' : '',
    full === undefined ? '' : `full: ${nameIn(family, full.writer)} waits for ${formatBytes(full.missing)} in the pool`,
    merge === undefined ? '' : mergeText(family, merge),
    wish === undefined ? '' : wishText(family, wish),
    scratch ? 'scratch' : '',
    depth > MOST_NESTED_NEW ? `${depth} devices deep` : '',
  ].filter((mark) => mark !== '');
  const isMoving = merge !== undefined || wish !== undefined;
  const isWrong = damaged || full !== undefined || (depth > MOST_NESTED && image.shown);
  return cell(marks.join(', '), isWrong ? 'red' : isMoving || depth > MOST_NESTED_NEW ? 'yellow' : 'plain');
}

/** `restoring to friday, 37 %`, `taking over shop, 120 MiB left`. */
export function mergeText(family: FamilyView, { kind, with: other, total, left }: MergeView): string {
  const what = `${kind === 'restore' ? 'restoring to' : 'taking over'} ${nameIn(family, other)}`;
  if (left === undefined) return `${what}, not moving now`;
  if (total === undefined) return `${what}, ${formatBytes(left)} left`;
  return `${what}, ${percentOf(total > left ? total - left : 0n, total)} %, ${formatBytes(left)} left`;
}

/** `to be restored to friday when it is next staged`, with what it waits for. */
export function wishText(family: FamilyView, { mode, snapshot, reason }: WishView): string {
  const what = mode === 'snapshot' ? 'to be promoted' : `to be restored to ${nameIn(family, snapshot)}`;
  const when = mode === 'onactivate' ? ' when it is next staged' : '';
  return `${what}${when}${reason === '' ? '' : `: ${reason}`}`;
}

function nameIn(family: FamilyView, id: EntityId): string {
  const image = family.images.find((one) => one.id === id);
  return image === undefined ? id : labelOf(image);
}

/** All volumes and snapshots that somebody owns. */
export function livingIn({ families }: PoolContents): readonly ImageView[] {
  return families.flatMap(({ images }) => images.filter(({ ghost }) => !ghost));
}
