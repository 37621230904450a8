// What fails around the driver on a real kernel: disks, commands, records. Each fault has a clear state of the family that
// it concerns and of that alone; another family is used all the while and nothing of it changes; and it heals when the
// cause is gone.

import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CreateVolume } from '../../src/engine/engine.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import type { ErrorKind } from '../../src/vocabulary/errors.ts';
import { leftovers } from '../contract/crash-look.ts';
import type { FaultRig, Kin } from './fault-rig.ts';
import { COPIED_FROM_BYTES, startFaultRig } from './fault-rig.ts';

const NAME = 'faults';
const LIMIT_MS = 600_000;
/** After that the driver looks again for disks that did not answer. */
const LOOK_AGAIN_MS = 31_000;
const ON_DISK = 1;
/** After that the driver begins a merge anew that has failed, the first times. */
const RETRY_MS = 41_000;
const WAIT_MS = 5_000;
/** Of the commands of an operation every so many-th is killed. */
const EACH = 3;
const METADATA = { offset: 4096, length: 15 * 1024 ** 2 };

let started: FaultRig | undefined;
let hurt: Kin | undefined;
let other: Kin | undefined;
let nextTag = 1000;

beforeAll(async () => {
  started = await startFaultRig(NAME);
  hurt = await started.makeKin('hurt', ON_DISK);
  other = await started.makeKin('other', 0);
}, LIMIT_MS);

afterAll(async () => {
  await started?.machine.close();
}, LIMIT_MS);

interface Scene {
  readonly rig: FaultRig;
  readonly a: Kin;
  readonly b: Kin;
  readonly disk: FaultRig['machine']['disks'][number];
}

/** What its user does, and what can be asked of the driver while LVM changes nothing. */
async function goesOn(rig: FaultRig, kin: Kin): Promise<void> {
  const tag = (nextTag += 1);
  await rig.write(kin.volume, 3, tag);
  expect(await rig.read(kin.volume, 3)).toBe(tag);
  expect(await rig.read(kin.fork, 2)).toBe(13);
  expect((await rig.engine().getVolume(kin.volume))?.health).toEqual({ state: 'healthy' });
}

async function works(rig: FaultRig, kin: Kin): Promise<void> {
  await goesOn(rig, kin);
  const engine = rig.engine();
  const { id } = await engine.createVolume(await forkOf(rig, kin, `${kin.name} ${(nextTag += 1)}`));
  await engine.deleteVolume(id);
  await engine.settle();
}

async function forkOf(rig: FaultRig, { volume, snapshot }: Kin, name: string): Promise<CreateVolume> {
  const found = await rig.engine().getVolume(volume);
  if (found === undefined) throw new Error(`Cannot find volume '${volume}'`);
  const { size: requiredBytes, parameters } = found;
  return { name, requiredBytes, limitBytes: undefined, parameters, source: { from: 'snapshot', snapshot } };
}

async function refused(work: Promise<unknown>, kind: ErrorKind, words: RegExp): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(SnapmergeError);
  if (!(error instanceof SnapmergeError)) return;
  expect(error.message).toMatch(words);
  expect(error.kind).toBe(kind);
}

async function ill(rig: FaultRig, kin: Kin['volume'], words: RegExp): Promise<void> {
  const health = (await rig.engine().getVolume(kin))?.health;
  const text = health === undefined || health.state === 'healthy' ? health?.state : `${health.state}: ${health.reason}`;
  expect(text).toMatch(words);
}

async function dataUnread({ rig, a, b }: Scene): Promise<void> {
  await rig.failUnder(a.volume, ['read']);
  await expect(rig.read(a.volume, 1)).rejects.toThrow(/Input\/output error/);
  await works(rig, b);
  rig.heal();
  expect(await rig.read(a.volume, 1)).toBe(12);
  expect(await rig.read(a.snapshot, 1)).toBe(11);
  await works(rig, a);
}

