// What is taken when a mirror has moved on: never a kernel that is known to panic, and never another one without a word.

import { expect, test } from 'vitest';
import { PINNED, choosePackage, listedIn } from '../../../tools/image/uml-version.ts';

const sid = (version: string) => ({ version, suite: 'sid' });
const forky = (version: string) => ({ version, suite: 'forky' });

test('the pinned package, whatever else there is', () => {
  expect(choosePackage(true, [sid('9.9um1')])).toEqual({ take: 'pinned' });
});

test.each([
  ['the newest of sid', [sid('7.4um1'), sid('7.10um1'), sid('7.9um3'), forky('8.0um1')], '7.10um1', 'sid'],
  ['a rebuild before what it rebuilds', [sid('7.4um1'), sid('7.4um1+b2')], '7.4um1+b2', 'sid'],
  ['forky where sid has none', [forky('7.3um1')], '7.3um1', 'forky'],
  ['forky where sid has only what panics', [sid('6.18um1'), forky('7.3um1')], '7.3um1', 'forky'],
  ['the first good one', [sid('7.0um1')], '7.0um1', 'sid'],
])('when sid has dropped it: %s, said aloud', (_, listed, version, suite) => {
  const why = `the mirror has user-mode-linux ${PINNED.version} no more: taking ${version} of ${suite}, with which nobody has run the tests`;
  expect(choosePackage(false, listed)).toEqual({ take: 'listed', version, why });
});

test.each([
  ['nothing is there', [], 'no more, nor any other'],
  [
    'what bookworm and trixie have',
    [sid('6.1um3'), forky('6.12-1um-1')],
    '6.1um3 of sid, 6.12-1um-1 of forky cannot be used: kernels before 7.0 panic',
  ],
  [
    'an epoch, or no kernel at all',
    [sid('1:7.2'), sid('later')],
    '1:7.2 of sid, later of sid cannot be used: kernels before 7.0 panic',
  ],
  [
    'only another suite',
    [{ version: '7.5um1', suite: 'experimental' }],
    '7.5um1 of experimental cannot be used: kernels before 7.0 panic',
  ],
])('none when %s', (_, listed, words) => {
  const choice = choosePackage(false, listed);
  expect(choice.take).toBe('none');
  expect(choice).toMatchObject({ why: expect.stringContaining(words) });
});

test('what apt lists', () => {
  const text = `user-mode-linux |     7.2um1 | http://mirror.example/debian sid/main amd64 Packages
user-mode-linux | 7.1um1+b1 | http://mirror.example/debian forky/main amd64 Packages
user-mode-linux |     7.2um1 | http://mirror.example/debian sid/main Sources
N: something else
`;
  expect(listedIn(text)).toEqual([sid('7.2um1'), forky('7.1um1+b1')]);
});
