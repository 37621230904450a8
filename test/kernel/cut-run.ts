// A random family on a real kernel whose power fails in its operations: the story of the simulation's crash test, a point
// each instead of all, because a boot takes seconds. Afterwards every block of every image is compared.

import { steppingClock } from '../clock.ts';
import { setTimeout as wait } from 'node:timers/promises';
import { messageOf } from '../../src/vocabulary/errors.ts';
import { isSnapshotId, isVolumeId } from '../../src/vocabulary/ids.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { idOf } from '../contract/ids.ts';
import { drawOperation, nextToken, someWrite } from '../contract/crash-draw.ts';
import type { Fresh } from '../contract/crash-draw.ts';
import { listAll } from '../contract/crash-look.ts';
import type { Model, Shown } from '../contract/crash-model.ts';
import { afterPowerCut, volumeIn, written } from '../contract/crash-model.ts';
import type { NamedSnapshot, NamedVolume, Operation, Progress, Write } from '../contract/crash-operation.ts';
import { operationText, perform } from '../contract/crash-operation.ts';
import {
  WrongImages,
  askAgain,
  begunSince,
  catchUp,
  deleteAll,
  ensureClean,
  isDone,
  progressFrom,
  reconcile,
} from '../contract/crash-restart.ts';
import type { Random } from '../contract/random.ts';
import { createRandom } from '../contract/random.ts';
import type { Loss } from '../../vm/medium.ts';
import type { Driver } from './cut-driver.ts';
import { startDriver } from './cut-driver.ts';
import type { CutMachine } from './cut-machine.ts';
import type { Lengths, Point } from './cut-point.ts';
import { drawPoint, pointText } from './cut-point.ts';
import { startUsers, withUsers } from './cut-users.ts';
import { mergesUnderWay } from './rig.ts';

export interface CutOptions {
  readonly seed: number;
  readonly cuts: number;
}

export interface CutResult {
  readonly cuts: number;
  /** Cuts that took something which no flush had covered. */
  readonly lossy: number;
  /** Cuts while a merge had begun and not ended. */
  readonly merging: number;
  readonly wrongBlocks: number;
  readonly story: readonly string[];
  /** The story of what went wrong, or nothing. */
  readonly failure: string;
}

interface Run {
  readonly machine: CutMachine;
  readonly random: Random;
  readonly leastHeadroom: Bytes;
  readonly story: string[];
  readonly totals: { cuts: number; lossy: number; merging: number };
  /** What drivers hand out, one after the other. */
  readonly given: { id: number; clockMs: number };
  readonly lengths: Lengths;
  fresh: Fresh;
  model: Model;
  shown: ReadonlyMap<string, Shown>;
  driver: Driver;
}

/** Before the first cut, so that there is something to lose. */
const FIRST_OPERATIONS = 6;
const MOST_OPERATIONS_BETWEEN = 2;
const STAGE_SHARE = 0.6;
const AGAIN_SHARE = 0.35;
const MOST_CUTS_OF_A_START = 2;
/** How long a disk may take to come to the chosen change when the driver has nothing more to do. */
const MERGE_WAIT_MS = 3_000;
const STATUS_LIMIT_MS = 1_500;
/** An engine that has lost its guest gets an error from every call. */
const WORK_LIMIT_MS = 30_000;
/** How many of the last effects a failure shows. */
const TRACE = Number(process.env['SNAPMERGE_TRACE'] ?? 40);
const TURNS: readonly Point['at'][] = ['step', 'merge', 'request', 'merge', 'step', 'request'];
const LOSSES: readonly Loss[] = ['some', 'some', 'some', 'some', 'everything', 'everything', 'nothing'];
const WRITES_BEFORE_RESTORE = 12;
const INTERESTING: ReadonlySet<Operation['do']> = new Set(['create', 'snapshot', 'delete', 'expand', 'restore']);

/** On a machine with an empty pool, which has just booted. */
export async function runCuts(machine: CutMachine, { seed, cuts }: CutOptions): Promise<CutResult> {
  const random = createRandom(seed);
  const given = { id: 1, clockMs: 1_000_000 };
  const leastHeadroom = random.chance(0.5) ? kib(512) : mib(4);
  const run: Run = {
    machine,
    random,
    leastHeadroom,
    story: [],
    totals: { cuts: 0, lossy: 0, merging: 0 },
    given,
    lengths: new Map(),
    fresh: { name: 1, tag: 1, restore: 1 },
    model: new Map(),
    shown: new Map(),
    driver: await newDriver({ machine, leastHeadroom, given }),
  };
  try {
    await run.driver.node.engine.open();
    for (let count = 0; count < FIRST_OPERATIONS; count += 1) await goOn(run, draw(run));
    for (let turn = seed; run.totals.cuts < cuts; turn += 1) {
      const at = TURNS[turn % TURNS.length] ?? 'step';
      const op = at === 'merge' ? await prepareRestore(run) : drawInteresting(run);
      await cutIn(run, op, at);
      await stageSome(run);
      const between = random.below(MOST_OPERATIONS_BETWEEN + 1);
      for (let count = 0; count < between; count += 1) await goOn(run, draw(run));
    }
    await end(run);
    return { ...run.totals, story: run.story, wrongBlocks: 0, failure: '' };
  } catch (error) {
    const trace = run.driver.trace.slice(-TRACE).map((line) => `  ${line}`);
    const failure = [`seed ${seed}:`, ...run.story, '--', ...trace, '--', messageOf(error)].join('\n');
    return { ...run.totals, story: run.story, wrongBlocks: error instanceof WrongImages ? error.blocks : 0, failure };
  }
}

