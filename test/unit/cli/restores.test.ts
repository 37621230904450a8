import { expect, test, vi } from 'vitest';
import { z } from 'zod';
import type { DriverClient } from '../../../src/cli/client.ts';
import type { RestoreRequest, RestoreTools } from '../../../src/cli/restores.ts';
import { cancelRestore, listRestores, startRestore } from '../../../src/cli/restores.ts';
import { fail } from '../../../src/vocabulary/errors.ts';
import { viewPool } from '../../../src/inspect/pool.ts';
import { mib } from '../../../src/vocabulary/units.ts';
import { POOL, fork, friday, lookOf, shop, thursday } from '../inspect/family.ts';

const ID = 'fast.AbCdEf.r-0000000001';
const SHOP = `fast.AbCdEf.${shop}`;
const FRIDAY = `fast.AbCdEf.${friday}`;
const REQUEST: RestoreRequest = {
  volume: 'shop',
  snapshot: 'friday',
  mode: 'origin',
  dropSnapshot: false,
  safety: undefined,
  replace: false,
  watch: false,
};

const stateOf = (left: number, more: object = {}) => ({
  restore_id: ID,
  volume_id: SHOP,
  snapshot_id: FRIDAY,
  mode: 'RESTORE_MODE_ORIGIN',
  phase: left === 0 ? 'RESTORE_PHASE_DONE' : 'RESTORE_PHASE_MERGING',
  safety_snapshot_id: '',
  total_bytes: mib(400).toString(),
  remaining_bytes: mib(left).toString(),
  message: '',
  ...more,
});

/** A driver that gives these restores, one list after the other, the last again and again. */
function toolsOf(lists: readonly (readonly object[])[] = [[stateOf(300)]], more: Partial<RestoreTools> = {}) {
  const called: { readonly method: string; readonly request: object }[] = [];
  let listed = 0;
  const answer = (method: string): object => {
    if (method === 'StartRestore') return { restore: lists[0]?.[0] };
    if (method === 'ListRestores') return { restores: lists[Math.min((listed += 1), lists.length) - 1] };
    return {};
  };
  const driver: DriverClient = {
    call: async (method, request, reply) => {
      called.push({ method, request });
      return reply.parse(answer(method));
    },
    stream: async function* stream(method, request, reply) {
      called.push({ method, request });
      for (const [restore] of lists) yield reply.parse({ restore });
    },
    close: () => undefined,
  };
  const out: string[] = [];
  const err: string[] = [];
  const tools: RestoreTools = {
    driver,
    terminal: {
      write: (text) => void out.push(text),
      complain: (text) => void err.push(text),
      style: { colour: false, unicode: true },
      live: false,
      columns: () => Infinity,
    },
    pools: [{ name: POOL, problem: '', contents: viewPool(lookOf()) }],
    json: false,
    nowMs: () => 0,
    pause: vi.fn<RestoreTools['pause']>(async () => undefined),
    enough: new AbortController().signal,
    ...more,
  };
  return { tools, called, said: () => out.join(''), complained: () => err.join('') };
}

test('a restore is begun by name, and said', async () => {
  const { tools, called, said, complained } = toolsOf([[stateOf(300, { message: 'It can be used' })]]);
  expect(await startRestore(tools, REQUEST)).toBe(0);
  expect(called[0]?.request).toEqual({
    volume_id: SHOP,
    snapshot_id: FRIDAY,
    mode: 'RESTORE_MODE_ORIGIN',
    keep_snapshot: true,
    safety_snapshot_name: '',
    replace: false,
  });
  expect(said()).toBe(`Restore ${ID} of shop to friday has begun; 400 MiB to move.\nIt can be used.\n`);
  expect(complained()).toContain('snapmerge restores --watch');
});

test('everything that may be asked for is passed on', async () => {
  const { tools, called } = toolsOf();
  await startRestore(tools, { ...REQUEST, mode: 'onactivate', dropSnapshot: true, safety: 'before', replace: true });
  expect(called[0]?.request).toMatchObject({
    mode: 'RESTORE_MODE_ONACTIVATE',
    keep_snapshot: false,
    safety_snapshot_name: 'before',
    replace: true,
  });
});

test('one that is recorded and begins later says so', async () => {
  const message = 'It begins when the volume is next staged';
  const waiting = stateOf(0, { phase: 'RESTORE_PHASE_WAITING', message, total_bytes: '0' });
  const { tools, said } = toolsOf([[waiting]]);
  await startRestore(tools, REQUEST);
  expect(said()).toBe(`Restore ${ID} of shop to friday is recorded.\n${message}.\n`);
});

test('a fork is promoted; the driver knows what it was made from', async () => {
  const promoted = { volume_id: `fast.AbCdEf.${fork}`, mode: 'RESTORE_MODE_SNAPSHOT' };
  const { tools, called, said } = toolsOf([[stateOf(400, promoted)]]);
  await startRestore(tools, { ...REQUEST, volume: 'test-a', snapshot: undefined, mode: 'snapshot' });
  expect(called[0]?.request).toMatchObject({
    volume_id: `fast.AbCdEf.${fork}`,
    snapshot_id: '',
    mode: 'RESTORE_MODE_SNAPSHOT',
  });
  expect(said()).toBe(
    `Promotion ${ID} of test-a has begun; 400 MiB to move.\nMerging in the background; the volume can be used.\n`,
  );
  await startRestore(tools, { ...REQUEST, volume: 'test-a', snapshot: 'thursday', mode: 'snapshot' });
  expect(called[1]?.request).toMatchObject({ snapshot_id: `fast.AbCdEf.${thursday}` });
});

