// Random families with a crash at every point of every operation: each prefix of an operation's effects is followed by the
// death of the driver or of the node, a start, and a look at everything. A failure is a story that a seed tells again.

import type { Restore } from '../../src/engine/engine.ts';
import type { PoolEngine } from '../../src/engine/pool.ts';
import { createPoolEngine } from '../../src/engine/pool.ts';
import { messageOf } from '../../src/errors.ts';
import type { VgUuid } from '../../src/ids.ts';
import { ID_ALPHABET, deviceKey, isSnapshotId, isVolumeId, poolName } from '../../src/ids.ts';
import type { Host } from '../../src/host.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import type { Bytes } from '../../src/units.ts';
import { kib, mib } from '../../src/units.ts';
import { silentLog } from '../../src/ports.ts';
import type { Random } from '../contract/random.ts';
import { createRandom } from '../contract/random.ts';
import { drawOperation, someWrite } from './crash-draw.ts';
import type { Fresh } from './crash-draw.ts';
import { leftovers, lookAt, notices } from './crash-look.ts';
import type { Model, Shown } from './crash-model.ts';
import { afterPowerCut, learned, mismatch, restored, volumeIn, withSafety, written } from './crash-model.ts';
import type { Hooks, Operation, Progress, Write } from './crash-operation.ts';
import { operationText, perform } from './crash-operation.ts';
import { SimCrash } from './errors.ts';
import type { Moment, World } from './world.ts';
import { createWorld } from './world.ts';

/** The driver's side of the node; a test of the tests puts something wrong in between. */
export interface Ports {
  readonly kernel: Kernel;
  readonly lvm: Lvm;
  readonly host: Host;
}

export interface CrashOptions {
  readonly seed: number;
  readonly operations: number;
  readonly ports?: (world: World) => Ports;
}

export interface CrashResult {
  readonly points: number;
  /** The story of what went wrong, or nothing. */
  readonly failure: string;
}

type Crash = 'driver' | 'power';

interface Run {
  readonly world: World;
  readonly ports: Ports;
  readonly hooks: Hooks;
  readonly vg: VgUuid;
  readonly random: Random;
  readonly leastHeadroom: Bytes;
  readonly story: string[];
  fresh: Fresh;
  model: Model;
  shown: ReadonlyMap<string, Shown>;
  nextId: number;
  clockMs: number;
  points: number;
  /** What is being tried, for the story. */
  trying: string;
}

/** A moment before an operation, to which every crash returns. */
interface Before {
  readonly moment: Moment;
  readonly fresh: Fresh;
  readonly nextId: number;
  readonly clockMs: number;
}

export async function runCrashes({ seed, operations, ports = (world) => world }: CrashOptions): Promise<CrashResult> {
  const random = createRandom(seed);
  const world = createWorld({
    seed,
    extent: kib(64),
    disks: [mib(24), mib(24)],
    mergePerEffect: random.chance(0.3) ? 1 : 0,
  });
  const run: Run = {
    world,
    ports: ports(world),
    hooks: { beforeSuspend: undefined },
    vg: (await world.lvm.report()).vgUuid,
    random,
    leastHeadroom: random.chance(0.5) ? kib(512) : mib(4),
    story: [],
    fresh: { name: 1, tag: 1 },
    model: new Map(),
    shown: new Map(),
    nextId: 1,
    clockMs: 1_000_000,
    points: 0,
    trying: '',
  };
  try {
    for (let index = 0; index < operations; index += 1) {
      const op = drawOperation(random, run.fresh, run.model, run.shown);
      run.story.push(operationText(op));
      await tryEveryPoint(run, op);
      await goOn(run, op);
    }
    await deleteAll(run);
    return { points: run.points, failure: '' };
  } catch (error) {
    const trace = world.inspect
      .trace()
      .slice(-TRACE)
      .map((line) => `  ${line}`);
    const failure = [`seed ${seed}:`, ...run.story, run.trying, '--', ...trace, '--', messageOf(error)].join('\n');
    return { points: run.points, failure };
  }
}

