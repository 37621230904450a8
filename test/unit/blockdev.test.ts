// Zeroing over scripted commands: pieces, progress, and durable at the end.

import { expect, test } from 'vitest';
import { createHost } from '../../src/blockdev.ts';
import { storeName, vgUuid } from '../../src/ids.ts';
import { bytes, mib } from '../../src/units.ts';
import type { ScriptedExec } from './scripted-exec.ts';
import { scriptedExec } from './scripted-exec.ts';

const VG = 'dU4NYTrtIqU9FDlBLg4GqB3hvporJ8v6';
const ROW = `pool-sm_0000000001|LVM-${VG}${'b'.repeat(32)}|253|4|1|L--w\n`;
const store = storeName('sm_0000000001');

function rig(
  msPerPiece: number,
  list = ROW,
): { readonly script: ScriptedExec; readonly host: ReturnType<typeof createHost> } {
  let now = 0;
  const script = scriptedExec((argv) => {
    if (argv[0] === 'blkdiscard') now += msPerPiece;
    return argv[0] === 'dmsetup' ? list : undefined;
  });
  return { script, host: createHost({ exec: script.exec, vgName: 'pool', vgUuid: vgUuid(VG), nowMs: () => now }) };
}

test('a slow disk gets small pieces, and a flush at the end', async () => {
  const { script, host } = rig(1500);
  const told: bigint[] = [];
  await host.zero(store, mib(8), mib(160), (done) => told.push(done));
  expect(script.lines().slice(1)).toEqual([
    `blkdiscard --zeroout --force --offset ${mib(8)} --length ${mib(64)} /dev/dm-4`,
    `blkdiscard --zeroout --force --offset ${mib(72)} --length ${mib(64)} /dev/dm-4`,
    `blkdiscard --zeroout --force --offset ${mib(136)} --length ${mib(32)} /dev/dm-4`,
    'sync /dev/dm-4',
  ]);
  expect(told).toEqual([mib(64), mib(128), mib(160)]);
});

test('a quick disk gets larger ones', async () => {
  const { script, host } = rig(10);
  await host.zero(store, bytes(0), mib(64 + 128 + 256));
  expect(script.lines().filter((line) => line.startsWith('blkdiscard'))).toHaveLength(3);
});

test('a listing in whose middle a device of somebody else goes is taken again', async () => {
  let attempts = 0;
  const script = scriptedExec((argv) => {
    if (argv[0] !== 'dmsetup') return undefined;
    attempts += 1;
    return attempts < 3 ? { code: 1, stdout: ROW, stderr: 'Device does not exist.\nCommand failed.' } : ROW;
  });
  await createHost({ exec: script.exec, vgName: 'pool', vgUuid: vgUuid(VG) }).zero(store, bytes(0), mib(1));
  expect(script.lines().slice(3)).toEqual([
    `blkdiscard --zeroout --force --offset 0 --length ${mib(1)} /dev/dm-4`,
    'sync /dev/dm-4',
  ]);
});

test('nothing to do is a flush', async () => {
  const { script, host } = rig(10);
  await host.zero(store, bytes(0), bytes(0));
  expect(script.lines().slice(1)).toEqual(['sync /dev/dm-4']);
});

test('a store that is not active is an error, and another group’s store is not ours', async () => {
  for (const list of ['', ROW.replace(VG, 'A'.repeat(32))]) {
    const { script, host } = rig(10, list);
    await expect(host.zero(store, bytes(0), mib(1))).rejects.toThrow(
      "Cannot zero store 'sm_0000000001': it is not active",
    );
    expect(script.calls).toHaveLength(1);
  }
});