test('watching ends with the restore; a failed one is said by the exit code', async () => {
  const done = toolsOf([[stateOf(300)], [stateOf(100)], [stateOf(0)]]);
  expect(await startRestore(done.tools, { ...REQUEST, watch: true })).toBe(0);
  expect(done.said().split('\n').slice(2, -1)).toEqual([
    'shop ← friday  ██████░░░░░░░░░░░░░░░░░░   25 %  300 MiB left',
    'shop ← friday  ██████████████████░░░░░░   75 %  100 MiB left',
    'shop ← friday  ████████████████████████  done, 400 MiB moved',
  ]);
  const heldUp = toolsOf([[stateOf(300)], [stateOf(300, { message: 'A disk failed' })], [stateOf(0)]]);
  expect(await startRestore(heldUp.tools, { ...REQUEST, watch: true })).toBe(0);
  expect(heldUp.said()).toContain('shop ← friday');
  expect(heldUp.said()).toContain('merging: A disk failed');
  const failed = toolsOf([[stateOf(300)], [stateOf(300, { phase: 'RESTORE_PHASE_FAILED', message: 'Merge failed' })]]);
  expect(await startRestore(failed.tools, { ...REQUEST, watch: true })).toBe(1);
});

test('a stream that ends before the restore is no end', async () => {
  const { tools } = toolsOf([[stateOf(300)]]);
  await expect(startRestore(tools, { ...REQUEST, watch: true })).rejects.toThrow('the driver has ended');
});

test('all restores are watched until none is under way', async () => {
  const other = stateOf(50, { restore_id: 'fast.AbCdEf.r-0000000002', volume_id: `fast.AbCdEf.${fork}` });
  const old = stateOf(0, { restore_id: 'fast.AbCdEf.r-0000000003' });
  const { tools, said } = toolsOf([
    [old, stateOf(200)],
    [old, stateOf(0), other],
    [old, stateOf(0), { ...other, phase: 'RESTORE_PHASE_DONE' }],
  ]);
  expect(await listRestores(tools, true)).toBe(0);
  const lines = said().split('\n');
  expect(lines).toHaveLength(5);
  expect(lines.filter((line) => line.startsWith('test-a'))).toHaveLength(2);
  expect(tools.pause).toHaveBeenCalledTimes(2);
});

test('who has seen enough leaves, and the restore goes on', async () => {
  const enough = new AbortController();
  const { tools, complained } = toolsOf(undefined, { enough: enough.signal, pause: async () => enough.abort() });
  expect(await listRestores(tools, true)).toBe(130);
  expect(complained()).toBe('What was watched goes on.\n');
});

test('a list, also as JSON, and of nothing', async () => {
  const listed = toolsOf();
  expect(await listRestores(listed.tools, false)).toBe(0);
  expect(listed.said()).toMatch(/^shop ← friday .* 25 %/);
  const json = toolsOf(undefined, { json: true });
  await listRestores(json.tools, false);
  const shape = z.array(z.looseObject({ id: z.string(), phase: z.string(), remaining: z.number() }));
  expect(shape.parse(JSON.parse(json.said()))).toMatchObject([{ id: ID, phase: 'merging', remaining: 314572800 }]);
  const none = toolsOf([[]]);
  expect(await listRestores(none.tools, false)).toBe(0);
  expect(none.said()).toContain('There is no restore');
  expect(await listRestores(none.tools, true)).toBe(0);
  expect(none.complained()).toBe('No restore is under way.\n');
  const failed = toolsOf([[stateOf(3, { phase: 'RESTORE_PHASE_FAILED' })]]);
  expect(await listRestores(failed.tools, false)).toBe(1);
});

test.each([ID, 'r-0000000001', 'shop', SHOP])('cancelled by %s', async (text) => {
  const { tools, called, said } = toolsOf([[stateOf(400, { phase: 'RESTORE_PHASE_WAITING' })]]);
  expect(await cancelRestore(tools, text)).toBe(0);
  expect(called.at(-1)).toEqual({ method: 'CancelRestore', request: { restore_id: ID } });
  expect(said()).toContain(`Restore ${ID} of shop is cancelled`);
});

test.each([
  ['r-0000000009', "Cannot find restore 'r-0000000009': snapmerge restores lists them"],
  ['test-a', "Cannot find a restore of volume 'test-a' that is under way"],
  ['nothing', "Cannot find volume 'nothing'"],
])('nothing to cancel: %s', async (text, message) => {
  await expect(cancelRestore(toolsOf().tools, text)).rejects.toThrow(message);
});

test('the words of the driver come through', async () => {
  const { tools } = toolsOf();
  const refusing = { ...tools, driver: { ...tools.driver, call: async () => fail('precondition', 'Cannot: in use') } };
  await expect(startRestore(refusing, REQUEST)).rejects.toThrow('Cannot: in use');
});