/** How many of the last effects a failure shows. */
const TRACE = Number(process.env['SNAPMERGE_TRACE'] ?? 40);
/** No operation has nearly so many effects. */
const MAX_EFFECTS = 5000;
/** After so many points one is followed to the end of its merges. */
const FINISH_EACH = 5;

function newEngine(run: Run): PoolEngine {
  const { kernel, lvm, host } = run.ports;
  const apply = (step: Step): Promise<void> => {
    const { beforeSuspend } = run.hooks;
    if (step.do === 'suspend') run.hooks.beforeSuspend = undefined;
    if (step.do === 'suspend') beforeSuspend?.();
    return kernel.apply(step);
  };
  return createPoolEngine({
    kernel: { ...kernel, apply },
    lvm,
    host,
    pool: poolName('test'),
    vg: run.vg,
    clock: { nowMs: () => (run.clockMs += 1), sleep: () => Promise.resolve() },
    drawId: () => idOf(run.nextId++),
    log: silentLog,
    reservePercent: 0,
    leastHeadroom: run.leastHeadroom,
  });
}

function idOf(count: number): string {
  let text = '';
  for (let rest = count, digit = 0; digit < 10; digit += 1, rest = Math.floor(rest / 32))
    text = (ID_ALPHABET[rest % 32] ?? '0') + text;
  return text;
}

async function started(run: Run): Promise<PoolEngine> {
  const engine = newEngine(run);
  await engine.open();
  return engine;
}

function ensure(lines: readonly string[], when: string): void {
  if (lines.length > 0) throw new Error([`${when}:`, ...lines].join('\n'));
}

async function tryEveryPoint(run: Run, op: Operation): Promise<void> {
  const { name, tag } = run.fresh;
  const before: Before = {
    moment: run.world.control.save(),
    fresh: { name, tag },
    nextId: run.nextId,
    clockMs: run.clockMs,
  };
  for (let effects = 0; effects < MAX_EFFECTS; effects += 1) {
    const driver = await tryPoint(run, op, before, effects, 'driver');
    const power = await tryPoint(run, op, before, effects, 'power');
    if (driver && power) break;
  }
  returnTo(run, before);
  run.trying = '';
}

function returnTo(run: Run, { moment, fresh, nextId, clockMs }: Before): void {
  run.world.control.restore(moment);
  run.fresh = { ...fresh };
  run.nextId = nextId;
  run.clockMs = clockMs;
}

/** True when the operation had come to its end before the crash. */
async function tryPoint(run: Run, op: Operation, before: Before, effects: number, crash: Crash): Promise<boolean> {
  const { world } = run;
  run.points += 1;
  run.trying = `  crash of the ${crash} after ${effects} effects of the last operation`;
  returnTo(run, before);
  const engine = await started(run);
  const sure = await begunAtStart(run, engine);
  const progress: Progress = { sure, maybe: [], refused: undefined, unflushed: undefined };
  world.control.stopAfter(effects);
  const finished = await runUntilCrash(run, engine, op, progress);
  world.control.reseed(effects * 2 + (crash === 'driver' ? 0 : 1));
  const candidates = crash === 'driver' ? killDriver(run, op, progress) : cutPower(run, op, progress);

  const next = await started(run);
  ensure([...(await leftovers(world)), ...(await notices(world))], 'after the restart');
  const { model } = await reconcile(run, next, candidates, 'after the restart');
  const done = await isDone(next, op, model, before);
  const after = await again(run, next, op, { model, done, mayRefuse: progress.refused !== undefined });
  if (run.points % FINISH_EACH === 0) await finish(run, next, after);
  return finished;
}

async function runUntilCrash(run: Run, engine: PoolEngine, op: Operation, progress: Progress): Promise<boolean> {
  try {
    await perform({ ...run, engine: engine }, op, progress);
    // The background swallows what stops it.
    await run.world.lvm.report();
    return true;
  } catch (error) {
    if (error instanceof SimCrash) return false;
    throw error;
  }
}

