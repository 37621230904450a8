// The command line of a QEMU guest, pure.

import { AGENT_PORT, CONSOLE, dataDisk, diskFiles, poolDisk, stateDisk } from './placement.ts';
import type { Placement } from './placement.ts';
import type { GuestShape } from './state.ts';

export type Accelerator = 'kvm' | 'tcg';

/** What all guests are made of. */
export interface QemuParts {
  readonly accelerator: Accelerator;
  readonly rootDisk: string;
  readonly kernel: string;
  readonly initramfs: string;
}

/**
 * Emulated: an older processor, because what is new in a processor is there to be quick in silicon. AVX is emulated word by
 * word, and `rep movsb` byte by byte, and libraries choose both where they find them: commands take a tenth less
 *  without, checksums half (measured). Random numbers it has from the processor, or commands would wait for some at boot.
 * Its name says what it is, because an older processor's own does not, and what runs in the guest goes by that.
 */
const ACCELERATION: Readonly<Record<Accelerator, readonly string[]>> = {
  kvm: ['-accel', 'kvm', '-cpu', 'host'],
  tcg: ['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'Nehalem,+rdrand,model-id=QEMU TCG'],
};

/**
 * Emulated, a guest's counter is this machine's, and that jumps by days where the machine is one that somebody moves or thaws: all
 * that waits in the guest is then told that its time is up. QEMU's own timer goes by this machine's monotonic clock.
 */
const CLOCK: Readonly<Record<Accelerator, string>> = { kvm: '', tcg: 'clocksource=hpet tsc=unstable' };

/** What a kernel does against attackers costs time, and in a guest of ours there are none. */
const TRUSTING = 'mitigations=off init_on_alloc=0 randomize_kstack_offset=off nokaslr audit=0 lsm=';

/** QEMU ends a value at a comma unless it is doubled. */
const value = (text: string): string => text.replaceAll(',', ',,');

const disk = (serial: string, path: string, drive: string, device = ''): readonly string[] => [
  '-drive',
  `if=none,id=${serial},format=raw,file=${value(path)},${drive}`,
  '-device',
  `virtio-blk-pci,drive=${serial},serial=${serial}${device}`,
];

export const bareArgv = (
  accelerator: Accelerator,
  kernel: string,
  initramfs: string,
  append: string,
): readonly string[] => [
  '-nodefaults',
  '-no-user-config',
  '-display',
  'none',
  '-no-reboot',
  '-machine',
  'pc',
  ...ACCELERATION[accelerator],
  '-kernel',
  kernel,
  '-initrd',
  initramfs,
  '-append',
  `console=ttyS0 quiet loglevel=4 panic=-1 ${TRUSTING} nowatchdog ${CLOCK[accelerator]} ${append}`,
];

/** The pool disks as the guest calls them: the root disk and those that `guestArgv` puts before them have letters too. */
export const qemuDisks = ({ data, disks, sockets }: GuestShape): readonly string[] =>
  Array.from({ length: disks + sockets.length }, (_, index) => {
    const before = data === null ? 2 : 3;
    return `/dev/vd${String.fromCharCode('a'.charCodeAt(0) + before + index)}`;
  });

export const guestArgv = (parts: QemuParts, shape: GuestShape, { dir, port }: Placement): readonly string[] => {
  const settings = `snapmerge.udev=${shape.udev ? 1 : 0} snapmerge.address=${shape.address}`;
  const agent = `hostfwd=tcp:127.0.0.1:${port}-${shape.address}:${AGENT_PORT}`;
  // A flush in the guest becomes one on this machine. Zeroes become holes, so that zeroing is quick and disks stay small.
  const durable = 'cache=writeback,discard=unmap,detect-zeroes=unmap';
  const pools = Array.from({ length: diskFiles(shape) }, (_, index) =>
    disk(`pool${index}`, poolDisk(dir, index), durable),
  );
  // The server decides what becomes of writes and of zeroes; the guest is told of a write cache, so that it flushes.
  const served = shape.sockets.map((path, index) =>
    disk(`pool${index}`, `nbd+unix:///?socket=${path}`, 'cache=writeback,discard=unmap', ',physical_block_size=4096'),
  );
  const tars = shape.tars.map((path, index) => disk(`tar${index}`, path, 'readonly=on'));
  return [
    ...bareArgv(parts.accelerator, parts.kernel, parts.initramfs, settings),
    '-name',
    `snapmerge-${shape.name}`,
    '-smp',
    String(shape.cpus),
    '-m',
    `${shape.memoryMiB}M`,
    '-chardev',
    `file,id=console,path=${value(`${dir}/${CONSOLE}`)}`,
    '-serial',
    'chardev:console',
    '-netdev',
    ['user,id=net,restrict=on', agent, ...shape.forwards.map(value)].join(','),
    '-device',
    'virtio-net-pci,netdev=net,romfile=',
    // Nobody writes to it, and guests of the other bed may have it open.
    ...disk('root', parts.rootDisk, 'snapshot=on,cache=unsafe,file.locking=off'),
    ...disk('state', stateDisk(dir), durable),
    ...(shape.data === null ? [] : disk('data', dataDisk(dir), durable)),
    ...pools.flat(),
    ...served.flat(),
    ...tars.flat(),
  ];
};
