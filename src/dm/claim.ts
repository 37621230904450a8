// One process owns a pool: the one that holds a small device of that pool's open exclusively. The kernel keeps that claim: it
// ends with the process, however that ends, and counts for all processes of this kernel, in whatever containers they are.
// Who holds it stands in the device's name, for whoever does not get it, and for `dmsetup ls`.

import { closeSync, constants, openSync } from 'node:fs';
import { SnapmergeError, fail, messageOf } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { failureOf } from '../system/exec.ts';
import { lockUuid } from '../vocabulary/ids.ts';
import { deviceNode } from './observed.ts';
import { udevRuns } from './udev.ts';

export interface Claim {
  /** From then on another process may have the pool. Never rejects. */
  readonly release: () => Promise<void>;
}

export interface Claims {
  /** Takes a volume group for this process. Rejects with `PoolHeld` where another one has it. */
  readonly claim: (vgName: string) => Promise<Claim>;
  /** Who has it, in words; undefined where nobody has, or it cannot be told. Takes nothing. */
  readonly ownerOf: (vgName: string) => Promise<string | undefined>;
}

/** Another process owns the pool; the message says which, and since when. */
export class PoolHeld extends SnapmergeError {
  constructor(message: string) {
    super('unavailable', message);
    this.name = 'PoolHeld';
  }
}

/** What this process says of itself. */
export interface Holder {
  /** As it is typed: `serve`. */
  readonly command: string;
  readonly pid: number;
  /** In a container the pod's name. */
  readonly host: string;
  /** Seconds are enough. */
  readonly sinceMs: number;
}

/** Opens a block device for nobody else to do so; `busy` where somebody has it already, or why it cannot be opened. */
export type OpenExclusive = (path: string) => { readonly close: () => void } | 'busy' | { readonly why: string };

export interface ClaimOptions {
  readonly exec: Exec;
  readonly open: OpenExclusive;
  readonly holder: () => Holder;
  readonly sleep: (ms: number) => Promise<void>;
}

/** The file is not one that is closed when nothing refers to it any more: it is open until `close`, or the process's end. */
export const openExclusive: OpenExclusive = (path) => {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_EXCL);
    return { close: () => closeSync(file) };
  } catch (error) {
    const isBusy = error instanceof Error && 'code' in error && error.code === 'EBUSY';
    return isBusy ? 'busy' : { why: messageOf(error) };
  }
};

/** Devices come and go between two looks when several processes begin and end at once. */
const ATTEMPTS = 10;
/** Whoever holds it may be ending, or may be a probe that slipped in; and a new owner says who it is a moment later. */
const BUSY_ATTEMPTS = 5;
const BUSY_PAUSE_MS = 200;

export function createClaims({ exec, open, holder, sleep }: ClaimOptions): Claims {
  const claim = async (vgName: string): Promise<Claim> => {
    const quiet = (await udevRuns(exec)) ? ['--noudevsync'] : ['--noudevsync', '--noudevrules'];
    const uuid = lockUuid(vgName);
    const find = async (): Promise<Found | undefined> => readFound(await exec(findArgv(uuid)));
    const remove = async (name: string): Promise<void> => void (await exec(['dmsetup', 'remove', ...quiet, name]));

    let why = '';
    let busy = 0;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const name = lockName(vgName);
      // Refused where it is there already: the look that follows tells.
      const made = await exec(['dmsetup', 'create', name, '--uuid', uuid, ...quiet, '--table', '0 1 zero']);
      const found = await find();
      if (found === undefined) {
        why = failureOf(made);
        continue;
      }
      const opened = open(deviceNode(found.majorMinor));
      if (opened === 'busy') {
        busy += 1;
        if (busy === BUSY_ATTEMPTS) throw new PoolHeld(heldBy(vgName, found.name));
        await sleep(BUSY_PAUSE_MS);
      } else if ('why' in opened) {
        why = opened.why;
        // Without a table, from a process that died while it made it; the kernel refuses where it is open.
        await remove(found.name);
      } else if ((await find())?.majorMinor !== found.majorMinor) {
        why = `${deviceNode(found.majorMinor)} has become another device`;
        opened.close();
      } else {
        const own = lockName(vgName, holder());
        const renamed = await exec(['dmsetup', 'rename', ...quiet, found.name, own]);
        return {
          release: async () => {
            opened.close();
            // Another process may have it by now, and the kernel then refuses.
            await remove(renamed.code === 0 ? own : found.name).catch(() => undefined);
          },
        };
      }
    }
    return fail('unavailable', `Cannot take volume group '${vgName}' for this process: ${why}`);
  };
  const ownerOf = async (vgName: string): Promise<string | undefined> => {
    const { code, stdout } = await exec([
      'dmsetup',
      'info',
      '-c',
      '--noheadings',
      '-o',
      'open',
      '-u',
      lockUuid(vgName),
    ]);
    if (code !== 0 || stdout.trim() === '0') return undefined;
    const found = readFound(await exec(findArgv(lockUuid(vgName))));
    return found === undefined ? undefined : wordsOf(found.name);
  };
  return { claim, ownerOf };
}

interface Found {
  readonly majorMinor: string;
  readonly name: string;
}

function findArgv(uuid: string): readonly [string, ...string[]] {
  return ['dmsetup', 'info', '-c', '--noheadings', '--separator', ' ', '-o', 'major,minor,name', '-u', uuid];
}

function readFound({
  code,
  stdout,
}: {
  readonly code: number | undefined;
  readonly stdout: string;
}): Found | undefined {
  const [, major, minor, name] = /^(\d+) (\d+) (\S+)\n/.exec(stdout) ?? [];
  return code === 0 && name !== undefined ? { majorMinor: `${major}:${minor}`, name } : undefined;
}

/** Of the kernel's names. No group's name has an `@`, and neither has a pool's device. */
const MAX_NAME = 127;
const NAME_PREFIX = 'snapmerge.lock-';

function lockName(vgName: string, holder?: Holder): string {
  const said = holder === undefined ? [] : [holder.command, `${holder.pid}`, timeText(holder.sinceMs), holder.host];
  const words = said.map((word) => word.replaceAll(/[^A-Za-z0-9_.+-]/g, '-'));
  return [`${NAME_PREFIX}${vgName}`, ...words].join('@').slice(0, MAX_NAME);
}

/** `2026-11-30T14:32:00Z` without what a name may not have. */
function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

function heldBy(vgName: string, name: string): string {
  return `Cannot take volume group '${vgName}': it is owned by ${wordsOf(name)}`;
}

function wordsOf(name: string): string {
  const [, command, pid, since, host] = name.split('@');
  if (command === undefined || pid === undefined || since === undefined) return 'a process that does not say who it is';
  const time = since.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z');
  const where = host === undefined || host === '' ? '' : ` on ${host}`;
  return `'snapmerge ${command}' (process ${pid}${where}, since ${time})`;
}
