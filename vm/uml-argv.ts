// The command line of a guest of User Mode Linux, pure.

import type { Placement } from './placement.ts';
import { dataDisk, diskFiles, poolDisk, stateDisk } from './placement.ts';
import type { GuestShape } from './state.ts';

/** What all guests are made of. */
export interface UmlParts {
  readonly kernel: string;
  readonly modulesDir: string;
  readonly initramfs: string;
  readonly rootDisk: string;
}

/** How processes of the guest are traced: by seccomp, or by ptrace, which is a third slower, where seccomp is forbidden. */
export type Tracing = 'seccomp' | 'ptrace';

/** The kernel takes its command line apart at spaces, and the description of a disk at commas and colons. */
export const canBeInCommandLine = (path: string): boolean => !/[\s,:"]/.test(path);

/** What the writes to the root disk go into; it has to be gone before a boot. */
export const rootOverlay = (dir: string): string => `${dir}/root.cow`;
/** The kernel's own files; to be gone before a boot, too. */
export const KERNEL_DIR = 'kernel';

/** What leads into the guest's network and out of it. */
export interface UmlNetwork {
  /** Of the guest. */
  readonly address: string;
  /** Of this machine, for the agent. */
  readonly port: number;
  readonly tap: string;
  /** Unix sockets of this machine that the guest reaches, each at a port of its own. */
  readonly sockets: readonly string[];
  readonly shared: GuestShape['network'];
}

/** In a network of its own. */
export const TAP = 'tap0';

const START = `${import.meta.dirname}/uml-start.pl`;

/** What starts a kernel, in a network of its own or in one that it shares. */
export const umlStart = (kernel: readonly string[], network: UmlNetwork): readonly string[] => {
  const { address, port, tap, sockets, shared } = network;
  const settings = [
    `port=${port}`,
    `address=${address}`,
    `tap=${tap}`,
    ...sockets.map((path) => `socket=${path}`),
    ...(shared === null ? [] : [`network=${shared.namespace}`, ...shared.behind.map((one) => `behind=${one}`)]),
  ];
  return ['perl', START, ...settings, '--', ...kernel];
};

interface Disk {
  readonly serial: string;
  readonly file: string;
  /** `r` read-only, `c` shared with other guests. */
  readonly flags?: string;
}

const disksOf = (shape: GuestShape, dir: string): readonly Disk[] => [
  { serial: 'state', file: stateDisk(dir) },
  ...(shape.data === null ? [] : [{ serial: 'data', file: dataDisk(dir) }]),
  ...Array.from({ length: diskFiles(shape) }, (_, index) => ({ serial: `pool${index}`, file: poolDisk(dir, index) })),
  ...shape.tars.map((file, index) => ({ serial: `tar${index}`, file, flags: 'rc' })),
];

/** Disks have letters in their order, the root disk the first. */
const letterOf = (index: number): string => String.fromCharCode('a'.charCodeAt(0) + 1 + index);

/** The pool disks as the guest calls them. */
export const umlDisks = (shape: GuestShape): readonly string[] => {
  if (shape.sockets.length > 0) return shape.sockets.map((_, index) => `/dev/nbd${index}`);
  return disksOf(shape, '').flatMap(({ serial }, index) =>
    serial.startsWith('pool') ? [`/dev/ubd${letterOf(index)}`] : [],
  );
};

export interface UmlFrame {
  /** Of this machine, for the kernel's own files. */
  readonly dir: string;
  readonly memoryMiB: number;
  /** The end of its network on this machine. */
  readonly tap: string;
}

export const bareUmlArgv = (
  { kernel, initramfs }: Pick<UmlParts, 'kernel' | 'initramfs'>,
  tracing: Tracing,
  { dir, memoryMiB, tap }: UmlFrame,
): readonly string[] => [
  kernel,
  `mem=${memoryMiB}M`,
  `uml_dir=${dir}/`,
  `umid=${KERNEL_DIR}`,
  `initrd=${initramfs}`,
  `vec0:transport=tap,ifname=${tap},depth=128,gro=1`,
  // The console is what the process prints; there are no other terminals.
  'con0=null,fd:1',
  'con=null',
  'ssl=null',
  `seccomp=${tracing === 'seccomp' ? 'on' : 'off'}`,
  // A process that has mapped a ring and forks breaks this kernel (seen with Node: "Bad page map", then a panic).
  'sysctl.kernel.io_uring_disabled=2',
  // What a kernel does against attackers costs time, and in a guest of ours there are none.
  'init_on_alloc=0',
  'randomize_kstack_offset=off',
  'audit=0',
  'lsm=',
  'quiet',
  'loglevel=4',
  'panic=-1',
  'noreboot',
];

export const umlArgv = (
  parts: UmlParts,
  tracing: Tracing,
  shape: GuestShape,
  { dir, port }: Placement,
): readonly string[] => {
  const { address, memoryMiB, sockets, network: shared } = shape;
  const tap = shared?.tap ?? TAP;
  const kernel = [
    ...bareUmlArgv(parts, tracing, { dir, memoryMiB, tap }),
    // Shared: QEMU would refuse to read what another process has locked.
    `ubd0c=${rootOverlay(dir)},${parts.rootDisk}`,
    ...disksOf(shape, dir).map(({ serial, file, flags = '' }, index) => `ubd${index + 1}${flags}=${file},,${serial}`),
    `snapmerge.udev=${shape.udev ? 1 : 0}`,
    `snapmerge.address=${address}`,
    `snapmerge.modules=${parts.modulesDir}`,
  ];
  return umlStart(kernel, { address, port, tap, sockets, shared });
};
