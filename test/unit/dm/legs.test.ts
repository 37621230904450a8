import { expect, test } from 'vitest';
import type { Argv } from '../../../src/system/exec.ts';
import { createLegs } from '../../../src/dm/legs.ts';
import type { Leg } from '../../../src/vocabulary/ids.ts';
import { LEGS, legName, legUuid, poolName, vgUuid } from '../../../src/vocabulary/ids.ts';

const pool = poolName('fast');
const vg = vgUuid('AbCdEf0123456789AbCdEf0123456789');

/** A kernel that has these of them, by name, `false` where one has no table. */
function rig(there: Partial<Record<Leg, boolean>> = {}) {
  const present = new Map<string, boolean>(
    LEGS.flatMap((leg) => (there[leg] === undefined ? [] : [[legName(pool, vg, leg), there[leg]] as const])),
  );
  const lines: string[] = [];
  let refused = false;
  const exec = async (argv: Argv) => {
    const [, verb, name = ''] = argv;
    lines.push(argv.join(' '));
    if (refused) return { code: 1, stdout: '', stderr: 'refused' };
    if (verb === 'create' || verb === 'load') present.set(name, true);
    if (verb === 'remove') LEGS.forEach((leg) => present.delete(legName(pool, vg, leg)));
    return { code: 0, stdout: `Major, minor:      253, ${lines.length}\n`, stderr: '' };
  };
  const legs = createLegs({
    exec,
    pool,
    vgUuid: vg,
    quiet: ['--noudevsync'],
    find: async () =>
      new Map(
        LEGS.flatMap((leg, at) => {
          const live = present.get(legName(pool, vg, leg));
          const row = { uuid: legUuid(vg, leg), majorMinor: `253:9${at}`, openCount: 0, inactive: false };
          return live === undefined
            ? []
            : [[leg, { ...row, name: legName(pool, vg, leg), live, suspended: false, readOnly: false }] as const];
        }),
      ),
  });
  const numbers = () => legs.withNumbers(async (found) => [...found.values()]);
  return { legs, lines, numbers, refuse: (now: boolean) => (refused = now) };
}

test('both are made once, for all who ask at the same time and later', async () => {
  const { lines, numbers } = rig();
  expect(await Promise.all([numbers(), numbers()])).toEqual([
    ['253:1', '253:2'],
    ['253:1', '253:2'],
  ]);
  await numbers();
  expect(lines).toEqual([
    `dmsetup create snapmerge-fast-AbCdEf-zero --uuid ${legUuid(vg, 'zero')} -v --noudevsync --table 0 4398046511104 zero`,
    `dmsetup create snapmerge-fast-AbCdEf-error --uuid ${legUuid(vg, 'error')} -v --noudevsync --table 0 4398046511104 error`,
  ]);
});

test('those that are there are taken, and one without a table gets it', async () => {
  const { lines, numbers } = rig({ zero: true, error: false });
  expect(await numbers()).toEqual(['253:90', '253:91']);
  expect(lines).toEqual([
    'dmsetup load snapmerge-fast-AbCdEf-error --table 0 4398046511104 error',
    'dmsetup resume --noudevsync snapmerge-fast-AbCdEf-error',
  ]);
});

test('after a failure they are looked for again: somebody may have taken them away', async () => {
  const { legs, lines, numbers, refuse } = rig();
  refuse(true);
  await expect(numbers()).rejects.toThrow('refused');
  refuse(false);
  expect(await numbers()).toEqual(['253:2', '253:3']);
  await expect(legs.withNumbers(() => Promise.reject(new Error('no such device')))).rejects.toThrow('no such device');
  expect(await numbers()).toEqual(['253:90', '253:91']);
  expect(lines).toHaveLength(3);
});

test('another group of the same pool name has its own', () => {
  const other = vgUuid(`Z${vg.slice(1)}`);
  for (const leg of LEGS) expect(legName(pool, other, leg)).not.toBe(legName(pool, vg, leg));
});

test('they go in one command, and not while somebody makes a tail; who comes meanwhile makes them again', async () => {
  const { legs, lines, numbers } = rig();
  await legs.withNumbers(() => legs.remove());
  expect(lines).toHaveLength(2);
  const going = legs.remove();
  expect(await numbers()).toEqual(['253:4', '253:5']);
  await going;
  expect(lines[2]).toBe('dmsetup remove --noudevsync snapmerge-fast-AbCdEf-zero snapmerge-fast-AbCdEf-error');
  expect(lines).toHaveLength(5);
});
