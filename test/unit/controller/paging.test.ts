import { assert, array, integer, property, record, uniqueArray } from 'fast-check';
import { expect, test } from 'vitest';
import { page } from '../../../src/controller/paging.ts';
import type { Listed } from '../../../src/controller/paging.ts';
import { refusal } from './call.ts';

const handle = (n: number): string => `pool.AbCdEf.v-${n.toString().padStart(10, '0')}`;
const items = uniqueArray(record({ createdMs: integer({ min: 0, max: 50 }), n: integer({ min: 0, max: 99 }) }), {
  selector: ({ n }) => n,
}).map((list): readonly Listed[] => list.map(({ createdMs, n }) => ({ createdMs, handle: handle(n) })));

function all(list: readonly Listed[], size: number, between: (rest: readonly Listed[]) => readonly Listed[]): string[] {
  const seen: string[] = [];
  let token = '';
  let present = list;
  for (let round = 0; round < 200; round += 1) {
    const { items: taken, nextToken } = page(present, token, size);
    expect(taken.length).toBeLessThanOrEqual(size);
    seen.push(...taken.map((item) => item.handle));
    if (nextToken === '') return seen;
    token = nextToken;
    present = between(present);
  }
  throw new Error('the pages do not end');
}

test('pages together are the list, each once', () => {
  assert(
    property(items, integer({ min: 1, max: 7 }), (list, size) => {
      const seen = all(list, size, (present) => present);
      expect(seen).toHaveLength(list.length);
      expect(new Set(seen)).toEqual(new Set(list.map((item) => item.handle)));
    }),
  );
});

test('deletions between pages neither repeat nor hide what stays', () => {
  assert(
    property(items, integer({ min: 1, max: 4 }), array(integer({ min: 0, max: 99 })), (list, size, deleted) => {
      const gone = new Set(deleted.map(handle));
      const seen = all(list, size, (present) => present.filter((item) => !gone.has(item.handle)));
      expect(new Set(seen).size).toBe(seen.length);
      const kept = list.map((item) => item.handle).filter((one) => !gone.has(one));
      expect(seen).toEqual(expect.arrayContaining(kept));
    }),
  );
});

test('0 entries: all at once', () => {
  const list = [1, 2, 3].map((n) => ({ createdMs: n, handle: handle(n) }));
  expect(page(list, '', 0)).toEqual({ items: list, nextToken: '' });
});

const ODD = ['invalid-token', '1', '-1@x', '12@', "1@' or 1", '9'.repeat(40)];

test.each(ODD)('refuses token %j with ABORTED', async (token) => {
  expect((await refusal(Promise.try(() => page([], token, 1)))).kind).toBe('busy');
});
