// Zeroing over scripted commands: pieces, progress, and durable at the end. How far the exceptions in a store reach, over
// areas as they are printed.

import { expect, test } from 'vitest';
import { createHost } from '../../../src/host/blockdev.ts';
import { storeName, vgUuid } from '../../../src/vocabulary/ids.ts';
import { bytes, kib, mib } from '../../../src/vocabulary/units.ts';
import { areaText } from '../exception-area.ts';
import type { ScriptedExec } from '../scripted-exec.ts';
import { scriptedExec } from '../scripted-exec.ts';

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
  return {
    script,
    host: createHost({ exec: script.exec, vgName: 'pool', vgUuid: vgUuid(VG), monotonicMs: () => now }),
  };
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

const CHUNK = kib(4);
const PER_AREA = 256;

/** A store with areas of exceptions in chunks of 4 KiB, from area 0 on. */
function withAreas(...areas: readonly (readonly number[])[]) {
  const script = scriptedExec((argv) => {
    if (argv[0] === 'dmsetup') return ROW;
    if (argv[0] === 'blockdev') return `${(1 + areas.length * (PER_AREA + 1)) * Number(CHUNK)}\n`;
    const offset = Number(argv.find((arg) => arg.startsWith('--skip-bytes='))?.slice('--skip-bytes='.length));
    const listed = areas[(offset / Number(CHUNK) - 1) / (PER_AREA + 1)];
    return listed === undefined ? undefined : areaText(CHUNK, listed);
  });
  return { script, host: createHost({ exec: script.exec, vgName: 'pool', vgUuid: vgUuid(VG) }) };
}

const full = (from: number): number[] => Array.from({ length: PER_AREA }, (_, index) => from + index);

test('exceptions reach as far as the last that is listed from an area on, read past what a probe left in the cache', async () => {
  const { host, script } = withAreas(full(2), full(259), [516, 520, 517]);
  await expect(host.exceptionsEnd(store, CHUNK, 1n)).resolves.toBe(521n * CHUNK);
  const od = 'od --address-radix=n --format=u8 --width=16 --output-duplicates';
  expect(script.lines().slice(1)).toEqual([
    'blockdev --flushbufs --getsize64 /dev/dm-4',
    `${od} --skip-bytes=${258n * CHUNK} --read-bytes=4096 /dev/dm-4`,
    `${od} --skip-bytes=${515n * CHUNK} --read-bytes=4096 /dev/dm-4`,
  ]);
});

test('an area that lists a chunk beyond those of the next one counts with it', async () => {
  const { host } = withAreas([...full(2).slice(1), 700], [259]);
  await expect(host.exceptionsEnd(store, CHUNK, 0n)).resolves.toBe(701n * CHUNK);
});

test('an area that is full needs the next one, which may list nothing yet', async () => {
  await expect(withAreas(full(2), []).host.exceptionsEnd(store, CHUNK, 0n)).resolves.toBe(259n * CHUNK);
});

test('an area that is not there, where one has to be, is where the store should reach at the least', async () => {
  const { host } = withAreas(full(2));
  await expect(host.exceptionsEnd(store, CHUNK, 0n)).resolves.toBe(259n * CHUNK);
});

test('what is no area is no answer', async () => {
  await expect(withAreas([1]).host.exceptionsEnd(store, CHUNK, 0n)).resolves.toBeUndefined();
});

test('a store that is not active has nothing to read', async () => {
  const { script } = rig(10, '');
  const host = createHost({ exec: script.exec, vgName: 'pool', vgUuid: vgUuid(VG) });
  await expect(host.exceptionsEnd(store, CHUNK, 0n)).rejects.toThrow(
    "Cannot read store 'sm_0000000001': it is not active",
  );
});
