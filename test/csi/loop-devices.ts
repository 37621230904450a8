// Loop devices over sparse files, in place of device-mapper: enough to run csi-sanity with real mounts on a machine that
// has no device-mapper. Needs root.

import { copyFile, mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { localExec, output } from '../../src/system/exec.ts';
import type { SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { majorMinor } from '../../src/node/files.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import type { ActiveVolume } from '../../src/engine/engine.ts';
import type { FakeDevices } from '../unit/controller/fake-engine.ts';

export async function loopDevices(folder: string): Promise<FakeDevices> {
  await mkdir(folder, { recursive: true });
  const loops = new Map<VolumeId, string>();
  const fileOf = (id: VolumeId | SnapshotId): string => join(folder, id);
  const show = async (path: string, size: Bytes): Promise<ActiveVolume> => ({
    path,
    majorMinor: majorMinor((await stat(path)).rdev),
    size,
  });
  const resizeFile = async (path: string, size: Bytes): Promise<void> => {
    const file = await open(path, 'a');
    await file.truncate(Number(size));
    await file.close();
  };
  return {
    activate: async (id, size, copyOf) => {
      const file = fileOf(id);
      const made = await stat(file).catch(() => undefined);
      if (made === undefined && copyOf !== undefined) await copyFile(fileOf(copyOf), file).catch(() => undefined);
      await resizeFile(file, size);
      const loop = (await output(localExec, ['losetup', '--find', '--show', file])).trim();
      loops.set(id, loop);
      return show(loop, size);
    },
    resize: async (id, size) => {
      await resizeFile(fileOf(id), size);
      const loop = loops.get(id) ?? '';
      await output(localExec, ['losetup', '--set-capacity', loop]);
      return show(loop, size);
    },
    deactivate: async (id) => {
      await output(localExec, ['losetup', '--detach', loops.get(id) ?? '']);
      loops.delete(id);
    },
    snapshot: async (id, volume) => {
      await copyFile(fileOf(volume), fileOf(id)).catch(() => undefined);
    },
    remove: async (id) => rm(fileOf(id), { force: true }),
  };
}
