// Our side, through the driver as an orchestrator would ask for it: raw volumes, in use.

import type { Maker } from '../volume.ts';
import { CHUNK_BYTES, fill, usedIn } from '../volume.ts';

const BLOCK = { access: 'block' } as const;

/** The part of a handle that devices are named after. */
const idOf = (handle: string): string => handle.slice(handle.lastIndexOf('.') + 1);

export const snapmerge: Maker = async (place, { name, mib, storeMib }) => {
  const { work, csi } = place;
  const percent = storeMib === undefined ? 100 : Math.max(1, Math.round((storeMib / mib) * 100));
  const parameters = { chunkSize: `${CHUNK_BYTES / 1024}Ki`, snapshotReserve: `${percent}%` };
  const id = await work.volume(`bench-${name}`, { mib, ...BLOCK, parameters });
  const device = await work.use(id, BLOCK);
  await fill(place, device, { mib });
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
