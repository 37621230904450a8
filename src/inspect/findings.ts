// Where the kernel or LVM differ from what the records say, in words. What should be there is `desired` and the verdict is
// `plan`: a difference is what the plan would put right. Pure.

import { ofFamily } from '../converge/converge.ts';
import { MOST_NESTED, liveDepths } from '../converge/depth.ts';
import type { Desired } from '../converge/device.ts';
import type { InUse } from '../converge/desired.ts';
import { devicesBelow } from '../converge/device.ts';
import { fedBy } from '../records/family.ts';
import { isWritten } from '../converge/desired.ts';
import type { Family, Forest } from '../records/family.ts';
import type { Observed } from '../dm/kernel.ts';
import { deviceNode } from '../dm/observed.ts';
import { leftBehind, plan } from '../converge/plan.ts';
import type { Step } from '../dm/step.ts';
import { stepText } from '../dm/step.ts';
import { heldStores, sameTable, tableText } from '../dm/table.ts';
import type { Table } from '../dm/table.ts';
import type { DeviceKey, EntityId, StoreName } from '../vocabulary/ids.ts';
import { deviceKey, isDeviceKey, ownerOf } from '../vocabulary/ids.ts';
import type { StoreReport } from '../lvm/lvm.ts';
import { imageSize } from '../records/record.ts';
import { formatBytes } from '../vocabulary/units.ts';
import type { Finding, FindingKind } from './view.ts';

export interface FindingsInput {
  readonly family: Family;
  /** Of the family alone. */
  readonly observed: Observed;
  readonly wanted: Desired;
  readonly inUse: InUse;
  readonly stores: ReadonlyMap<string, StoreReport>;
  /** Tokens of operations that still run. */
  readonly underWay: ReadonlySet<string>;
}

/** All that differs in one family; empty when nothing does. */
export function familyFindings(input: FindingsInput): readonly Finding[] {
  return [
    ...deviceFindings(input),
    ...lostFindings(input),
    ...sharedFindings(input),
    ...depthFindings(input),
    ...storeFindings(input),
  ];
}

function finding(kind: FindingKind, subject: string, message: string): Finding {
  return { kind, subject, message };
}

function deviceFindings(input: FindingsInput): readonly Finding[] {
  const steps = plan(input.observed, input.wanted);
  const unfed = unfedViews(input);
  const found = steps.flatMap((step) => describe(step, steps, unfed, input));
  // A plan without a difference that has words is still a difference.
  const [first] = steps;
  const differing =
    found.length > 0 || first === undefined
      ? found
      : [finding('table', input.family.id, `the driver would do: ${steps.map(stepText).join('; ')}`)];
  return [...differing, ...leftFindings(input)];
}

/** What is gone but for somebody who has it open. */
function leftFindings({ observed, wanted }: FindingsInput): readonly Finding[] {
  return leftBehind(observed, wanted).map((key) => {
    const at = isDeviceKey(key) ? observed.devices.get(key) : observed.stores.get(key);
    const node = at === undefined ? 'its device' : deviceNode(at.majorMinor);
    const message = `goes when nobody has it open any more (count ${at?.openCount ?? 0}); 'fuser -v ${node}' tells who does`;
    return finding('left-over', key, message);
  });
}

/** Views of snapshots that a written image feeds, and that are not in the kernel: by their key, who writes. */
function unfedViews({ family, observed, inUse }: FindingsInput): ReadonlyMap<DeviceKey, EntityId> {
  const unfed = new Map<DeviceKey, EntityId>();
  for (const node of family.nodes.values()) {
    if (!isWritten(family, node, inUse)) continue;
    const fed = fedBy(family, node);
    if (fed === undefined) continue;
    const view = deviceKey(fed.id, 'view');
    if (observed.devices.get(view)?.live === undefined) unfed.set(view, node.id);
  }
  return unfed;
}

function describe(
  step: Step,
  steps: readonly Step[],
  unfed: ReadonlyMap<DeviceKey, EntityId>,
  { observed }: FindingsInput,
): readonly Finding[] {
  switch (step.do) {
    case 'clear':
      return [
        finding(
          'state',
          step.device,
          'an inactive table is loaded, which the next resume would put in the place of the live one',
        ),
      ];
    case 'activate':
      return step.stores.map((store) => finding('store', store, 'is needed and is not active'));
    case 'deactivate':
      return step.stores.map((store) => finding('left-over', store, 'is active, and nothing needs it'));
    case 'load':
    case 'make':
    case 'swap':
      // It goes: that is told by its removal.
      if (steps.some((other) => other.do === 'remove' && other.device === step.device)) return [];
      return loadFindings(step.device, step.table, step.readOnly, unfed, observed);
    case 'resume':
      return observed.devices.get(step.device)?.suspended === true ? [finding('state', step.device, SUSPENDED)] : [];
    case 'remove':
      return [finding('left-over', step.device, 'is there, and nothing needs it')];
    // Told by the load that follows, or no difference by itself.
    case 'create':
    case 'flush':
    case 'suspend':
      return [];
  }
}

