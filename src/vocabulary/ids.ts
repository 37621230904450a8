// The names of things, as types that cannot exist malformed: pools, volumes, snapshots, stores, devices, handles.
// Pure text; how an id is drawn (randomness) comes in from outside.

import { SnapmergeError } from './errors.ts';

export type PoolName = string & { readonly brand: 'pool' };
/** `v-` and ten characters: a volume, a fork or a clone. */
export type VolumeId = string & { readonly brand: 'volume' };
/** `s-` and ten characters: a snapshot. */
export type SnapshotId = string & { readonly brand: 'snapshot' };
export type EntityId = VolumeId | SnapshotId;
/** The name of a logical volume of ours within its volume group: `sm_` and ten characters. */
export type StoreName = string & { readonly brand: 'store' };
/** An LVM volume group UUID without its dashes: 32 characters. */
export type VgUuid = string & { readonly brand: 'vg-uuid' };

/** Lower-case base 32 without the letters that look like digits. 32 characters, so that 5 random bits choose one. */
export const ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const ID = `[${ID_ALPHABET}]{10}`;
const POOL = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/;
const VOLUME = new RegExp(`^v-${ID}$`);
const SNAPSHOT = new RegExp(`^s-${ID}$`);
/** What every store's name begins with; ten characters follow. */
export const STORE_PREFIX = 'sm_';
const STORE = new RegExp(`^${STORE_PREFIX}${ID}$`);
const VG_UUID = /^[A-Za-z0-9]{32}$/;

export function isPoolName(text: string): text is PoolName {
  return POOL.test(text);
}
export function isVolumeId(text: string): text is VolumeId {
  return VOLUME.test(text);
}
export function isSnapshotId(text: string): text is SnapshotId {
  return SNAPSHOT.test(text);
}
export function isStoreName(text: string): text is StoreName {
  return STORE.test(text);
}
export function isVgUuid(text: string): text is VgUuid {
  return VG_UUID.test(text);
}

export function poolName(text: string): PoolName {
  if (isPoolName(text)) return text;
  throw new SnapmergeError(
    'invalid',
    `Cannot use '${text}' as a pool name: 1 to 32 characters of a-z, 0-9 and '-', beginning and ending with a letter or digit`,
  );
}
export function volumeId(text: string): VolumeId {
  if (isVolumeId(text)) return text;
  throw new SnapmergeError('invalid', `Cannot use '${text}' as a volume id: want v- and ten characters`);
}
export function snapshotId(text: string): SnapshotId {
  if (isSnapshotId(text)) return text;
  throw new SnapmergeError('invalid', `Cannot use '${text}' as a snapshot id: want s- and ten characters`);
}
export function storeName(text: string): StoreName {
  if (isStoreName(text)) return text;
  throw new SnapmergeError('invalid', `Cannot use '${text}' as a store name: want sm_ and ten characters`);
}
/** Takes the form that LVM prints, with dashes, and the compact one. */
export function vgUuid(text: string): VgUuid {
  const compact = text.replaceAll('-', '');
  if (isVgUuid(compact)) return compact;
  throw new SnapmergeError('invalid', `Cannot use '${text}' as a volume group UUID: want 32 letters and digits`);
}

/** Draws the ten characters of an id: a source of randomness, or a counter in a simulation. */
export type DrawId = () => string;

/** Ten characters of `ID_ALPHABET` from ten random bytes. */
export function idFromBytes(random: Uint8Array): string {
  return Array.from(random.subarray(0, 10), (byte) => ID_ALPHABET[byte % 32]).join('');
}

/**
 * What CSI calls volume_id and snapshot_id: `<pool>.<first 6 characters of the VG's UUID>.<id>`. The UUID part tells a
 * source on another node from one that does not exist, and travels with the disks. Safe as a file and device name.
 */
export interface Handle<I extends EntityId = EntityId> {
  readonly pool: PoolName;
  readonly vg: string;
  readonly id: I;
}

export function handleText(pool: PoolName, vg: VgUuid, id: EntityId): string {
  return `${pool}.${vg.slice(0, 6)}.${id}`;
}

/** Restores have handles of the same form. */
export function restoreHandle(pool: PoolName, vg: VgUuid, restore: string): string {
  return `${pool}.${vg.slice(0, 6)}.${restore}`;
}

/** Undefined when the text is no handle of this driver. */
export function parseHandle(text: string): Handle | undefined {
  const [pool, vg, id, ...rest] = text.split('.');
  if (pool === undefined || vg === undefined || id === undefined || rest.length > 0) return undefined;
  if (!isPoolName(pool) || !/^[A-Za-z0-9]{6}$/.test(vg)) return undefined;
  if (!isVolumeId(id) && !isSnapshotId(id)) return undefined;
  return { pool, vg, id };
}

/**
 * Which device of an entity: `top` is what is mounted, `view` shows the whole image, `pad` is a parent made longer with
 * zeroes for a fork larger than its snapshot, `level1`, `level2`, ... are the steps of a restore (level0: a fork's base).
 */
