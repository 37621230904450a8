// What each operation costs besides time: counts, which are the same on every machine, and must not rise unnoticed. The driver
// runs in a guest together with what counts (costs/operations.ts); here its counts are compared with the recorded ones.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { BANNER } from '../../tools/bundle.ts';
import { driverTars } from '../../tools/driver.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { Operation } from './costs/costs.ts';
import { differences, operations, recordedAnew, table } from './costs/costs.ts';
import { withCostTable } from './costs/page.ts';

const NAME = 'csi-costs';
/** So large a pool wants more free in a store than one of these volumes can need: whether the monitor extends it is no matter of how fast it fills. */
const DISK_BYTES = 10 * 1024 ** 3;
/** All of it is one run: ten minutes on a machine that is busy with five times what it can do. */
const RUN_LIMIT_MS = 1_800_000;
const HERE = join(import.meta.dirname, 'costs');
const RECORDED = join(HERE, 'costs.json');
const PAGE = join(import.meta.dirname, '../../docs/benchmarks.md');
const WHERE = '/opt/snapmerge';
const FOUND = '/run/costs.json';
const WRITE = process.env['SNAPMERGE_COSTS'] === 'write';
const HOW = `If that is meant, 'SNAPMERGE_COSTS=write npx vitest run test/csi/costs.test.ts' records it; the commit says why`;

const before = table.parse(JSON.parse(await readFile(RECORDED, 'utf8')));
let recorded = before;
let found: readonly Operation[] = [];

/** One program, with the driver in it. */
async function program(): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [join(HERE, 'operations.ts')],
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    banner: { js: BANNER },
    logLevel: 'silent',
  });
  return z.tuple([z.object({ contents: z.instanceof(Uint8Array) })]).parse(outputFiles)[0].contents;
}

beforeAll(async () => {
  // Without udev, which opens and reads devices too, whenever it comes to that.
  const guest = await startGuest({
    name: NAME,
    diskSizeBytes: DISK_BYTES,
    udev: false,
    tars: await driverTars(NAME),
  });
  try {
    const files = { 'operations.mjs': await program(), 'opens.pl': await readFile(join(HERE, 'opens.pl')) };
    await guest.push(files, WHERE);
    const env = { COSTS: FOUND, LVM_SYSTEM_DIR: '/etc/snapmerge/lvm' };
    await guest.output(['snapmerge', 'pool', 'create', 'pool', '--volume-group', 'pool', ...guest.disks], { env });
    await guest.output(['node', `${WHERE}/operations.mjs`, ...guest.disks], { env });
    found = operations.parse(JSON.parse(Buffer.from(await guest.pull(FOUND)).toString()));
  } finally {
    await guest.stop();
    await removeGuest(NAME);
  }
  if (!WRITE) return;
  recorded = recordedAnew(before, found);
  await writeFile(RECORDED, `${JSON.stringify(recorded, null, 2)}\n`);
  await writeFile(PAGE, withCostTable(await readFile(PAGE, 'utf8'), recorded));
}, RUN_LIMIT_MS);

test('the operations that are counted are those that are recorded', () => {
  expect(found.map(({ operation }) => operation)).toEqual(recorded.map(({ operation }) => operation));
});

test.each(before)('$operation costs what is recorded', ({ operation }) => {
  const is = found.find((one) => one.operation === operation);
  const was = recorded.find((one) => one.operation === operation);
  const told = is === undefined || was === undefined ? ['it is not counted any more'] : differences(was, is);
  expect(told.length === 0 ? [] : [...told, HOW]).toEqual([]);
});
