// What each of the operator's commands does: reads the node, prints what the pure rooms made of it, says with an exit code
// how it went.

import type { Settings, Whereabouts } from '../config/config.ts';
import { loadWhereabouts } from '../config/config.ts';
import { fail, messageOf } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import type { Observed } from '../dm/kernel.ts';
import { findImage, imagesOf } from '../inspect/find.ts';
import { unattended, viewPool } from '../inspect/pool.ts';
import type { TablesMode } from '../inspect/tables.ts';
import { tablesOf } from '../inspect/tables.ts';
import type { PoolView } from '../inspect/view.ts';
import { labelOf } from '../inspect/view.ts';
import { checkNode, renderCheck } from './check.ts';
import { toJson } from './json.ts';
import { lookAtNode, lookThroughDriver } from './look.ts';
import type { NodeLook } from './look.ts';
import type { OfflinePool } from './offline.ts';
import { readOffline } from './offline.ts';
import type { RestoreRequest, RestoreTools } from './restores.ts';
import { cancelRestore, listRestores, startRestore } from './restores.ts';
import { reportStatus } from './status.ts';
import type { Terminal } from './terminal.ts';
import { renderTree } from './tree.ts';

/** Where the driver or the pools are, as it was said on the command line. */
export interface Place {
  readonly socket?: string | undefined;
  readonly config?: string | undefined;
  readonly pools?: Settings['pools'];
}

export interface ShowOptions {
  readonly place: Place;
  readonly offline: boolean;
  readonly json: boolean;
}

export interface TablesOptions {
  readonly place: Place;
  readonly mode: TablesMode;
  readonly readOnly: boolean;
  /** As a person names them; none: all. */
  readonly images: readonly string[];
}

export const NAME_KINDS = ['volumes', 'snapshots', 'forks', 'images', 'restores'] as const;
export type NameKind = (typeof NAME_KINDS)[number];

/** Each resolves with the exit code. Errors are SnapmergeError. */
export interface Operator {
  readonly tree: (options: ShowOptions) => Promise<number>;
  readonly status: (options: ShowOptions) => Promise<number>;
  readonly check: (options: ShowOptions) => Promise<number>;
  readonly tables: (options: TablesOptions) => Promise<number>;
  readonly restore: (place: Place, request: RestoreRequest, json: boolean) => Promise<number>;
  readonly restores: (place: Place, watch: boolean, json: boolean) => Promise<number>;
  readonly cancel: (place: Place, restore: string) => Promise<number>;
  /** What may stand in the place of an argument, a line each: for shells that complete. */
  readonly names: (place: Place, kind: NameKind) => Promise<number>;
}

