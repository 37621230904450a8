// The Kernel port over scripted commands: which commands each step is, what is asked again, and how errors read.

import { describe, expect, test } from 'vitest';
import type { KernelOptions } from '../../../src/dm/dmsetup.ts';
import { createKernel } from '../../../src/dm/dmsetup.ts';
import type { Kernel } from '../../../src/dm/kernel.ts';
import { HeldOpen } from '../../../src/dm/kernel.ts';
import type { Step } from '../../../src/dm/step.ts';
import { onDevice, onStore } from '../../../src/dm/table.ts';
import { SnapmergeError } from '../../../src/vocabulary/errors.ts';
import {
  deviceKey,
  poolName,
  snapshotId,
  storeDevice,
  storeName,
  vgUuid,
  volumeId,
} from '../../../src/vocabulary/ids.ts';
import { sectors } from '../../../src/vocabulary/units.ts';
import type { Answer, ScriptedExec } from '../scripted-exec.ts';
import { scriptedExec } from '../scripted-exec.ts';

const VG = 'dU4NYTrtIqU9FDlBLg4GqB3hvporJ8v6';
const LV = 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb';
const store = storeName('sm_0000000001');
const view = deviceKey(volumeId('v-0000000001'), 'view');
const top = deviceKey(volumeId('v-0000000001'), 'top');
const VIEW_NAME = `snapmerge-fast-${view}`;
const TOP_NAME = `snapmerge-fast-${top}`;
const STORE_ROW = `pool--a-sm_0000000001|LVM-${VG}${LV}|253|0|1|L--w\n`;
const HIDDEN = 'LVM-SNAPMERGE00000000000000000000000';
const VIEW_ROW = `${VIEW_NAME}|${HIDDEN}${VG}-${view}|253|1|1|L--w\n`;
const TOP_ROW = `${TOP_NAME}|SNAPMERGE-${VG}-${top}|253|2|0|L--w\n`;

interface Rig {
  readonly kernel: Kernel;
  readonly script: ScriptedExec;
  readonly lvm: readonly string[];
  readonly waits: readonly number[];
}

function rig(answer: (line: string) => Answer, options: Partial<KernelOptions> = {}): Rig {
  const script = scriptedExec((argv) => answer(argv.join(' ')));
  const lvm: string[] = [];
  const waits: number[] = [];
  const kernel = createKernel({
    exec: script.exec,
    lvm: {
      activate: async (stores) => void lvm.push(`activate ${stores.join()}`),
      deactivate: async (stores) => void lvm.push(`deactivate ${stores.join()}`),
    },
    pool: poolName('fast'),
    vgName: 'pool-a',
    vgUuid: vgUuid(VG),
    udev: true,
    sleep: async (ms) => void waits.push(ms),
    ...options,
  });
  return { kernel, script, lvm, waits };
}

const isInfo = (line: string): boolean => line.startsWith('dmsetup info');
const changes = ({ script }: Rig): readonly string[] => script.lines().filter((line) => !isInfo(line));
const errorOf = async (promise: Promise<unknown>): Promise<SnapmergeError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof SnapmergeError) return error;
  throw new Error('it did not fail as expected', { cause: error });
};

const linear = (device: typeof view): Extract<Step, { do: 'load' }> => ({
  do: 'load',
  device,
  table: [{ type: 'linear', length: sectors(8), on: onStore(store), offset: sectors(16) }],
  readOnly: false,
});

