// From the ids in requests to the engine and the entity they name. A handle carries the first characters of its volume
// group's UUID, so one that lives on another node can be told from one that does not exist.

import { createHash } from 'node:crypto';
import type { Engine } from '../engine/engine.ts';
import { fail, unreachable } from '../vocabulary/errors.ts';
import { idFromBytes, isPoolName, isSnapshotId, isVolumeId, parseHandle } from '../vocabulary/ids.ts';
import type { PoolName, SnapshotId, VolumeId } from '../vocabulary/ids.ts';
import type { Pools } from '../pools/pools.ts';

export type Found<I> =
  | { readonly at: 'here'; readonly engine: Engine; readonly id: I }
  /** A handle of ours whose volume group is none of this node's. */
  | { readonly at: 'elsewhere'; readonly pool: PoolName }
  /** A handle of a pool of this node that does not answer now. */
  | { readonly at: 'waiting'; readonly pool: PoolName; readonly why: string }
  /** No handle of this driver. */
  | { readonly at: 'nowhere' };

export function locateVolume(pools: Pools, text: string): Found<VolumeId> {
  const handle = parseHandle(text);
  if (handle === undefined || !isVolumeId(handle.id)) return { at: 'nowhere' };
  return locate(pools, handle.pool, handle.vg, handle.id);
}

export function locateSnapshot(pools: Pools, text: string): Found<SnapshotId> {
  const handle = parseHandle(text);
  if (handle === undefined || !isSnapshotId(handle.id)) return { at: 'nowhere' };
  return locate(pools, handle.pool, handle.vg, handle.id);
}

const RESTORE_HANDLE = /^([a-z0-9-]{1,32})\.([A-Za-z0-9]{6})\.(r-[0-9a-z]{10})$/;

/** Restores have handles of the same form. */
export function locateRestore(pools: Pools, text: string): Found<string> {
  const [, pool, vg, id] = RESTORE_HANDLE.exec(text) ?? [];
  if (pool === undefined || vg === undefined || id === undefined || !isPoolName(pool)) return { at: 'nowhere' };
  return locate(pools, pool, vg, id);
}

/** The token of the restore that was asked for under a name: the same name for the same volume is the same restore. */
export function restoreToken(volumeHandle: string, name: string): string {
  return idFromBytes(createHash('sha256').update(`${volumeHandle}\0${name}`).digest());
}

// A pool may have been renamed in the configuration: the volume group decides, the name only breaks ties.
function locate<I>(pools: Pools, pool: PoolName, vg: string, id: I): Found<I> {
  const engines = [...pools.engines().values()].filter((engine) => engine.vg.startsWith(vg));
  const engine = engines.find((one) => one.pool === pool) ?? engines[0];
  if (engine !== undefined) return { at: 'here', engine, id };
  const waiting = pools.waiting();
  if (waiting.has(pool)) return { at: 'waiting', pool, why: waiting.get(pool) ?? 'it is being started' };
  return { at: 'elsewhere', pool };
}

export interface Located<I> {
  readonly engine: Engine;
  readonly id: I;
}

/** For calls on a thing that has to exist here: everything else is `not-found`, or `unavailable` while its pool is away. */
export function requireHere<I>(found: Found<I>, what: string, text: string): Located<I> {
  switch (found.at) {
    case 'here':
      return found;
    case 'waiting':
      return fail(
        'unavailable',
        `Cannot look up ${what} '${text}': pool '${found.pool}' does not answer: ${found.why}`,
      );
    case 'elsewhere':
      return fail('not-found', `Cannot find ${what} '${text}': its volume group is no pool of this node`);
    case 'nowhere':
      return fail('not-found', `Cannot find ${what} '${text}': it is no id of this driver`);
    default:
      return unreachable(found);
  }
}

/**
 * For deletions: undefined when there is nothing to delete. What lives in a volume group that is not here is not gone,
 * so saying so would lose it.
 */
export function hereOrGone<I>(found: Found<I>, what: string, text: string): Located<I> | undefined {
  if (found.at === 'nowhere') return undefined;
  if (found.at === 'elsewhere') {
    fail(
      'precondition',
      `Cannot delete ${what} '${text}': its volume group is no pool of this node, so it may still exist`,
    );
  }
  return requireHere(found, what, text);
}

/** All engines, for lists: a list that silently lacks a pool would say that its volumes are gone. */
export function requireAllPools(pools: Pools): readonly Engine[] {
  const [first] = pools.waiting();
  if (first === undefined) return [...pools.engines().values()];
  const [pool, why] = first;
  return fail('unavailable', `Cannot list: pool '${pool}' does not answer: ${why ?? 'it is being started'}`);
}

/** What a list is asked for: `text` is empty where anything will do. */
interface Named {
  readonly found: Found<unknown>;
  readonly what: string;
  readonly text: string;
}

/**
 * Engines, for lists of what hangs together with these: an id says which pool, and the others need not be there. One of
 * another node, or of nobody, has nothing here.
 */
export function enginesNamed(pools: Pools, named: readonly Named[]): readonly Engine[] {
  const asked = named.filter(({ text }) => text !== '');
  const [first] = asked;
  if (first === undefined) return requireAllPools(pools);
  if (asked.some(({ found: { at } }) => at === 'nowhere' || at === 'elsewhere')) return [];
  return [requireHere(first.found, first.what, first.text).engine];
}
