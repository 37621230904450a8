// The Lvm port over scripted commands: one command a change, a failure judged by the state it leaves, and disks that
// come and go.

import { describe, expect, test } from 'vitest';
import { SnapmergeError } from '../../../src/vocabulary/errors.ts';
import { storeName } from '../../../src/vocabulary/ids.ts';
import type { LvmCommands } from '../../../src/lvm/commands.ts';
import { createLvm } from '../../../src/lvm/commands.ts';
import { mib } from '../../../src/vocabulary/units.ts';
import type { Answer, ScriptedExec } from '../scripted-exec.ts';
import { scriptedExec } from '../scripted-exec.ts';
import { reportJson } from './report-json.ts';

const store = storeName('sm_0000000001');
const PARTITIONS = 'major minor  #blocks  name\n\n 254 0 4194304 vda\n 254 32 4194304 vdc\n 254 48 4194304 vdd\n';

/** Of the group that reportJson tells of. */
const PV = {
  vg_name: 'pool-a',
  vg_uuid: 'dU4NYT-rtIq-U9FD-lBLg-4GqB-3hvp-orJ8v6',
  vg_exported: '',
  vg_systemid: '',
  pv_in_use: 'used',
};

const pvs = (...disks: readonly string[]): string =>
  JSON.stringify({
    report: [{ pv: disks.map((pv_name) => ({ ...PV, pv_name })) }],
  });

interface Rig {
  readonly lvm: LvmCommands;
  readonly script: ScriptedExec;
  /** Commands without those that look for disks. */
  readonly changes: () => readonly string[];
  readonly pass: (ms: number) => void;
}

function rig(answer: (command: string, line: string) => Answer): Rig {
  let now = 0;
  const script = scriptedExec((argv) => {
    if (argv[0] === 'dmsetup') return '';
    if (argv[0] === 'cat') return PARTITIONS;
    const said = answer(argv[1] ?? '', argv.join(' '));
    if (said !== undefined) return said;
    if (argv[1] === 'pvs') return pvs('/dev/vdc', '/dev/vdd');
    if (argv[1] === 'systemid') return '  system ID: \n';
    if (argv[1] === 'version') return '  LVM version:     2.03.31(2) (2025-02-27)\n';
    return argv[1] === 'fullreport' ? reportJson({}) : undefined;
  });
  const looks = /^(dmsetup|cat|lvm (pvs|version|fullreport)) /;
  return {
    lvm: createLvm({ exec: script.exec, vgName: 'pool-a', monotonicMs: () => now }),
    script,
    changes: () => script.lines().filter((line) => !looks.test(`${line} `)),
    pass: (ms) => void (now += ms),
  };
}

const errorOf = async (promise: Promise<unknown>): Promise<SnapmergeError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof SnapmergeError) return error;
  throw new Error('it did not fail as expected', { cause: error });
};

const THREE_DISKS = reportJson({ pv: [{}, {}, { pv_name: '/dev/vde' }] });
const ONE_IS_MISSING = reportJson({ pv: [{}, {}, { pv_name: '[unknown]', pv_missing: '1' }] });
const D = '--devices /dev/vdc,/dev/vdd';

