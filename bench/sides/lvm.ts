// LVM's sides, by the commands of an administrator: a plain linear volume, thick snapshots, thin volumes.

import type { Maker } from '../volume.ts';
import { CHUNK_BYTES, fill, usedIn } from '../volume.ts';

const THIN_POOL = 'bench_thin';

const sizeOf = (mib: number): readonly string[] => ['--size', `${mib}m`];

export const linear: Maker = async (place, { name, mib }) => {
  const lv = `bench_lin_${name}`;
  await place.lvm('lvcreate', '-qq', '--yes', '--name', lv, ...sizeOf(mib), place.vg);
  const device = `/dev/${place.vg}/${lv}`;
  await fill(place, device, { mib });
  return {
    name,
    id: `${place.vg}/${lv}`,
    device,
    snapshot: () => Promise.reject(new Error('Cannot snapshot a linear volume')),
    drop: () => Promise.reject(new Error('Cannot delete a snapshot: there is none')),
    images: () => Promise.resolve({}),
    spentBytes: () => Promise.resolve(0),
    remove: async () => {
      await place.lvm('lvremove', '-qq', '--yes', `${place.vg}/${lv}`);
    },
  };
};

/** Exceptions cost 16 bytes for each chunk, and a header. */
const wholeStoreMib = (mib: number): number => mib + Math.ceil(mib / 1024) + 8;

export const thick: Maker = async (place, { name, mib, storeMib = wholeStoreMib(mib) }) => {
  const lv = `bench_thick_${name}`;
  await place.lvm('lvcreate', '-qq', '--yes', '--name', lv, ...sizeOf(mib), place.vg);
  const device = `/dev/${place.vg}/${lv}`;
  await fill(place, device, { mib });
  let count = 0;
  const at = (index: number): string => `/dev/${place.vg}/${lv}_s${index}`;
  return {
    name,
    id: `${place.vg}/${lv}`,
    device,
    snapshot: async () => {
      count += 1;
      const store = ['--chunksize', `${CHUNK_BYTES / 1024}k`, ...sizeOf(storeMib)];
      await place.lvm(
        'lvcreate',
        '-qq',
        '--yes',
        '--snapshot',
        '--name',
        `${lv}_s${count}`,
        ...store,
        `${place.vg}/${lv}`,
      );
      return `${place.vg}/${lv}_s${count}`;
    },
    drop: async () => {
      await place.lvm('lvremove', '-qq', '--yes', `${place.vg}/${lv}_s${count}`);
      count -= 1;
    },
    images: () => Promise.resolve({ newest: at(count), oldest: at(1) }),
    spentBytes: async () => usedIn(await place.output(['dmsetup', 'status', '--noflush', '--target', 'snapshot']), lv),
    remove: async () => {
      await place.lvm('lvremove', '-qq', '--yes', '--force', `${place.vg}/${lv}`);
    },
  };
};

export const thin: Maker = async (place, { name, mib }) => {
  const found = await place.lvm('lvs', '--noheadings', '--options', 'lv_name', place.vg);
  if (!found.split(/\s+/).includes(THIN_POOL)) {
    const chunk = ['--chunksize', `${CHUNK_BYTES / 1024}k`, '--poolmetadatasize', '64m'];
    await place.lvm(
      'lvcreate',
      '-qq',
      '--yes',
      '--type',
      'thin-pool',
      '--name',
      THIN_POOL,
      ...chunk,
      ...sizeOf(6144),
      place.vg,
    );
  }
  const lv = `bench_thin_${name}`;
  await place.lvm(
    'lvcreate',
    '-qq',
    '--yes',
    '--thin',
    '--name',
    lv,
    '--virtualsize',
    `${mib}m`,
    `${place.vg}/${THIN_POOL}`,
  );
  const device = `/dev/${place.vg}/${lv}`;
  await fill(place, device, { mib });
  const used = async (): Promise<number> => {
    const [, blocks = NaN] =
      /thin-pool \d+ \d+\/\d+ (\d+)\//.exec(
        await place.output(['dmsetup', 'status', `${place.vg.replaceAll('-', '--')}-${THIN_POOL}-tpool`]),
      ) ?? [];
    return Number(blocks) * CHUNK_BYTES;
  };
  const before = await used();
  let count = 0;
  const at = async (index: number): Promise<string> => {
    await place.lvm('lvchange', '-qq', '--activate', 'y', '--ignoreactivationskip', `${place.vg}/${lv}_s${index}`);
    return `/dev/${place.vg}/${lv}_s${index}`;
  };
  return {
    name,
    id: `${place.vg}/${lv}`,
    device,
    snapshot: async () => {
      count += 1;
      await place.lvm('lvcreate', '-qq', '--yes', '--snapshot', '--name', `${lv}_s${count}`, `${place.vg}/${lv}`);
      return `${place.vg}/${lv}_s${count}`;
    },
    drop: async () => {
      await place.lvm('lvremove', '-qq', '--yes', `${place.vg}/${lv}_s${count}`);
      count -= 1;
    },
    images: async () => ({ newest: await at(count), oldest: await at(1) }),
    // Of the whole pool since this volume was filled: right while nothing else is written in it.
    spentBytes: async () => (await used()) - before,
    remove: async () => {
      const all = Array.from({ length: count }, (_, index) => `${place.vg}/${lv}_s${index + 1}`);
      await place.lvm('lvremove', '-qq', '--yes', '--force', `${place.vg}/${lv}`, ...all);
    },
  };
};