async function notFlushed({ rig, a, b, disk }: Scene): Promise<void> {
  disk.fail({ on: ['flush'] });
  // It is decided, and only not durable: whoever asks again gets it.
  await refused(rig.engine().createSnapshot(a.volume, 'not flushed'), 'unavailable', /Cannot flush the disks/);
  await goesOn(rig, b);
  rig.heal();
  await rig.engine().settle();
  const { id } = await rig.engine().createSnapshot(a.volume, 'not flushed');
  expect(await rig.read(id, 1)).toBe(12);
  await rig.engine().deleteSnapshot(id);
  await works(rig, a);
}

async function diskWaits({ rig, a, b, disk }: Scene): Promise<void> {
  const waits = pause(WAIT_MS);
  const wanted = rig.engine().createSnapshot(a.volume, 'late');
  disk.holdUntil(waits);
  let isDone = false;
  void wanted.then(() => (isDone = true));
  for (let tag = 1; tag < 5; tag += 1) {
    await rig.write(b.volume, 3, tag);
    expect(await rig.read(b.volume, 3)).toBe(tag);
  }
  expect(isDone).toBe(false);
  const { id } = await wanted;
  expect(await rig.read(id, 1)).toBe(12);
  await rig.engine().deleteSnapshot(id);
  await works(rig, a);
}

