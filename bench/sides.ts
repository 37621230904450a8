// The sides that are compared, by the names that the tables have for them.

import { linear, thick, thin } from './sides/lvm.ts';
import { snapmerge } from './sides/snapmerge.ts';
import type { Maker } from './volume.ts';

export type SideName = 'snapmerge' | 'LVM thick' | 'LVM thin' | 'linear';

export const SIDES: Readonly<Record<SideName, Maker>> = { snapmerge, 'LVM thick': thick, 'LVM thin': thin, linear };