function newDriver({ machine, leastHeadroom, given }: Pick<Run, 'machine' | 'leastHeadroom' | 'given'>) {
  return startDriver({
    guest: machine.guest,
    leastHeadroom,
    clock: steppingClock(() => (given.clockMs += 1)),
    drawId: () => idOf(given.id++),
  });
}

function draw({ random, fresh, model, shown }: Run): Operation {
  return drawOperation(random, fresh, model, shown);
}

function drawInteresting(run: Run): Operation {
  for (let tries = 0; tries < 10; tries += 1) {
    const op = draw(run);
    if (INTERESTING.has(op.do)) return op;
  }
  return draw(run);
}

/** Merges have something to move only where something was overwritten since the snapshot. */
async function prepareRestore(run: Run): Promise<Operation> {
  const { random, fresh } = run;
  for (let tries = 0; tries < 20; tries += 1) {
    const volume = random.pick([...run.shown].flatMap(([name, { id }]) => (isVolumeId(id) ? [{ name, id }] : [])));
    if (volume === undefined || volumeIn(run.model, volume.name).fresh !== undefined) {
      await goOn(run, draw(run));
      continue;
    }
    if (!volumeIn(run.model, volume.name).active) await goOn(run, { do: 'activate', volume });
    const snapshot = newestOf(run, volume.name) ?? (await takeSnapshot(run, volume));
    if (snapshot === undefined) continue;
    const writes = Array.from({ length: WRITES_BEFORE_RESTORE }, () => someWrite({ ...run }, volume.name));
    await goOn(run, { do: 'write', volume, writes });
    await goOn(run, { do: 'deactivate', volume });
    const safety = random.chance(0.4) ? `S${fresh.name++}` : undefined;
    const [keep, token] = [random.chance(0.6), nextToken(fresh)];
    return { do: 'restore', mode: 'origin', replace: false, volume, snapshot, keep, safety, token };
  }
  return draw(run);
}

function newestOf({ model, shown }: Run, volume: string): NamedSnapshot | undefined {
  const own = [...shown].flatMap(([name, { id }]) => {
    const image = model.get(name);
    return isSnapshotId(id) && image?.kind === 'snapshot' && image.of === volume ? [{ name, id }] : [];
  });
  return own.at(-1);
}

async function takeSnapshot(run: Run, volume: NamedVolume): Promise<NamedSnapshot | undefined> {
  await goOn(run, { do: 'snapshot', volume, name: `S${run.fresh.name++}`, unflushed: undefined });
  return newestOf(run, volume.name);
}

/** Without a cut; what is shown is compared after the next one. */
async function goOn(run: Run, op: Operation): Promise<void> {
  run.story.push(operationText(op));
  const progress = progressFrom(run.model);
  const { rig } = run.driver.node;
  const effects = rig.effects();
  await perform(run.driver.node, op, progress);
  run.lengths.set(op.do, rig.effects() - effects);
  if (progress.refused !== undefined) run.story.push(`  refused: ${progress.refused}`);
  run.model = progress.sure;
  await learnIds(run);
}

/** The next operation is drawn from what is there; restores that waited may have begun. */
async function learnIds(run: Run): Promise<void> {
  const { engine } = run.driver.node;
  run.shown = new Map(
    (await listAll(engine)).flatMap(({ name, kind, id, active, waits, createdMs }) =>
      name === undefined ? [] : [[name, { kind, id, active, waits, createdMs, blocks: [] }] as const],
    ),
  );
  run.model = begunSince(run.model, await engine.listRestores());
}

/** Users come back after a boot. */
async function stageSome(run: Run): Promise<void> {
  for (const [name, { id, active }] of run.shown) {
    if (!active && isVolumeId(id) && run.random.chance(STAGE_SHARE))
      await goOn(run, { do: 'activate', volume: { name, id } });
  }
}

