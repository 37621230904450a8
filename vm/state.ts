// What is known about a guest outside of it: one folder for each, with its disks, its console, and a file that says how
// it was made and where it runs. Other processes (`./dev exec`) find a guest by this.

import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { cacheDir } from '../tools/cache-dir.ts';
import { GuestError } from './fault.ts';

const Bed = z.enum(['uml', 'qemu']);
export type BedKind = z.infer<typeof Bed>;

const Shape = z.object({
  name: z.string(),
  bed: Bed.default('qemu'),
  disks: z.number(),
  diskSizeBytes: z.number(),
  inMemory: z.boolean().default(false),
  sockets: z.array(z.string()).default([]),
  memoryMiB: z.number(),
  cpus: z.number(),
  udev: z.boolean(),
  driver: z.boolean(),
  tars: z.array(z.string()),
  detached: z.boolean(),
  address: z.string().default('10.0.2.15'),
  forwards: z.array(z.string()).default([]),
  network: z
    .object({ namespace: z.string(), tap: z.string(), behind: z.array(z.string()) })
    .nullable()
    .default(null),
  data: z.string().nullable().default(null),
});

const State = z.object({ shape: Shape, pid: z.number().nullable(), port: z.number().nullable() });

/** How a guest is made; the same at every boot of it. */
export type GuestShape = Readonly<z.infer<typeof Shape>>;
/** `pid` and `port` (of the agent, on this machine) are null while it does not run. */
export type GuestState = Readonly<z.infer<typeof State>>;

const NAME = /^[a-z0-9][a-z0-9-]{0,40}$/;

/** Runs beside each other whose guests have the same names keep them apart by this. */
const guestsDir = (): string => join(cacheDir(), process.env['SNAPMERGE_GUESTS'] ?? 'guests');

export const guestDir = (name: string): string => {
  if (!NAME.test(name)) {
    throw new GuestError('state', `Cannot name a guest '${name}': lower-case letters, digits and '-', at most 41`);
  }
  return join(guestsDir(), name);
};

const statePath = (name: string): string => join(guestDir(name), 'guest.json');

export const writeState = async (state: GuestState): Promise<void> => {
  const path = statePath(state.shape.name);
  await mkdir(guestDir(state.shape.name), { recursive: true });
  await writeFile(`${path}.tmp`, JSON.stringify(state));
  await rename(`${path}.tmp`, path);
};

export const readState = async (name: string): Promise<GuestState | undefined> => {
  const path = statePath(name);
  if (!existsSync(path)) return undefined;
  return State.parse(JSON.parse(await readFile(path, 'utf8')));
};

/** Is this the machine of this guest? A process number alone may belong to something else by now. */
export const isRunning = (name: string, pid: number | null): pid is number => {
  if (pid === null) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${guestDir(name)}/`);
  } catch {
    return false;
  }
};

export const runningGuests = async (): Promise<readonly string[]> => {
  if (!existsSync(guestsDir())) return [];
  const names = (await readdir(guestsDir())).filter((name) => NAME.test(name));
  const states = await Promise.all(names.map(readState));
  return names.filter((name, index) => isRunning(name, states[index]?.pid ?? null));
};