describe('steps', () => {
  test.each<[Step, string]>([
    [{ do: 'clear', device: view }, `dmsetup clear ${VIEW_NAME}`],
    [{ do: 'suspend', device: view }, `dmsetup suspend ${VIEW_NAME}`],
    [{ do: 'resume', device: view }, `dmsetup resume --noudevsync ${VIEW_NAME}`],
    [{ do: 'flush', device: view }, 'sync /dev/dm-1'],
    [{ do: 'remove', device: view }, `dmsetup remove --noudevsync ${VIEW_NAME}`],
    [
      { do: 'create', device: view },
      `dmsetup create ${VIEW_NAME} --uuid ${HIDDEN}${VG}-${view} -v --notable --noudevsync`,
    ],
    [
      { ...linear(view), do: 'make' },
      `dmsetup create ${VIEW_NAME} --uuid ${HIDDEN}${VG}-${view} -v --noudevsync --table 0 8 linear 253:0 16`,
    ],
    [
      { ...linear(view), do: 'make', readOnly: true },
      `dmsetup create ${VIEW_NAME} --uuid ${HIDDEN}${VG}-${view} -v --readonly --noudevsync --table 0 8 linear 253:0 16`,
    ],
    [linear(view), `dmsetup load ${VIEW_NAME} --table 0 8 linear 253:0 16`],
  ])('%o', async (step, line) => {
    const one = rig((said) => (isInfo(said) ? STORE_ROW + VIEW_ROW : undefined));
    await one.kernel.apply([step]);
    expect(changes(one)).toEqual([line]);
  });

  test('another table at once is loaded, and what the device holds goes on in it', async () => {
    const one = rig((said) => (isInfo(said) ? STORE_ROW + VIEW_ROW : undefined));
    await one.kernel.apply([{ ...linear(view), do: 'swap' }]);
    expect(changes(one)).toEqual([
      `dmsetup load ${VIEW_NAME} --table 0 8 linear 253:0 16`,
      `dmsetup resume --nolockfs --noflush --noudevsync ${VIEW_NAME}`,
    ]);
  });

  test('a tail is a mirror of two devices that are made with the first and go with the last', async () => {
    const tails = [storeDevice(store, 'tail0'), storeDevice(store, 'tail1')] as const;
    let minor = 10;
    const one = rig((said) => {
      if (isInfo(said)) return STORE_ROW;
      return said.startsWith('dmsetup create') ? `Major, minor:      253, ${minor++}\n` : '';
    });
    for (const device of tails) {
      await one.kernel.apply([{ do: 'make', device, table: [{ type: 'hold', length: sectors(20) }], readOnly: false }]);
    }
    for (const device of tails) await one.kernel.apply([{ do: 'remove', device }]);
    const made = (name: string, table: string, of = ''): string =>
      `dmsetup create snapmerge-fast-${of}${name} --uuid ${HIDDEN}${VG}-${name} -v --noudevsync --table ${table}`;
    const mirror = '0 20 mirror core 2 16 nosync 2 253:10 0 253:11 0 1 handle_errors';
    expect(changes(one)).toEqual([
      made('zero', '0 4398046511104 zero', 'dU4NYT-'),
      made('error', '0 4398046511104 error', 'dU4NYT-'),
      ...tails.map((tail) => made(tail, mirror)),
      ...tails.map((tail) => `dmsetup remove --noudevsync snapmerge-fast-${tail}`),
      'dmsetup remove --noudevsync snapmerge-fast-dU4NYT-zero snapmerge-fast-dU4NYT-error',
    ]);
  });

  test('what tails are made over and a driver that died has left goes at the first look, where there is no tail', async () => {
    const left = (name: string) => `snapmerge-fast-dU4NYT-${name}|${HIDDEN}${VG}-${name}|253|9|0|L--w\n`;
    const tail = `snapmerge-fast-sm_0000000001-tail0|${HIDDEN}${VG}-sm_0000000001-tail0|253|7|0|---w\n`;
    for (const { rows, goes } of [
      { rows: left('zero') + left('error'), goes: 1 },
      { rows: left('zero') + left('error') + tail, goes: 0 },
      { rows: '', goes: 0 },
    ]) {
      const one = rig((line) => (isInfo(line) ? rows : ''));
      await one.kernel.observe('without-statuses');
      await one.kernel.observe('without-statuses');
      expect(changes(one).filter((line) => line.startsWith('dmsetup remove'))).toHaveLength(goes);
    }
  });

  test('stores are LVM’s', async () => {
    const one = rig(() => undefined);
    await one.kernel.apply([{ do: 'activate', stores: [store] }]);
    await one.kernel.apply([{ do: 'deactivate', stores: [store] }]);
    expect(one.lvm).toEqual([`activate ${store}`, `deactivate ${store}`]);
    expect(one.script.calls).toEqual([]);
  });

  test('without udev its rules are told to stay away', async () => {
    const one = rig((line) => (isInfo(line) ? VIEW_ROW : undefined), { udev: false });
    await one.kernel.apply([{ do: 'resume', device: view }]);
    expect(changes(one)).toEqual([`dmsetup resume --noudevsync --noudevrules ${VIEW_NAME}`]);
  });

  test('a read-only table of several targets', async () => {
    const one = rig((line) => (isInfo(line) ? STORE_ROW + VIEW_ROW + TOP_ROW : undefined));
    await one.kernel.apply([
      {
        do: 'load',
        device: top,
        readOnly: true,
        table: [
          {
            type: 'snapshot',
            length: sectors(8),
            origin: onDevice(view),
            cow: onStore(store),
            mode: 'PO',
            chunk: sectors(8),
          },
          { type: 'error', length: sectors(4) },
        ],
      },
    ]);
    expect(changes(one)).toEqual([
      `dmsetup load ${TOP_NAME} --readonly --table 0 8 snapshot 253:1 253:0 PO 8\n8 4 error`,
    ]);
  });

  test('a run of suspends or resumes is one command, in its order; other steps are one each', async () => {
    const one = rig((line) => (isInfo(line) ? STORE_ROW + VIEW_ROW + TOP_ROW : undefined));
    await one.kernel.apply([
      { do: 'suspend', device: top },
      { do: 'suspend', device: view },
    ]);
    await one.kernel.apply([
      { do: 'resume', device: view },
      { do: 'resume', device: top },
    ]);
    await one.kernel.apply([
      { do: 'clear', device: view },
      { do: 'clear', device: top },
    ]);
    await one.kernel.apply([]);
    expect(changes(one)).toEqual([
      `dmsetup suspend ${TOP_NAME} ${VIEW_NAME}`,
      `dmsetup resume --noudevsync ${VIEW_NAME} ${TOP_NAME}`,
      `dmsetup clear ${VIEW_NAME}`,
      `dmsetup clear ${TOP_NAME}`,
    ]);
  });

  test('what is known is not asked again', async () => {
    const one = rig((line) => (isInfo(line) ? STORE_ROW + VIEW_ROW : undefined));
    await one.kernel.apply([{ do: 'suspend', device: view }]);
    await one.kernel.apply([linear(view)]);
    await one.kernel.apply([{ do: 'resume', device: view }]);
    expect(one.script.lines().filter(isInfo)).toHaveLength(1);
  });

  test('the number of a removed device is forgotten: it may be another’s by now', async () => {
    let rows = STORE_ROW + VIEW_ROW + TOP_ROW;
    const one = rig((line) => (isInfo(line) ? rows : undefined));
    await one.kernel.apply([{ do: 'remove', device: view }]);
    rows = STORE_ROW + TOP_ROW + VIEW_ROW.replace('|253|1|', '|253|5|');
    await one.kernel.apply([
      {
        do: 'load',
        device: top,
        readOnly: false,
        table: [{ type: 'linear', length: sectors(8), on: onDevice(view), offset: sectors(0) }],
      },
    ]);
    expect(changes(one).at(-1)).toBe(`dmsetup load ${TOP_NAME} --table 0 8 linear 253:5 0`);
  });

  test('a listing that overlaps a removal is not remembered', async () => {
    const hold = Promise.withResolvers<undefined>();
    const began = Promise.withResolvers<undefined>();
    const script = scriptedExec((argv) => (isInfo(argv.join(' ')) ? STORE_ROW + VIEW_ROW + TOP_ROW : undefined));
    const one = rig(() => undefined, {
      exec: async (argv, options) => {
        if (argv[1] === 'remove') {
          began.resolve(undefined);
          await hold.promise;
        }
        return await script.exec(argv, options);
      },
    });
    const removal = one.kernel.apply([{ do: 'remove', device: view }]);
    await began.promise;
    await one.kernel.apply([{ do: 'suspend', device: top }]);
    hold.resolve(undefined);
    await removal;
    const before = script.calls.length;
    await one.kernel.apply([{ do: 'flush', device: view }]);
    expect(script.lines().slice(before).filter(isInfo)).toHaveLength(1);
  });

  test.each<[string, Step, string]>([
    ['a store that is not active', linear(view), `store:${store} is no active device of ours`],
    [
      'a stranger',
      {
        do: 'load',
        device: view,
        table: [{ type: 'linear', length: sectors(8), on: { on: 'stranger', majorMinor: '8:0' }, offset: sectors(0) }],
        readOnly: false,
      },
      '8:0 is no active device of ours',
    ],
    [
      'a target that is none of ours',
      {
        do: 'load',
        device: view,
        table: [{ type: 'other', length: sectors(8), name: 'delay', params: '' }],
        readOnly: false,
      },
      "it has a 'delay' target",
    ],
  ])('never loads a table on %s', async (_, step, words) => {
    const one = rig((line) => (isInfo(line) ? VIEW_ROW : undefined));
    const error = await errorOf(one.kernel.apply([step]));
    expect(error.message).toContain(words);
    expect(changes(one)).toEqual([]);
  });

  test('a refusal says which step and what the kernel said', async () => {
    const one = rig((line) => (isInfo(line) ? VIEW_ROW : { code: 1, stderr: 'suspend ioctl failed\n' }));
    const error = await errorOf(one.kernel.apply([{ do: 'suspend', device: view }]));
    expect(error.kind).toBe('internal');
    expect(error.message).toContain(`Cannot apply 'suspend ${view}'`);
    expect(error.message).toContain('suspend ioctl failed');
  });

  test('a device that is not there is an error', async () => {
    const one = rig(() => undefined);
    const error = await errorOf(one.kernel.apply([{ do: 'resume', device: view }]));
    expect(error.message).toContain(`Cannot find device '${view}' of pool 'fast' in the kernel`);
  });
});

