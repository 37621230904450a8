// The families of a pool as text, from the tags alone: what an operator sees in `lvs`, drawn. Pure.

import type { Family, Node } from '../../src/records/family.ts';
import { buildForest } from '../../src/records/build-forest.ts';
import { isStoreName } from '../../src/vocabulary/ids.ts';
import { formatBytes, bytes } from '../../src/vocabulary/units.ts';
import { z } from 'zod';

const lvs = z.object({
  report: z.array(
    z.object({ lv: z.array(z.object({ lv_name: z.string(), lv_size: z.string(), lv_tags: z.string() })) }),
  ),
});

/** `text`: the output of `lvs --reportformat json --units b --nosuffix -o lv_name,lv_size,lv_tags`. */
export function drawForest(text: string): string {
  const stores = lvs
    .parse(JSON.parse(text))
    .report.flatMap(({ lv }) => lv)
    .flatMap(({ lv_name, lv_size, lv_tags }) =>
      isStoreName(lv_name)
        ? [
            {
              store: lv_name,
              tags: lv_tags.split(','),
              size: bytes(BigInt(lv_size)),
              active: false,
              layout: 'linear' as const,
              damaged: false,
            },
          ]
        : [],
    );
  const sizes = new Map<string, string>(stores.map(({ store, size }) => [store, formatBytes(size)]));
  const { families, troubles } = buildForest(stores);
  const trees = [...families.values()].flatMap((family) => {
    const roots = [...family.nodes.values()].filter(({ parent }) => parent === undefined);
    return roots.flatMap((root) => drawNode(family, root, '', '', sizes));
  });
  return [...trees, ...troubles.map(({ reason }) => `!! ${reason}`)].join('\n');
}

function drawNode(
  family: Family,
  node: Node,
  first: string,
  rest: string,
  sizes: ReadonlyMap<string, string>,
): readonly string[] {
  const { entity, store, deleted, restore, merging, place } = node.record;
  const name = entity.name.as === 'text' ? ` ${entity.name.text}` : '';
  const kind = entity.kind === 'snapshot' ? 'snapshot' : place.kind === 'root' ? 'volume' : 'fork';
  const marks = [
    deleted ? 'ghost' : '',
    restore === undefined ? '' : `restoring to ${restore.snapshot}`,
    merging === undefined ? '' : 'taking over its parent',
  ].filter(Boolean);
  const line = `${kind} ${node.id}${name}: ${formatBytes(entity.size)}, store ${store} of ${sizes.get(store) ?? '?'}`;
  const children = node.readers.flatMap((id) => family.nodes.get(id) ?? []);
  return [
    `${first}${line}${marks.length === 0 ? '' : ` (${marks.join(', ')})`}`,
    ...children.flatMap((child, index) => {
      const last = index === children.length - 1;
      return drawNode(family, child, `${rest}${last ? '└─ ' : '├─ '}`, `${rest}${last ? '   ' : '│  '}`, sizes);
    }),
  ];
}