export interface OperatorPorts extends Pick<RestoreTools, 'nowMs' | 'pause'> {
  /** From now on, fires instead of the end when the person interrupts. */
  readonly interrupted: () => AbortSignal;
  readonly exec: Exec;
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Done; something is wrong, differs or was refused; it cannot be told. */
export const EXIT = { ok: 0, wrong: 1, unknown: 2 } as const;

export function createOperator(ports: OperatorPorts): Operator {
  const { exec, terminal, env } = ports;
  const { style } = terminal;
  const whereabouts = ({ socket, config, pools }: Place): Promise<Whereabouts> =>
    loadWhereabouts({ socket, pools }, env, config);
  const print = (lines: readonly string[]): void => terminal.write(lines.map((line) => `${line}\n`).join(''));
  const look = async ({ place, offline }: ShowOptions): Promise<NodeLook> =>
    lookAtNode(exec, await whereabouts(place), offline);

  async function withDriver(
    place: Place,
    { json, watch }: { readonly json: boolean; readonly watch: boolean },
    work: (tools: RestoreTools) => Promise<number>,
  ): Promise<number> {
    const { socket } = await whereabouts(place);
    const { pools } = await lookThroughDriver(socket);
    const { openDriver } = await import('./client.ts');
    const driver = await openDriver(socket);
    try {
      const enough = watch ? ports.interrupted() : NEVER;
      return await work({ ...ports, driver, pools, json, enough });
    } finally {
      driver.close();
    }
  }

  /** Whatever keeps a look from being taken is no verdict. */
  const telling =
    (work: (options: ShowOptions) => Promise<number>) =>
    async (options: ShowOptions): Promise<number> => {
      try {
        return await work(options);
      } catch (error) {
        terminal.complain(`${messageOf(error)}\n`);
        return EXIT.unknown;
      }
    };

  return {
    tree: telling(async (options) => {
      const node = await look(options);
      if (options.json) terminal.write(toJson(node));
      else {
        if (!node.driver.answers) terminal.complain(`${node.driver.reason}; read from LVM and the kernel\n`);
        print(renderTree(node.pools, style));
      }
      return node.pools.some(({ contents }) => contents === undefined) ? EXIT.unknown : EXIT.ok;
    }),

    status: telling(async (options) => {
      const node = await look(options);
      const { lines, wrong, notices } = reportStatus(node, style);
      if (options.json) terminal.write(toJson({ ...node, wrong, notices }));
      else print(lines);
      return wrong.length === 0 ? EXIT.ok : EXIT.wrong;
    }),

    check: telling(async (options) => {
      const report = await checkNode(
        () => look(options),
        (ms) => ports.pause(ms, NEVER),
      );
      if (options.json) terminal.write(toJson(report));
      else print(renderCheck(report, style));
      return { right: EXIT.ok, differs: EXIT.wrong, 'cannot tell': EXIT.unknown }[report.verdict];
    }),

    tables: async ({ place, mode, readOnly, images }) => {
      const { pools, unread } = await readOffline(exec, (await whereabouts(place)).pools);
      for (const { name, problem } of unread) terminal.complain(`pool '${name}' is left out: ${problem}\n`);
      if (pools.length === 0 && unread.length === 0) {
        fail(
          'not-found',
          'Cannot find a pool: no volume group of this node holds a store; name one with --pool NAME=VG',
        );
      }
      const views = pools.map(viewOf);
      const only =
        images.length === 0 ? undefined : new Set(images.map((text) => findImage(views, 'image', text).image.id));
      let left = unread.length;
      for (const { name, report, observed } of pools) {
        const names = { pool: name, vgName: report.vgName, vgUuid: report.vgUuid };
        const tables = tablesOf({ names, report, observed: observed ?? NOTHING, only, mode, readOnly });
        print(tables.lines);
        for (const reason of tables.leftOut) terminal.complain(`left out: ${reason}\n`);
        left += tables.leftOut.length;
      }
      return left === 0 ? EXIT.ok : EXIT.wrong;
    },

    restore: (place, request, json) =>
      withDriver(place, { json, watch: request.watch }, (tools) => startRestore(tools, request)),
    restores: (place, watch, json) => withDriver(place, { json, watch }, (tools) => listRestores(tools, watch)),
    cancel: (place, restore) =>
      withDriver(place, { json: false, watch: false }, (tools) => cancelRestore(tools, restore)),

    names: async (place, kind) => {
      const { pools } = await lookThroughDriver((await whereabouts(place)).socket);
      print(namesOf(pools, kind));
      return EXIT.ok;
    },
  };
}

const NEVER = new AbortController().signal;
const NOTHING: Observed = { devices: new Map(), stores: new Map() };

function viewOf({ name, report, observed = NOTHING }: OfflinePool): PoolView {
  return { name, problem: '', contents: viewPool({ report, observed, known: unattended(observed) }) };
}

function namesOf(pools: readonly PoolView[], kind: NameKind): readonly string[] {
  const living = imagesOf(pools)
    .map(({ image }) => image)
    .filter(({ ghost }) => !ghost);
  switch (kind) {
    case 'volumes':
      return living.filter((image) => image.kind !== 'snapshot').map(labelOf);
    case 'snapshots':
      return living.filter((image) => image.kind === 'snapshot').map(labelOf);
    case 'forks':
      return living.filter((image) => image.kind === 'fork').map(labelOf);
    case 'images':
      return living.map(labelOf);
    case 'restores':
      return living.flatMap(({ wish }) => wish?.restore ?? []);
  }
}
