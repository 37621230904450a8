// Which bed is taken, and that the sentence says why.

import { expect, test } from 'vitest';
import { decideBed } from '../../../vm/decide-bed.ts';

const decide = (asked: string | undefined, hasKvm: boolean, uml: string | { readonly release: string }) =>
  decideBed({ asked, release: '6.12', kvm: () => Promise.resolve(hasKvm), uml: () => Promise.resolve(uml) });

const WORKS = { release: '7.2.7' };

test.each([
  ['KVM before all', undefined, true, WORKS, 'qemu', /^guests run Linux 6\.12 on QEMU, with KVM$/],
  [
    'User Mode Linux without KVM',
    undefined,
    false,
    WORKS,
    'uml',
    /Linux 7\.2\.7 as a program \(User Mode Linux\): there is no KVM/,
  ],
  [
    'emulation where nothing else works',
    undefined,
    false,
    'no network',
    'qemu',
    /emulated.* cannot be used: no network$/,
  ],
  ['what is asked for, with KVM', 'qemu', true, WORKS, 'qemu', /with KVM, as asked for$/],
  ['what is asked for, emulated', 'qemu', false, WORKS, 'qemu', /emulated, as asked for$/],
  ['what is asked for, although there is KVM', 'uml', true, WORKS, 'uml', /User Mode Linux\), as asked for$/],
])('%s', async (_, asked, hasKvm, uml, kind, about) => {
  expect(await decide(asked, hasKvm, uml)).toEqual({ kind, about: expect.stringMatching(about) });
});

test.each([
  ['there is none', 'uml', 'no network', 'Cannot use User Mode Linux: no network'],
  ['it is no bed', 'xen', WORKS, "Cannot use SNAPMERGE_GUEST='xen': it is 'uml' or 'qemu'"],
])('nothing in place of what is asked for when %s', async (_, asked, uml, cannot) => {
  expect(await decide(asked, true, uml)).toEqual({ cannot });
});

test('nothing is tried that cannot matter', async () => {
  const never = () => Promise.reject(new Error('was asked'));
  const kvm = () => Promise.resolve(true);
  await expect(decideBed({ asked: undefined, release: '6.12', kvm, uml: never })).resolves.toMatchObject({
    kind: 'qemu',
  });
  await expect(
    decideBed({ asked: 'uml', release: '6.12', kvm: never, uml: () => Promise.resolve(WORKS) }),
  ).resolves.toMatchObject({
    kind: 'uml',
  });
});