describe('changes are one command', () => {
  test.each<[string, (lvm: LvmCommands) => Promise<void>, string]>([
    [
      'create linear',
      (lvm) => lvm.create(store, mib(64), 'linear', ['snapmerge', 'sm.a=1']),
      `lvm lvcreate ${D} --yes --name sm_0000000001 --size 67108864b --type linear --setautoactivation n --alloc normal --wipesignatures n --zero n --activate y --setactivationskip y --ignoreactivationskip --addtag snapmerge --addtag sm.a=1 pool-a`,
    ],
    [
      'create striped over all disks',
      (lvm) => lvm.create(store, mib(64), 'striped', []),
      `lvm lvcreate ${D} --yes --name sm_0000000001 --size 67108864b --type striped --stripes 2 --setautoactivation n --alloc normal --wipesignatures n --zero n --activate y --setactivationskip y --ignoreactivationskip pool-a`,
    ],
    [
      'create raid1, for which LVM knows no autoactivation flag',
      (lvm) => lvm.create(store, mib(64), 'raid1', []),
      `lvm lvcreate ${D} --yes --name sm_0000000001 --size 67108864b --type raid1 --mirrors 1 --nosync --alloc normal --wipesignatures n --zero n --activate y --setactivationskip y --ignoreactivationskip pool-a`,
    ],
    ['remove', (lvm) => lvm.remove(store), `lvm lvremove ${D} --yes pool-a/sm_0000000001`],
    [
      'extend',
      (lvm) => lvm.extend(store, mib(128)),
      `lvm lvextend ${D} --yes --size 134217728b --alloc normal --fs ignore pool-a/sm_0000000001`,
    ],
    [
      'shrink',
      (lvm) => lvm.shrink(store, mib(16)),
      `lvm lvreduce ${D} --yes --force --size 16777216b --fs ignore pool-a/sm_0000000001`,
    ],
    [
      'retag',
      (lvm) => lvm.retag(store, ['sm.x', 'sm.y'], ['sm.z']),
      `lvm lvchange ${D} --addtag sm.x --addtag sm.y --deltag sm.z pool-a/sm_0000000001`,
    ],
    [
      'activate',
      (lvm) => lvm.activate([store]),
      `lvm lvchange ${D} --activate y --ignoreactivationskip pool-a/sm_0000000001`,
    ],
    ['deactivate', (lvm) => lvm.deactivate([store]), `lvm lvchange ${D} --activate n pool-a/sm_0000000001`],
    ['flush', (lvm) => lvm.flush(), 'sync /dev/vdc /dev/vdd'],
  ])('%s', async (_, change, line) => {
    const one = rig(() => undefined);
    await change(one.lvm);
    expect(one.changes()).toEqual([line]);
  });

  test('who asks for a flush while one is under way waits for one more, all of them for the same', async () => {
    const { lvm, changes } = rig(() => undefined);
    await Promise.all([lvm.flush(), lvm.flush(), lvm.flush()]);
    expect(changes()).toEqual(['sync /dev/vdc /dev/vdd', 'sync /dev/vdc /dev/vdd']);
  });

  test('a retag of nothing is no command', async () => {
    const one = rig(() => undefined);
    await one.lvm.retag(store, [], []);
    expect(one.script.calls).toEqual([]);
  });

  test('a striped store on one disk is linear', async () => {
    const one = rig((command) => (command === 'pvs' ? pvs('/dev/vdc') : undefined));
    await one.lvm.create(store, mib(64), 'striped', []);
    expect(one.changes()[0]).toContain('--type linear');
  });

  test('an LVM before 2.03.17 has no --fs', async () => {
    const one = rig((command) => (command === 'version' ? '  LVM version:     2.03.16(2)\n' : undefined));
    await one.lvm.shrink(store, mib(16));
    expect(one.changes()).toEqual([`lvm lvreduce ${D} --yes --force --size 16777216b pool-a/sm_0000000001`]);
  });
});

describe('a command that failed', () => {
  const failing =
    (text: string) =>
    (command: string): Answer =>
      command === 'fullreport' ? text : ['pvs', 'version'].includes(command) ? undefined : 5;
  const present = (lv: Readonly<Record<string, string>> = {}, vg: Readonly<Record<string, string>> = {}): string =>
    reportJson({ lv: [{ ...lv }], vg });

  test.each<[string, (lvm: LvmCommands) => Promise<void>, string]>([
    ['extend: already that large', (lvm) => lvm.extend(store, mib(64)), present()],
    ['shrink: already that small', (lvm) => lvm.shrink(store, mib(64)), present()],
    ['shrink: as small as extents allow', (lvm) => lvm.shrink(store, mib(61)), present()],
    ['remove: gone', (lvm) => lvm.remove(store), reportJson({})],
    ['activate: is active', (lvm) => lvm.activate([store]), present()],
    ['deactivate: gone', (lvm) => lvm.deactivate([store]), reportJson({})],
    ['retag: has them', (lvm) => lvm.retag(store, ['sm.x'], ['sm.y']), present({ lv_tags: 'snapmerge,sm.x' })],
  ])('has done its work: %s', async (_, change, text) => {
    await expect(change(rig(failing(text)).lvm)).resolves.toBeUndefined();
  });

  test.each<[string, (lvm: LvmCommands) => Promise<void>, string]>([
    ['create', (lvm) => lvm.create(store, mib(1024 * 1024), 'linear', []), reportJson({})],
    ['create on two disks', (lvm) => lvm.create(store, mib(3845), 'raid1', []), reportJson({})],
    ['extend', (lvm) => lvm.extend(store, mib(1024 * 1024)), present()],
  ])('found no room: %s', async (_, change, text) => {
    const error = await errorOf(change(rig(failing(text)).lvm));
    expect(error.kind).toBe('exhausted');
    expect(error.message).toContain("volume group 'pool-a' has 7.59 GiB free");
  });

  test.each<[string, (lvm: LvmCommands) => Promise<void>, string]>([
    ['create with room', (lvm) => lvm.create(store, mib(64), 'linear', []), reportJson({})],
    ['create what is there', (lvm) => lvm.create(store, mib(64), 'linear', []), present()],
    ['remove what is in use', (lvm) => lvm.remove(store), present()],
    ['extend what is not there', (lvm) => lvm.extend(store, mib(64)), reportJson({})],
    ['shrink', (lvm) => lvm.shrink(store, mib(16)), present()],
    ['retag', (lvm) => lvm.retag(store, ['sm.x'], ['snapmerge']), present({ lv_tags: 'snapmerge,sm.x' })],
    ['activate', (lvm) => lvm.activate([store]), present({ lv_active: '0' })],
    ['deactivate', (lvm) => lvm.deactivate([store]), present()],
  ])('has failed: %s', async (_, change, text) => {
    const error = await errorOf(change(rig(failing(text)).lvm));
    expect(error.kind).toBe('internal');
    expect(error.message).toMatch(/^Cannot \w+ .*'sm_0000000001'.*: exit code 5: it said no$/);
  });
});

