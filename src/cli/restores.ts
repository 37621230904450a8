// The commands that begin, watch and cancel restores, over the Restore service.

import { z } from 'zod';
import { fail } from '../vocabulary/errors.ts';
import { findImage, handleOf, imagesOf } from '../inspect/find.ts';
import type { FoundImage } from '../inspect/find.ts';
import { labelOf } from '../inspect/view.ts';
import type { PoolView } from '../inspect/view.ts';
import { formatBytes } from '../vocabulary/units.ts';
import type { BoardLine } from './board.ts';
import { createBoard } from './board.ts';
import { RESTORE_MODES } from '../transport/restore-modes.ts';
import type { DriverClient } from './client.ts';
import { createPace, isOver, isPromotion, restoreLine, restoreState } from './progress.ts';
import type { RestoreState } from './progress.ts';
import type { Terminal } from './terminal.ts';
import { percentOf } from './words.ts';

export interface RestoreTools {
  readonly driver: DriverClient;
  readonly terminal: Terminal;
  /** As the driver showed them before. */
  readonly pools: readonly PoolView[];
  readonly json: boolean;
  /** Milliseconds that only go up. */
  readonly nowMs: () => number;
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Fires when the person has seen enough. */
  readonly enough: AbortSignal;
}

export interface RestoreRequest {
  readonly volume: string;
  /** Undefined, to promote: the one that the fork was made from. */
  readonly snapshot: string | undefined;
  readonly mode: 'origin' | 'snapshot' | 'onactivate';
  readonly dropSnapshot: boolean;
  readonly safety: string | undefined;
  /** In place of a restore of the volume that waits. */
  readonly replace: boolean;
  readonly watch: boolean;
}

const one = z.object({ restore: restoreState });
const many = z.object({ restores: z.array(restoreState) });

const LOOK_MS = 1000;

/** Exit code: 0 begun (and, watched, done), 1 failed. */
export async function startRestore(tools: RestoreTools, request: RestoreRequest): Promise<number> {
  const { driver, pools } = tools;
  const volume = findImage(pools, 'volume', request.volume);
  const reply = await driver.call(
    'StartRestore',
    {
      volume_id: handleOf(volume),
      snapshot_id: request.snapshot === undefined ? '' : handleOf(findSnapshot(pools, volume, request.snapshot)),
      mode: RESTORE_MODES[request.mode],
      keep_snapshot: !request.dropSnapshot,
      safety_snapshot_name: request.safety ?? '',
      replace: request.replace,
    },
    one,
  );
  const { restore } = reply;
  if (!tools.json) sayBegun(tools, restore, request);
  if (request.watch) return watchOne(tools, restore);
  if (tools.json) printJson(tools, [restore]);
  return 0;
}

/** A name is looked for among the volume's own snapshots first: another pool may have one of that name. */
function findSnapshot(pools: readonly PoolView[], volume: FoundImage, text: string): FoundImage {
  const own = pools.filter(({ name }) => name === volume.pool.name);
  try {
    return findImage(own, 'snapshot', text);
  } catch {
    return findImage(pools, 'snapshot', text);
  }
}

function sayBegun({ terminal, pools }: RestoreTools, restore: RestoreState, request: RestoreRequest): void {
  const label = labeller(pools);
  const { complain } = terminal;
  const [volume, snapshot] = [label(restore.volume), label(restore.snapshot)];
  const what = isPromotion(restore)
    ? `Promotion ${restore.id} of ${volume}`
    : `Restore ${restore.id} of ${volume} to ${snapshot}`;
  const begun = restore.phase === 'waiting' ? 'is recorded' : `has begun; ${formatBytes(restore.total)} to move`;
  terminal.write(`${what} ${begun}.\n`);
  const merging = restore.phase === 'merging' ? 'Merging in the background; the volume can be used' : '';
  const word = restore.message === '' ? merging : restore.message;
  if (word !== '') terminal.write(`${word}.\n`);
  if (restore.safety !== '') terminal.write(`What ${label(restore.volume)} held is kept in ${restore.safety}.\n`);
  if (!request.watch) complain('Watch it with: snapmerge restores --watch\n');
}