/** Users go on while nobody drives: what they write is in whatever holds afterwards. */
function killDriver(run: Run, op: Operation, { sure, maybe }: Progress): readonly Model[] {
  const { world } = run;
  world.control.crashDriver();
  let models = [sure, ...maybe];
  for (const [name, { id }] of run.shown) {
    const image = sure.get(name);
    // A volume that is being restored is mounted by nobody.
    if (image?.kind !== 'volume' || !image.active || !isVolumeId(id)) continue;
    if (image.wish !== undefined && image.wish.mode !== 'snapshot') continue;
    const isRestored = op.do === 'restore' && op.mode !== 'snapshot';
    if ('volume' in op && op.volume.name === name && (isRestored || op.do === 'deactivate')) continue;
    if (run.fresh.tag % 3 === 0) continue;
    const write = someWrite({ random: createRandom(run.fresh.tag), fresh: run.fresh, model: sure }, name);
    const outcome = world.user.write(deviceKey(id, 'top'), write.at, write.tags);
    if (outcome === 'failed') throw new Error(`a write to '${name}' failed while the driver was down`);
    models = models.map((model) => writtenMeanwhile(model, op, sure, name, write));
  }
  return models;
}

/** A new image of the volume may have been made before or after the write. */
function writtenMeanwhile(model: Model, op: Operation, sure: Model, name: string, write: Write): Model {
  const after = written(model, name, write.at, write.tags, true);
  const made = madeOf(op, name);
  return made === undefined || sure.has(made) ? after : written(after, made, write.at, write.tags, false);
}

/** The new image of a volume that an operation makes. */
function madeOf(op: Operation, name: string): string | undefined {
  if (op.do === 'create') return op.from?.name === name ? op.name : undefined;
  if (op.do === 'snapshot') return op.volume.name === name ? op.name : undefined;
  return op.do === 'restore' && op.volume.name === name ? op.safety : undefined;
}

function cutPower(run: Run, op: Operation, { sure, maybe, unflushed }: Progress): readonly Model[] {
  const { control, inspect } = run.world;
  const lose = { contents: 'some', commits: 'some' } as const;
  if (inspect.merging().length > 0 && run.nextId % 2 === 0) control.crashInMerge(lose);
  else control.crashPower(lose);
  const models = [sure, ...maybe].map(afterPowerCut);
  if (unflushed === undefined || op.do !== 'snapshot') return models;
  const { volume, was } = unflushed;
  return models.map((model) =>
    [volume, op.name].reduce((all, name) => written(all, name, was.at, was.tags, false), model),
  );
}

interface Found {
  readonly model: Model;
  readonly shown: ReadonlyMap<string, Shown>;
}

/** Which of the models holds, with what was not sure learned from what is shown. */
async function reconcile(run: Run, engine: PoolEngine, candidates: readonly Model[], when: string): Promise<Found> {
  const shown = await lookAt(run.world, engine);
  const restores = await engine.listRestores();
  ensure([...(await leftovers(run.world)), ...(await notices(run.world))], `${when}, having looked`);
  const differences: string[] = [];
  for (const model of candidates
    .map((candidate) => begunSince(candidate, shown, restores))
    .flatMap((candidate) => [candidate, ...safetiesTaken(candidate)])) {
    const difference = mismatch(model, shown);
    if (difference === undefined) return { model: learned(model, shown), shown };
    differences.push(difference);
  }
  const which = candidates.length === 1 ? ['want'] : ['neither before', ...candidates.slice(1).map(() => 'nor after')];
  throw new Error([`${when}:`, ...differences.map((line, index) => `${which[index]}: ${line}`)].join('\n'));
}

/** The model with what the driver has begun by itself when it started. */
async function begunAtStart(run: Run, engine: PoolEngine): Promise<Model> {
  return begunSince(run.model, run.shown, await engine.listRestores());
}

/** A restore that waits begins when the driver finds the way free: what it lists tells whether it has. */
function begunSince(model: Model, shown: ReadonlyMap<string, Shown>, restores: readonly Restore[]): Model {
  let sure = model;
  for (const [name, image] of model) {
    if (image.kind !== 'volume' || image.wish === undefined) continue;
    const own = restores.filter(({ volume }) => volume === shown.get(name)?.id);
    const waits = own.some(({ phase }) => phase === 'waiting');
    const { mode, snapshotId } = image.wish;
    const begun = own.some((one) => one.mode === mode && one.snapshot === snapshotId);
    if (begun && !waits) sure = restored(sure, name, image.wish);
  }
  return sure;
}

