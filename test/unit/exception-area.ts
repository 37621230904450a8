// A metadata area of a store of exceptions, as od prints it: a line an exception.

import type { Bytes } from '../../src/vocabulary/units.ts';

/** `listed`: the chunk in the store of each exception; the chunks of the image are 0, 1, 2 and so on. */
export function areaText(chunk: Bytes, listed: readonly number[]): string {
  const lines = Array.from({ length: Number(chunk) / 16 }, (_, index) => {
    const at = listed[index];
    const [from, to] = at === undefined ? [0, 0] : [index, at];
    return `${from.toString().padStart(21)}${to.toString().padStart(21)}\n`;
  });
  return lines.join('');
}