async function watchOne(tools: RestoreTools, begun: RestoreState): Promise<number> {
  const { driver, enough } = tools;
  const show = shower(tools);
  let last = begun;
  for await (const { restore } of driver.stream('WatchRestore', { restore_id: begun.id }, one, enough)) {
    last = restore;
    show([restore]);
  }
  if (enough.aborted) return goesOn(tools);
  // The driver ends streams when it ends itself.
  if (!isOver(last)) fail('unavailable', `Cannot watch restore '${begun.id}' any longer: the driver has ended`);
  return last.phase === 'done' ? 0 : 1;
}

/** Exit code: 0, or 1 when one of those that were seen running has failed. */
export async function listRestores(tools: RestoreTools, watch: boolean): Promise<number> {
  const { driver, terminal, json, enough } = tools;
  const list = async (): Promise<readonly RestoreState[]> => (await driver.call('ListRestores', {}, many)).restores;
  const show = shower(tools);
  let restores = await list();
  if (!watch) {
    if (json) printJson(tools, restores);
    else if (restores.length === 0) terminal.write('There is no restore, and the last ones are forgotten.\n');
    else show(restores);
    return restores.some(({ phase }) => phase === 'failed') ? 1 : 0;
  }
  const watched = new Set(restores.filter((state) => !isOver(state)).map(({ id }) => id));
  if (watched.size === 0) {
    terminal.complain('No restore is under way.\n');
    return 0;
  }
  for (;;) {
    for (const { id, phase } of restores) if (phase !== 'done' && phase !== 'failed') watched.add(id);
    const seen = restores.filter(({ id }) => watched.has(id));
    show(seen);
    if (seen.every(isOver)) return seen.some(({ phase }) => phase === 'failed') ? 1 : 0;
    await tools.pause(LOOK_MS, enough);
    if (enough.aborted) return goesOn(tools);
    restores = await list();
  }
}

/** As shells count the end by ctrl-C. */
const INTERRUPTED = 130;

function goesOn({ terminal }: RestoreTools): number {
  terminal.complain('What was watched goes on.\n');
  return INTERRUPTED;
}

function shower(tools: RestoreTools): (restores: readonly RestoreState[]) => void {
  const { terminal, pools, nowMs, json } = tools;
  const board = createBoard(terminal);
  const pace = createPace();
  const label = labeller(pools);
  return (restores) => {
    if (json) {
      for (const restore of restores) terminal.write(`${JSON.stringify(plain(restore))}\n`);
      return;
    }
    const options = { style: terminal.style, columns: terminal.columns(), label };
    board.show(
      restores.map((state): BoardLine => {
        const percent = percentOf(state.total - state.remaining, state.total);
        return {
          key: state.id,
          text: restoreLine(state, pace(state, nowMs()), options),
          milestone: `${state.phase} ${percent} ${state.message}`,
        };
      }),
    );
  };
}

function printJson({ terminal }: RestoreTools, restores: readonly RestoreState[]): void {
  terminal.write(`${JSON.stringify(restores.map(plain), undefined, 2)}\n`);
}

function plain(state: RestoreState): object {
  return { ...state, total: Number(state.total), remaining: Number(state.remaining) };
}

/** A handle -> the name that people gave it, or its id. */
export function labeller(pools: readonly PoolView[]): (handle: string) => string {
  const labels = new Map(imagesOf(pools).map((found) => [handleOf(found), labelOf(found.image)]));
  return (handle) => labels.get(handle) ?? handle.slice(handle.lastIndexOf('.') + 1);
}

/** `text`: a restore's handle or id, or the volume that it rolls back. */
export async function cancelRestore(tools: RestoreTools, text: string): Promise<number> {
  const { driver, terminal, pools } = tools;
  const { restores } = await driver.call('ListRestores', {}, many);
  const named = restores.find(({ id }) => id === text || id.endsWith(`.${text}`));
  const restore = named ?? runningOf(restores, pools, text);
  await driver.call('CancelRestore', { restore_id: restore.id }, z.unknown());
  const label = labeller(pools);
  terminal.write(
    `Restore ${restore.id} of ${label(restore.volume)} is cancelled; nothing of the volume has changed.\n`,
  );
  return 0;
}

function runningOf(restores: readonly RestoreState[], pools: readonly PoolView[], text: string): RestoreState {
  if (/(^|\.)r-[0-9a-z]{10}$/.test(text))
    fail('not-found', `Cannot find restore '${text}': snapmerge restores lists them`);
  const volume = handleOf(findImage(pools, 'volume', text));
  const running = restores.find((restore) => restore.volume === volume && !isOver(restore));
  return running ?? fail('not-found', `Cannot find a restore of volume '${text}' that is under way`);
}
