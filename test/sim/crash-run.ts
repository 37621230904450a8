// A story with a crash at every point of its operations: each prefix of an operation's effects is followed by the death of
// the driver or of the node, a start (some of them cut short by another crash), and a look at everything. The operation runs
// once; the moment before each of its effects is kept, and every crash begins at one of them.

import { steppingClock } from '../clock.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import { SnapmergeError, messageOf } from '../../src/vocabulary/errors.ts';
import type { VgUuid } from '../../src/vocabulary/ids.ts';
import { deviceKey, isTail, isVolumeId, poolName } from '../../src/vocabulary/ids.ts';
import { buildForest } from '../../src/records/build-forest.ts';
import type { Host } from '../../src/host/host.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import { inTurn } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import { idOf } from '../contract/ids.ts';
import type { Random } from '../contract/random.ts';
import { createRandom } from '../contract/random.ts';
import { drawOperation, someWrite } from '../contract/crash-draw.ts';
import type { Fresh } from '../contract/crash-draw.ts';
import type { Model, Shown } from '../contract/crash-model.ts';
import { afterPowerCut, put, volumeIn, written } from '../contract/crash-model.ts';
import type { Hooks, Node, Operation, Progress, Write } from '../contract/crash-operation.ts';
import { applied, operationText, perform } from '../contract/crash-operation.ts';
import {
  askAgain,
  begunSince,
  catchUp,
  deleteAll,
  ensureClean,
  isDone,
  progressFrom,
  reconcile,
  retried,
} from '../contract/crash-restart.ts';
import type { CrashRig } from '../contract/crash-rig.ts';
import { simCrashRig } from './crash-rig.ts';
import { bind } from './crash-story.ts';
import type { Told } from './crash-story.ts';
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
  /** How many operations came before, those that could not be asked for included. */
  readonly index: number;
  readonly random: Random;
  readonly fresh: Fresh;
  readonly model: Model;
  readonly shown: ReadonlyMap<string, Shown>;
}

export interface Chosen {
  readonly told: Told;
  /** With a crash at every point; otherwise it is done once, to get somewhere. */
  readonly crashes: boolean;
}

export interface CrashOptions {
  readonly seed: number;
  /** Undefined: the end. */
  readonly next: (present: Present) => Chosen | undefined;
  /** Made anew for every process of the driver. */
  readonly ports?: ((world: World) => Ports) | undefined;
}

export interface Failure {
  readonly message: string;
  /** In a crash of the last operation, without one, or when in the end everything was deleted. */
  readonly when: 'crashed' | 'undisturbed' | 'deleted';
  /** The story for a person, and the last effects. */
  readonly lines: readonly string[];
  readonly trace: readonly string[];
}

export interface CrashResult {
  readonly points: number;
  /** Members that the largest family had, ghosts included. */
  readonly members: number;
  /** What could be asked for, in order. */
  readonly played: readonly Told[];
  readonly failure: Failure | undefined;
}

type Crash = 'driver' | 'power';
const FATE = { driver: 'the driver dies', power: 'power fails' } as const;

interface Run {
  readonly seed: number;
  readonly world: World;
  readonly rig: CrashRig;
  readonly ports: (world: World) => Ports;
  readonly hooks: Hooks;
  readonly vg: VgUuid;
  readonly leastHeadroom: Bytes;
  readonly story: string[];
  readonly played: Told[];
  fresh: Fresh;
  model: Model;
  shown: ReadonlyMap<string, Shown>;
  nextId: number;
  clockMs: number;
  points: number;
  members: number;
  /** What is being tried, for the story. */
  trying: string;
  when: Failure['when'];
}

/** A moment of the node and of what has been handed out. */
interface Mark {
  readonly moment: Moment;
  readonly fresh: Fresh;
  readonly nextId: number;
  readonly clockMs: number;
}