describe('remove', () => {
  const open = (count: number, suspended = false): string =>
    VIEW_ROW.replace('|1|1|', `|1|${count}|`).replace('L--w', suspended ? 'L-sw' : 'L--w');

  test('waits for a probe to let go', async () => {
    let asked = 0;
    let removals = 0;
    const one = rig((line) => {
      if (isInfo(line)) return open((asked += 1) > 4 ? 0 : 1);
      return line.startsWith('dmsetup remove') && (removals += 1) === 1 ? 1 : undefined;
    });
    await one.kernel.apply([{ do: 'remove', device: view }]);
    expect(removals).toBe(2);
    expect(one.waits).toEqual([50, 50, 50]);
  });

  test('does not wait for a table that lies on it', async () => {
    const one = rig((line) => {
      if (isInfo(line)) return open(1);
      return line.startsWith('ls ') ? 'dm-7\n' : 1;
    });
    const error = await errorOf(one.kernel.apply([{ do: 'remove', device: view }]));
    expect(error.message).toContain('the tables of dm-7 lie on it (/dev/dm-1)');
    expect(one.waits).toEqual([]);
  });

  test('gives up in the end, and says who may hold it', async () => {
    const one = rig((line) => {
      if (isInfo(line)) return open(2);
      if (line.includes('-lname')) return '/proc/51/fd/3\n';
      return line.startsWith('ls ') ? '' : 1;
    });
    const error = await errorOf(one.kernel.apply([{ do: 'remove', device: view }]));
    expect(error).toBeInstanceOf(HeldOpen);
    expect(error.message).toContain('it is still open: held by process 51');
    expect(one.waits).toHaveLength(40);
  });

  test('does not wait for who waits in it, because it stands still', async () => {
    const one = rig((line) => {
      if (isInfo(line)) return open(1, true);
      return line.startsWith('ls ') ? '' : 1;
    });
    const error = await errorOf(one.kernel.apply([{ do: 'remove', device: view }]));
    expect(error).toBeInstanceOf(HeldOpen);
    expect(one.waits).toEqual([]);
  });

  test('a device that goes by itself meanwhile is gone', async () => {
    let rows = VIEW_ROW;
    const one = rig((line) => {
      if (isInfo(line)) return rows;
      rows = '';
      return 1;
    });
    await expect(one.kernel.apply([{ do: 'remove', device: view }])).resolves.toBeUndefined();
  });

  test('who opens and closes it again and again holds it, although nobody is seen to', async () => {
    const busy = { code: 1, stdout: '', stderr: `Device ${VIEW_NAME} is in use.\nDevice or resource busy\n` };
    const one = rig((line) => (isInfo(line) ? open(0) : busy));
    expect(await errorOf(one.kernel.apply([{ do: 'remove', device: view }]))).toBeInstanceOf(HeldOpen);
  });

  test('a refusal that nobody’s holding explains is told', async () => {
    const one = rig((line) => (isInfo(line) ? open(0) : 1));
    const error = await errorOf(one.kernel.apply([{ do: 'remove', device: view }]));
    expect(error.message).toContain('nobody holds it, yet the kernel refuses');
  });
});

