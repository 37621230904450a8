// `snapmerge pool create`: what was asked for on the command line becomes a volume group, and the lines that the
// configuration needs are printed.

import { resolve } from 'node:path';
import { fail } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { poolName } from '../vocabulary/ids.ts';
import { createLoopPool, createPool } from '../lvm/create-pool/create-pool.ts';
import type { CreatedPool } from '../lvm/create-pool/create-pool.ts';
import { formatBytes, parseQuantity } from '../vocabulary/units.ts';
import type { CreatePoolRequest } from './program.ts';

/** What to print. */
export async function createPoolFor(exec: Exec, request: CreatePoolRequest): Promise<string> {
  const name = poolName(request.name);
  const created = await make(exec, request);
  const disks = created.disks.join(', ');
  return [
    `# Volume group '${created.vgName}' on ${disks}, ${formatBytes(created.metadataSize)} of each for LVM's metadata.`,
    'pools:',
    `  - name: ${name}`,
    `    volumeGroup: ${created.vgName}`,
    ...(request.loopFile === undefined ? [] : [`    loopFile: ${resolve(request.loopFile.path)}`]),
    '',
  ].join('\n');
}

async function make(exec: Exec, { volumeGroup, disks, loopFile }: CreatePoolRequest): Promise<CreatedPool> {
  if (loopFile === undefined) return createPool({ exec, vgName: volumeGroup, disks });
  // As Kubernetes writes sizes (10Gi); people write 10G and mean the same here.
  const size = parseQuantity(loopFile.size.replace(/([KMGTP])$/, '$1i'));
  if (size === undefined) fail('invalid', `Cannot use --size '${loopFile.size}': want a size such as 10G`);
  return createLoopPool({ exec, vgName: volumeGroup, file: resolve(loopFile.path), size });
}