/** Between two effects of an operation. */
interface Point extends Mark {
  readonly progress: Progress;
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
    seed,
    world,
    rig: simCrashRig(world),
    ports,
    hooks: { beforeSuspend: undefined },
    vg: (await world.lvm.report()).vgUuid,
    leastHeadroom: random.chance(0.5) ? kib(512) : mib(4),
    story: [],
    played: [],
    fresh: { name: 1, tag: 1, restore: 1 },
    model: new Map(),
    shown: new Map(),
    nextId: 1,
    clockMs: 1_000_000,
    points: 0,
    members: 0,
    trying: '',
    when: 'undisturbed',
  };
  const end = (failure: Failure | undefined): CrashResult => {
    const { points, members, played } = run;
    return { points, members, played, failure };
  };
  try {
    for (let index = 0; ; index += 1) {
      const before = mark(run);
      const node = await startedKnowing(run);
      const { fresh, model, shown } = run;
      const chosen = next({ index, random, fresh, model, shown });
      if (chosen === undefined) break;
      const op = bind(chosen.told, run);
      if (op === undefined) {
        returnTo(run, { ...before, fresh: run.fresh });
        continue;
      }
      run.played.push(chosen.told);
      run.story.push(operationText(op));
      await play(run, op, chosen, { node, before: { ...before, fresh: { ...run.fresh } } });
    }
    run.when = 'deleted';
    run.trying = 'everything deleted';
    await deleteAll(await started(run), run.shown);
    return end(undefined);
  } catch (error) {
    const trace = world.inspect.trace().slice(-TRACE);
    const lines = [...run.story, ...(run.trying === '' ? [] : [run.trying])];
    return end({ message: messageOf(error), when: run.when, lines, trace });
  }
}

/** How many of the last effects a failure shows. */
const TRACE = Number(process.env['SNAPMERGE_TRACE'] ?? 40);
/** No operation has nearly so many effects. */
const MAX_EFFECTS = 5000;
/** The share of points that are followed to the end of their merges. */
const FINISH_SHARE = 0.2;
/** The share of points after which the start is cut short as well, within so many effects. */
const AGAIN_SHARE = 0.3;
const AGAIN_EFFECTS = 12;
/** The share of effects that fail once, besides; of those the share after which the caller asks again at once, or another does. */
const FAULT_SHARE = 0.2;
const AT_ONCE_SHARE = 0.5;
const ANOTHER_SHARE = 0.7;
/** Beyond the numbers of all names in a story. */
const STRANGER = 1000;

