// Making a pool over scripted commands: every reason against, and that nothing is written before all are known.

import { describe, expect, test } from 'vitest';
import {
  attachLoop,
  createLoopPool,
  ensureLoopPool,
  createPool,
  metadataSizeFor,
} from '../../../../src/lvm/create-pool/create-pool.ts';
import { gib, mib } from '../../../../src/vocabulary/units.ts';
import type { Answer, ScriptedExec } from '../../scripted-exec.ts';
import { scriptedExec } from '../../scripted-exec.ts';

type Fields = Readonly<Record<string, unknown>>;

const block = (path: string, change: Fields = {}): string =>
  JSON.stringify({
    blockdevices: [{ name: path, path, type: 'disk', ro: false, size: 8 * 1024 ** 3, mountpoints: [null], ...change }],
  });
const group = (disk: string, name: string): string =>
  JSON.stringify({
    report: [
      { pv: [{ pv_name: disk, vg_name: name, vg_uuid: 'U', vg_exported: '', vg_systemid: '', pv_in_use: 'used' }] },
    ],
  });
const PVS = group('/dev/sda1', 'system');

/** A node whose disks are all empty, but for what `answer` says. */
function node(answer: (line: string) => Answer = () => undefined): ScriptedExec {
  return scriptedExec((argv) => {
    const line = argv.join(' ');
    const said = answer(line);
    if (said !== undefined) return said;
    const path = argv.at(-1) ?? '';
    switch (argv[0]) {
      case 'cat':
        return ' 8 1 1000 sda1\n';
      case 'readlink':
        return `${path}\n`;
      case 'lsblk':
        return block(path);
      case 'wipefs':
        return argv.includes('--json') ? '{"signatures": []}' : '';
      case 'blkid':
        return 2;
      case 'lvm':
        return argv[1] === 'pvs' ? PVS : undefined;
      case 'losetup':
        return argv.includes('--find') ? '/dev/loop7\n' : '';
      default:
        return line.startsWith('test -e') ? 1 : undefined;
    }
  });
}

const made = ({ lines }: ScriptedExec): readonly string[] => lines().filter((line) => line.startsWith('lvm vgcreate'));

describe('on disks', () => {
  test('that are empty', async () => {
    const script = node();
    expect(await createPool({ exec: script.exec, vgName: 'pool-a', disks: ['/dev/vdc', '/dev/vdd'] })).toEqual({
      vgName: 'pool-a',
      disks: ['/dev/vdc', '/dev/vdd'],
      metadataSize: mib(64),
    });
    expect(made(script)).toEqual([
      'lvm vgcreate --devices /dev/vdc,/dev/vdd --metadatasize 67108864b pool-a /dev/vdc /dev/vdd',
    ]);
    expect(script.lines().at(-1)).toBe('sync /dev/vdc /dev/vdd');
  });

  test.each<[string, (line: string) => Answer, string]>([
    ['is no block device', (line) => (line.startsWith('test -b') ? 1 : undefined), "'/dev/vdc' is no block device"],
    ['does not exist', (line) => (line.startsWith('readlink') ? 1 : undefined), "'/dev/vdc' is no block device"],
    [
      'is mounted',
      (line) => (line.startsWith('lsblk') ? block('/dev/vdc', { mountpoints: ['/', '[SWAP]'] }) : undefined),
      "'/dev/vdc' is in use at /, [SWAP]",
    ],
    [
      'is read-only',
      (line) => (line.startsWith('lsblk') ? block('/dev/vdc', { ro: true }) : undefined),
      "'/dev/vdc' is read-only",
    ],
    [
      'has partitions',
      (line) =>
        line.startsWith('lsblk')
          ? block('/dev/vdc', {
              children: [{ path: '/dev/vdc1', type: 'part', ro: false, size: 1, mountpoints: [null] }],
            })
          : undefined,
      "'/dev/vdc' has /dev/vdc1 (part) on it",
    ],
    [
      'is a logical volume',
      (line) => (line.startsWith('lsblk') ? block('/dev/vdc', { type: 'lvm' }) : undefined),
      "'/dev/vdc' is of type 'lvm'",
    ],
    [
      'is small',
      (line) => (line.startsWith('lsblk') ? block('/dev/vdc', { size: 1024 ** 2 }) : undefined),
      "'/dev/vdc' has 1 MiB, want at least 256 MiB",
    ],
    [
      'holds signatures',
      (line) =>
        line.startsWith('wipefs --json')
          ? '{"signatures":[{"device":"vdc","offset":"0x438","type":"ext4"},{"offset":"0x1fe","type":"dos"}]}'
          : undefined,
      "'/dev/vdc' holds ext4 (at 0x438), dos (at 0x1fe)",
    ],
    [
      'holds what blkid cannot decide',
      (line) => (line.startsWith('blkid') ? 8 : undefined),
      "'/dev/vdc' holds something that blkid recognizes",
    ],
    ['is open elsewhere', (line) => (line.startsWith('wipefs --all --no-act') ? 1 : undefined), "'/dev/vdc' is in use"],
    [
      'holds other data',
      (line) => (line.startsWith('cmp') ? 1 : undefined),
      "'/dev/vdc' holds data in its first MiB that is no known signature",
    ],
  ])('never on one that %s', async (_, answer, words) => {
    const script = node(answer);
    const pool = createPool({ exec: script.exec, vgName: 'pool-a', disks: ['/dev/vdc'] });
    await expect(pool).rejects.toMatchObject({ kind: 'precondition', message: expect.stringContaining(words) });
    expect(made(script)).toEqual([]);
  });

  test('says all reasons at once, and does not even open what is in use', async () => {
    const script = node((line) => {
      if (line.startsWith('lsblk') && line.endsWith('/dev/vdc')) return block('/dev/vdc', { mountpoints: ['/'] });
      return line.startsWith('cmp') ? 1 : undefined;
    });
    const disks = ['/dev/vdc', '/dev/vdd', '/dev/vdd'];
    await expect(createPool({ exec: script.exec, vgName: 'pool-a', disks })).rejects.toThrow(
      /'\/dev\/vdc' is in use at \/; '\/dev\/vdd' holds data.*; '\/dev\/vdd' is the same disk as '\/dev\/vdd'. Nothing was changed$/,
    );
    expect(script.lines().filter((line) => /^(wipefs|blkid|cmp).*vdc/.test(line))).toEqual([]);
  });

  test.each(['', '-x', 'a/b', 'a b', '.', '..', 'x'.repeat(48)])("never by the name '%s'", async (vgName) => {
    const script = node();
    await expect(createPool({ exec: script.exec, vgName, disks: ['/dev/vdc'] })).rejects.toMatchObject({
      kind: 'invalid',
    });
    expect(script.calls).toEqual([]);
  });

  test('never by the name of another group, wherever its disks are', async () => {
    const pool = createPool({ exec: node().exec, vgName: 'system', disks: ['/dev/vdc'] });
    await expect(pool).rejects.toMatchObject({ kind: 'exists' });
  });

  test('never on none', async () => {
    await expect(createPool({ exec: node().exec, vgName: 'pool-a', disks: [] })).rejects.toMatchObject({
      kind: 'invalid',
    });
  });
});

