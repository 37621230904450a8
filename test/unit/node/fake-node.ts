// A node in memory: devices with what is on them, mounts, files, and the commands that the node service runs. It can stop
// before any effect, as a killed driver does.

import { basename, dirname } from 'node:path';
import type { Argv, Exec, ExecResult } from '../../../src/system/exec.ts';
import type { FileKind, Files } from '../../../src/node/files.ts';
import type { MountEntry } from '../../../src/node/mountinfo.ts';
import type { ActiveVolume } from '../../../src/engine/engine.ts';

export interface FakeDevice {
  size: bigint;
  /** What blkid finds. */
  signature: string | undefined;
  filesystemBytes: bigint;
  /** mkfs was cut short. */
  unfinished: boolean;
  /** What ext4 notes of errors: some that e2fsck mends by itself, some that it does not, or it cannot look. */
  errors: 'none' | 'mendable' | 'left' | 'not looked at';
  /** Signatures that wipefs finds besides, and of which blkid tells the first. */
  readonly others: { readonly offset: bigint; readonly type: string }[];
  /** Written pieces by offset; all else is zero. */
  readonly pieces: Map<bigint, Uint8Array>;
}

export interface FakeNode {
  readonly exec: Exec;
  readonly files: Files;
  readonly devices: Map<string, FakeDevice>;
  readonly mounts: MountEntry[];
  /** Numbers of devices whose file system answers nothing any more. */
  readonly stopped: Set<string>;
  readonly paths: Map<string, 'directory' | 'file'>;
  readonly ran: string[];
  /** Read-only loop devices and what is under them. */
  readonly loops: Map<string, string>;
  /** Effects until the driver is killed; Infinity: never. */
  readonly lives: { left: number };
  /** Shown to the kernel's readers under this UUID. */
  readonly attach: (active: ActiveVolume, uuid?: string) => FakeDevice;
}

export class Killed extends Error {}

const OK: ExecResult = { code: 0, stdout: '', stderr: '' };
const no = (code: number, stderr: string): ExecResult => ({ code, stdout: '', stderr });