describe('observe', () => {
  const answers = (line: string): Answer => {
    if (isInfo(line)) return STORE_ROW + VIEW_ROW;
    return line === 'dmsetup table' ? `${VIEW_NAME}: 0 8 linear 253:0 0\n` : '';
  };

  test('takes three commands, and a fourth where an inactive table is loaded', async () => {
    const plain = rig(answers);
    await plain.kernel.observe();
    expect(plain.script.calls).toHaveLength(3);
    expect(plain.script.lines()).toContain(`dmsetup status --noflush ${VIEW_NAME}`);

    const loaded = rig((line) => {
      if (isInfo(line)) return VIEW_ROW.replace('L--w', '-I-w');
      return line === 'dmsetup table --inactive' ? `${VIEW_NAME}: 0 8 zero\n` : '';
    });
    const observed = await loaded.kernel.observe();
    expect(loaded.script.calls).toHaveLength(4);
    expect(observed.devices.get(view)).toMatchObject({ live: undefined, inactive: [{ type: 'zero' }] });
  });

  test('who asks while somebody looks shares the next look', async () => {
    const { kernel, script } = rig(answers);
    const [first, ...others] = await Promise.all([kernel.observe(), kernel.observe(), kernel.observe()]);
    expect(script.lines().filter((line) => line === 'dmsetup table')).toHaveLength(2);
    expect(others[0]).toBe(others[1]);
    expect(others[0]).not.toBe(first);
    await Promise.all([kernel.statuses(), kernel.statuses(), kernel.statuses()]);
    expect(script.lines().filter((line) => line.includes('status'))).toHaveLength(4);
  });

  test('looks again when a device went between two listings', async () => {
    let tables = 0;
    const one = rig((line) => (line === 'dmsetup table' && (tables += 1) === 1 ? '' : answers(line)));
    expect((await one.kernel.observe()).devices.size).toBe(1);
    expect(tables).toBe(2);
  });

  test('lists again when dmsetup stumbles over a device that vanishes', async () => {
    let statuses = 0;
    const one = rig((line) => (line.includes('status') && (statuses += 1) < 3 ? 1 : answers(line)));
    expect((await one.kernel.observe()).devices.size).toBe(1);
    expect(statuses).toBe(3);
  });

  test('gives up as unavailable', async () => {
    const silent = rig(() => 1);
    expect((await errorOf(silent.kernel.observe())).kind).toBe('unavailable');
    const restless = rig((line) => (isInfo(line) ? VIEW_ROW : ''));
    expect((await errorOf(restless.kernel.observe())).message).toContain('changed during each of 10 listings');
  });
});

