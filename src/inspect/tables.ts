// The commands that show volumes and snapshots of a pool by hand: what `snapmerge tables` prints. What is to be shown is
// `desired` with everything in use, and the order is `plan`'s; shell.ts turns its steps into commands. Pure.

import { ofFamily } from '../converge/converge.ts';
import { MOST_NESTED, deepest, imageDepths, liveDepths } from '../converge/depth.ts';
import type { Desired, DesiredDevice } from '../converge/device.ts';
import { desired } from '../converge/desired.ts';
import { fedBy } from '../records/family.ts';
import type { Family, Node } from '../records/family.ts';
import { buildForest } from '../records/build-forest.ts';
import type { Observed } from '../dm/kernel.ts';
import { plan } from '../converge/plan.ts';
import type { Step } from '../dm/step.ts';
import type { Target } from '../dm/table.ts';
import type { DeviceKey, EntityId, VolumeId } from '../vocabulary/ids.ts';
import { deviceKey, isTail, isTop, isVolumeId, storeOf } from '../vocabulary/ids.ts';
import type { PoolReport } from '../lvm/lvm.ts';
import { imageSize, isLost } from '../records/record.ts';
import { formatBytes } from '../vocabulary/units.ts';
import type { Names } from './shell.ts';
import { commandsOf, legCommands, legRemoval, nameOf, preamble } from './shell.ts';
import { labelOf } from './view.ts';

/**
 * - `all`: from nothing, as after a boot;
 * - `missing`: from what is there now;
 * - `remove`: what is there now away again.
 */
export type TablesMode = 'all' | 'missing' | 'remove';

export interface TablesRequest {
  readonly names: Names;
  readonly report: PoolReport;
  /** What is there now; nothing when nobody could tell. */
  readonly observed: Observed;
  /** Images to show, with all they need; undefined: all of the pool. */
  readonly only: ReadonlySet<EntityId> | undefined;
  readonly mode: TablesMode;
  /** Everything read-only, and nothing that merges: moves nothing, changes nothing. */
  readonly readOnly: boolean;
}

export interface Tables {
  /** Lines of a shell script. */
  readonly lines: readonly string[];
  /** Why some families are not in it. */
  readonly leftOut: readonly string[];
}

const NOTHING: Observed = { devices: new Map(), stores: new Map() };

export function tablesOf(request: TablesRequest): Tables {
  const { names, report, observed, only, mode, readOnly } = request;
  const forest = buildForest(report.stores);
  const lines = [...heading(request), ...preamble(names, report)];
  const leftOut = forest.troubles.map(({ reason }) => reason);
  let legs: readonly string[] = [];
  const done: Step[] = [];
  for (const family of forest.families.values()) {
    const own = ofFamily(observed, family);
    const asked = [...family.nodes.values()].filter(
      ({ id, record }) => !record.deleted && (only === undefined || only.has(id)),
    );
    const now = mode === 'all' ? NOTHING : unopened(own);
    const deep = mode === 'remove' ? [] : tooDeep(family, asked, now);
    leftOut.push(...deep.map(({ reason }) => reason));
    const shown = asked.filter((node) => !deep.some((one) => one.node === node));
    if (shown.length === 0) continue;
    const wanted = wantedOf(family, shown, readOnly);
    // What merges is shown whoever asks.
    const merges = mode === 'remove' ? undefined : deepest(wanted, now);
    if (merges !== undefined) {
      leftOut.push(tooDeepText(`family '${family.id}'`, merges.depth));
      continue;
    }
    const steps = plan(now, mode === 'remove' ? EMPTY : wanted);
    if (steps.length === 0) continue;
    // All families share them: they are made before the first that needs them.
    const first = legs.length === 0 ? (legs = legCommands(steps)) : [];
    const commands = commandsOf(steps, names, (device) => explain(family, device));
    lines.push('', `# ---- family ${family.id}${describeFamily(family)}`, ...first, ...commands);
    done.push(...steps);
    if (mode !== 'remove') lines.push(...shown.map((node) => shownLine(node, readOnly)));
  }
  if (mode === 'remove') lines.push(...legRemoval(done));
  lines.push(...leftOut.flatMap((reason) => ['', `# !! left out: ${reason}`]));
  return { lines, leftOut };
}

/** By hand nothing gets errors: who has a device open may be the one who types this. */
function unopened({ devices, stores }: Observed): Observed {
  return {
    devices: new Map([...devices].map(([key, device]) => [key, { ...device, openCount: 0 }])),
    stores: new Map([...stores].map(([store, device]) => [store, { ...device, openCount: 0 }])),
  };
}