export type DevicePart = 'top' | 'view' | 'pad' | `level${number}`;
/**
 * Which device of a store of exceptions that may grow: `cow` is what a snapshot takes for its store, and ends in a `tail`,
 * which holds a write without room until there is some. Extending adds a tail; the number tells them apart.
 */
export type StorePart = 'cow' | `tail${number}`;
/** `<entity id>-<part>` or `<store>-<part>`; with the pool's prefix it is the device's UUID in the kernel. */
export type DeviceKey = `${EntityId}-${DevicePart}` | `${StoreName}-${StorePart}`;

const DEVICE_KEY = new RegExp(
  `^([vs]-${ID}-(top|view|pad|level[0-9]{1,3})|${STORE_PREFIX}${ID}-(cow|tail[0-9]{1,3}))$`,
);

export function deviceKey(entity: EntityId, part: DevicePart): DeviceKey {
  return `${entity}-${part}`;
}
export function storeDevice(store: StoreName, part: StorePart): DeviceKey {
  return `${store}-${part}`;
}
export function isDeviceKey(text: string): text is DeviceKey {
  return DEVICE_KEY.test(text);
}
/** The volume or snapshot that a device belongs to; undefined for a store's. */
export function entityOf(key: DeviceKey): EntityId | undefined {
  const text = key.slice(0, 12);
  return isVolumeId(text) || isSnapshotId(text) ? text : undefined;
}
/** The store that a `cow` or `tail` belongs to; undefined for an entity's device. */
export function storeOf(key: DeviceKey): StoreName | undefined {
  const text = key.slice(0, STORE_PREFIX.length + 10);
  return isStoreName(text) ? text : undefined;
}

/** What a device belongs to: a volume, a snapshot or a store. */
export function ownerOf(key: DeviceKey): EntityId | StoreName | undefined {
  return storeOf(key) ?? entityOf(key);
}
/** What is mounted or handed to a pod as it is: it goes when its volume is unstaged, and then only. */
export function isTop(key: DeviceKey): boolean {
  return key.endsWith('-top');
}
export function isTail(key: DeviceKey): boolean {
  return storeOf(key) !== undefined && !key.endsWith('-cow');
}

/** What a user gets, and the lock's device, begin so; the udev rule and the scan of the kernel's devices match on it. */
export const DM_UUID_PREFIX = 'SNAPMERGE-';
/**
 * What lies below begins so. LVM, its udev rules and util-linux take `LVM-<64 characters>-<word>` for a private part of a
 * logical volume, and leave it alone. The first half, where LVM has the UUID of a volume group, is no group's.
 */
export const HIDDEN_UUID_PREFIX = `LVM-${'SNAPMERGE'.padEnd(32, '0')}`;
/** The UUID in the kernel of a pool's device. At most 128 bytes, as the kernel has room for. */
export function dmUuid(vg: VgUuid, key: DeviceKey): string {
  return `${isTop(key) ? DM_UUID_PREFIX : HIDDEN_UUID_PREFIX}${vg}-${key}`;
}
/** Undefined for a device that is not ours or of another pool. Both beginnings count: a device keeps the UUID it was made with. */
export function keyOfDmUuid(vg: VgUuid, uuid: string): DeviceKey | undefined {
  const prefix = [DM_UUID_PREFIX, HIDDEN_UUID_PREFIX].map((one) => `${one}${vg}-`).find((one) => uuid.startsWith(one));
  const key = prefix === undefined ? '' : uuid.slice(prefix.length);
  return isDeviceKey(key) ? key : undefined;
}
/** Whether a UUID is that of what is mounted of a volume, in a group whose UUID begins so. */
export function isTopUuid(uuid: string, vg: string, id: VolumeId): boolean {
  return uuid.startsWith(`${DM_UUID_PREFIX}${vg}`) && uuid.endsWith(`-${deviceKey(id, 'top')}`);
}
export function dmName(pool: PoolName, key: DeviceKey): string {
  return `snapmerge-${pool}-${key}`;
}
/**
 * The two devices of a pool that its tails are mirrors of: one shows zeroes and takes writes, the other fails. They lie on
 * nothing, and all tails of the pool share them.
 */
export type Leg = 'zero' | 'error';
export const LEGS: readonly Leg[] = ['zero', 'error'];
export function legUuid(vg: VgUuid, leg: Leg): string {
  return `${HIDDEN_UUID_PREFIX}${vg}-${leg}`;
}
/** With the group's: another group may have the pool's name later, and these are there until somebody has closed them. */
export function legName(pool: PoolName, vg: VgUuid, leg: Leg): string {
  return `snapmerge-${pool}-${vg.slice(0, 6)}-${leg}`;
}

/** UUID of the device that the owner of a volume group holds open: no pool's own, whatever the group's UUID. */
export function lockUuid(vgName: string): string {
  return `${DM_UUID_PREFIX}LOCK-${vgName}`;
}
