// One round for one VolumeRestore: look, decide, write, act, and again until nothing is left to do now. A round that is cut
// short anywhere is simply begun again; every effect is one that can be repeated.

import { handleOf } from '../../csi/replies.ts';
import { restoreToken } from '../../csi/handles.ts';
import type { Engine, Restore, RestoreMode, StartRestore } from '../../engine/engine.ts';
import { SnapmergeError, fail, messageOf, unreachable } from '../../vocabulary/errors.ts';
import type { Clock, Log } from '../../vocabulary/ports.ts';
import { FINALIZER, decide } from './decide.ts';
import type { Act, Decision, Refusal, Seen } from './decide.ts';
import type { EventText } from './events.ts';
import { changes, claimSubject, restoreSubject } from './events.ts';
import { look } from './observe.ts';
import type { Look, Looking, Target } from './observe.ts';
import type { Mode, Status, VolumeRestore } from '../api/objects.ts';
import { isOver } from './status.ts';
import { safetyName, safetyObjects } from './safety.ts';

export interface RoundOptions extends Looking {
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1. */
  readonly random: () => number;
}

/** What every driver sees in the same way is written by the first of them. */
const SPREAD_MS = 1_500;

/** More than any object needs: first sight, asked, begun, followed up, let go. */
const MAX_STEPS = 8;

const ENGINE_MODES: Readonly<Record<Mode, RestoreMode>> = {
  NameOrigin: 'origin',
  NameSnapshot: 'snapshot',
  OnActivate: 'onactivate',
};

/** When to look again, in milliseconds; undefined: when the object changes. `busy` when it has changed meanwhile. */
export async function round(options: RoundOptions, namespace: string, name: string): Promise<number | undefined> {
  const { clock, cluster, log, node } = options;
  let object = await cluster.restore(namespace, name);
  let refusal: Refusal | undefined;
  let followed: Seen['followed'];
  let againMs: number | undefined;
  for (let step = 0; step < MAX_STEPS && object !== undefined; step += 1) {
    if (isOver(object) && !object.metadata.finalizers.includes(FINALIZER)) return undefined;
    const seen = await look(options, object);
    const decision = decide({ object, nowMs: clock.nowMs(), node, sight: seen.sight, refusal, followed });
    if (seen.sight.at !== 'here' && step === 0 && changesAnything(object, decision)) {
      await clock.sleep(options.random() * SPREAD_MS, new AbortController().signal);
      object = await cluster.restore(namespace, name);
      continue;
    }
    object = await write(options, object, decision);
    againMs = decision.againMs;
    if (decision.act !== undefined) {
      log.debug({ volumeRestore: nameOf(object), act: decision.act }, 'restore step');
      ({ object, refusal, followed } = await perform(options, object, decision.act, seen));
    } else if (againMs !== 0) return againMs;
  }
  return againMs;
}

function changesAnything({ status }: VolumeRestore, decision: Decision): boolean {
  return decision.finalizer !== undefined || (decision.status !== undefined && !isSame(status, decision.status));
}

async function write(options: RoundOptions, object: VolumeRestore, decision: Decision): Promise<VolumeRestore> {
  const { cluster, log } = options;
  const { status, finalizer } = decision;
  let written = object;
  if (status !== undefined && !isSame(object.status, status)) {
    written = await cluster.writeStatus(written, status);
    if (object.status.reason !== status.reason) {
      const { phase, reason, message } = status;
      log.info({ volumeRestore: nameOf(object), phase, reason, why: message }, 'restore goes on');
    }
    for (const { event, toClaim } of changes(object.status, status)) await tell(options, object, event, toClaim);
  }
  const { finalizers } = written.metadata;
  if (finalizer === true && !finalizers.includes(FINALIZER)) {
    return cluster.writeFinalizers(written, [...finalizers, FINALIZER]);
  }
  if (finalizer === false && finalizers.includes(FINALIZER)) {
    return cluster.writeFinalizers(
      written,
      finalizers.filter((one) => one !== FINALIZER),
    );
  }
  return written;
}

