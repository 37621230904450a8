// Ids that a counter gives: the same scenario draws the same ones, on every machine.

import { ID_ALPHABET } from '../../src/vocabulary/ids.ts';

/** The ten characters of the id of this number. */
export function idOf(count: number): string {
  let text = '';
  for (let rest = count, digit = 0; digit < 10; digit += 1, rest = Math.floor(rest / 32))
    text = (ID_ALPHABET[rest % 32] ?? '0') + text;
  return text;
}
