// Read-only device nodes. A read-only bind mount does not keep anybody from writing to a device node, so a raw volume that
// is published read-only is published as a read-only loop device over its device. A loop keeps the device open, so the
// path that it names cannot come to mean another volume.

import { fail } from '../vocabulary/errors.ts';
import { failureOf } from '../system/exec.ts';
import type { Argv, Exec } from '../system/exec.ts';
import type { ActiveVolume } from '../engine/engine.ts';
import type { Files } from './files.ts';

async function loopsOver(exec: Exec, device: string): Promise<readonly string[]> {
  const listed = await run(exec, ['losetup', '--list', '--noheadings', '--raw', '--output', 'NAME,RO,BACK-FILE']);
  return listed.split('\n').flatMap((line) => {
    const [name, readOnly, ...backing] = line.split(' ');
    return name !== undefined && readOnly === '1' && backing.join(' ') === device ? [name] : [];
  });
}

async function run(exec: Exec, argv: Argv): Promise<string> {
  const result = await exec(argv);
  if (result.code === 0) return result.stdout;
  return fail('internal', `Cannot run '${argv.join(' ')}': ${failureOf(result)}`);
}

/** The read-only loop device of a volume, made if there is none. */
export async function readOnlyLoop(exec: Exec, { path }: ActiveVolume): Promise<string> {
  const [there] = await loopsOver(exec, path);
  return there ?? (await run(exec, ['losetup', '--find', '--show', '--read-only', path])).trim();
}

/** Takes away the loop devices of a volume that are published nowhere. */
export async function detachUnpublished(exec: Exec, files: Files, { path }: ActiveVolume): Promise<void> {
  const mounts = await files.mounts();
  for (const loop of await loopsOver(exec, path)) {
    const node = loop.slice(loop.lastIndexOf('/'));
    if (!mounts.some(({ root }) => root.endsWith(node))) await run(exec, ['losetup', '--detach', loop]);
  }
}

/** After the volume has grown. */
export async function growLoops(exec: Exec, { path }: ActiveVolume): Promise<void> {
  for (const loop of await loopsOver(exec, path)) await run(exec, ['losetup', '--set-capacity', loop]);
}
