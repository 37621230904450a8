// One `lvm fullreport` of a volume group, as a value. The only place that knows LVM's field names and spellings; checked
// by a schema, so that a field which is not as expected stops here. Pure text.

import { z } from 'zod';
import { fail } from '../vocabulary/errors.ts';
import { isStoreName, vgUuid } from '../vocabulary/ids.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { bytes } from '../vocabulary/units.ts';
import { exportedReason, isOpen } from './lvm.ts';
import type { Layout, PhysicalVolume, PoolReport, StoreReport } from './lvm.ts';

const VG_FIELDS = 'vg_name,vg_uuid,vg_extent_size,vg_size,vg_free,vg_seqno,vg_mda_size,vg_mda_free,vg_exported';
const PV_FIELDS = 'pv_name,pv_size,pv_free,pv_missing,pv_allocatable';
const LV_FIELDS = 'lv_name,lv_size,lv_tags,lv_layout,lv_active,lv_health_status';

/** Arguments of the report; one process gives all state of the group. */
export function reportArgs(vgName: string): readonly string[] {
  // -qq: what LVM says of damaged records, and of trying again, would stand in the JSON.
  const format = ['-qq', '--reportformat', 'json', '--units', 'b', '--nosuffix', '--binary'];
  // The segments are of no use here, but LVM prints them: with the least that it accepts.
  const sections = { vg: VG_FIELDS, pv: PV_FIELDS, lv: LV_FIELDS, pvseg: 'pvseg_start', seg: 'seg_start' };
  return [
    ...format,
    ...Object.entries(sections).flatMap(([name, fields]) => ['--configreport', name, '-o', fields]),
    vgName,
  ];
}

const size = z
  .string()
  .regex(/^\d+$/)
  .transform((text): Bytes => bytes(BigInt(text)));
const count = z.string().regex(/^\d+$/).transform(Number);
/** LVM prints -1 where it does not know. */
const flag = z.enum(['0', '1', '-1', '']).transform((text) => text === '1');

const GROUP = z.object({
  vg_name: z.string(),
  vg_uuid: z.string(),
  vg_extent_size: size,
  vg_size: size,
  vg_free: size,
  vg_seqno: count,
  vg_mda_size: size,
  vg_mda_free: size,
  vg_exported: flag,
});
const DISK = z.object({ pv_name: z.string(), pv_size: size, pv_free: size, pv_missing: flag, pv_allocatable: flag });
const VOLUME = z.object({
  lv_name: z.string(),
  lv_size: size,
  lv_tags: z.string(),
  lv_layout: z.string(),
  lv_active: z.string(),
  lv_health_status: z.string(),
});
const REPORT = z.object({
  report: z.array(
    z.object({ vg: z.array(GROUP).optional(), pv: z.array(DISK).optional(), lv: z.array(VOLUME).optional() }),
  ),
});

type Volume = z.infer<typeof VOLUME>;

const LAYOUTS: readonly Layout[] = ['raid1', 'striped', 'linear'];
/** Of what the driver makes: anything else beside them is somebody's conversion. */
const OUR_WORDS: ReadonlySet<string> = new Set(['raid', ...LAYOUTS]);

/** The tag of a store, decided or not: what LVM's own tools show of it begins so. */
export function isOurTag(tag: string): boolean {
  return tag === 'snapmerge' || tag.startsWith('sm.');
}

/**
 * The state of group `vgName` from LVM's JSON; undefined when the group is not in it. `internal` on odd fields, `unavailable`
 * where it is exported.
 */
export function parseReport(text: string, vgName: string): PoolReport | undefined {
  const { report } = readJson(text);
  const section = report.find(({ vg }) => vg?.some((group) => group.vg_name === vgName) === true);
  const group = section?.vg?.[0];
  if (section === undefined || group === undefined) return undefined;
  if (group.vg_exported) fail('unavailable', `Cannot use volume group '${vgName}': ${exportedReason(vgName)}`);
  const volumes = section.lv ?? [];
  const stores = onceEach(volumes.flatMap((volume) => storeOf(volume) ?? []));
  const physicalVolumes = (section.pv ?? []).map(diskOf);
  // LVM counts them all, and gives out nothing on a disk that does not answer, or that somebody closed (`pvchange -xn`).
  const outOfReach = physicalVolumes.reduce((sum, disk) => sum + (isOpen(disk) ? 0n : disk.free), 0n);
  return {
    vgName,
    vgUuid: vgUuid(group.vg_uuid),
    extent: group.vg_extent_size,
    size: group.vg_size,
    free: bytes(group.vg_free - outOfReach),
    seqno: group.vg_seqno,
    metadataSize: group.vg_mda_size,
    metadataFree: group.vg_mda_free,
    physicalVolumes,
    stores,
    strangers: volumes.length - stores.length,
  };
}

function readJson(text: string): z.infer<typeof REPORT> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    return fail('internal', `Cannot read LVM's report: it is no JSON`, cause);
  }
  const result = REPORT.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  return fail('internal', `Cannot read LVM's report: ${issue?.path.join('.')}: ${issue?.message}`, result.error);
}

function diskOf(disk: z.infer<typeof DISK>): PhysicalVolume {
  return {
    path: disk.pv_name,
    size: disk.pv_size,
    free: disk.pv_free,
    missing: disk.pv_missing,
    closed: !disk.pv_allocatable,
  };
}

function storeOf(volume: Volume): StoreReport | undefined {
  const tags = volume.lv_tags === '' ? [] : volume.lv_tags.split(',');
  if (!isStoreName(volume.lv_name) || !tags.some(isOurTag)) return undefined;
  return {
    store: volume.lv_name,
    tags,
    size: volume.lv_size,
    active: isActive(volume.lv_active),
    ...layoutOf(volume),
    damaged: isDamaged(volume.lv_health_status),
  };
}

/** LVM lists one twice where two groups, or two copies of a disk, have one name: nobody knows which of them is meant. */
function onceEach(stores: readonly StoreReport[]): readonly StoreReport[] {
  const byName = Map.groupBy(stores, ({ store }) => store);
  return [...byName.values()].flatMap(([first, ...others]) => {
    if (first === undefined || others.length === 0) return first ?? [];
    return { ...first, trouble: `Cannot use store '${first.store}': LVM lists it ${others.length + 1} times` };
  });
}

function isActive(text: string): boolean {
  return text === '1' || text === 'active';
}

/** One that somebody has converted, for example to a cached one, is a trouble of its family and of no other. */
function layoutOf({ lv_name: name, lv_layout: text }: Volume): Pick<StoreReport, 'layout' | 'trouble'> {
  const words = text.split(',');
  const known = LAYOUTS.find((layout) => words.includes(layout));
  const isOurs = words.every((word) => OUR_WORDS.has(word));
  if (known !== undefined && isOurs) return { layout: known };
  const trouble = `Cannot use store '${name}': its layout is '${text}', want linear, striped or raid1`;
  return { layout: known ?? 'linear', trouble };
}

/** A raid1 made without an initial copy may report mismatches in what was never written: no damage. */
function isDamaged(health: string): boolean {
  return health !== '' && health !== 'mismatches exist';
}
