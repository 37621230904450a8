import { clockOf } from '../../../clock.ts';
import { expect, test } from 'vitest';
import { SnapmergeError } from '../../../../src/vocabulary/errors.ts';
import type { ApiServer, WatchEvent } from '../../../../src/kubernetes/api/http.ts';
import { watchRestores } from '../../../../src/kubernetes/api/watch.ts';
import { silentLog } from '../../../../src/vocabulary/ports.ts';
import { objectOf } from '../object.ts';

type Turn =
  | { readonly list: readonly unknown[] }
  | { readonly watch: readonly WatchEvent[] }
  | { readonly error: SnapmergeError };

/** An API server that answers in this order, and then ends the test. */
async function play(turns: readonly Turn[]) {
  const asked: string[] = [];
  const pauses: number[] = [];
  const changed: string[] = [];
  const ending = new AbortController();
  const left = [...turns];
  const next = (): Turn => {
    const turn = left.shift();
    if (left.length === 0) ending.abort();
    return turn ?? { watch: [] };
  };
  const answer = (turn: Turn): readonly unknown[] => {
    if ('error' in turn) throw turn.error;
    return 'list' in turn ? turn.list : turn.watch;
  };
  const api: ApiServer = {
    request: async () => {
      asked.push('list');
      return { metadata: { resourceVersion: '100' }, items: answer(next()) };
    },
    watch: async (_, { resourceVersion }, take) => {
      asked.push(`watch ${resourceVersion}`);
      const turn = next();
      if ('error' in turn) throw turn.error;
      if ('watch' in turn) turn.watch.forEach(take);
    },
  };
  const clock = { ...clockOf(() => 0), sleep: async (ms: number) => void pauses.push(ms) };
  const restores = watchRestores({ api, clock, log: silentLog, changed: (key) => changed.push(key) });
  await restores.run(ending.signal);
  return { asked, pauses, changed, names: restores.all().map(({ metadata: { name } }) => name) };
}

const named = (name: string, resourceVersion = '101') => {
  const object = objectOf({ name });
  return { ...object, metadata: { ...object.metadata, resourceVersion } };
};

test('listed once, watched from there, and on from the last that was seen', async () => {
  const { asked, changed, names } = await play([
    { list: [named('one')] },
    { watch: [{ type: 'ADDED', object: named('two', '105') }] },
    { watch: [{ type: 'DELETED', object: named('one', '107') }] },
    { watch: [{ type: 'BOOKMARK', object: { metadata: { resourceVersion: '110' } } }] },
    { watch: [] },
  ]);
  expect(asked).toEqual(['list', 'watch 100', 'watch 105', 'watch 107', 'watch 110']);
  expect(changed).toEqual(['shop/one', 'shop/two', 'shop/one', 'shop/one']);
  expect(names).toEqual(['two']);
});

test('a version that is no longer kept: listed anew, and what went meanwhile is noticed', async () => {
  const { asked, changed, names } = await play([
    { list: [named('one')] },
    { watch: [{ type: 'ERROR', object: { code: 410, message: 'too old' } }] },
    { list: [named('two')] },
    { error: new SnapmergeError('out-of-range', 'too old') },
    { list: [named('two')] },
    { watch: [] },
  ]);
  expect(asked).toEqual(['list', 'watch 100', 'list', 'watch 100', 'list', 'watch 100']);
  expect(changed).toEqual(['shop/one', 'shop/two', 'shop/one', 'shop/two']);
  expect(names).toEqual(['two']);
});

test('an API server that is away is asked less and less often, and what was known stays known', async () => {
  const away: Turn = { error: new SnapmergeError('unavailable', 'away') };
  const { asked, pauses, names } = await play([
    { list: [named('one')] },
    ...Array.from({ length: 7 }, () => away),
    { watch: [] },
    away,
  ]);
  expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 500]);
  expect(asked.filter((one) => one === 'list')).toHaveLength(1);
  expect(names).toEqual(['one']);
});

test('an object that cannot be understood is left out', async () => {
  const { names } = await play([{ list: [{ metadata: {} }, named('one')] }, { watch: [] }]);
  expect(names).toEqual(['one']);
});