/** The operation, a cut in it, perhaps others in the starts that follow, and then the caller asks again. */
async function cutIn(run: Run, op: Operation, at: Point['at']): Promise<void> {
  const { random, machine } = run;
  const point = drawPoint(random, run.lengths, op.do, at);
  run.story.push(`${operationText(op)}, cut ${pointText(point)}`);
  const progress = progressFrom(run.model);
  const users = await startUsers(machine.guest, run, op);
  let cut = await cutWhile(run, point, op.do, () => perform(run.driver.node, op, progress));
  await Promise.all(users.map(({ ended }) => ended));
  const candidates = possible(op, progress).map((model) => afterPowerCut(withUsers(model, op, users)));
  await boot(run);

  for (let count = 0; count < MOST_CUTS_OF_A_START && random.chance(AGAIN_SHARE); count += 1) {
    const kinds: readonly Point['at'][] = cut === 'in a merge' ? ['step', 'request', 'merge'] : ['step', 'request'];
    const early = drawPoint(random, run.lengths, 'start', random.pick(kinds) ?? 'step');
    run.story.push(`  start, cut ${pointText(early)}`);
    cut = await cutWhile(run, early, 'start', () => run.driver.node.engine.open());
    if (cut === 'not cut') break;
    await boot(run);
  }
  const { node } = run.driver;
  if (cut !== 'not cut') await node.engine.open();
  await ensureClean(node.rig, 'after the restart');
  const { model, shown } = await reconcile(node, candidates, 'after the restart');
  run.shown = shown;
  const done = await isDone(node.engine, op, model);
  if (done) run.story.push('  (it had been done)');
  run.model = await askAgain(node, op, { model, done, mayRefuse: progress.refused !== undefined });
  await learnIds(run);
}

/** Works until the power fails, at the latest a little after the work has ended; the machine is off when this returns. */
async function cutWhile(
  run: Run,
  point: Point,
  what: Operation['do'] | 'start',
  work: () => Promise<void>,
): Promise<'in a merge' | 'elsewhere' | 'not cut'> {
  const { driver, machine, random, totals, story } = run;
  const effects = driver.node.rig.effects();
  // Asked of a machine whose disks may have stopped.
  const isMerging = async (): Promise<boolean> =>
    (await mergesUnderWay(machine.guest, { timeoutMs: STATUS_LIMIT_MS })) > 0;
  const stopped = arm(run, point).then(() => 'stopped' as const);
  const worked = work().then(
    () => 'done' as const,
    (error: unknown) => error,
  );
  let outcome = await Promise.race([stopped, worked]);
  // A merge goes on although the driver has nothing more to do.
  if (outcome === 'done' && !driver.hasEnded() && (await isMerging()))
    outcome = await Promise.race([stopped, pause(random.below(MERGE_WAIT_MS), 'done' as const)]);
  if (outcome !== 'stopped' && outcome !== 'done' && !driver.hasEnded()) throw outcome;
  const ended = outcome === 'done' && !driver.hasEnded();
  const inMerge = await isMerging();
  if (ended && !inMerge && what === 'start') {
    // It had less to do; a boot more would show nothing.
    disarm(run);
    story.push('  (it had ended before)');
    return 'not cut';
  }
  driver.end();
  const { uncovered, lost } = await machine.cut(random.pick(LOSSES) ?? 'some', random);
  await Promise.race([
    worked,
    pause(WORK_LIMIT_MS, undefined).then(() => Promise.reject(new Error('it does not end'))),
  ]);
  if (ended && what !== 'start') run.lengths.set(what, driver.node.rig.effects() - effects);
  totals.cuts += 1;
  if (lost > 0) totals.lossy += 1;
  if (inMerge) totals.merging += 1;
  story.push(`  (${ended ? 'it had ended, ' : ''}${inMerge ? 'in a merge, ' : ''}${lost} of ${uncovered} writes lost)`);
  return inMerge ? 'in a merge' : 'elsewhere';
}

async function boot(run: Run): Promise<void> {
  await run.machine.boot();
  run.driver = await newDriver(run);
}

function arm({ driver, machine }: Run, point: Point): Promise<void> {
  switch (point.at) {
    case 'step':
      return driver.stopAfter(point.effects);
    case 'request':
      return machine.stopAfter(point.changes);
    case 'merge':
      return new Promise((resolve) => {
        driver.onMerge(() => void machine.stopAfter(point.changes).then(resolve));
      });
  }
}

function disarm({ driver, machine }: Run): void {
  void driver.stopAfter(Number.POSITIVE_INFINITY);
  void machine.stopAfter(Number.POSITIVE_INFINITY);
  driver.onMerge(() => undefined);
}

function pause<T>(ms: number, value: T): Promise<T> {
  return wait(ms, value, { ref: false });
}

/** What may be shown after the cut, before volumes lose their devices. */
function possible(op: Operation, { sure, maybe, unflushed }: Progress): readonly Model[] {
  const maybeWritten = (model: Model, name: string, { at, tags }: Write): Model =>
    written(model, name, at, tags, false);
  if (op.do === 'write') return [op.writes.reduce((all, write) => maybeWritten(all, op.volume.name, write), sure)];
  const models: readonly Model[] = [sure, ...maybe];
  if (op.do !== 'snapshot' || op.unflushed === undefined || maybe.length === 0) return models;
  const writes = [op.unflushed, ...(unflushed === undefined ? [] : [unflushed.was])];
  const both = [op.volume.name, op.name].flatMap((name) => writes.map((write) => ({ name, write })));
  return models.map((model) => both.reduce((all, { name, write }) => maybeWritten(all, name, write), model));
}

/** All merges come to their end, and when everything is deleted nothing is left. */
async function end(run: Run): Promise<void> {
  run.story.push('all merges done');
  const { node } = run.driver;
  await catchUp(node);
  await reconcile(node, [run.model], 'when all merges are done');
  run.story.push('everything deleted');
  await deleteAll(node, run.shown);
}