/** What would bring the kernel down when it is read, unless it is there already. */
function tooDeep(
  family: Family,
  asked: readonly Node[],
  now: Observed,
): readonly { readonly node: Node; readonly reason: string }[] {
  const depths = imageDepths(family);
  const live = liveDepths(now);
  return asked.flatMap((node) => {
    const depth = depths.get(node.id) ?? 0;
    const present = live.get(deviceKey(node.id, 'top')) ?? live.get(deviceKey(node.id, 'view')) ?? 0;
    if (depth <= MOST_NESTED || depth <= present) return [];
    return [{ node, reason: tooDeepText(`${node.record.entity.kind} '${label(node)}'`, depth) }];
  });
}

function tooDeepText(what: string, depth: number): string {
  return (
    `Cannot show ${what}: ${depth} devices would lie on top of each other, and more than ${MOST_NESTED} could bring ` +
    'the kernel down'
  );
}

const EMPTY: Desired = { devices: [], stores: new Set(), givenUp: new Set() };

function wantedOf(family: Family, shown: readonly Node[], readOnly: boolean): Desired {
  const ids = shown.map(({ id }) => id);
  const volumes = readOnly ? [] : ids.filter((id): id is VolumeId => isVolumeId(id));
  const wanted = desired(family, { volumes: new Set(volumes), pinned: new Set(ids) });
  return readOnly ? { ...wanted, devices: wanted.devices.map(asReadOnly) } : wanted;
}

/**
 * A snapshot shows the same as the merge of the same two, and moves nothing. The devices of a store stay as they are: the
 * kernel writes the header of one that was never shown.
 */
function asReadOnly(device: DesiredDevice): DesiredDevice {
  if (storeOf(device.key) !== undefined) return device;
  const still = (target: Target): Target =>
    target.type === 'snapshot-merge' ? { ...target, type: 'snapshot' } : target;
  return { ...device, table: device.table.map(still), readOnly: true };
}

function heading({ names, report, mode, readOnly, observed }: TablesRequest): readonly string[] {
  const what = {
    all: readOnly ? 'shows its volumes and snapshots, all read-only' : 'shows its volumes and snapshots',
    missing: 'adds what is missing now',
    remove: 'takes away what is there now',
  }[mode];
  const present = observed.devices.size;
  return [
    `# Pool '${names.pool}', volume group '${names.vgName}', at metadata commit ${report.seqno}: ${what}.`,
    '# For a root shell on a node where no driver runs. A driver that is started later goes on from here.',
    ...(mode === 'all' && present > 0
      ? [`# ${present} devices of this pool are there now: --missing prints what is not, --remove how they go.`]
      : []),
    ...(readOnly || mode === 'remove'
      ? []
      : [
          '# Nobody makes stores larger without the driver: when one is full, whoever writes into it waits until it is back.',
        ]),
  ];
}

function describeFamily(family: Family): string {
  const root = family.nodes.get(family.id);
  return root === undefined ? '' : ` (${labelOf({ id: root.id, name: root.record.entity.name })})`;
}

function label({ id, record }: Node): string {
  const { name } = record.entity;
  return name.as === 'text' ? `${name.text} (${id})` : id;
}

function shownLine(node: Node, readOnly: boolean): string {
  const part = !readOnly && isVolumeId(node.id) ? 'top' : 'view';
  const kind = isVolumeId(node.id) ? 'volume' : 'snapshot';
  return `shown '${kind} ${label(node)}' ${nameOf(deviceKey(node.id, part))}`;
}

/** What a device is, for a person. */
function explain(family: Family, key: DeviceKey): string {
  const store = storeOf(key);
  if (store !== undefined) {
    const holder = family.records.get(store)?.entity.id ?? store;
    return isTail(key)
      ? `what lies behind the end of the store of '${holder}': a write that reaches it waits`
      : `the store of '${holder}', and what lies behind its end`;
  }
  const node = [...family.nodes.values()].find(({ id }) => key.startsWith(`${id}-`));
  if (node === undefined) return key;
  const { entity, restore, merging, deleted } = node.record;
  const ghost = deleted ? ' (a ghost: deleted, still read through)' : '';
  const what = `${entity.kind === 'snapshot' ? 'snapshot' : 'volume'} ${label(node)}`;
  if (isTop(key)) {
    const fed = fedBy(family, node);
    return `${what}: to be mounted${fed === undefined ? '' : `; what it overwrites goes to ${label(fed)}`}`;
  }
  if (key.endsWith('-pad')) return `what ${what} reads through, followed by zeroes`;
  if (!key.endsWith('-view')) return `${what}: a lower step of its restore`;
  const size = `${formatBytes(imageSize(node.record))}${ghost}`;
  if (isLost(node.record)) return `${what}, ${size}: lost, and answers with errors`;
  if (restore !== undefined) return `${what}, ${size}: its restore to '${restore.snapshot}' under way`;
  if (merging !== undefined) return `${what}, ${size}: taking over '${node.parent}' under way`;
  if (node.parent === undefined) return `${what}, ${size}: holds everything itself`;
  const parent = family.nodes.get(node.parent);
  return `${what}, ${size}: what differs from ${parent === undefined ? node.parent : label(parent)}`;
}
