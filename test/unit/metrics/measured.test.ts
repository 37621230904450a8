import { expect, test, vi } from 'vitest';
import type { Kernel } from '../../../src/dm/kernel.ts';
import type { Step } from '../../../src/dm/step.ts';
import { deviceKey, volumeId } from '../../../src/vocabulary/ids.ts';
import { commandOf, measuredExec, measuredKernel } from '../../../src/metrics/measured.ts';
import { scriptedExec } from '../scripted-exec.ts';

/** A clock that goes on by a second each time it is asked. */
function ticking(): () => number {
  let seconds = 0;
  return () => (seconds += 1);
}

test('commands by program and verb, never by what they are about', () => {
  expect(commandOf(['lvm', 'lvcreate', '--devices', '/dev/sdb'])).toBe('lvm lvcreate');
  expect(commandOf(['dmsetup', 'message', 'secret'])).toBe('dmsetup message');
  expect(commandOf(['mount', '/dev/dm-3', '/somewhere'])).toBe('mount');
  expect(commandOf(['dmsetup', '--version'])).toBe('dmsetup');
});

test('a command is counted with its exit code, and its answer passed on', async () => {
  const ran = vi.fn<() => void>();
  const exec = measuredExec(scriptedExec((argv) => (argv[0] === 'blkid' ? 2 : 'yes')).exec, { ran }, ticking());
  expect((await exec(['blkid', '/dev/dm-1'])).code).toBe(2);
  expect((await exec(['lvm', 'vgs'])).stdout).toBe('yes');
  expect(ran.mock.calls).toEqual([
    ['blkid', 2, 1],
    ['lvm vgs', 0, 1],
  ]);
  const broken = measuredExec(() => Promise.reject(new Error('no such program')), { ran });
  await expect(broken(['lvm', 'vgs'])).rejects.toThrow('no such program');
  expect(ran).toHaveBeenLastCalledWith('lvm vgs', undefined, expect.any(Number));
});

test('steps, failures, and how long a volume stood still', async () => {
  const top = deviceKey(volumeId('v-0000000001'), 'top');
  const view = deviceKey(volumeId('v-0000000001'), 'view');
  const metrics = { stepped: vi.fn<() => void>(), paused: vi.fn<() => void>() };
  const kernel: Kernel = {
    observe: async () => ({ devices: new Map(), stores: new Map() }),
    statuses: async () => new Map(),
    apply: async ([step]) => {
      if (step?.do === 'load') throw new Error('refused');
    },
  };
  const measured = measuredKernel(kernel, 'fast', metrics, ticking());
  const load: Step = { do: 'load', device: view, table: [], readOnly: false };
  await measured.apply([{ do: 'suspend', device: top }]);
  await expect(measured.apply([load])).rejects.toThrow('refused');
  await measured.apply([
    { do: 'resume', device: view },
    { do: 'resume', device: top },
  ]);
  expect(metrics.stepped.mock.calls.map((call) => call.slice(0, 3))).toEqual([
    ['fast', 'suspend', 'ok'],
    ['fast', 'load', 'error'],
    ['fast', 'resume', 'ok'],
  ]);
  // The clock was read twice for each call; the pause goes from before the first to after the last.
  expect(metrics.paused.mock.calls).toEqual([['fast', 5]]);
  // A resume that only swaps a table is no pause of ours.
  await measured.apply([{ do: 'resume', device: top }]);
  expect(metrics.paused).toHaveBeenCalledTimes(1);
});