describe('on a file', () => {
  const file = '/var/lib/pool.img';

  test('that is made', async () => {
    const script = node();
    await createLoopPool({ exec: script.exec, vgName: 'pool-a', file, size: gib(1) });
    expect(script.lines()).toContain(`truncate --size 1073741824 ${file}`);
    expect(made(script)[0]).toContain('--devices /dev/loop7');
  });

  test('never on one that is there', async () => {
    const script = node((line) => (line === `test -e ${file}` ? '' : undefined));
    const pool = createLoopPool({ exec: script.exec, vgName: 'pool-a', file, size: gib(1) });
    await expect(pool).rejects.toMatchObject({ kind: 'exists' });
    expect(script.calls).toHaveLength(1);
  });

  test('which goes again when the group cannot be made', async () => {
    const script = node((line) => (line.startsWith('lvm vgcreate') ? 5 : undefined));
    const pool = createLoopPool({ exec: script.exec, vgName: 'pool-a', file, size: gib(1) });
    await expect(pool).rejects.toMatchObject({ kind: 'internal' });
    expect(script.lines().slice(-2)).toEqual(['losetup --detach /dev/loop7', `rm --force ${file}`]);
  });

  test('that is made where it is missing, and finished where somebody was interrupted', async () => {
    const none = node((line) => (line === `test -e ${file}` ? 1 : undefined));
    await ensureLoopPool({ exec: none.exec, vgName: 'pool-a', file, size: gib(1) });
    expect(none.lines()).toContain(`truncate --size 1073741824 ${file}`);
    expect(made(none)).toHaveLength(1);

    const empty = node((line) => (line === `test -e ${file}` ? '' : undefined));
    await ensureLoopPool({ exec: empty.exec, vgName: 'pool-a', file, size: gib(1) });
    expect(empty.lines().filter((line) => line.startsWith('truncate'))).toEqual([]);
    expect(made(empty)[0]).toContain('--devices /dev/loop7');
  });

  test('that holds something else is refused, and one that holds the group is used', async () => {
    const full = node((line) => {
      if (line === `test -e ${file}`) return '';
      return line.startsWith('cmp') ? 1 : undefined;
    });
    const refused = ensureLoopPool({ exec: full.exec, vgName: 'pool-a', file, size: gib(1) });
    await expect(refused).rejects.toThrow(/'\/dev\/loop7' holds data.*Nothing was changed$/);
    expect(made(full)).toEqual([]);

    const there = node((line) => {
      if (line === `test -e ${file}`) return '';
      return line.startsWith('lvm pvs') ? group('/dev/loop7', 'pool-a') : undefined;
    });
    await ensureLoopPool({ exec: there.exec, vgName: 'pool-a', file, size: gib(1) });
    expect(made(there)).toEqual([]);
    // One of that name on other disks is somebody else's.
    const elsewhere = node((line) => {
      if (line === `test -e ${file}`) return '';
      return line.startsWith('lvm pvs') ? group('/dev/vdc', 'pool-a') : undefined;
    });
    const taken = ensureLoopPool({ exec: elsewhere.exec, vgName: 'pool-a', file, size: gib(1) });
    await expect(taken).rejects.toMatchObject({ kind: 'exists' });
  });

  test('is attached once', async () => {
    const attached = node((line) => (line.includes('--associated') ? '/dev/loop3\n' : undefined));
    expect(await attachLoop(attached.exec, file)).toBe('/dev/loop3');
    expect(attached.lines().filter((line) => line.includes('--find'))).toEqual([]);
    expect(await attachLoop(node().exec, file)).toBe('/dev/loop7');
    const gone = node((line) => (line === `test -f ${file}` ? 1 : undefined));
    await expect(attachLoop(gone.exec, file)).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

test('the metadata area grows with the disk', () => {
  const sizes = [mib(512), gib(4), gib(31), gib(32), gib(4096)].map((size) => metadataSizeFor([{ size }]));
  expect(sizes).toEqual([mib(9), mib(64), mib(64), mib(128), mib(128)]);
  expect(metadataSizeFor([{ size: gib(100) }, { size: gib(5) }])).toBe(mib(64));
});