/** The safety snapshot of a restore that waits may be there before it has begun. */
function safetiesTaken(model: Model): readonly Model[] {
  return [...model].flatMap(([name, image]) =>
    image.kind === 'volume' && image.wish?.safety !== undefined ? [withSafety(model, name, image.wish.safety)] : [],
  );
}

async function isDone(engine: PoolEngine, op: Operation, model: Model, before: Before): Promise<boolean> {
  switch (op.do) {
    case 'create':
    case 'snapshot':
      return model.has(op.name);
    case 'restore':
      return (await engine.listRestores()).some(
        ({ volume, startedMs }) => volume === op.volume.id && startedMs > before.clockMs,
      );
    case 'delete':
    case 'expand':
    case 'activate':
    case 'deactivate':
    case 'cancel':
    case 'write':
    case 'background':
      return false;
  }
}

interface Again {
  readonly model: Model;
  readonly done: boolean;
  readonly mayRefuse: boolean;
}

/** The caller asks again, under the same name. A restore that has begun is refused, and listed instead. */
async function again(run: Run, engine: PoolEngine, op: Operation, { model, done, mayRefuse }: Again): Promise<Model> {
  const retry = retried(op, model);
  if (done && op.do === 'restore') return model;
  const progress: Progress = { sure: model, maybe: [], refused: undefined, unflushed: undefined };
  await perform({ ...run, engine: engine }, retry, progress);
  if (progress.refused !== undefined && !mayRefuse) {
    // The background may have begun something since that has to end first.
    await catchUp(run, engine);
    progress.refused = undefined;
    await perform({ ...run, engine: engine }, retry, progress);
    if (progress.refused !== undefined) throw new Error(`asked again: ${String(progress.refused)}`);
  }
  return (await reconcile(run, engine, [done ? model : progress.sure], 'asked again')).model;
}

function retried(op: Operation, model: Model): Operation {
  if (op.do === 'snapshot') return { ...op, unflushed: undefined };
  if (op.do === 'write' && !volumeIn(model, op.volume.name).active) return { do: 'background', chunks: 1 };
  return op;
}

async function catchUp({ world }: Run, engine: PoolEngine): Promise<void> {
  for (let round = 0; round < 20; round += 1) {
    if (!world.control.finishMerges()) throw new Error('a merge is stuck');
    const effects = world.control.effects();
    await engine.look();
    await engine.settle();
    if (world.control.effects() === effects) return;
  }
  throw new Error('the background does not come to an end');
}

async function finish(run: Run, engine: PoolEngine, model: Model): Promise<void> {
  await catchUp(run, engine);
  await reconcile(run, engine, [model], 'when all merges are done');
}

/** The operation once more without a crash: the story goes on from here. */
async function goOn(run: Run, op: Operation): Promise<void> {
  const engine = await started(run);
  const sure = await begunAtStart(run, engine);
  const progress: Progress = { sure, maybe: [], refused: undefined, unflushed: undefined };
  await perform({ ...run, engine: engine }, op, progress);
  if (progress.refused !== undefined) run.story.push(`  refused: ${progress.refused}`);
  if (op.do === 'snapshot' && op.unflushed !== undefined) run.world.user.flush(deviceKey(op.volume.id, 'top'));
  const { model, shown } = await reconcile(run, engine, [progress.sure], 'without a crash');
  run.model = model;
  run.shown = shown;
}

/** With everything deleted nothing may be left: no store, no device. */
async function deleteAll(run: Run): Promise<void> {
  run.trying = 'everything deleted';
  const engine = await started(run);
  for (const { id } of run.shown.values()) {
    if (isSnapshotId(id)) await engine.deleteSnapshot(id);
    if (!isVolumeId(id)) continue;
    await engine.deactivate(id);
    await engine.deleteVolume(id);
  }
  await engine.settle();
  await catchUp(run, engine);
  const { stores } = await run.world.lvm.report();
  ensure(
    [...stores.map(({ store, tags }) => `${store} ${tags.join(' ')}`), ...run.world.inspect.devices()],
    'left over',
  );
}
