// The first half of the demo: a database, a snapshot under writes, damage, a restore that is used while it merges, a
// power cut in the middle of it.

import type { Guest } from '../../vm/guest.ts';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import type { CsiClient, RestoreState } from './client.ts';
import type { DemoNode } from './node.ts';
import type { Story } from './story.ts';

const GIB = 1024 ** 3;
const MERGE_LIMIT_MS = 900_000;
export const ROWS = 10_000;

export interface Restored {
  readonly volume: string;
  readonly snapshot: string;
}

export interface Parts {
  readonly story: Story;
  readonly csi: CsiClient;
  readonly node: DemoNode;
  readonly guest: Guest;
  /** Damage in MiB: so much that the merge outlasts what the demo does while it runs. */
  readonly damageMiB: number;
}

export async function restoreStory({ story, csi, node, guest, damageMiB }: Parts): Promise<Restored> {
  const volume = await story.step('Create a volume of 4 GiB and mount it with ext4', async () => {
    const id = await csi.createVolume('demo-shop', 4 * GIB);
    story.say(`volume ${id} at ${await csi.mount(id)}`);
    return id;
  });
  const home = `/run/demo/mounts/${volume}`;
  const db = `${home}/shop.db`;
  const sum = await story.step(`Fill a SQLite database with ${ROWS} orders, and some files`, async () => {
    await node.sql(
      db,
      `create table log(line text); create table orders(id integer primary key, customer text, cents integer);
       with recursive n(i) as (select 1 union all select i + 1 from n where i < ${ROWS})
       insert into orders select i, 'customer ' || (i % 97), (i * 7919) % 100000 from n;`,
    );
    await node.sh(`mkdir ${home}/invoices; for i in 1 2 3 4 5; do echo "invoice $i" > ${home}/invoices/$i; done; sync`);
    const total = await node.sql(db, 'select count(*) || " orders, " || sum(cents) || " cents" from orders');
    story.say(total);
    return total;
  });
  const snapshot = await story.step('Take a snapshot while the database is being written', async () => {
    await node.startWriter(db);
    const id = await csi.createSnapshot('demo-good', volume);
    const { length } = await node.sql(db, 'select count(*) from log');
    story.check('the writer wrote on', length > 0);
    await node.stopWriter();
    story.say(`snapshot ${id}`);
    return id;
  });
  story.show('the family, from the tags in LVM:', await node.tree());
  story.show('dmsetup table:', await node.tables());

  await story.step(`Damage: tables dropped, files removed, ${damageMiB} MiB written over`, async () => {
    await node.sql(db, 'drop table orders; delete from log;');
    await node.sh(
      `rm -r ${home}/invoices; dd if=/dev/urandom of=${home}/garbage bs=1M count=${damageMiB} status=none; sync`,
    );
    const tables = await node.sql(db, "select group_concat(name) from sqlite_master where type = 'table'");
    story.check('the orders are gone', !tables.includes('orders'), `tables: ${tables}`);
  });
  const begun = await story.step(
    'Unmount, restore by merge (keeping the snapshot, with a safety snapshot)',
    async () => {
      await csi.unmount(volume);
      const state = await csi.startRestore(volume, snapshot, { safety: 'demo-before-restore' });
      story.say(
        `restore ${state.restore_id}: ${mib(state.total_bytes)} MiB to merge; safety snapshot ${state.safety_snapshot_id}`,
      );
      return state;
    },
  );
  await story.step('Mount at once, long before the merge is done', async () => {
    await csi.mount(volume);
    await checkShop(story, node, home, sum);
    await node.sql(db, "insert into orders values(20001, 'during the merge', 1)");
    await node.sh(`echo kept > ${home}/during-the-merge; sync`);
    requireMerging(story, await csi.getRestore(begun.restore_id));
  });
  story.show('dmsetup table, merging:', await node.tables());
  story.show('lvs:', await node.stores());
  story.show('the family:', await node.tree());

  await story.step('Cut the power in the middle of the merge, and boot', async () => {
    requireMerging(story, await csi.getRestore(begun.restore_id));
    await guest.cut();
    await guest.boot();
  });
  await story.step('The driver carries on by itself to the end', async () => {
    const first = await csi.getRestore(begun.restore_id);
    story.say(`after boot: ${mib(first.remaining_bytes)} of ${mib(first.total_bytes)} MiB left`);
    const done = await waitFor(
      MERGE_LIMIT_MS,
      async () => {
        const state = await csi.getRestore(begun.restore_id);
        return state.phase === 'RESTORE_PHASE_DONE' ? state : undefined;
      },
      LOOK_IN_GUEST_EVERY_MS,
    );
    story.check('the restore is done', done !== undefined);
  });
  await story.step('Mount and look again', async () => {
    await csi.mount(volume);
    const added = await node.sql(db, 'select customer from orders where id = 20001');
    story.check('what was written during the merge is there', added === 'during the merge', added);
    story.check('so is the file', (await node.sh(`cat ${home}/during-the-merge`)).trim() === 'kept');
    await node.sql(db, 'delete from orders where id = 20001');
    await checkShop(story, node, home, sum);
  });
  story.show('dmsetup table, at rest again:', await node.tables());
  story.show('the family:', await node.tree());
  return { volume, snapshot };
}

const mib = (bytes: string): string => (Number(bytes) / 1024 ** 2).toFixed(0);

function requireMerging(story: Story, state: RestoreState): void {
  const merging = state.phase === 'RESTORE_PHASE_MERGING' && Number(state.remaining_bytes) > 0;
  story.check(
    'the merge is still running',
    merging,
    `${mib(state.remaining_bytes)} of ${mib(state.total_bytes)} MiB left`,
  );
}

async function checkShop(story: Story, node: DemoNode, home: string, sum: string): Promise<void> {
  const db = `${home}/shop.db`;
  const integrity = await node.sql(db, 'pragma integrity_check');
  story.check('the database passes its integrity check', integrity === 'ok', integrity);
  const total = await node.sql(db, 'select count(*) || " orders, " || sum(cents) || " cents" from orders');
  story.check('the old rows are there', total === sum, total);
  const files = (await node.sh(`cat ${home}/invoices/* | wc -l`)).trim();
  story.check('the removed files are back', files === '5', `${files} invoices`);
}
