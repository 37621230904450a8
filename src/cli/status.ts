// `snapmerge status`: what an operator looks at first. Pure.

import { judge } from '../inspect/judge.ts';
import type { DiskView, FamilyView, ImageView, PoolContents, PoolView } from '../inspect/view.ts';
import { labelOf } from '../inspect/view.ts';
import { formatBytes } from '../vocabulary/units.ts';
import type { NodeLook } from './look.ts';
import type { Cell, Style } from './terminal.ts';
import { cell, columns, paint } from './terminal.ts';
import { livingIn, mergeText, wishText } from './tree.ts';
import { countOf, percentOf } from './words.ts';

export interface StatusReport {
  readonly lines: readonly string[];
  readonly wrong: readonly string[];
  readonly notices: readonly string[];
}

export function reportStatus({ driver, pools }: NodeLook, style: Style): StatusReport {
  const judged = pools.map(judge);
  const wrong = [...(driver.answers ? [] : [driver.reason]), ...judged.flatMap((one) => one.wrong)];
  const notices = judged.flatMap((one) => one.notices);
  const driverLine = driver.answers
    ? `driver ${driver.version} answers at ${driver.socket}`
    : 'read from LVM and the kernel, without the driver';
  const verdict =
    wrong.length > 0 ? [] : [paint(style, 'green', notices.length === 0 ? 'All is well.' : 'Nothing is wrong yet.')];
  return {
    lines: [
      driverLine,
      ...pools.flatMap((pool) => ['', ...poolLines(pool, style)]),
      '',
      ...wrong.map((text) => paint(style, 'red', `wrong: ${text}`)),
      ...notices.map((text) => paint(style, 'yellow', `soon: ${text}`)),
      ...verdict,
    ],
    wrong,
    notices,
  };
}

function poolLines({ name, contents }: PoolView, style: Style): readonly string[] {
  const head = paint(style, 'bold', `pool ${name}`);
  if (contents === undefined) return [`${head}  ${paint(style, 'red', 'does not answer')}`];
  const merging = textsOf(contents, ({ merge }, family) =>
    merge === undefined ? undefined : mergeText(family, merge),
  );
  const waiting = textsOf(contents, ({ wish }, family) => (wish === undefined ? undefined : wishText(family, wish)));
  const rows: readonly (readonly Cell[])[] = [
    [cell('  space'), cell(spaceText(contents))],
    [cell('  records'), cell(metadataText(contents))],
    ...contents.disks.map((disk, index) => [cell(index === 0 ? '  disks' : ''), diskCell(disk)]),
    [cell('  images'), cell(countText(contents))],
    ...merging.map((text, index) => [cell(index === 0 ? '  merging' : ''), cell(text, 'yellow')]),
    ...waiting.map((text, index) => [cell(index === 0 ? '  waiting' : ''), cell(text, 'yellow')]),
  ];
  return [`${head}  volume group ${contents.vgName}`, ...columns(rows, style)];
}

function spaceText({ size, free, reserve }: PoolContents): string {
  const kept = reserve === undefined ? '' : `, ${formatBytes(reserve)} of it the reserve`;
  return `${formatBytes(free)} free of ${formatBytes(size)} (${percentOf(free, size)} %)${kept}`;
}

function metadataText({ metadataSize, metadataFree }: PoolContents): string {
  return `${formatBytes(metadataFree)} free of ${formatBytes(metadataSize)} of LVM metadata area (${percentOf(metadataFree, metadataSize)} %)`;
}

function diskCell({ path, size, free, missing, closed }: DiskView): Cell {
  if (missing) return cell(`${path} is missing`, 'red');
  const text = `${path}  ${formatBytes(free)} free of ${formatBytes(size)}`;
  return closed ? cell(`${text}, and closed (pvchange -xy opens it)`, 'yellow') : cell(text);
}

function countText(contents: PoolContents): string {
  const living = livingIn(contents);
  const ghosts = contents.families.flatMap(({ images }) => images).filter(({ ghost }) => ghost).length;
  const of = (kind: ImageView['kind']): readonly ImageView[] => living.filter((image) => image.kind === kind);
  const staged = living.filter(({ top }) => top !== undefined).length;
  return [
    countOf(of('volume').length, 'volume'),
    countOf(of('fork').length, 'fork'),
    countOf(of('snapshot').length, 'snapshot'),
    ...(ghosts === 0 ? [] : [countOf(ghosts, 'ghost')]),
    ...(contents.strangers === 0
      ? []
      : [countOf(contents.strangers, 'logical volume not ours', 'logical volumes not ours')]),
    `in ${countOf(contents.families.length + contents.troubles.length, 'family', 'families')}`,
    `${staged} staged`,
  ].join(', ');
}

function textsOf(
  { families }: PoolContents,
  textOf: (image: ImageView, family: FamilyView) => string | undefined,
): readonly string[] {
  return families.flatMap((family) =>
    family.images.flatMap((image) => {
      const text = textOf(image, family);
      return text === undefined ? [] : [`${labelOf(image)}: ${text}`];
    }),
  );
}