/** Times of transitions belong to what they are of, so this compares all. */
function isSame(before: Status, after: Status): boolean {
  return canonical(before) === canonical(after);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** An event that cannot be written stops nothing. */
async function tell(
  { cluster, log }: RoundOptions,
  object: VolumeRestore,
  event: EventText,
  toClaim: boolean,
): Promise<void> {
  try {
    await cluster.tell(restoreSubject(object), event);
    if (toClaim) await tellClaim({ cluster }, object, object.spec.persistentVolumeClaimName, event);
  } catch (error) {
    log.warn({ error: messageOf(error), reason: event.reason }, 'event not written');
  }
}

async function tellClaim(
  { cluster }: Pick<RoundOptions, 'cluster'>,
  { metadata: { namespace, name: restore } }: VolumeRestore,
  name: string,
  event: EventText,
): Promise<void> {
  const claim = await cluster.claim(namespace, name);
  if (claim === undefined) return;
  const message = `VolumeRestore '${restore}': ${event.message}`;
  await cluster.tell(claimSubject(namespace, name, claim.metadata.uid), { ...event, message });
}

interface Done {
  readonly object: VolumeRestore;
  readonly refusal: Refusal | undefined;
  readonly followed: Seen['followed'];
}

async function perform(options: RoundOptions, object: VolumeRestore, act: Act, seen: Look): Promise<Done> {
  const nothing: Done = { object, refusal: undefined, followed: undefined };
  switch (act) {
    case 'start':
      return { ...nothing, refusal: await start(object, seen.target) };
    case 'cancel':
      await cancel(seen);
      return nothing;
    case 'follow-up':
      return attempt(options, object, async () => followUp(options, object, seen));
    default:
      return unreachable(act);
  }
}

async function start(object: VolumeRestore, target: Target | undefined): Promise<Refusal | undefined> {
  if (target === undefined) return fail('internal', 'Cannot ask for a restore: its volume is not known');
  const { engine, volume, volumeHandle, snapshot } = target;
  const { mode, keepSnapshot, safetySnapshot } = object.spec;
  return ask(engine, {
    volume,
    snapshot,
    mode: ENGINE_MODES[mode],
    keepSnapshot,
    safetySnapshotName: safetySnapshot ? safetyName(object) : undefined,
    replace: false,
    token: restoreToken(volumeHandle, object.metadata.uid),
  });
}

async function ask(engine: Engine, request: StartRestore): Promise<Refusal | undefined> {
  try {
    await engine.startRestore(request);
    return undefined;
  } catch (error) {
    if (!(error instanceof SnapmergeError)) throw error;
    return { kind: error.kind, message: error.message };
  }
}

/** What has begun meanwhile is found in the next look. */
async function cancel({ engine, sight }: Look): Promise<void> {
  if (engine === undefined || sight.at !== 'here' || sight.known === undefined) return;
  try {
    await engine.cancelRestore(sight.known.id);
  } catch (error) {
    const hasGone = error instanceof SnapmergeError && (error.kind === 'precondition' || error.kind === 'not-found');
    if (!hasGone) throw error;
  }
}

/** Of what follows, nothing stops a restore: it is told, and tried again. */
async function attempt(options: RoundOptions, object: VolumeRestore, run: () => Promise<VolumeRestore>): Promise<Done> {
  try {
    return { object: await run(), refusal: undefined, followed: 'done' };
  } catch (error) {
    const passes = error instanceof SnapmergeError && (error.kind === 'busy' || error.kind === 'unavailable');
    if (passes) throw error;
    const message = messageOf(error);
    options.log.error({ volumeRestore: nameOf(object), error: message }, 'what follows a restore failed');
    await tell(options, object, { type: 'Warning', reason: 'FollowUpFailed', message }, false);
    return { object, refusal: undefined, followed: 'failed' };
  }
}

async function followUp(options: RoundOptions, object: VolumeRestore, { engine, sight }: Look): Promise<VolumeRestore> {
  if (engine === undefined || sight.at !== 'here') {
    const isSilent = sight.at === 'here' && sight.problem?.reason === 'PoolUnavailable';
    if (isSilent && object.metadata.deletionTimestamp === undefined) fail('unavailable', sight.problem.message);
    return object;
  }
  const { keepSnapshot, mode } = object.spec;
  if (!keepSnapshot && sight.known !== undefined) await deleteUsed(options, object, engine, sight.known);
  if (mode === 'NameSnapshot') await tellOrigin(options, object);
  return publishSafety(options, object, engine);
}

/** The snapshot was not to be kept, and is gone on the node: its object goes too, unless it means another one by now. */
async function deleteUsed(
  { cluster }: RoundOptions,
  { metadata: { namespace }, spec }: VolumeRestore,
  engine: Engine,
  { snapshot: used }: Restore,
): Promise<void> {
  if (spec.volumeSnapshotName === undefined) return;
  const snapshot = await cluster.snapshot(namespace, spec.volumeSnapshotName);
  const bound = snapshot?.status.boundVolumeSnapshotContentName;
  if (snapshot === undefined || bound === undefined) return;
  const content = await cluster.content(bound);
  if (content?.handle !== handleOf(engine, used) || (await engine.getSnapshot(used)) !== undefined) return;
  await cluster.deleteSnapshot(snapshot);
}

async function tellOrigin(options: RoundOptions, object: VolumeRestore): Promise<void> {
  const { originClaimName: origin } = object.status;
  if (origin === undefined) return;
  const message = `Its volume has been given up: claim '${object.spec.persistentVolumeClaimName}' has taken over its storage. Delete this claim`;
  await tellClaim(options, object, origin, { type: 'Warning', reason: 'VolumeGivenUp', message });
}

async function publishSafety(options: RoundOptions, object: VolumeRestore, engine: Engine): Promise<VolumeRestore> {
  const { cluster, node } = options;
  const { metadata, spec, status } = object;
  if (!spec.safetySnapshot || status.safetySnapshotName !== undefined) return object;
  const taken = await engine.findSnapshot(safetyName(object));
  if (taken === undefined) return object;
  const claim = await cluster.claim(metadata.namespace, spec.persistentVolumeClaimName);
  const volumeMode = claim?.spec.volumeMode ?? 'Filesystem';
  const { name, snapshot, content } = safetyObjects(object, handleOf(engine, taken.id), volumeMode, node);
  try {
    await cluster.create(snapshot.path, snapshot.body);
  } catch (error) {
    if (!(error instanceof SnapmergeError) || error.kind !== 'cancelled') throw error;
    // The namespace is being deleted with all that is in it.
    await engine.deleteSnapshot(taken.id);
    return object;
  }
  await cluster.create(content.path, content.body);
  return cluster.writeStatus(object, { ...status, safetySnapshotName: name });
}

function nameOf({ metadata: { namespace, name } }: VolumeRestore): string {
  return `${namespace}/${name}`;
}
