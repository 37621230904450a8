// A database is rolled back as its operator would do it: snapshot under load, damage, scale down, VolumeRestore, scale up
// while it merges; and what was damaged is still there to look at.

import { afterAll, expect, test } from 'vitest';
import { fastMerges, overwritten, slowMerges } from '../room/merging.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('postgres');
const LIMIT_MS = 4 * TEST_LIMIT_MS;
const RESTORE = 'volumerestore/undo-upgrade';
const FILLER_BLOCKS = 400;

afterAll(fastMerges, TEST_LIMIT_MS);

const sql = async (pod: string, ...statements: readonly string[]): Promise<string> =>
  (
    await room.exec(
      pod,
      'psql',
      '--host=/tmp',
      '--username=postgres',
      '--tuples-only',
      '--no-align',
      '--quiet',
      ...statements.map((statement) => `--command=${statement}`),
    )
  ).trim();

const dumpOf = (pod: string, table: string): Promise<string> =>
  room.exec(
    pod,
    'sh',
    '-c',
    `pg_dump --host=/tmp --username=postgres --data-only --table=${table} postgres | grep -v restrict | md5sum`,
  );

/** A row and its acknowledgement after another, in the background, until /data/stop is there. */
const LOAD = `
n=0
while [ ! -e /data/stop ]; do
  n=$((n+1))
  psql -h /tmp -U postgres -qc "insert into log values ($n)" && echo $n > /data/acknowledged.new &&
    mv /data/acknowledged.new /data/acknowledged
done
`;

/** A file beside the database, so that there is something to merge piece by piece. */
const fill = (word: string): Promise<string> =>
  room.exec('db-0', 'sh', '-c', overwritten('/data/filler', word, FILLER_BLOCKS));

test(
  'back to before the upgrade',
  async () => {
    await room.apply('postgres.yaml');
    // A new database is slow on an emulated processor.
    await room.field('statefulset/db', '.status.readyReplicas', '1', 900);
    await room.remember();
    const orders = `insert into orders select n, md5(n::text), repeat(md5((n + 1)::text), 30) from generate_series(1, 15000) n`;
    await sql('db-0', 'create table orders (id int primary key, note text, more text)', orders);
    await sql('db-0', 'create table log (id int primary key)', 'create extension amcheck', 'checkpoint');
    const before = await dumpOf('db-0', 'orders');
    await fill('friday');
    await room.exec('db-0', 'sh', '-c', `(${LOAD}) </dev/null >/dev/null 2>&1 &`);
    await expect.poll(async () => Number(await sql('db-0', 'select count(*) from log')), POLL).toBeGreaterThan(3);
    const acknowledged = Number(await room.exec('db-0', 'cat', '/data/acknowledged'));
    await room.apply('postgres-snapshot.yaml');
    await room.field('volumesnapshot/before-upgrade', '.status.readyToUse', 'true');
    const afterwards = Number(await sql('db-0', 'select count(*) from log'));

    await sql('db-0', "update orders set note = 'damaged' where id % 2 = 0", 'delete from orders where id % 3 = 0');
    await sql('db-0', 'drop table log', 'checkpoint');
    await room.exec('db-0', 'touch', '/data/stop');
    await fill('monday');
    await slowMerges();
    await room.kubectl('scale', 'statefulset/db', '--replicas=0');
    await room.apply('postgres-restore.yaml');
    await room.condition(RESTORE, 'Begun');
    await room.kubectl('scale', 'statefulset/db', '--replicas=1');
    expect(await room.value(RESTORE, '.status.phase')).toBe('Merging');
    await room.field('statefulset/db', '.status.readyReplicas', '1');
    // It was started on a volume that was still being merged, whatever has ended since.
    const startedAt = await room.value('pod/db-0', '.status.containerStatuses[0].state.running.startedAt');
    const completed = await room.value(RESTORE, '.status.completionTime');
    expect(Date.parse(startedAt)).toBeLessThan(completed === '' ? Number.POSITIVE_INFINITY : Date.parse(completed));

    expect(await dumpOf('db-0', 'orders')).toBe(before);
    const [count, last] = (await sql('db-0', "select count(*) || ' ' || max(id) from log")).split(' ').map(Number);
    expect(last).toBe(count);
    expect(count).toBeGreaterThanOrEqual(acknowledged);
    expect(count).toBeLessThanOrEqual(afterwards + 1);
    await room.exec('db-0', 'pg_amcheck', '--host=/tmp', '--username=postgres', '--heapallindexed', 'postgres');
    await sql('db-0', "insert into orders values (0, 'while it merges', '')", 'checkpoint');

    await fastMerges();
    await room.condition(RESTORE, 'Complete');
    expect(await room.value(RESTORE, '.status.progress')).toBe('100%');
    expect(await sql('db-0', 'select note from orders where id = 0')).toBe('while it merges');
    await room.exec('db-0', 'pg_amcheck', '--host=/tmp', '--username=postgres', '--heapallindexed', 'postgres');
  },
  LIMIT_MS,
);

test(
  'a second instance on what was damaged',
  async () => {
    await expect.poll(() => room.value(RESTORE, '.status.safetySnapshotName'), POLL).not.toBe('');
    const safety = await room.value(RESTORE, '.status.safetySnapshotName');
    await room.field(`volumesnapshot/${safety}`, '.status.readyToUse', 'true');
    await room.create(damaged(safety));
    await room.ready('damaged');
    expect(await sql('damaged', "select count(*) from orders where note = 'damaged'")).not.toBe('0');
    expect(await sql('damaged', "select count(*) from pg_class where relname = 'log'")).toBe('0');
    expect(await sql('db-0', "select count(*) from orders where note = 'damaged'")).toBe('0');
    await room.exec('damaged', 'pg_amcheck', '--host=/tmp', '--username=postgres', 'postgres');
  },
  LIMIT_MS,
);

const POLL = { timeout: 240_000, interval: 2_000 };

/** The StatefulSet's pod once more, on a fork. */
const damaged = (snapshot: string): string => {
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'damaged' },
    spec: {
      storageClassName: 'snapmerge',
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '768Mi' } },
      dataSource: { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: snapshot },
    },
  };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'damaged' },
    spec: {
      terminationGracePeriodSeconds: 30,
      securityContext: { runAsUser: 999, runAsGroup: 999, fsGroup: 999, fsGroupChangePolicy: 'OnRootMismatch' },
      containers: [
        {
          name: 'postgres',
          image: 'postgres:17',
          command: ['postgres', '-D', '/data/db', '-k', '/tmp', '-c', 'listen_addresses='],
          readinessProbe: {
            exec: { command: ['pg_isready', '--host=/tmp', '--username=postgres'] },
            timeoutSeconds: 30,
          },
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'damaged' } }],
    },
  };
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [claim, pod] });
};
