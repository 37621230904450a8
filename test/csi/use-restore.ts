// Restores as operators ask for them, of volumes with real file systems and a database at work: in place, on activation, and
// the promotion of a fork that stays mounted. Part of restores.test.ts, in its guest.

import { expect, test } from 'vitest';
import { z } from 'zod';
import type { Caller } from './caller.ts';
import { LIMIT_MS, restoreReply, targetOf } from './workload.ts';
import type { Access, Workload } from './workload.ts';

interface Parts {
  readonly csi: Caller;
  readonly w: Workload;
}

const slow = { timeout: LIMIT_MS };

/**
 * A database that commits one row after the other, fifty a second where it can, and counts what failed, until it is told to
 * stop: one process, because starting one for each row takes the guest's processor from everybody. Its pipe holds 4 KiB
 * (1031 is F_SETPIPE_SZ), so that few rows are still to be written when it is told to stop.
 */
const writer = (home: string): string => `
  sqlite3 ${home}/db 'create table if not exists t (n integer primary key, x text);'
  rm -f ${home}/stop; echo 0 > /run/use/failed
  ( perl -e '$| = 1; fcntl STDOUT, 1031, 4096; until (-e "${home}/stop") {
      print "insert into t (x) values (hex(randomblob(2000)));\\n"; select undef, undef, undef, 0.02 }' |
    sqlite3 -bail -cmd '.timeout 60000' ${home}/db || echo 1 > /run/use/failed
    touch ${home}/stopped ) < /dev/null > /dev/null 2>&1 &`;

const rows = async (w: Workload, home: string): Promise<number> =>
  Number(await w.sh(`sqlite3 -cmd '.timeout 60000' ${home}/db 'select count(*) from t'`));

