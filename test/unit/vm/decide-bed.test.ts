// Which bed is taken, and that the sentence says why.

import { expect, test } from 'vitest';
import { decideBed } from '../../../vm/decide-bed.ts';

type Uml = string | { readonly release: string; readonly processMs: number };

const EMULATED_MS = 6;

const decide = (asked: string | undefined, hasKvm: boolean, uml: Uml, emulated: number | string = EMULATED_MS) =>
  decideBed({
    asked,
    release: '6.12',
    kvm: () => Promise.resolve(hasKvm),
    uml: () => Promise.resolve(uml),
    emulatedMs: () => Promise.resolve(emulated),
  });

const WORKS = { release: '7.2.7', processMs: 2 };
const SLOWER = { release: '7.2.7', processMs: 9 };

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
  [
    'emulation where that starts processes faster',
    undefined,
    false,
    SLOWER,
    'qemu',
    /emulated.*: there is no KVM here that works, and User Mode Linux takes 9\.0 ms here to start a process, an emulated kernel 6\.0 ms$/,
  ],
  ['what is asked for, although it is slower', 'uml', false, SLOWER, 'uml', /User Mode Linux\), as asked for$/],
  ['what is asked for, with KVM', 'qemu', true, WORKS, 'qemu', /with KVM, as asked for$/],
  ['what is asked for, emulated', 'qemu', false, WORKS, 'qemu', /emulated, as asked for$/],
  ['what is asked for, although there is KVM', 'uml', true, WORKS, 'uml', /User Mode Linux\), as asked for$/],
])('%s', async (_, asked, hasKvm, uml, kind, about) => {
  expect(await decide(asked, hasKvm, uml)).toEqual({ kind, about: expect.stringMatching(about) });
});

test('emulation where User Mode Linux is not clearly faster', async () => {
  expect(await decide(undefined, false, { ...WORKS, processMs: 5 })).toMatchObject({ kind: 'qemu' });
});

test('User Mode Linux where emulation does not work', async () => {
  expect(await decide(undefined, false, SLOWER, 'it does not come up')).toMatchObject({ kind: 'uml' });
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
  await expect(
    decideBed({ asked: undefined, release: '6.12', kvm, uml: never, emulatedMs: never }),
  ).resolves.toMatchObject({
    kind: 'qemu',
  });
  await expect(
    decideBed({ asked: 'uml', release: '6.12', kvm: never, uml: () => Promise.resolve(WORKS), emulatedMs: never }),
  ).resolves.toMatchObject({
    kind: 'uml',
  });
});