describe('disks', () => {
  test('are looked for once', async () => {
    const one = rig(() => undefined);
    await one.lvm.report();
    await one.lvm.report();
    await one.lvm.remove(store);
    expect(one.script.lines().filter((line) => line.startsWith('lvm pvs'))).toHaveLength(1);
    expect(await one.lvm.disks()).toEqual(['/dev/vdc', '/dev/vdd']);
  });

  test('that were added are noticed by the missing one in the report', async () => {
    let added = false;
    const one = rig((command, line) => {
      if (command === 'pvs') return added ? pvs('/dev/vdc', '/dev/vdd', '/dev/vde') : pvs('/dev/vdc', '/dev/vdd');
      if (command !== 'fullreport' || !added) return undefined;
      return line.includes('/dev/vde') ? THREE_DISKS : ONE_IS_MISSING;
    });
    await one.lvm.report();
    added = true;
    expect((await one.lvm.report()).physicalVolumes.every(({ missing }) => !missing)).toBe(true);
    expect(await one.lvm.disks()).toEqual(['/dev/vdc', '/dev/vdd', '/dev/vde']);
  });

  test('that stay missing are looked for every half minute only', async () => {
    const one = rig((command) =>
      command === 'fullreport' ? reportJson({ pv: [{}, { pv_name: '[unknown]', pv_missing: '1' }] }) : undefined,
    );
    const looks = (): number => one.script.lines().filter((line) => line.startsWith('lvm pvs')).length;
    await one.lvm.report();
    expect(looks()).toBe(2);
    one.pass(29_000);
    await one.lvm.report();
    expect(looks()).toBe(2);
    one.pass(1000);
    expect((await one.lvm.report()).physicalVolumes[1]?.missing).toBe(true);
    expect(looks()).toBe(3);
  });

  test('of a group that is not there: unavailable, and there when it appears', async () => {
    let there = false;
    const one = rig((command) => (command === 'pvs' && !there ? pvs() : undefined));
    const error = await errorOf(one.lvm.report());
    expect(error.kind).toBe('unavailable');
    expect(error.message).toBe("Cannot find volume group 'pool-a': no disk of this node has it");
    there = true;
    expect((await one.lvm.report()).vgName).toBe('pool-a');
  });

  test('of a group whose records are damaged: says which disks have them, and where the way back stands', async () => {
    const lost = { vg_name: '[unknown]', vg_uuid: '', vg_exported: '', vg_systemid: '', pv_in_use: 'used' };
    const free = { pv_name: '/dev/vde', vg_name: '', vg_uuid: '', vg_exported: '', vg_systemid: '', pv_in_use: '' };
    const look = async (...paths: readonly string[]): Promise<string> => {
      const pv = [...paths.map((pv_name) => ({ ...lost, pv_name })), free];
      const one = rig((command) => (command === 'pvs' ? JSON.stringify({ report: [{ pv }] }) : undefined));
      return (await errorOf(one.lvm.report())).message;
    };
    expect(await look('/dev/vdc', '/dev/vdd')).toMatch(/that \/dev\/vdc, \/dev\/vdd belong to LVM cannot read/);
    expect(await look('/dev/vdc')).toMatch(/no disk of this node has it; .* \/dev\/vdc belongs to .*docs\/recovery.md/);
    expect(await look()).not.toMatch(/recovery/);
  });

  test('of two groups of one name: nothing is touched', async () => {
    const two = ['U', 'V'].map((vg_uuid) => ({
      pv_name: `/dev/${vg_uuid}`,
      vg_name: 'pool-a',
      vg_uuid,
      vg_exported: '',
      vg_systemid: '',
      pv_in_use: 'used',
    }));
    const one = rig((command) => (command === 'pvs' ? JSON.stringify({ report: [{ pv: two }] }) : undefined));
    expect((await errorOf(one.lvm.report())).kind).toBe('contradiction');
  });

  test.each([
    ['that is exported', [{ vg_exported: 'exported' }], 'it is exported; take it back: vgimport pool-a'],
    [
      'of another system',
      [{ vg_systemid: 'node-b' }],
      "it belongs to the system 'node-b' (LVM's system id), and here that is none",
    ],
    ['that was renamed', [{ vg_name: 'else' }], "it is called 'else' now; give it its name back: vgrename else pool-a"],
    ['that gave its name to another', [{ vg_name: 'else' }, { vg_uuid: 'U' }], "it is called 'else' now"],
    ['in whose place is another', [{ vg_uuid: 'U' }], 'another group has that name now'],
  ])('of a group %s while it is served: the reason is told', async (_, changes, reason) => {
    let changed = false;
    const now = JSON.stringify({
      report: [{ pv: changes.map((change) => ({ ...PV, pv_name: '/dev/vdc', ...change })) }],
    });
    const one = rig((command) => {
      if (!changed) return undefined;
      return command === 'pvs' ? now : command === 'fullreport' ? 5 : undefined;
    });
    await one.lvm.report();
    changed = true;
    const error = await errorOf(one.lvm.report());
    expect(error.kind).toBe('unavailable');
    expect(error.message).toContain(reason);
  });

  test('of two groups of one name, of which one was served: that one', async () => {
    let second = false;
    const both = JSON.stringify({
      report: [
        {
          pv: [
            { ...PV, pv_name: '/dev/nbd0', vg_uuid: 'U' },
            { ...PV, pv_name: '/dev/vde' },
          ],
        },
      ],
    });
    const one = rig((command, line) => {
      if (command === 'pvs' && second) return both;
      return command === 'fullreport' && second && !line.includes('/dev/vde') ? 5 : undefined;
    });
    await one.lvm.report();
    second = true;
    expect((await one.lvm.report()).vgName).toBe('pool-a');
  });

  test('of another group on the same disks: nothing is made of its records', async () => {
    let other = false;
    const foreign = reportJson({ vg: { vg_uuid: 'dU4NYT-rtIq-U9FD-lBLg-4GqB-3hvp-000000' } });
    const one = rig((command) => (command === 'fullreport' && other ? foreign : undefined));
    await one.lvm.report();
    other = true;
    expect((await errorOf(one.lvm.report())).message).toContain('another group has that name now');
  });

  test('a command that failed for want of a new disk is run again with it', async () => {
    let added = false;
    const one = rig((command, line) => {
      if (command === 'pvs') return added ? pvs('/dev/vdc', '/dev/vdd', '/dev/vde') : undefined;
      if (command === 'fullreport' && added) return line.includes('/dev/vde') ? THREE_DISKS : ONE_IS_MISSING;
      if (line.includes('/dev/vde')) return undefined;
      return command === 'lvcreate' && added ? 5 : undefined;
    });
    await one.lvm.report();
    added = true;
    await one.lvm.create(store, mib(64), 'linear', []);
    expect(one.changes()).toHaveLength(2);
    expect(one.changes()[1]).toContain('--devices /dev/vdc,/dev/vdd,/dev/vde');
  });
});