function newEngine(run: Run): PoolEngine {
  const { world, hooks } = run;
  // Below whatever a test of the tests has put in between: it is the real suspend that something happens just before.
  const apply = async (step: Step): Promise<void> => {
    const { beforeSuspend } = hooks;
    if (step.do === 'suspend') hooks.beforeSuspend = undefined;
    if (step.do === 'suspend') await beforeSuspend?.();
    await world.kernel.apply([step]);
  };
  const { kernel, lvm, host } = run.ports({ ...world, kernel: { ...world.kernel, apply: inTurn(apply) } });
  return createPoolEngine({
    kernel,
    lvm,
    host,
    pool: poolName('test'),
    vg: run.vg,
    clock: steppingClock(() => (run.clockMs += 1)),
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

/** As the story goes on: what waited may have begun, and with that a snapshot or an origin may have gone. */
async function startedKnowing(run: Run): Promise<Node> {
  const node = await started(run);
  run.model = await begunAtStart(run, node);
  run.shown = new Map([...run.shown].filter(([name]) => run.model.has(name)));
  return node;
}

function mark({ world, fresh, nextId, clockMs }: Run): Mark {
  return { moment: world.control.save(), fresh: { ...fresh }, nextId, clockMs };
}

function returnTo(run: Run, { moment, fresh, nextId, clockMs }: Mark): void {
  run.world.control.restore(moment);
  run.fresh = { ...fresh };
  run.nextId = nextId;
  run.clockMs = clockMs;
}

/** A driver that has just started. */
interface Begun {
  readonly node: Node;
  /** The moment before it started, and what the operation has been given. */
  readonly before: Mark;
}

/** The operation without a crash, from where the story goes on, and then with a crash at each of its points. */
async function play(run: Run, op: Operation, { told, crashes }: Chosen, { node, before }: Begun): Promise<void> {
  const points: Point[] = [];
  const progress = progressFrom(run.model);
  const note = (): void => {
    if (points.length > MAX_EFFECTS) throw new Error('the operation does not come to an end');
    points.push({ ...mark(run), progress: { ...progress } });
  };
  if (crashes) run.world.control.beforeEach(note);
  await perform(node, op, progress);
  run.world.control.beforeEach(undefined);
  if (crashes) note();
  if (progress.refused !== undefined) run.story.push(`  refused: ${progress.refused}`);
  if (op.do === 'snapshot' && op.unflushed !== undefined) run.world.user.flush(deviceKey(op.volume.id, 'top'));
  const found = await reconcile(node, [progress.sure], 'without a crash');
  const after = mark(run);
  run.members = Math.max(run.members, await largestFamily(run));

  run.when = 'crashed';
  const text = JSON.stringify(told);
  for (const [effects, point] of points.entries()) {
    const randomFor = (what: string): Random => createRandom(seedOf(`${run.seed} ${text} ${effects} ${what}`));
    for (const crash of ['driver', 'power'] as const) {
      run.points += 1;
      run.trying = `  ${FATE[crash]} after ${effects} effects of that`;
      returnTo(run, point);
      await tryPoint(run, op, { progress: point.progress, crash, random: randomFor(crash) });
    }
    const random = randomFor('fault');
    if (random.chance(FAULT_SHARE)) await tryFault(run, op, { before, effects, random });
  }
  run.when = 'undisturbed';
  run.trying = '';
  returnTo(run, after);
  run.model = found.model;
  run.shown = found.shown;
}

async function largestFamily({ world }: Run): Promise<number> {
  const { families } = buildForest((await world.lvm.report()).stores);
  return Math.max(0, ...[...families.values()].map(({ nodes }) => nodes.size));
}

/** The same for the same text, whatever came before: what is left out of a story changes nothing in the rest. */
function seedOf(text: string): number {
  let hash = 0;
  for (const letter of text) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0;
  return hash;
}

interface Tried {
  readonly progress: Progress;
  readonly crash: Crash;
  readonly random: Random;
}

async function tryPoint(run: Run, op: Operation, { progress, crash, random }: Tried): Promise<void> {
  run.hooks.beforeSuspend = undefined;
  run.world.control.reseed(random.below(2 ** 31));
  const again = random.chance(AGAIN_SHARE) ? (random.chance(0.5) ? 'driver' : 'power') : undefined;
  // What nobody has flushed, a power cut may take.
  const isDurable = again !== 'power';
  let candidates: readonly Model[] = [progress.sure, ...progress.maybe];
  if (crash === 'driver') {
    run.world.control.crashDriver();
    candidates = usersGoOn(run, op, progress, random, isDurable);
  } else candidates = cutPower(run, op, candidates, progress, random);
  if (again !== undefined) {
    const effects = random.below(AGAIN_EFFECTS);
    run.trying += `, ${FATE[again]} again after ${effects} effects of the start`;
    await startUntil(run, effects);
    if (again === 'driver') run.world.control.crashDriver();
    else candidates = cutPower(run, op, candidates, progress, random);
  }
  await startAndCompare(run, op, candidates, { progress, random });
}

/** The driver starts and shows one of these; then the caller, who was never answered, asks again. */
async function startAndCompare(
  run: Run,
  op: Operation,
  candidates: readonly Model[],
  { progress, random }: Pick<Tried, 'progress' | 'random'>,
): Promise<void> {
  const next = await started(run);
  // Nobody drives the monitor here: it is what lets go on whoever ran out of room meanwhile.
  await next.engine.look();
  await next.engine.settle();
  await ensureClean(run.rig, 'after the restart');
  const { model } = await reconcile(next, candidates, 'after the restart');
  const done = await isDone(next.engine, op, model);
  const asked = await askAgain(next, op, { model, done, mayRefuse: progress.refused !== undefined });
  const after = await reconcile(next, [asked], 'asked again');
  if (random.chance(FINISH_SHARE)) await finish(next, after.model);
}

/**
 * One effect of the operation fails, with or without having happened; the driver lives, and leaves nobody waiting. The
 * caller may ask again before the background has swept what the first try left.
 */
async function tryFault(
  run: Run,
  op: Operation,
  { before, effects, random }: { readonly before: Mark; readonly effects: number; readonly random: Random },
): Promise<void> {
  const { control } = run.world;
  returnTo(run, before);
  const fault = random.chance(0.5) ? 'before' : 'after';
  run.trying = `  effect ${effects} of that fails${fault === 'after' ? ', although it happened' : ''}`;
  const node = await started(run);
  let progress = progressFrom(await begunAtStart(run, node));
  control.failAfter(effects, fault);
  try {
    await perform(node, op, progress);
  } catch (error) {
    // What fails after a commit is no final answer.
    const isFault = error instanceof SnapmergeError && (error.kind === 'internal' || error.kind === 'unavailable');
    if (!isFault) throw error;
  }
  const stuck = run.world.inspect.suspended().filter((key) => !isTail(key));
  if (stuck.length > 0) throw new Error(`after a failed step:\nsuspended: ${stuck.join(', ')}`);
  if (random.chance(AT_ONCE_SHARE)) {
    run.trying += ', asked again at once';
    const again = progressFrom(progress.sure);
    if (await isDone(node.engine, op, again.sure)) {
      await askAgain(node, op, { model: again.sure, done: true, mayRefuse: false });
    } else {
      await perform(node, retried(op, again.sure), again);
      // What is refused now may have been done before.
      if (again.refused === undefined) progress = again;
    }
  } else if (random.chance(ANOTHER_SHARE)) progress = await askAnother(run, node, op, progress, random);
  const candidates = usersGoOn(run, op, progress, random, true);
  control.crashDriver();
  await startAndCompare(run, op, candidates, { progress, random });
}

/** Somebody else asks for something else before the background has put right what failed: all that may hold then. */
async function askAnother(
  run: Run,
  node: Node,
  op: Operation,
  { sure, maybe, ...rest }: Progress,
  random: Random,
): Promise<Progress> {
  const unchanged = { sure, maybe, ...rest };
  const shown = new Map([...run.shown].filter(([name]) => sure.has(name)));
  // Stories that were written down do not count the names in them.
  const fresh = { ...run.fresh, name: run.fresh.name + STRANGER };
  const other = retried(drawOperation(random, fresh, sure, shown), sure);
  const taken = namesIn(op, sure);
  // Of two restores that wait nobody could tell afterwards which of them began, where the second takes the first's volume.
  const isSecond =
    other.do === 'restore' && [...sure.values()].some((image) => 'wish' in image && image.wish !== undefined);
  if (other.do === 'write' || isSecond || [...namesIn(other, sure)].some((name) => taken.has(name))) return unchanged;
  run.trying += `, then ${operationText(other)}`;
  run.world.control.forgive();
  const progress = progressFrom(sure);
  try {
    await perform(node, other, progress);
  } catch (error) {
    // What failed may have taken it away.
    if (error instanceof SnapmergeError && error.kind === 'not-found') return unchanged;
    throw error;
  }
  // Whoever asks for the first again is rightly refused where this stands in its way.
  const refused = progress.refused ?? 'another was asked for meanwhile';
  if (progress.refused !== undefined) return { sure, maybe, ...rest, refused };
  const isNoted = other.do === 'restore' && volumeIn(progress.sure, other.volume.name).wish !== undefined;
  const after = (model: Model): Model =>
    isNoted ? put(model, other.volume.name, volumeIn(progress.sure, other.volume.name)) : applied(model, other);
  return { sure: progress.sure, maybe: maybe.map(after), unflushed: rest.unflushed, refused };
}

/** All that an operation names, and what a promotion does away with. */
function namesIn(op: Operation, model: Model): ReadonlySet<string> {
  const named = [
    ...('name' in op ? [op.name] : []),
    ...('volume' in op ? [op.volume.name] : []),
    ...('what' in op ? [op.what.name] : []),
    ...('snapshot' in op ? [op.snapshot.name] : []),
    ...(op.do === 'create' && op.from !== undefined ? [op.from.name] : []),
  ];
  const origins = named.flatMap((name) => {
    const image = model.get(name);
    return image?.kind === 'snapshot' ? [image.of] : [];
  });
  return new Set([...named, ...origins]);
}

/** A start that is cut short, unless it has less to do. */
async function startUntil(run: Run, effects: number): Promise<void> {
  run.world.control.stopAfter(effects);
  try {
    await started(run);
  } catch (error) {
    if (!(error instanceof SimCrash)) throw error;
  }
}

/** The share of volumes in use that nobody writes to while nobody drives. */
const IDLE_SHARE = 0.33;

/** Users go on while nobody drives: what they write is in whatever holds afterwards. */
function usersGoOn(
  run: Run,
  op: Operation,
  { sure, maybe }: Progress,
  random: Random,
  isDurable: boolean,
): readonly Model[] {
  const { world } = run;
  let models = [sure, ...maybe];
  for (const [name, { id }] of run.shown) {
    const image = sure.get(name);
    // A volume that is being restored is mounted by nobody.
    if (image?.kind !== 'volume' || !image.active || !isVolumeId(id)) continue;
    if (image.wish !== undefined && image.wish.mode !== 'snapshot') continue;
    const isRestored = op.do === 'restore' && op.mode !== 'snapshot';
    if ('volume' in op && op.volume.name === name && (isRestored || op.do === 'deactivate')) continue;
    if (random.chance(IDLE_SHARE)) continue;
    const write = someWrite({ random, fresh: run.fresh, model: sure }, name);
    const outcome = world.user.write(deviceKey(id, 'top'), write.at, write.tags);
    if (outcome === 'failed') throw new Error(`a write to '${name}' failed while nobody drove`);
    models = models.map((model) => writtenMeanwhile(model, op, sure, { name, write, isDurable }));
  }
  return models;
}

/** A new image of the volume may have been made before or after the write. */
function writtenMeanwhile(
  model: Model,
  op: Operation,
  sure: Model,
  { name, write, isDurable }: { readonly name: string; readonly write: Write; readonly isDurable: boolean },
): Model {
  const after = written(model, name, write.at, write.tags, isDurable);
  const made = madeOf(op, name);
  return made === undefined || sure.has(made) ? after : written(after, made, write.at, write.tags, false);
}

/** The new image of a volume that an operation makes. */
function madeOf(op: Operation, name: string): string | undefined {
  if (op.do === 'create') return op.from?.name === name ? op.name : undefined;
  return op.do === 'snapshot' && op.volume.name === name ? op.name : undefined;
}

function cutPower(
  run: Run,
  op: Operation,
  models: readonly Model[],
  { unflushed }: Progress,
  random: Random,
): readonly Model[] {
  const { control, inspect } = run.world;
  const lose = { contents: 'some', commits: 'some' } as const;
  if (inspect.merging().length > 0 && random.chance(0.5)) control.crashInMerge(lose);
  else control.crashPower(lose);
  const after = models.map(afterPowerCut);
  if (unflushed === undefined || op.do !== 'snapshot') return after;
  const { volume, was } = unflushed;
  return after.map((model) =>
    [volume, op.name].reduce((all, name) => written(all, name, was.at, was.tags, false), model),
  );
}

/** The model with what the driver has begun by itself when it started. */
async function begunAtStart(run: Run, { engine }: Node): Promise<Model> {
  return begunSince(run.model, await engine.listRestores());
}

async function finish(node: Node, model: Model): Promise<void> {
  await catchUp(node);
  await reconcile(node, [model], 'when all merges are done');
}