export function createFakeNode(): FakeNode {
  const devices = new Map<string, FakeDevice>();
  const numbers = new Map<string, string>();
  const uuids = new Map<string, string>();
  const mounts: MountEntry[] = [];
  const paths = new Map<string, 'directory' | 'file'>();
  const ran: string[] = [];
  const loops = new Map<string, string>();
  const stopped = new Set<string>();
  const lives = { left: Number.POSITIVE_INFINITY };

  const effect = (): void => {
    if (lives.left <= 0) throw new Killed('the driver was killed');
    lives.left -= 1;
  };
  const device = (path: string): FakeDevice => {
    const found = devices.get(path);
    if (found === undefined) throw new Error(`no device ${path}`);
    return found;
  };
  const top = (path: string): MountEntry | undefined => mounts.findLast(({ mountPoint }) => mountPoint === path);
  const blockAt = (path: string): string | undefined => {
    if (numbers.has(path)) return path;
    const root = top(path)?.root;
    return root !== undefined && numbers.has(`/dev${root}`) ? `/dev${root}` : undefined;
  };

  const mount = (argv: Argv): ExecResult => {
    const words = (argv[argv.indexOf('-o') + 1] ?? '').split(',');
    const [source = '', target = ''] = argv.slice(-2);
    if (!paths.has(target)) return no(32, 'mount point does not exist');
    const own = words.filter((word) => !['bind', 'nouuid'].includes(word));
    if (words.includes('bind')) {
      const from = top(source);
      const whole = {
        root: `/${basename(source)}`,
        majorMinor: '0:5',
        fsType: 'devtmpfs',
        source: 'udev',
        superOptions: ['rw'],
      };
      const options =
        from === undefined ? own : [...new Set([...own, ...from.options.filter((word) => !/^r[ow]$/.test(word))])];
      mounts.push({ ...(from ?? whole), mountPoint: target, options });
      return OK;
    }
    const fsType = argv[argv.indexOf('-t') + 1] ?? '';
    const on = device(source);
    if (on.signature !== fsType || on.unfinished) return no(32, 'wrong fs type');
    const majorMinor = numbers.get(source) ?? '';
    const superOptions = [words.includes('ro') ? 'ro' : 'rw'];
    mounts.push({ majorMinor, root: '/', mountPoint: target, options: own, fsType, source, superOptions });
    return OK;
  };

  const umount = (target: string): ExecResult => {
    const index = mounts.findLastIndex(({ mountPoint }) => mountPoint === target);
    if (index === -1) return no(32, 'not mounted');
    mounts.splice(index, 1);
    return OK;
  };

  const mkfs = (fsType: string, path: string): ExecResult => {
    const on = device(path);
    on.pieces.set(64n, new Uint8Array([1]));
    if (fsType === 'xfs') Object.assign(on, { signature: 'xfs', unfinished: true });
    effect();
    Object.assign(on, { signature: fsType, unfinished: false, filesystemBytes: on.size });
    return OK;
  };

  const losetup = (argv: Argv): ExecResult => {
    const last = argv.at(-1) ?? '';
    if (argv.includes('--list')) {
      return { ...OK, stdout: [...loops].map(([name, backing]) => `${name} 1 ${backing}\n`).join('') };
    }
    if (argv.includes('--detach')) {
      loops.delete(last);
      numbers.delete(last);
    }
    if (!argv.includes('--find')) return OK;
    const name = `/dev/loop${loops.size}`;
    loops.set(name, last);
    numbers.set(name, `7:${loops.size}`);
    return { ...OK, stdout: `${name}\n` };
  };

  const run = (argv: Argv): ExecResult => {
    const [command] = argv;
    const last = argv.at(-1) ?? '';
    switch (command) {
      case 'blkid': {
        const { signature, others } = device(last);
        const type = others[0]?.type ?? signature;
        return type === undefined ? no(2, '') : { ...OK, stdout: `DEVNAME=${last}\nTYPE=${type}\n` };
      }
      case 'wipefs': {
        const { signature, others } = device(last);
        const own = signature === undefined ? [] : [{ offset: 0x438n, type: signature }];
        const lines = [...own, ...others].map(({ offset, type }) => `0x${offset.toString(16)},,,${type}\n`);
        return { ...OK, stdout: `# offset,uuid,label,type\n${lines.join('')}` };
      }
      case 'mkfs.ext4':
      case 'mkfs.xfs':
        return mkfs(command.slice(5), last);
      case 'e2fsck': {
        const on = device(last);
        if (on.errors === 'not looked at') return no(8, 'device is busy');
        if (on.errors === 'left') return { ...no(4, ''), stdout: 'RUN fsck MANUALLY' };
        on.errors = 'none';
        return OK;
      }
      case 'mount':
        return mount(argv);
      case 'umount':
        return umount(last);
      case 'resize2fs':
      case 'xfs_growfs': {
        const path = command === 'resize2fs' ? last : (top(last)?.source ?? '');
        device(path).filesystemBytes = device(path).size;
        return OK;
      }
      case 'losetup':
        return losetup(argv);
      case 'dmsetup': {
        const [path] = [...uuids].find(([, uuid]) => uuid === last) ?? [];
        if (path === undefined || argv.join(' ') !== `dmsetup remove --noudevsync --uuid ${last}`)
          return no(1, 'no such device');
        uuids.delete(path);
        return OK;
      }
      default:
        throw new Error(`no command ${command}`);
    }
  };

  const files: Files = {
    mounts: async () => [...mounts],
    kindOf: async (path): Promise<FileKind | undefined> => {
      if (stopped.has(top(path)?.majorMinor ?? '')) return { kind: 'unreadable' };
      const block = blockAt(path);
      if (block !== undefined) return { kind: 'block', majorMinor: numbers.get(block) ?? '' };
      const kind = paths.get(path);
      return kind === undefined ? undefined : { kind };
    },
    backingOf: async (majorMinor) => {
      const loop = [...loops.keys()].find((name) => numbers.get(name) === majorMinor);
      return loop === undefined ? undefined : loops.get(loop);
    },
    mapped: async (majorMinor) => {
      const path = [...devices.keys()].find((name) => numbers.get(name) === majorMinor);
      const uuid = path === undefined ? undefined : uuids.get(path);
      return path === undefined || uuid === undefined ? undefined : { uuid, bytes: device(path).size };
    },
    numberOf: async (isIt) => numbers.get([...uuids].find(([, uuid]) => isIt(uuid))?.[0] ?? ''),
    canonical: async (path) => path,
    placeOf: async (path) => path.replace(/^\/seen-twice/, ''),
    makeDirectory: async (path) => {
      effect();
      paths.set(path, 'directory');
    },
    makeFile: async (path) => {
      effect();
      paths.set(path, 'file');
    },
    removeDirectory: async (path) => {
      effect();
      if ([...paths.keys()].some((other) => dirname(other) === path)) return false;
      return paths.delete(path);
    },
    removeFile: async (path) => {
      effect();
      paths.delete(path);
    },
    isEmptyFile: async () => true,
    usage: async () => ({
      bytes: { total: 100n, available: 60n, used: 40n },
      inodes: { total: 10n, available: 6n, used: 4n },
    }),
    read: async (path, offset, length) => readPiece(device(path), offset, length),
    write: async (path, offset, data) => {
      effect();
      device(path).pieces.set(offset, Uint8Array.from(data));
    },
  };

  return {
    devices,
    stopped,
    mounts,
    paths,
    ran,
    lives,
    loops,
    files,
    exec: async (argv) => {
      ran.push(argv.join(' '));
      if (!['blkid', 'wipefs'].includes(argv[0]) && !argv.includes('--list')) effect();
      return run(argv);
    },
    attach: ({ path, majorMinor, size }, uuid) => {
      numbers.set(path, majorMinor);
      if (uuid !== undefined) uuids.set(path, uuid);
      const known = devices.get(path) ?? newDevice(size);
      known.size = size;
      devices.set(path, known);
      return known;
    },
  };
}

