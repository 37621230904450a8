// Where on this machine a guest is, whatever machine it is: its folder, the files in it, the port of its agent. Pure.

import type { GuestShape } from './state.ts';

export interface Placement {
  /** The guest's folder: disks and console are in it. */
  readonly dir: string;
  /** On this machine, for the agent. */
  readonly port: number;
}

/** Where the agent listens in the guest. */
export const AGENT_PORT = 7000;

export const CONSOLE = 'console.log';
/** What the machine says of itself. */
export const MACHINE_LOG = 'machine.log';
export const stateDisk = (dir: string): string => `${dir}/state.ext4`;
export const dataDisk = (dir: string): string => `${dir}/data.ext4`;
/** How many pool disks are files of this machine. */
export const diskFiles = ({ disks, inMemory }: Pick<GuestShape, 'disks' | 'inMemory'>): number =>
  inMemory ? 0 : disks;
export const poolDisk = (dir: string, index: number): string => `${dir}/pool${index}.raw`;
