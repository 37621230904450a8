// The third part of the demo: back to an older snapshot while newer ones stay, a change of mind, a restore that waits for the
// next mount, and a fork that takes over its origin's storage while a database on it is at work.

import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import type { CsiClient } from './client.ts';
import type { Parts } from './restore.ts';

const GIB = 1024 ** 3;
const LIMIT_MS = 600_000;

export async function historyStory({ story, csi, node }: Parts): Promise<void> {
  const dbOf = (id: string): string => `/run/demo/mounts/${id}/shop.db`;
  const day = (id: string): Promise<string> => node.sql(dbOf(id), 'select name from day');
  const setDay = (id: string, name: string): Promise<string> =>
    node.sql(dbOf(id), `update day set name = '${name}'; insert into filler values(randomblob(20000000))`);

  const { volume, monday, tuesday } = await story.step(
    'Another volume, with a snapshot on each of two days',
    async () => {
      const id = await csi.createVolume('demo-days', GIB);
      await csi.mount(id);
      await node.sql(
        dbOf(id),
        "create table day(name text); create table filler(x blob); insert into day values('monday')",
      );
      const first = await csi.createSnapshot('demo-monday', id);
      await setDay(id, 'tuesday');
      const second = await csi.createSnapshot('demo-tuesday', id);
      await setDay(id, 'today');
      return { volume: id, monday: first, tuesday: second };
    },
  );
  await story.step('Back to monday; tuesday stays, and a snapshot is taken while it merges', async () => {
    await csi.unmount(volume);
    const begun = await csi.startRestore(volume, monday, { safety: 'demo-today' });
    await csi.mount(volume);
    story.check(
      'the volume shows monday',
      (await day(volume)) === 'monday',
      (await csi.getRestore(begun.restore_id)).phase,
    );
    await setDay(volume, 'monday again');
    await csi.createSnapshot('demo-monday-again', volume);
    const fork = await csi.createVolume('demo-look', GIB, { snapshot: tuesday });
    await csi.mount(fork);
    story.check('tuesday shows tuesday', (await day(fork)) === 'tuesday');
    await csi.unmount(fork);
    await csi.deleteVolume(fork);
  });
  story.show('the family:', await node.tree());
  await story.step('A change of mind: tuesday, when the volume is next mounted', async () => {
    const begun = await csi.startRestore(volume, tuesday, { mode: 'RESTORE_MODE_ONACTIVATE' });
    story.check('it waits', begun.phase === 'RESTORE_PHASE_WAITING', begun.phase);
    story.check('and the volume goes on as it is', (await day(volume)) === 'monday again');
    await csi.unmount(volume);
    await mountWhenFree(csi, volume);
    story.check('mounted again, it shows tuesday', (await day(volume)) === 'tuesday');
    await untilDone(csi, begun.restore_id);
    story.check('also when all is merged', (await day(volume)) === 'tuesday');
  });
  await story.step('A fork takes over the storage of its origin, while a database on it is at work', async () => {
    const origin = await csi.createVolume('demo-origin', GIB);
    await csi.mount(origin);
    await node.sql(
      dbOf(origin),
      "create table day(name text); create table filler(x blob); create table log(line text); insert into day values('then')",
    );
    const then = await csi.createSnapshot('demo-then', origin);
    await setDay(origin, 'damaged');
    const fork = await csi.createVolume('demo-promoted', GIB, { snapshot: then });
    await csi.mount(fork);
    await node.startWriter(dbOf(fork));
    await csi.unmount(origin);
    const mounted = await node.sh(`findmnt -n -o SOURCE,UUID /run/demo/mounts/${fork}`);
    const begun = await csi.startRestore(fork, then, { mode: 'RESTORE_MODE_SNAPSHOT' });
    await untilDone(csi, begun.restore_id);
    await node.stopWriter();
    const integrity = await node.sql(dbOf(fork), 'pragma integrity_check');
    story.check('the database passes its integrity check', integrity === 'ok');
    story.check('the fork has its contents', (await day(fork)) === 'then');
    story.check(
      'and its mount',
      (await node.sh(`findmnt -n -o SOURCE,UUID /run/demo/mounts/${fork}`)) === mounted,
      mounted.trim(),
    );
    story.show('the families, demo-promoted in the place of demo-origin:', await node.tree());
  });
}

/** A volume whose restore waits for another merge is given to nobody before. */
async function mountWhenFree(csi: CsiClient, volume: string): Promise<void> {
  const mounted = await waitFor(
    LIMIT_MS,
    async () => {
      try {
        return await csi.mount(volume);
      } catch (error) {
        if (error instanceof Error && error.message.includes('still merging')) return undefined;
        throw error;
      }
    },
    LOOK_IN_GUEST_EVERY_MS,
  );
  if (mounted === undefined) throw new Error('Cannot mount the volume: the merge before does not end');
}

async function untilDone(csi: CsiClient, restore: string): Promise<void> {
  const done = await waitFor(
    LIMIT_MS,
    async () => ((await csi.getRestore(restore)).phase === 'RESTORE_PHASE_DONE' ? true : undefined),
    LOOK_IN_GUEST_EVERY_MS,
  );
  if (done !== true) throw new Error('Cannot wait any longer for the merge');
}