describe('statuses', () => {
  const snapshot = snapshotId('s-0000000001');
  const OTHER_NAME = `snapmerge-fast-${snapshot}-view`;
  const OTHER_ROW = `${OTHER_NAME}|${HIDDEN}${VG}-${snapshot}-view|253|3|1|L--w\n`;
  const THEIRS = 'theirs-pool|LVM-somebody|253|9|1|L--w\n';
  const counts = { state: 'counts', used: 16n, total: 64n, metadata: 16n };

  test('are one command once the devices are known, and ask no other devices', async () => {
    const text = `${VIEW_NAME}: 0 8 snapshot 16/64 16\n${OTHER_NAME}: 0 8 linear\n`;
    const one = rig((line) => (isInfo(line) ? THEIRS + STORE_ROW + VIEW_ROW + TOP_ROW + OTHER_ROW : text));
    expect(await one.kernel.statuses()).toEqual(new Map([[view, counts]]));
    const before = one.script.calls.length;
    expect(await one.kernel.statuses()).toEqual(new Map([[view, counts]]));
    expect(one.script.lines().slice(before)).toEqual([`dmsetup status --noflush ${VIEW_NAME} ${OTHER_NAME}`]);
  });

  test('of one device alone come without its name', async () => {
    const one = rig((line) => (isInfo(line) ? VIEW_ROW + TOP_ROW : '0 8 snapshot 16/64 16\n'));
    expect(await one.kernel.statuses()).toEqual(new Map([[view, counts]]));
  });

  test('need no command where no image is shown', async () => {
    const one = rig((line) => (isInfo(line) ? STORE_ROW : 'asked'));
    expect(await one.kernel.statuses()).toEqual(new Map());
    expect(one.script.lines().every(isInfo)).toBe(true);
  });

  test('are asked for again where a device has gone meanwhile', async () => {
    let rows = VIEW_ROW + OTHER_ROW;
    const one = rig((line) => {
      if (isInfo(line)) return rows;
      if (!line.includes(OTHER_NAME)) return '0 8 snapshot 16/64 16\n';
      rows = VIEW_ROW;
      return 1;
    });
    expect(await one.kernel.statuses()).toEqual(new Map([[view, counts]]));
  });
});
