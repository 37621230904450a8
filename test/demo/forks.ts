// The second half of the demo: forks that do not see each other, a snapshot of a fork, a fork of that, and the origin
// deleted while its forks live on.

import type { Parts, Restored } from './restore.ts';
import { ROWS } from './restore.ts';

const GIB = 1024 ** 3;
const NAMES = ['red', 'green', 'blue'] as const;

export async function forkStory({ story, csi, node }: Parts, { volume, snapshot }: Restored): Promise<void> {
  const homeOf = (id: string): string => `/run/demo/mounts/${id}`;
  const markOf = async (id: string): Promise<string> =>
    node.sql(
      `${homeOf(id)}/shop.db`,
      "select coalesce(group_concat(distinct customer), 'none') from orders where id > 30000",
    );

  const forks = await story.step('Three forks of the one snapshot, each changed differently', async () => {
    const made: string[] = [];
    for (const name of NAMES) {
      const id = await csi.createVolume(`demo-${name}`, 4 * GIB, { snapshot });
      await csi.mount(id);
      await node.sql(`${homeOf(id)}/shop.db`, `insert into orders values(30001, '${name}', 1); delete from log`);
      made.push(id);
    }
    return made;
  });
  await story.step('None sees another', async () => {
    for (const [index, id] of forks.entries()) {
      const mark = await markOf(id);
      story.check(`fork ${NAMES[index]} shows its own change and no other`, mark === NAMES[index], mark);
      const integrity = await node.sql(`${homeOf(id)}/shop.db`, 'pragma integrity_check');
      story.check(`fork ${NAMES[index]} passes its integrity check`, integrity === 'ok');
    }
    story.check('the origin shows none of them', (await markOf(volume)) === 'none');
  });
  const [red = ''] = forks;
  const grandchild = await story.step('A snapshot of a fork, and a fork of that', async () => {
    const inner = await csi.createSnapshot('demo-red-snapshot', red);
    await node.sql(`${homeOf(red)}/shop.db`, "update orders set customer = 'red later' where id = 30001");
    const id = await csi.createVolume('demo-pink', 4 * GIB, { snapshot: inner });
    await csi.mount(id);
    story.check('it shows the fork as it was', (await markOf(id)) === 'red');
    story.check('and the fork has gone on', (await markOf(red)) === 'red later');
    return id;
  });
  story.show('the family:', await node.tree());
  await story.step('Delete the origin while its forks live on', async () => {
    await csi.unmount(volume);
    await csi.deleteVolume(volume);
    for (const id of [...forks, grandchild]) {
      const count = await node.sql(`${homeOf(id)}/shop.db`, 'select count(*) from orders where id <= 30000');
      story.check(`${id} still has all its orders`, count === String(ROWS), count);
    }
    story.check('the grandchild is unchanged', (await markOf(grandchild)) === 'red');
  });
  story.show('the family, its origin a ghost:', await node.tree());
  story.show('lvs:', await node.stores());
}
