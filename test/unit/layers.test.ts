// The house keeps its order: a file imports from its own room and from rooms below it, types included, and nothing imports in a
// circle. Lint knows no order of folders.

import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

/** The rooms of src from the ground up. */
const HOUSE =
  'vocabulary system transport dm lvm host records converge inspect engine pools metrics config csi controller node kubernetes cli driver main.ts';
const ENGINE =
  'engine.ts state ports families operations boot.ts restore stage.ts background queries wrapping.ts compose.ts';

const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `src/${name}`);

/** Files of src that a file imports, by their paths from the root. */
function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/^(?:import|export) [^;]*? from '(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm)].flatMap(
    ([, path = '', later]) => {
      const target = normalize(join(dirname(file), later ?? path));
      return target.startsWith('src/') ? [target] : [];
    },
  );
}

const ARROWS = files.flatMap((from) => importsOf(from).map((to) => ({ from, to })));

function arrowsBack(place: string, order: readonly string[]): readonly string[] {
  const floorOf = (file: string): number => {
    const room = file.slice(place.length).split('/')[0] ?? '';
    const floor = order.indexOf(room);
    if (floor < 0) throw new Error(`${file} is in no room of the list in ${import.meta.filename}`);
    return floor;
  };
  return ARROWS.filter(({ from, to }) => from.startsWith(place) && to.startsWith(place))
    .filter(({ from, to }) => floorOf(to) > floorOf(from))
    .map(({ from, to }) => `${from} -> ${to}`);
}

test('imports point down', () => {
  expect(ARROWS.length).toBeGreaterThan(files.length);
  expect(arrowsBack('src/', HOUSE.split(' '))).toEqual([]);
  expect(arrowsBack('src/engine/', ENGINE.split(' '))).toEqual([]);
});

test('no file imports itself by way of others, for a type either', () => {
  const below = new Map(files.map((file) => [file, importsOf(file)]));
  const done = new Set<string>();
  const circleFrom = (file: string, way: readonly string[]): readonly string[] => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (done.has(file)) return [];
    for (const next of below.get(file) ?? []) {
      const circle = circleFrom(next, [...way, file]);
      if (circle.length > 0) return circle;
    }
    done.add(file);
    return [];
  };
  expect(files.flatMap((file) => circleFrom(file, []))).toEqual([]);
});

test('what is pure does no input and output', () => {
  const pure = /^src\/(vocabulary|records|inspect)\/|^src\/converge\/(?!converge\.ts)/;
  const doers = /from '(node:(fs|net|http|child_process)[^']*|[^']*system\/exec\.ts)'/;
  expect(files.filter((file) => pure.test(file) && doers.test(readFileSync(join(ROOT, file), 'utf8')))).toEqual([]);
});
