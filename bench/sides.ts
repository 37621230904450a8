// The sides that are compared, as volumes of 64 KiB chunks with snapshots: ours through the driver as an orchestrator would
// ask for them, LVM's by the commands of an administrator. The chunk is the smallest of LVM thin, so that all copy alike.

import { fioArgv, parseFio } from './fio.ts';
import type { Place } from './place.ts';

export type SideName = 'snapmerge' | 'LVM thick' | 'LVM thin' | 'linear';

export const CHUNK_BYTES = 64 * 1024;
const MIB = 1024 ** 2;

export interface Volume {
  readonly name: string;
  /** What is written to. */
  readonly device: string;
  /** By which LVM or the driver knows it. */
  readonly id: string;
  /** The id of what was made. */
  readonly snapshot: () => Promise<string>;
  /** Deletes the newest. */
  readonly drop: () => Promise<void>;
  /** Devices that show the newest and the oldest snapshot, and a writable fork of the newest where there are any. */
  readonly images: () => Promise<Readonly<Record<string, string>>>;
  /** Bytes that its snapshots take beyond the volume itself. */
  readonly spentBytes: () => Promise<number>;
  readonly remove: () => Promise<void>;
}

export interface VolumeOptions {
  readonly name: string;
  readonly mib: number;
  /** Filled with something that is not zeroes: where nothing is, thin has nothing to copy. */
  readonly filled?: boolean;
  /** First size of a snapshot's store, as large as the volume unless told otherwise. */
  readonly storeMib?: number;
}

export type Maker = (place: Place, options: VolumeOptions) => Promise<Volume>;

const THIN_POOL = 'bench_thin';

const sizeOf = (mib: number): readonly string[] => ['--size', `${mib}m`];
export interface Fill {
  readonly mib: number;
  readonly atMib?: number;
  /** All of it, again and again. */
  readonly letter?: string;
  /** Chunk by chunk in random order, so that no two that follow each other are neighbours in a snapshot's store. */
  readonly scattered?: boolean;
}

/** Writes so much of one letter, past the page cache. */
export async function fill(
  place: Place,
  device: string,
  { mib, atMib = 0, letter = 'x', scattered = false }: Fill,
): Promise<void> {
  const pattern = `0x${letter.charCodeAt(0).toString(16)}`;
  const how = scattered ? { rw: 'randwrite', bs: CHUNK_BYTES } : { rw: 'write', bs: MIB };
  const where = { filename: device, ...how, offset: `${atMib}M`, size: `${mib}M` };
  parseFio(await place.output(fioArgv([{ name: 'fill', options: { ...where, buffer_pattern: pattern } }])));
}

const linear: Maker = async (place, { name, mib, filled = true }) => {
  const lv = `bench_lin_${name}`;
  await place.lvm('lvcreate', '-qq', '--yes', '--name', lv, ...sizeOf(mib), place.vg);
  const device = `/dev/${place.vg}/${lv}`;
  if (filled) await fill(place, device, { mib });
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

const thick: Maker = async (place, { name, mib, filled = true, storeMib = wholeStoreMib(mib) }) => {
  const lv = `bench_thick_${name}`;
  await place.lvm('lvcreate', '-qq', '--yes', '--name', lv, ...sizeOf(mib), place.vg);
  const device = `/dev/${place.vg}/${lv}`;
  if (filled) await fill(place, device, { mib });
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

const thin: Maker = async (place, { name, mib, filled = true }) => {
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
  if (filled) await fill(place, device, { mib });
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

const BLOCK = { access: 'block' } as const;

/** The part of a handle that devices are named after. */
const idOf = (handle: string): string => handle.slice(handle.lastIndexOf('.') + 1);

const ours: Maker = async (place, { name, mib, filled = true, storeMib }) => {
  const { work, csi } = place;
  const percent = storeMib === undefined ? 100 : Math.max(1, Math.round((storeMib / mib) * 100));
  const parameters = { chunkSize: `${CHUNK_BYTES / 1024}Ki`, snapshotReserve: `${percent}%` };
  const id = await work.volume(`bench-${name}`, { mib, ...BLOCK, parameters });
  const device = await work.use(id, BLOCK);
  if (filled) await fill(place, device, { mib });
  const handles: string[] = [];
  const forks: string[] = [];
  const fork = async (what: string, snapshot = ''): Promise<string> => {
    const made = await work.volume(`bench-${name}-${what}`, { mib, ...BLOCK, parameters, snapshot });
    forks.push(made);
    return work.use(made, BLOCK);
  };
  const viewOf = async (handle = ''): Promise<string> => {
    const view = ['info', '--columns', '--noheadings', '--options', 'minor', `snapmerge-pool-${idOf(handle)}-view`];
    return `/dev/dm-${(await place.output(['dmsetup', ...view])).trim()}`;
  };
  return {
    name,
    id,
    device,
    snapshot: async () => {
      const handle = await work.snapshot(`bench-${name}-${handles.length + 1}`, id);
      handles.push(handle);
      return handle;
    },
    drop: async () => {
      await csi.tell('DeleteSnapshot', { snapshot_id: handles.pop() });
    },
    images: async () => {
      // A fork of the oldest, because a snapshot that nobody reads through has no device.
      await fork('of-oldest', handles[0]);
      const made = await fork('of-newest', handles.at(-1));
      return { newest: await viewOf(handles.at(-1)), oldest: await viewOf(handles[0]), fork: made };
    },
    // Of what has a device: the others were finished, with nothing in them, before anything was written.
    spentBytes: async () => {
      const status = await place.output(['dmsetup', 'status', '--noflush', '--target', 'snapshot']);
      return handles.reduce((sum, handle) => sum + usedIn(status, idOf(handle)), 0);
    },
    remove: async () => {
      for (const one of [...forks, id]) await work.leave(one);
      for (const volume_id of forks) await csi.tell('DeleteVolume', { volume_id });
      // The oldest first: nothing reads through it, so nothing has to be merged.
      for (const snapshot_id of handles) await csi.tell('DeleteSnapshot', { snapshot_id });
      await csi.tell('DeleteVolume', { volume_id: id });
    },
  };
};

/** Bytes that snapshots use, metadata included, whose device's name holds this: dm doubles `-` in the names of LVM. */
export function usedIn(status: string, name: string): number {
  const doubled = name.replaceAll('-', '--');
  const used = status.split('\n').flatMap((line) => {
    const [, device = '', sectors] = /^(\S+): \d+ \d+ snapshot (\d+)\/\d+ \d+$/.exec(line) ?? [];
    return device.includes(name) || device.includes(doubled) ? [Number(sectors)] : [];
  });
  return used.reduce((sum, sectors) => sum + sectors, 0) * 512;
}

export const SIDES: Readonly<Record<SideName, Maker>> = {
  snapmerge: ours,
  'LVM thick': thick,
  'LVM thin': thin,
  linear,
};