async function exceptionsUnread({ rig, a, b }: Scene): Promise<void> {
  await rig.failUnder(a.fork, ['read', 'write']);
  await rig.engine().deactivate(a.fork);
  await refused(rig.engine().activate(a.fork), 'internal', /Cannot apply '(load|make) .*input\/output error/i);
  await ill(rig, a.fork, /^degraded: Cannot apply '(load|make) /);
  expect(await rig.read(a.volume, 1)).toBe(12);
  await works(rig, b);
  rig.heal();
  await rig.engine().activate(a.fork);
  expect(await rig.read(a.fork, 2)).toBe(13);
  await goesOn(rig, a);
}

async function metadataGone({ rig, a, b, disk }: Scene): Promise<void> {
  disk.fail({ on: ['read', 'write'], ranges: [METADATA] });
  const wanted = rig.engine().createSnapshot(a.volume, 'without metadata');
  await refused(wanted, 'unavailable', /1 of the 2 disks of volume group 'pool' do not answer/);
  expect((await rig.engine().health()).problems.join()).toMatch(/1 disks of volume group 'pool' are missing/);
  await goesOn(rig, b);
  expect(await rig.read(a.volume, 1)).toBe(12);
  rig.heal();
  rig.pass(LOOK_AGAIN_MS);
  await works(rig, a);
  await works(rig, b);
  expect((await rig.engine().health()).ready).toBe(true);
}

async function metadataUnwritten({ rig, a, b, disk }: Scene): Promise<void> {
  disk.fail({ on: ['write'], ranges: [METADATA] });
  const error: unknown = await rig
    .engine()
    .createSnapshot(a.volume, 'unwritten')
    .catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(SnapmergeError);
  await goesOn(rig, b);
  rig.heal();
  rig.pass(LOOK_AGAIN_MS);
  await rig.engine().settle();
  await works(rig, a);
  await works(rig, b);
}

async function commandsKilled({ rig, a, b }: Scene): Promise<void> {
  for (let count = 0, more = true; more; count += EACH) {
    const name = `killed ${count}`;
    rig.killCommand(count, 20);
    await rig
      .engine()
      .createSnapshot(a.volume, name)
      .catch((error: unknown) => {
        expect(error).toBeInstanceOf(SnapmergeError);
      });
    more = rig.killed();
    rig.killCommand(Number.POSITIVE_INFINITY, 0);
    await rig.engine().settle();
    await rig.write(a.volume, 4, 100 + count);
    const { id } = await rig.engine().createSnapshot(a.volume, name);
    expect(await rig.read(id, 1)).toBe(12);
    await rig.engine().deleteSnapshot(id);
    await rig.engine().settle();
  }
  await works(rig, b);
}

async function strangeTag({ rig, a, b }: Scene): Promise<void> {
  const home = `pool/${await rig.homeOf(a.volume)}`;
  const before = await rig.stateOf(a);
  await rig.sh(`lvchange -qq --addtag sm.strange=1 ${home}`);
  rig.pass(1000);
  const words = /'sm.strange=1' is unknown to this version; nothing of it is touched/;
  await everythingRefused(rig, a, words);
  await works(rig, b);
  await rig.restart();
  await everythingRefused(rig, a, words);
  // Its pod can end all the same: what was mounted goes, and nothing else.
  await rig.engine().deactivate(a.fork);
  expect(await rig.sh('dmsetup ls')).not.toContain(`${a.fork}-top`);
  await rig.sh(`lvchange -qq --deltag sm.strange=1 ${home}`);
  rig.pass(1000);
  expect(await rig.stateOf(a)).toBe(before);
  await rig.restart();
  await rig.engine().activate(a.fork);
  expect(await rig.read(a.fork, 2)).toBe(13);
  await works(rig, a);
}

async function contradiction({ rig, a, b }: Scene): Promise<void> {
  const before = await rig.stateOf(a);
  const home = await rig.homeOf(a.volume);
  const tags = (await rig.sh(`lvs --noheadings -o lv_tags pool/${home}`)).trim().split(',');
  const twin = 'pool/sm_zzzzzzzzz0';
  await rig.sh(`lvcreate -qq -y -Zn -Wn -an -l1 -n ${twin} ${tags.map((tag) => `--addtag ${tag}`).join(' ')} pool`);
  rig.pass(1000);
  const words = /both 'sm_\w+' and 'sm_\w+' are generation 1 of .*; nothing of it is touched/;
  await everythingRefused(rig, a, words);
  await rig.restart();
  await everythingRefused(rig, a, words);
  await works(rig, b);
  await rig.sh(`lvremove -qq -y ${twin}`);
  rig.pass(1000);
  await rig.restart();
  expect(await rig.stateOf(a)).toBe(before);
  await works(rig, a);
}

/** Its users read and write on; nothing can be asked of it, and its names are not free. */
async function everythingRefused(rig: FaultRig, kin: Kin, words: RegExp): Promise<void> {
  const engine = rig.engine();
  await rig.write(kin.volume, 1, 12);
  expect(await rig.read(kin.fork, 2)).toBe(13);
  await refused(engine.getVolume(kin.volume), 'contradiction', words);
  await refused(engine.getSnapshot(kin.snapshot), 'contradiction', words);
  await refused(engine.createSnapshot(kin.volume, 'another'), 'contradiction', words);
  await refused(engine.deleteVolume(kin.fork), 'contradiction', words);
  await refused(engine.findVolume(kin.name), 'contradiction', words);
  await refused(engine.findSnapshot(`${kin.name} snapshot`), 'contradiction', words);
}

async function fedStoreFails({ rig, a, b }: Scene): Promise<void> {
  await rig.failUnder(a.snapshot, ['read', 'write']);
  await rig.write(a.volume, 9, 90);
  await rig.engine().look();
  await rig.engine().settle();
  await ill(rig, a.fork, /^lost: .*lost|^inaccessible: .*invalid/);
  expect((await rig.engine().getVolume(a.volume))?.health).toEqual({ state: 'healthy' });
  expect(await rig.read(a.volume, 9)).toBe(90);
  await works(rig, b);
  // The disk answers again, and the store looks whole: it has not taken what the volume overwrote.
  rig.heal();
  await rig.engine().deactivate(a.fork);
  await rig.engine().deactivate(a.volume);
  await rig.restart();
  await rig.engine().activate(a.volume);
  await expect(rig.read(a.snapshot, 9)).rejects.toThrow(/Input\/output error/);
  await ill(rig, a.fork, /^lost: The contents of store 'sm_\w+' of 's-\w+' are lost/);
  const late = await forkOf(rig, a, 'late');
  await refused(rig.engine().createVolume(late), 'precondition', /the contents of its store are lost/);
  await rig.engine().deleteVolume(a.fork);
  await rig.engine().deleteSnapshot(a.snapshot);
  await rig.engine().settle();
  const { id } = await rig.engine().createSnapshot(a.volume, 'whole again');
  await rig.write(a.volume, 9, 91);
  expect(await rig.read(id, 9)).toBe(90);
  const again = await rig.engine().createVolume(await forkOf(rig, { ...a, snapshot: id }, 'whole fork'));
  await rig.engine().activate(again.id);
  await rig.write(again.id, 2, 13);
  hurt = { name: a.name, volume: a.volume, snapshot: id, fork: again.id };
}

/** A restore of the volume to its snapshot, which is kept, and how far it says that it is. */
async function restoring({ rig, a }: Scene): Promise<() => Promise<string>> {
  const engine = rig.engine();
  const { id } = await engine.startRestore({
    volume: a.volume,
    snapshot: a.snapshot,
    mode: 'origin',
    keepSnapshot: true,
    safetySnapshotName: undefined,
    replace: false,
    token: undefined,
  });
  return async () => {
    await engine.look();
    await engine.settle();
    const restore = await engine.getRestore(id);
    return `${restore?.phase} ${restore?.message}`;
  };
}

const FAILED = /^merging .*'merge-failed'/;
const becomes = (state: () => Promise<string>) => expect.poll(state, { timeout: LIMIT_MS, interval: 200 });

async function mergeUnwritten(scene: Scene): Promise<void> {
  const { rig, a, b } = scene;
  await rig.engine().deactivate(a.volume);
  await rig.failUnder(a.volume, ['write']);
  const state = await restoring(scene);
  await becomes(state).toMatch(FAILED);
  await rig.engine().activate(a.volume);
  expect(await rig.read(a.volume, 1)).toBe(11);
  await works(rig, b);
  rig.pass(RETRY_MS);
  expect(await state()).toMatch(FAILED);
  rig.heal();
  expect(await state()).toMatch(FAILED);
  await rig.write(a.volume, 4, 21);
  rig.pass(RETRY_MS);
  await becomes(state).toBe('done ');
  expect(await rig.read(a.volume, 4)).toBe(21);
  await isRestored(scene);
}

async function mergeUnread(scene: Scene): Promise<void> {
  const { rig, a, b } = scene;
  await rig.engine().deactivate(a.volume);
  await rig.failUnder(a.snapshot, ['read'], COPIED_FROM_BYTES);
  const state = await restoring(scene);
  await becomes(state).toMatch(FAILED);
  await rig.engine().activate(a.volume);
  // What cannot be read is an error, and never what it was to replace.
  await expect(rig.read(a.volume, 1)).rejects.toThrow(/Input\/output error/);
  await works(rig, b);
  rig.heal();
  rig.pass(RETRY_MS);
  await becomes(state).toBe('done ');
  await isRestored(scene);
}

async function isRestored({ rig, a }: Scene): Promise<void> {
  expect(await rig.read(a.volume, 1)).toBe(11);
  expect(await rig.read(a.snapshot, 1)).toBe(11);
  expect(await rig.read(a.fork, 2)).toBe(13);
  await rig.write(a.volume, 1, 12);
  await rig.engine().look();
  await works(rig, a);
}

async function diskGone({ rig, a, b }: Scene): Promise<void> {
  await rig.guest.unplug(ON_DISK);
  rig.pass(1000);
  await ill(rig, a.volume, /^(degraded|inaccessible): A disk under store 'sm_\w+' of 'v-\w+' is missing or has failed/);
  await expect(rig.read(a.volume, 1)).rejects.toThrow(/Input\/output error/);
  await refused(rig.engine().createSnapshot(a.volume, 'gone'), 'unavailable', /1 of the 2 disks .* do not answer/);
  await refused(rig.engine().createSnapshot(b.volume, 'gone'), 'unavailable', /1 of the 2 disks .* do not answer/);
  await goesOn(rig, b);
  await rig.guest.plug(ON_DISK);
  rig.pass(LOOK_AGAIN_MS);
  await works(rig, b);
  // Its devices lie on the disk that went; they are made anew when the volumes are staged again.
  for (const id of [a.fork, a.volume]) await rig.engine().deactivate(id);
  for (const id of [a.volume, a.fork]) await rig.engine().activate(id);
  expect(await rig.read(a.volume, 1)).toBe(12);
  expect(await rig.read(a.fork, 2)).toBe(13);
  await works(rig, a);
}

/** As a cut between LVM's metadata text and the header that points to it leaves it, on disks that lost all the texts. */
async function recordsUnreadable({ rig, a, b }: Scene): Promise<void> {
  const seqno = async (): Promise<number> => Number(await rig.sh('vgs -qq --noheadings -o vg_seqno pool'));
  const before = await seqno();
  await rig.sh('vgchange -qq --addtag unfinished pool');
  for (const path of rig.guest.disks) {
    const headers = await rig.sh(`pvck --dump headers ${path}`);
    const at = Number(/metadata text at (\d+)/.exec(headers)?.[1]);
    await rig.sh(`dd if=/dev/zero of=${path} bs=512 seek=${at / 512} count=8 oflag=direct status=none`);
  }
  rig.pass(LOOK_AGAIN_MS);
  const names = rig.guest.disks.join(', ');
  const words = new RegExp(`of the group that ${names} belong to LVM cannot read the records \\(docs/recovery`);
  await refused(rig.engine().createSnapshot(a.volume, 'unreadable'), 'unavailable', words);
  await rig.write(b.volume, 3, 77);
  expect(await rig.read(b.volume, 3)).toBe(77);
  await rig.sh(`set -eu\n${await recoveryCommands(rig.guest.disks)}`);
  expect(await seqno()).toBe(before);
  rig.pass(LOOK_AGAIN_MS);
  expect(await rig.read(b.volume, 3)).toBe(77);
  await works(rig, a);
  await works(rig, b);
  await rig.restart();
  await works(rig, a);
}

/** What docs/recovery.md has its reader type for that, with the names of these disks. */
async function recoveryCommands(disks: readonly string[]): Promise<string> {
  const page = await readFile(new URL('../../docs/recovery.md', import.meta.url), 'utf8');
  const [, section = ''] = page.split(/^## The group cannot be read$/m);
  const [own = ''] = section.split(/^## /m);
  const lines = own.split('\n').filter((line) => line.startsWith('    '));
  return lines.join('\n').replace(/^ *disks=.*/m, `disks='${disks.join(' ')}'`);
}

const FAULTS: readonly (readonly [string, (scene: Scene) => Promise<void>])[] = [
  ['a disk that does not read where a data store lies', dataUnread],
  ['a disk that does not flush', notFlushed],
  ['a disk that does not answer for a while', diskWaits],
  ['a store of exceptions that cannot be read when its fork is staged', exceptionsUnread],
  ['the metadata area of one disk', metadataGone],
  ['a metadata area that takes no writes', metadataUnwritten],
  ['any command of a snapshot killed', commandsKilled],
  ['a tag of nobody knows what', strangeTag],
  ['two records that contradict each other', contradiction],
  ['a disk that takes no writes while it is merged into', mergeUnwritten],
  ['a disk that does not read what is to be merged', mergeUnread],
  ['a store of exceptions that fails while it is fed', fedStoreFails],
  ['records that LVM cannot read on any disk', recordsUnreadable],
  // Last: it has another name afterwards.
  ['a disk that is gone and comes back', diskGone],
];

test.each(FAULTS)('%s', { timeout: LIMIT_MS }, async (_name, run) => {
  const disk = started?.machine.disks[ON_DISK];
  if (started === undefined || hurt === undefined || other === undefined || disk === undefined)
    throw new Error('Cannot run without a guest');
  // Whatever became of the test before this one.
  for (const volume of [hurt.volume, hurt.fork]) await started.engine().activate(volume);
  // Of the other family nothing changes, whatever comes of the fault.
  const before = await started.stateOf(other);
  try {
    await run({ rig: started, a: hurt, b: other, disk });
  } finally {
    started.heal();
  }
  await goesOn(started, other);
  expect(await started.stateOf(other)).toBe(before);
  expect(await leftovers(started.ports())).toEqual([]);
});
