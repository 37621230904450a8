// The machine that guests are. User Mode Linux runs them at this machine's own speed and needs no KVM; QEMU runs the kernel
// that Debian ships, with KVM or emulated. Everything else of a guest is the same on both.

import { rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { initramfs } from '../tools/image/initramfs.ts';
import { qemu } from '../tools/image/qemu.ts';
import { rootImage } from '../tools/image/root.ts';
import { uml } from '../tools/image/uml.ts';
import { decideBed } from './decide-bed.ts';
import type { Decision } from './decide-bed.ts';
import { GuestError } from './fault.ts';
import { startMachine } from './machine.ts';
import type { Machine } from './machine.ts';
import type { Placement } from './placement.ts';
import { emulatedProcessMs, kvmWorks, umlMeans } from './probe.ts';
import { guestArgv, qemuDisks } from './qemu-argv.ts';
import type { BedKind, GuestShape } from './state.ts';
import { KERNEL_DIR, rootOverlay, umlArgv, umlDisks } from './uml-argv.ts';

export interface Bed {
  /** Starts the machine of a guest; its kernel is not up yet. */
  readonly start: (shape: GuestShape, placement: Placement) => Promise<Machine>;
  /** What attach.sh has to know beside what it is told of every guest. */
  readonly settings: (shape: GuestShape) => readonly string[];
}

/** The pool disks of a guest, as the guest calls them. */
export const diskNames = (shape: GuestShape): readonly string[] => {
  if (shape.inMemory) return Array.from({ length: shape.disks }, (_, index) => `/dev/mapper/disk${index}`);
  return shape.bed === 'uml' ? umlDisks(shape) : qemuDisks(shape);
};

const decided = async (asked: string | undefined, tryEmulation: boolean): Promise<Decision> => {
  const image = await rootImage();
  const ram = await initramfs(image);
  const decision = await decideBed({
    asked,
    release: image.release,
    kvm: () => kvmWorks(image.kernelPath, ram),
    uml: () => umlMeans(ram),
    emulatedMs: tryEmulation ? () => emulatedProcessMs(image.kernelPath, ram) : () => Promise.resolve('not asked'),
  });
  if ('cannot' in decision) throw new GuestError('state', decision.cannot);
  return decision;
};

/** Of this machine unless one is asked for; with what it says of itself. Gets and builds what it needs to know it. */
export const chooseBed = (asked?: BedKind): Promise<Decision> => decided(asked ?? process.env['SNAPMERGE_GUEST'], true);

/** The same for who measures: code runs at this machine's own speed wherever that can be had, even if processes start slowly. */
export const chooseNativeBed = (): Promise<Decision> => decided(process.env['SNAPMERGE_GUEST'], false);

/** For guests that User Mode Linux would not do for, whoever does not ask for it by name. */
export const qemuUnlessAsked = (): BedKind | undefined =>
  process.env['SNAPMERGE_GUEST'] === undefined ? 'qemu' : undefined;

/** Bytes that there are for the memory of guests beside what this machine has in all. */
export const roomForMemory = async (kind: BedKind): Promise<number> => {
  if (kind === 'qemu') return Infinity;
  const means = await umlMeans(await initramfs(await rootImage()));
  if (typeof means === 'string') return 0;
  const { bavail, bsize } = await statfs(means.memoryDir);
  return bavail * bsize;
};

const umlBed = async (): Promise<Bed> => {
  const [image, kit] = await Promise.all([rootImage(), uml()]);
  const ram = await initramfs(image);
  const means = await umlMeans(ram);
  if (typeof means === 'string') throw new GuestError('boot', `Cannot use User Mode Linux: ${means}`);
  const { kernelPath: kernel, modulesDir } = kit;
  const parts = { kernel, modulesDir, initramfs: ram, rootDisk: image.diskPath };
  return {
    start: async (shape, placement) => {
      const { dir } = placement;
      await rm(rootOverlay(dir), { force: true });
      await rm(join(dir, KERNEL_DIR), { recursive: true, force: true });
      const argv = umlArgv(parts, means.tracing, shape, placement);
      // Its memory is a file there.
      const env = { TMPDIR: means.memoryDir, HOME: dir };
      return startMachine({ argv, env, printsConsole: true }, { dir, detached: shape.detached });
    },
    settings: ({ sockets }) => [`nbd=${sockets.length}`],
  };
};

const qemuBed = async (): Promise<Bed> => {
  const [image, emulator] = await Promise.all([rootImage(), qemu()]);
  const ram = await initramfs(image);
  const accelerator = (await kvmWorks(image.kernelPath, ram)) ? 'kvm' : 'tcg';
  const parts = { accelerator, rootDisk: image.diskPath, kernel: image.kernelPath, initramfs: ram } as const;
  return {
    start: async (shape, placement) => {
      const { dir } = placement;
      const argv = [...emulator.argv, ...guestArgv(parts, shape, placement)];
      // The overlay that takes the writes to the root disk is made there.
      const env = { ...emulator.env, TMPDIR: dir };
      return startMachine({ argv, env, printsConsole: false }, { dir, detached: shape.detached });
    },
    settings: () => [],
  };
};

export const openBed = (kind: BedKind): Promise<Bed> => (kind === 'uml' ? umlBed() : qemuBed());