function newDevice(size: bigint): FakeDevice {
  return {
    size,
    signature: undefined,
    filesystemBytes: 0n,
    unfinished: false,
    errors: 'none',
    others: [],
    pieces: new Map(),
  };
}

function readPiece(device: FakeDevice, offset: bigint, length: number): Uint8Array {
  const result = new Uint8Array(length);
  for (const [at, data] of device.pieces) {
    const place = at - offset;
    if (place < 0n || place >= BigInt(length)) continue;
    result.set(data.subarray(0, length - Number(place)), Number(place));
  }
  if (offset === 0n && device.signature !== undefined) writeSuperblock(device, result);
  return result;
}

/** Enough of a superblock for src/node/superblock.ts. */
function writeSuperblock({ signature, filesystemBytes, unfinished, errors }: FakeDevice, head: Uint8Array): void {
  const view = new DataView(head.buffer);
  if (signature === 'ext4') {
    view.setUint16(1024 + 0x38, 0xef53, true);
    view.setUint16(1024 + 0x3a, errors === 'none' ? 1 : 3, true);
    view.setUint32(1024 + 0x18, 2, true);
    view.setUint32(1024 + 0x04, Number(filesystemBytes / 4096n), true);
  }
  if (signature === 'xfs') {
    head.set(new TextEncoder().encode('XFSB'));
    view.setUint32(4, 4096);
    view.setBigUint64(8, filesystemBytes / 4096n);
    view.setUint8(126, unfinished ? 1 : 0);
  }
}