describe('a disk that was taken out', () => {
  const one = (): { readonly rig: Rig; readonly takeOut: () => void } => {
    let out = false;
    return {
      takeOut: () => (out = true),
      rig: rig((command, line) => {
        if (command === 'fullreport' && out) return reportJson({ pv: [{}] });
        return command === 'lvcreate' && out && line.includes('--stripes') ? 5 : undefined;
      }),
    };
  };

  test('is not opened any more, nor flushed', async () => {
    const { rig, takeOut } = one();
    await rig.lvm.report();
    takeOut();
    await rig.lvm.report();
    await rig.lvm.flush();
    expect(rig.changes()).toEqual(['sync /dev/vdc']);
  });

  test('is no stripe of a new store', async () => {
    const { rig, takeOut } = one();
    await rig.lvm.report();
    takeOut();
    await rig.lvm.create(store, mib(64), 'striped', []);
    expect(rig.changes()[1]).toContain('--devices /dev/vdc --yes --name sm_0000000001 --size 67108864b --type linear');
  });
});

test('a group with much metadata gets memory enough to read it', async () => {
  const one = rig((command) =>
    command === 'fullreport' ? reportJson({ vg: { vg_mda_size: '135266304', vg_mda_free: '47633152' } }) : undefined,
  );
  const memory = (): string | undefined =>
    /global\/io_memory_size=(\d+)/.exec(one.script.calls.at(-1)?.join(' ') ?? '')?.[1];
  await one.lvm.report();
  expect(memory()).toBe('65536');
  await one.lvm.report();
  expect(memory()).toBe('65536');
});
