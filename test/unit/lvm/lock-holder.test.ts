import { expect, test } from 'vitest';
import type { Exec } from '../../../src/system/exec.ts';
import { lockHolder } from '../../../src/lvm/lock-holder.ts';

const LOCKS = `1: POSIX  ADVISORY  WRITE 300 00:1a:77 0 EOF
2: FLOCK  ADVISORY  WRITE 400 00:1a:78 0 EOF
3: FLOCK  ADVISORY  WRITE 812 00:1a:77 0 EOF
3: -> FLOCK  ADVISORY  WRITE 813 00:1a:77 0 EOF
3: -> FLOCK  ADVISORY  READ 814 00:1a:77 0 EOF
`;

const says =
  (texts: Readonly<Record<string, string>>): Exec =>
  async (argv) => {
    const stdout = texts[argv.join(' ')];
    return stdout === undefined ? { code: 1, stdout: '', stderr: 'no' } : { code: 0, stdout, stderr: '' };
  };

const STAT = 'stat --format %Hd %Ld %i /run/lock/lvm/V_pool';

test('whoever has the lock is named, and not who waits for it', async () => {
  const exec = says({ [STAT]: '0 26 77\n', 'cat /proc/locks': LOCKS, 'cat /proc/812/comm': 'vgcfgrestore\n' });
  expect(await lockHolder(exec, 'pool')).toBe(
    "LVM's lock of volume group 'pool' is held by process 812 (vgcfgrestore)",
  );
});

test.each([
  ['nobody has it', { [STAT]: '0 26 79\n', 'cat /proc/locks': LOCKS }],
  ['there is no such file', { 'cat /proc/locks': LOCKS }],
  ['the locks cannot be read', { [STAT]: '0 26 77\n' }],
  ['who has it is out of sight', { [STAT]: '0 26 77\n', 'cat /proc/locks': LOCKS.replaceAll('812', '0') }],
])('nothing is said where %s', async (_, texts) => {
  expect(await lockHolder(says(texts), 'pool')).toBeUndefined();
});
