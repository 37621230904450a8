// Random families with a crash at every point of every operation: each prefix of an operation's effects is followed by the
// death of the driver or of the node, a start, and a look at everything. A failure is a story that a seed tells again.

import type { PoolEngine } from '../../src/engine/pool.ts';
import { createPoolEngine } from '../../src/engine/pool.ts';
import { messageOf } from '../../src/errors.ts';
import type { VgUuid } from '../../src/ids.ts';
import { deviceKey, isVolumeId, poolName } from '../../src/ids.ts';
import type { Host } from '../../src/host.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import type { Bytes } from '../../src/units.ts';
import { kib, mib } from '../../src/units.ts';
import { silentLog } from '../../src/ports.ts';
import { idOf } from '../contract/ids.ts';
import type { Random } from '../contract/random.ts';
import { createRandom } from '../contract/random.ts';
import { drawOperation, someWrite } from '../contract/crash-draw.ts';
import type { Fresh } from '../contract/crash-draw.ts';
import type { Model, Shown } from '../contract/crash-model.ts';
import { afterPowerCut, written } from '../contract/crash-model.ts';
import type { Hooks, Node, Operation, Progress, Write } from '../contract/crash-operation.ts';
import { operationText, perform } from '../contract/crash-operation.ts';
import {
  askAgain,
  begunSince,
  catchUp,
  deleteAll,
  ensureClean,
  isDone,
  progressFrom,
  reconcile,
} from '../contract/crash-restart.ts';
import type { CrashRig } from '../contract/crash-rig.ts';
import { simCrashRig } from './crash-rig.ts';
import { SimCrash } from './errors.ts';
import type { Moment, World } from './world.ts';
import { createWorld } from './world.ts';

/** The driver's side of the node; a test of the tests puts something wrong in between. */
export interface Ports {
  readonly kernel: Kernel;
  readonly lvm: Lvm;
  readonly host: Host;
}

/** What there is when the next operation is chosen. */
export interface Present {
  /** How many operations came before. */
  readonly index: number;
  readonly random: Random;
  readonly fresh: Fresh;
  readonly model: Model;
  readonly shown: ReadonlyMap<string, Shown>;
}

export interface Chosen {
  readonly op: Operation;
  /** With a crash at every point; otherwise it is done once, to get somewhere. */
  readonly crashes: boolean;
}

export interface CrashOptions {
  readonly seed: number;
  /** Undefined: the end. */
  readonly next: (present: Present) => Chosen | undefined;
  readonly ports?: (world: World) => Ports;
}

/** So many random operations. */
export function randomly(operations: number): CrashOptions['next'] {
  return ({ index, random, fresh, model, shown }) =>
    index < operations ? { op: drawOperation(random, fresh, model, shown), crashes: true } : undefined;
}

export interface CrashResult {
  readonly points: number;
  /** The story of what went wrong, or nothing. */
  readonly failure: string;
}

type Crash = 'driver' | 'power';

interface Run {
  readonly world: World;
  readonly rig: CrashRig;
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

export async function runCrashes({ seed, next, ports = (world) => world }: CrashOptions): Promise<CrashResult> {
  const random = createRandom(seed);
  const world = createWorld({
    seed,
    extent: kib(64),
    disks: [mib(24), mib(24)],
    mergePerEffect: random.chance(0.3) ? 1 : 0,
  });
  const run: Run = {
    world,
    rig: simCrashRig(world),
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
    for (let index = 0; ; index += 1) {
      const { fresh, model, shown } = run;
      const chosen = next({ index, random, fresh, model, shown });
      if (chosen === undefined) break;
      run.story.push(operationText(chosen.op));
      if (chosen.crashes) await tryEveryPoint(run, chosen.op);
      await goOn(run, chosen.op);
    }
    run.trying = 'everything deleted';
    await deleteAll(await started(run), run.shown);
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
  const apply = async (step: Step): Promise<void> => {
    const { beforeSuspend } = run.hooks;
    if (step.do === 'suspend') run.hooks.beforeSuspend = undefined;
    if (step.do === 'suspend') await beforeSuspend?.();
    await kernel.apply(step);
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

async function started(run: Run): Promise<Node> {
  const engine = newEngine(run);
  await engine.open();
  return { rig: run.rig, engine, hooks: run.hooks };
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
  const node = await started(run);
  const progress = progressFrom(await begunAtStart(run, node));
  world.control.stopAfter(effects);
  const finished = await runUntilCrash(node, op, progress);
  world.control.reseed(effects * 2 + (crash === 'driver' ? 0 : 1));
  const candidates = crash === 'driver' ? killDriver(run, op, progress) : cutPower(run, op, progress);

  const next = await started(run);
  await ensureClean(run.rig, 'after the restart');
  const { model } = await reconcile(next, candidates, 'after the restart');
  const done = await isDone(next.engine, op, model, before.clockMs);
  const asked = await askAgain(next, op, { model, done, mayRefuse: progress.refused !== undefined });
  const after = await reconcile(next, [asked], 'asked again');
  if (run.points % FINISH_EACH === 0) await finish(next, after.model);
  return finished;
}

async function runUntilCrash(node: Node, op: Operation, progress: Progress): Promise<boolean> {
  try {
    await perform(node, op, progress);
    // The background swallows what stops it.
    await node.rig.lvm.report();
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

/** The model with what the driver has begun by itself when it started. */
async function begunAtStart(run: Run, { engine }: Node): Promise<Model> {
  return begunSince(run.model, run.shown, await engine.listRestores());
}

async function finish(node: Node, model: Model): Promise<void> {
  await catchUp(node);
  await reconcile(node, [model], 'when all merges are done');
}

/** The operation once more without a crash: the story goes on from here. */
async function goOn(run: Run, op: Operation): Promise<void> {
  const node = await started(run);
  const progress = progressFrom(await begunAtStart(run, node));
  await perform(node, op, progress);
  if (progress.refused !== undefined) run.story.push(`  refused: ${progress.refused}`);
  if (op.do === 'snapshot' && op.unflushed !== undefined) run.world.user.flush(deviceKey(op.volume.id, 'top'));
  const { model, shown } = await reconcile(node, [progress.sure], 'without a crash');
  run.model = model;
  run.shown = shown;
}
