// A part of a row whose volumes go at its end, and with them the memory under their disks: rows that measure large volumes
// would otherwise need room for all of them at once.

import type { Place } from './place.ts';

const RECLAIMED = 'bench_reclaimed';

/** Discards what nobody uses: the disks take memory for what is written. */
async function reclaim({ lvm, output, vg }: Place): Promise<void> {
  await lvm('lvcreate', '-qq', '--yes', '-Wn', '-Zn', '--extents', '100%FREE', '--name', RECLAIMED, vg);
  await output(['blkdiscard', `/dev/${vg}/${RECLAIMED}`]);
  await lvm('lvremove', '-qq', '--yes', `${vg}/${RECLAIMED}`);
}

/** What is left lying in it is cleared away when it has been measured; after an error, when the whole place closes. */
export async function inPart<T>(place: Place, measure: (part: Place) => Promise<T>): Promise<T> {
  const left: (() => Promise<void>)[] = [];
  const clear = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await next();
  };
  place.leave(clear);
  const measured = await measure({ ...place, leave: (one) => void left.push(one) });
  await clear();
  await reclaim(place);
  return measured;
}