export function restoreTests(parts: () => Parts): void {
  test.each<Access>(['ext4', 'xfs'])('%s: a fork is promoted while a database on it writes', slow, async (access) => {
    const { csi, w } = parts();
    const mib = access === 'xfs' ? 320 : 96;
    const id = await w.volume('origin', { mib, access });
    const home = await w.use(id, { access });
    await w.random(`${home}/data`, 16);
    const before = await w.filesOf(home);
    const good = await w.snapshot('good', id);
    await w.random(`${home}/data`, 16);
    const fork = await w.volume('fork', { mib, access, snapshot: good });
    const at = await w.use(fork, { access });
    await w.sh(writer(at));
    const request = { volume_id: fork, snapshot_id: good, mode: 'RESTORE_MODE_SNAPSHOT' };
    const inUse = await csi.refusal('StartRestore', request);
    expect(inUse.code).toBe('FAILED_PRECONDITION');
    expect(inUse.message).toContain('in use');
    await w.leave(id);
    const place = `findmnt -n -o SOURCE,TARGET,UUID ${at}`;
    const mounted = await w.sh(place);
    const begun = await w.restore(fork, good, request);
    const early = await rows(w, at);
    await w.restoreDone(begun);
    // Still at work, on the origin's storage.
    await w.sh(
      `for i in $(seq 600); do [ $(sqlite3 -cmd '.timeout 60000' ${at}/db 'select count(*) from t') -gt ${early} ] && exit 0; sleep 0.5; done; exit 1`,
    );
    await w.sh(`touch ${at}/stop; until [ -e ${at}/stopped ]; do sleep 0.2; done`);
    expect(await w.sh('cat /run/use/failed')).toBe('0\n');
    expect(await w.sh(`sqlite3 ${at}/db 'pragma integrity_check'`)).toBe('ok\n');
    expect(await w.sh(place)).toBe(mounted);
    expect(await w.filesOf(at)).toBe(before);
    expect((await csi.refusal('ControllerGetVolume', { volume_id: id })).code).toBe('NOT_FOUND');
    const again = await w.volume('again', { mib, access, snapshot: good });
    expect(await w.filesOf(await w.use(again, { access }))).toBe(before);
  });

  test('a restore for the next stage waits over a restart, can be taken back, and begins', slow, async () => {
    const { csi, w } = parts();
    const id = await w.volume('later', { mib: 64 });
    const home = await w.use(id);
    await w.random(`${home}/data`, 24);
    const first = { sum: await w.filesOf(home), snapshot: await w.snapshot('first', id) };
    await w.random(`${home}/data`, 24);
    const second = { sum: await w.filesOf(home), snapshot: await w.snapshot('second', id) };
    await w.random(`${home}/data`, 24);
    const now = await w.filesOf(home);
    const mode = 'RESTORE_MODE_ONACTIVATE';
    const asked = await w.restore(id, first.snapshot, { mode, safety_snapshot_name: 'as it was' });
    expect(await phaseOf(csi, asked)).toBe('RESTORE_PHASE_WAITING');
    const other = { volume_id: id, snapshot_id: second.snapshot, mode };
    expect((await csi.refusal('StartRestore', other)).message).toContain(asked.split('.').at(-1));
    const replaced = await w.restore(id, second.snapshot, { mode, replace: true, name: 'the second one' });
    expect(await w.restore(id, second.snapshot, { mode, name: 'the second one' })).toBe(replaced);
    await w.killDriver();
    expect(await phaseOf(csi, replaced)).toBe('RESTORE_PHASE_WAITING');
    expect(await w.filesOf(home)).toBe(now);
    await csi.tell('CancelRestore', { restore_id: replaced });
    await w.leave(id);
    await w.use(id);
    expect(await w.filesOf(home)).toBe(now);
    const begun = await w.restore(id, first.snapshot, { mode });
    await w.leave(id);
    await w.use(id);
    expect(await w.filesOf(home)).toBe(first.sum);
    await w.restoreDone(begun);
    expect(await w.filesOf(home)).toBe(first.sum);
    const fork = await w.volume('fork', { mib: 64, snapshot: second.snapshot });
    expect(await w.filesOf(await w.use(fork))).toBe(second.sum);
  });

  test('a restore refuses what is in use, and is watched to its end', slow, async () => {
    const { csi, w } = parts();
    const id = await w.volume('rolled-back', { mib: 64, access: 'block' });
    const device = await w.use(id, { access: 'block' });
    await w.random(device, 56);
    const before = await w.rawSum(device);
    const good = await w.snapshot('good', id);
    await w.random(device, 56);
    const after = await w.rawSum(device);
    const request = { volume_id: id, snapshot_id: good, safety_snapshot_name: 'safety', name: 'at night' };
    const holder = (await w.sh(`sleep 1000 < /dev/dm-$(stat -c %Lr ${device}) > /dev/null 2>&1 & echo $!`)).trim();
    await csi.tell('NodeUnpublishVolume', { volume_id: id, target_path: targetOf(id) });
    const held = await csi.refusal('StartRestore', request);
    expect(held.code).toBe('FAILED_PRECONDITION');
    expect(held.message).toMatch(/it is in use: held by process \d+ \(sleep\)/);
    await w.sh(`kill ${holder}`);
    await w.leave(id);
    const restore = await w.restore(id, good, request);
    const stream = csi.stream('WatchRestore', { restore_id: restore }, restoreReply);
    // Asked again under its name, it is the same one, whether it still merges or not.
    expect(await w.restore(id, good, request)).toBe(restore);
    expect((await csi.refusal('CancelRestore', { restore_id: restore })).code).toBe('FAILED_PRECONDITION');
    await w.use(id, { access: 'block' });
    expect(await w.rawSum(device)).toBe(before);
    const states = (await stream).map(({ restore: state }) => state);
    expect(states.at(-1)).toMatchObject({ phase: 'RESTORE_PHASE_DONE', remaining_bytes: '0' });
    const left = states.map(({ remaining_bytes: remaining }) => Number(remaining));
    expect(left).toEqual([...left].sort((a, b) => b - a));
    expect(await w.rawSum(device)).toBe(before);
    const safety = await csi.call(
      'ListSnapshots',
      { source_volume_id: id },
      z.object({ entries: z.array(z.object({ snapshot: z.object({ snapshot_id: z.string() }) })) }),
    );
    expect(safety.entries).toHaveLength(2);
    const other = safety.entries.find(({ snapshot }) => snapshot.snapshot_id !== good)?.snapshot.snapshot_id ?? '';
    const forward = await w.volume('forward', { mib: 64, access: 'block', snapshot: other });
    expect(await w.rawSum(await w.use(forward, { access: 'block', readOnly: true }))).toBe(after);
  });
}

async function phaseOf(csi: Caller, restore: string): Promise<string> {
  return (await csi.call('GetRestore', { restore_id: restore }, restoreReply)).restore.phase;
}
