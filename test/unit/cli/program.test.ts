import { expect, test, vi } from 'vitest';
import { createProgram } from '../../../src/cli/program.ts';
import type { Actions } from '../../../src/cli/program.ts';

const POOL = ['--node', 'n', '--pool', 'a=vg_a'];

async function run(args: readonly string[]) {
  const actions = {
    serve: vi.fn<Actions['serve']>(),
    createPool: vi.fn<Actions['createPool']>(),
    print: vi.fn<Actions['print']>(),
    ended: vi.fn<Actions['ended']>(),
    tree: vi.fn<Actions['tree']>(async () => 0),
    status: vi.fn<Actions['status']>(async () => 0),
    check: vi.fn<Actions['check']>(async () => 1),
    tables: vi.fn<Actions['tables']>(async () => 0),
    restore: vi.fn<Actions['restore']>(async () => 0),
    restores: vi.fn<Actions['restores']>(async () => 0),
    cancel: vi.fn<Actions['cancel']>(async () => 0),
    names: vi.fn<Actions['names']>(async () => 0),
  };
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
  const { serve, print } = await run([...POOL, '--check-config']);
  expect(serve).not.toHaveBeenCalled();
  expect(print).toHaveBeenCalledTimes(1);
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
])('refuses %j', async (args, message) => {
  await expect(run(args)).rejects.toThrow(message);
});
