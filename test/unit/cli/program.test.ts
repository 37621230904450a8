import { expect, test } from 'vitest';
import { createProgram } from '../../../src/cli/program.ts';
import { actionsOf } from './actions.ts';

const POOL = ['--node', 'n', '--pool', 'a=vg_a'];

async function run(args: readonly string[]) {
  const actions = actionsOf();
  const program = createProgram('1.2.3', {}, actions);
  const quiet = { writeErr: () => undefined, writeOut: () => undefined };
  for (const command of [program, ...program.commands, ...program.commands.flatMap((one) => one.commands)]) {
    command.exitOverride().configureOutput(quiet);
  }
  await program.parseAsync(args, { from: 'user' });
  return actions;
}

test('serving is what happens without a command', async () => {
  for (const args of [POOL, ['serve', ...POOL]]) {
    const { serve } = await run([...args, '--reserve', '20%', '--max-volumes', '9', '--pool', 'b=vg_b']);
    expect(serve).toHaveBeenCalledWith({
      node: 'n',
      socket: '/run/snapmerge/csi.sock',
      pools: [
        { name: 'a', volumeGroup: 'vg_a' },
        { name: 'b', volumeGroup: 'vg_b' },
      ],
      reservePercent: 20,
      maxVolumes: 9,
      logLevel: 'info',
    });
  }
});

test('--check-config prints and does not serve', async () => {
  const { serve, print } = await run([...POOL, '--pool', 'b=vg_b:/pool.img@1Gi', '--check-config']);
  expect(serve).not.toHaveBeenCalled();
  expect(print).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('"loopSize": "1073741824"'));
  await expect(run(['--check-config', '--node', 'n'])).rejects.toThrow('want at least one pool');
});

test('pool create takes disks or a loop file', async () => {
  const disks = await run(['pool', 'create', 'fast', '/dev/sdb', '/dev/sdc', '--volume-group', 'vg0']);
  expect(disks.createPool).toHaveBeenCalledWith({
    name: 'fast',
    volumeGroup: 'vg0',
    disks: ['/dev/sdb', '/dev/sdc'],
    loopFile: undefined,
  });
  const file = await run(['pool', 'create', 'try', '--loop-file', '/tmp/x', '--size', '10G']);
  expect(file.createPool).toHaveBeenCalledWith({
    name: 'try',
    volumeGroup: 'snapmerge-try',
    disks: [],
    loopFile: { path: '/tmp/x', size: '10G' },
  });
});

test.each([
  [['pool', 'create', 'a'], 'give disks or --loop-file'],
  [['pool', 'create', 'a', '/dev/sdb', '--loop-file', '/x', '--size', '1G'], 'give disks or --loop-file'],
  [['pool', 'create', 'a', '--loop-file', '/x'], 'go together'],
  [['serve', '--pool', 'a'], 'want NAME=VOLUME_GROUP'],
  [['--colour', 'blue'], 'unknown option'],
  [['tee'], "unknown command 'tee'"],
  [['restore', 'shop'], "missing required argument 'snapshot'"],
  [['restore', 'shop', 'friday', '--mode', 'snapshot'], 'Allowed choices are origin, onactivate'],
  [['tables', '--missing', '--remove'], '--missing goes with neither'],
  [['completion', 'csh'], 'Allowed choices are bash, zsh, fish'],
  [['tree', '--pool', 'a'], 'want NAME=VOLUME_GROUP'],
])('refuses %j', async (args, message) => {
  await expect(run(args)).rejects.toThrow(message);
});

const NOWHERE = { socket: undefined, config: undefined, pools: undefined };

test('what is shown, from where, and how it ended', async () => {
  const tree = await run(['tree', '--json', '--socket', '/s', '--pool', 'a=vg_a', '--offline']);
  expect(tree.tree).toHaveBeenCalledWith({
    place: { socket: '/s', config: undefined, pools: [{ name: 'a', volumeGroup: 'vg_a' }] },
    offline: true,
    json: true,
  });
  const check = await run(['check']);
  expect(check.check).toHaveBeenCalledWith({ place: NOWHERE, offline: false, json: false });
  expect(check.ended).toHaveBeenCalledWith(1);
  expect((await run(['status', '--config', '/c'])).status).toHaveBeenCalledWith({
    place: { ...NOWHERE, config: '/c' },
    offline: false,
    json: false,
  });
});

test('restores in three modes', async () => {
  const plain = { dropSnapshot: false, safety: undefined, replace: false, watch: false };
  const origin = await run(['restore', 'shop', 'friday']);
  const request = { volume: 'shop', snapshot: 'friday', mode: 'origin', ...plain };
  expect(origin.restore).toHaveBeenCalledWith(NOWHERE, request, false);
  const later = await run([
    'restore',
    'shop',
    'friday',
    '--mode',
    'onactivate',
    '--safety',
    'x',
    '--replace',
    '--watch',
    '--json',
  ]);
  expect(later.restore).toHaveBeenCalledWith(
    NOWHERE,
    { ...request, mode: 'onactivate', safety: 'x', replace: true, watch: true },
    true,
  );
  const promote = await run(['promote', 'test-a', '--drop-snapshot']);
  expect(promote.restore).toHaveBeenCalledWith(
    NOWHERE,
    { volume: 'test-a', snapshot: undefined, mode: 'snapshot', ...plain, dropSnapshot: true },
    false,
  );
  expect((await run(['restores', '--watch'])).restores).toHaveBeenCalledWith(NOWHERE, true, false);
  expect((await run(['cancel', 'r-1'])).cancel).toHaveBeenCalledWith(NOWHERE, 'r-1');
});

test('tables of all, of some, missing, to remove, to read', async () => {
  const options = { place: NOWHERE, mode: 'all', readOnly: false, images: [] };
  expect((await run(['tables'])).tables).toHaveBeenCalledWith(options);
  expect((await run(['tables', 'shop', '--read-only'])).tables).toHaveBeenCalledWith({
    ...options,
    images: ['shop'],
    readOnly: true,
  });
  expect((await run(['tables', '--missing'])).tables).toHaveBeenCalledWith({ ...options, mode: 'missing' });
  expect((await run(['tables', '--remove'])).tables).toHaveBeenCalledWith({ ...options, mode: 'remove' });
});

test('completion prints a script, names are for it alone', async () => {
  const { print } = await run(['completion', 'bash']);
  expect(print.mock.calls[0]?.[0]).toContain('complete -o default -F _snapmerge snapmerge');
  expect((await run(['names', 'volumes'])).names).toHaveBeenCalledWith(NOWHERE, 'volumes');
});