const SUSPENDED = 'is suspended: whoever reads or writes through it waits';

function loadFindings(
  key: DeviceKey,
  table: Table,
  readOnly: boolean,
  unfed: ReadonlyMap<DeviceKey, EntityId>,
  observed: Observed,
): readonly Finding[] {
  const device = observed.devices.get(key);
  const writer = unfed.get(key);
  if (writer !== undefined) {
    return [
      finding(
        'not-fed',
        key,
        `is not there, although '${writer}' can be written: what it overwrites is lost to its snapshots`,
      ),
    ];
  }
  if (device === undefined) return [finding('table', key, `is not there; want '${oneLine(table)}'`)];
  if (device.live === undefined) return [finding('table', key, `has no table; want '${oneLine(table)}'`)];
  if (!sameTable(device.live, table)) {
    return [finding('table', key, `shows '${oneLine(device.live)}'; want '${oneLine(table)}'`)];
  }
  if (device.suspended) return [finding('state', key, SUSPENDED)];
  if (device.readOnly === readOnly) return [];
  return [
    finding('state', key, readOnly ? 'can be written, and should be read-only' : 'is read-only, and should not be'),
  ];
}

function oneLine(table: Table): string {
  return tableText(table).replaceAll('\n', '; ');
}

const LOST = {
  invalid: 'Invalid: the store was full or failed, and what it held is lost',
  overflow: 'Overflow: the store is full, and writes to it fail',
  'merge-failed': 'Merge failed: the merge has stopped, and will not go on by itself',
  unknown: 'Unknown: it cannot tell',
} as const;

function lostFindings({ observed }: FindingsInput): readonly Finding[] {
  return [...observed.devices.values()].flatMap(({ key, status }) =>
    status === undefined || status.state === 'counts'
      ? []
      : [finding('lost', key, `the kernel says ${LOST[status.state]}`)],
  );
}

function sharedFindings({ family, observed }: FindingsInput): readonly Finding[] {
  return [...family.records.keys()].flatMap((store) => {
    const holders = [...observed.devices.values()].filter(({ live }) => heldStores(live).includes(store));
    if (holders.length < 2) return [];
    const names = holders.map(({ key }) => `'${key}'`).join(' and ');
    return [finding('law', store, `${names} hold its exceptions at once: one of them shows something wrong`)];
  });
}

/** What an earlier version has shown is left as it is; only what nothing else lies on is named. */
function depthFindings({ observed }: FindingsInput): readonly Finding[] {
  const below = new Set([...observed.devices.values()].flatMap(({ live }) => devicesBelow(live ?? [])));
  return [...liveDepths(observed)].flatMap(([key, depth]) =>
    depth > MOST_NESTED && !below.has(key)
      ? [
          finding(
            'depth',
            key,
            `lies on ${depth - 1} devices, one on the other; more than ${MOST_NESTED} together could bring the kernel down`,
          ),
        ]
      : [],
  );
}

function storeFindings({ family, stores, underWay }: FindingsInput): readonly Finding[] {
  const found: Finding[] = [];
  for (const { record } of family.nodes.values()) {
    const store = stores.get(record.store);
    if (store === undefined) continue;
    if (store.damaged) found.push(finding('store', record.store, `a disk under it is missing or has failed`));
    if (record.place.kind === 'root' && store.size < imageSize(record)) {
      found.push(
        finding(
          'store',
          record.store,
          `has ${formatBytes(store.size)}, and '${record.entity.id}' in it has ${formatBytes(imageSize(record))}`,
        ),
      );
    }
  }
  for (const store of family.rubbish) {
    found.push(finding('left-over', store, 'shows nothing any more; the driver sweeps it'));
  }
  for (const { store, token } of family.undecided) {
    if (underWay.has(token)) continue;
    found.push(finding('left-over', store, 'was prepared for something that was never decided; the driver sweeps it'));
  }
  return found;
}

/** Devices and stores of the pool that belong to no family, and to none in trouble, of which nothing is touched. */
export function strayFindings(
  forest: Forest,
  observed: Observed,
  stores: ReadonlyMap<string, StoreReport>,
): readonly Finding[] {
  const known = new Set<DeviceKey>();
  for (const family of forest.families.values()) {
    for (const key of ofFamily(observed, family).devices.keys()) known.add(key);
  }
  const inTrouble = new Set<string | undefined>(
    forest.troubles.flatMap(({ entities, stores: of }) => [...entities, ...of]),
  );
  const devices = [...observed.devices.keys()].filter((key) => !known.has(key) && !inTrouble.has(ownerOf(key)));
  const gone = [...observed.stores.keys()].filter((store: StoreName) => !stores.has(store));
  return [
    ...devices.map((key) => finding('left-over', key, 'is there, and no record names what it shows')),
    ...gone.map((store) => finding('left-over', store, 'has a device, and LVM has no such logical volume')),
  ];
}
